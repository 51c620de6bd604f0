//! How a healthy compact breaker counts a success without its lock.
//!
//! Its plain successes are counted in one cell, which is *open* only while all that a success could have to do is to be
//! counted: the breaker is closed, automatic and without a run of failures, and nobody holds its lock. Whoever takes the
//! lock shuts the cell first and adds what is in it to the books; before the lock is released the cell is opened again, if
//! the breaker is still well. So a success that goes through the cell happened before or after each piece of work under the
//! lock, as if it had taken the lock itself, for one locked instruction instead of two, and on the cache line that the call
//! has at hand anyway.
//!
//! The cell says of which epoch it is: a success of another one finds it shut. What is in it belongs to the slice of time
//! that was current when it was opened, and to no later one: from its `end` on the lock is taken. A success that looked at
//! the clock before that and is counted in the cell of the next slice is a success of that slice: it was still under way
//! when the slice began.

use mainstay_core::sync::{AtomicU64, Ordering};

#[repr(C)]
pub(crate) struct Pace {
    /// The healthy word of the epoch; whether it is shut; and how many were counted.
    cell: AtomicU64,
    /// Until when the cell counts, in nanoseconds; `u64::MAX` where no rule has a window of time.
    end: AtomicU64,
}

const SHUT: u64 = 1 << 31;
const COUNT: u64 = SHUT - 1;

/// What became of a success.
pub(crate) enum Counted {
    Yes,
    /// The slice of time is over, or the cell is full: the lock's holder must begin another.
    Over,
    /// It takes the lock.
    Shut,
}

impl Pace {
    /// Shut, as it stays in the striped form.
    pub(crate) fn new() -> Self {
        Self { cell: AtomicU64::new(SHUT), end: AtomicU64::new(u64::MAX) }
    }

    /// Counts a success of the epoch with this healthy word. The clock is asked only if there is
    /// need to; it gives back what it said.
    #[inline]
    pub(crate) fn count(&self, healthy: u64, now: impl FnOnce() -> u64) -> (Counted, u64) {
        // Acquire: the end that belongs to it, or a later one.
        let mut cell = self.cell.load(Ordering::Acquire);
        if cell & !COUNT != healthy {
            return (Counted::Shut, 0);
        }
        let now = now();
        loop {
            if now >= self.end.load(Ordering::Relaxed) || cell & COUNT == COUNT {
                return (Counted::Over, now);
            }
            // Release, that the holder of the lock sees what the call did before; Acquire as above.
            match self.cell.compare_exchange_weak(cell, cell + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return (Counted::Yes, now),
                Err(other) => cell = other,
            }
            if cell & !COUNT != healthy {
                return (Counted::Shut, now);
            }
        }
    }

    /// Under the lock, or before anybody knows it: from here on successes of an epoch are counted, until the slice ends.
    pub(crate) fn open(&self, healthy: u64, end: u64) {
        self.end.store(end, Ordering::Relaxed);
        self.cell.store(healthy, Ordering::Release);
    }

    /// Under the lock: nobody counts beside it any more. How many were counted.
    pub(crate) fn shut(&self) -> u64 {
        // A swap, so that a success is counted before it or finds the cell shut.
        self.cell.swap(SHUT, Ordering::AcqRel) & COUNT
    }
}
