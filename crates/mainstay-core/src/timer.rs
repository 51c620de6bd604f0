//! Wakes sleepers of the system's clock at their time: one thread for all, started by the first.
//!
//! Most sleepers are deadlines of calls, and are gone long before their time has come; each sets one, so neither to set
//! nor to give one up may wake the thread. It is woken for a sleeper that must be woken before all that it knew of when it
//! fell asleep, and then no more often than one of those would have been woken. Where nobody sleeps, but somebody did a moment
//! ago, it looks again by itself after a while ([`LINGER`]), so that calls that are over before it is awake do not wake it one by one.
//!
//! How it misses nobody: before it looks at the sleepers it says that it knows of none ([`NONE`]), after it looked it says whose
//! time comes first, and parks. Who comes while it looks, or after, reads what it said later than he took his place: if he
//! reads `NONE`, or a time after his own, he unparks it, and then it does not park, or not for long; if he reads an earlier
//! time that it said before it looked, his place was taken before it looked there, because looking takes the same lock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{self, Thread};
use std::time::Duration;

use crate::clock::monotonic;
use crate::panics::contain;
use crate::stripe_slot;

/// So that threads seldom meet. Which one a sleeper is on does not matter.
const SHELVES: usize = 16;

/// How long after it found nobody the thread looks again, if there were sleepers since it looked last: longer than calls that
/// follow each other are apart, and far less than most deadlines.
const LINGER: u64 = 20_000_000;

/// Nobody's time.
const NONE: u64 = u64::MAX;

static TIMER: Timer = Timer {
    shelves: [const { Shelf(Mutex::new(Sleepers { next: 0, by_time: BTreeMap::new() })) }; SHELVES],
    wakes_at: AtomicU64::new(NONE),
    thread: Mutex::new(None),
};

struct Timer {
    shelves: [Shelf; SHELVES],
    /// When the thread looks again by itself, as far as it knows.
    wakes_at: AtomicU64,
    thread: Mutex<Option<Thread>>,
}

/// On cache lines of its own.
#[repr(align(128))]
struct Shelf(Mutex<Sleepers>);

/// No waker is cloned, woken or dropped while the lock is held, because all three may run code of the user's.
struct Sleepers {
    next: u64,
    by_time: BTreeMap<(u64, u64), Waker>,
}

/// What the thread found.
struct Found {
    /// Whose time has come.
    due: Vec<Waker>,
    /// When the next one's comes.
    next: u64,
    /// How many sleepers there have been so far.
    came: u64,
}

/// A point in time of the system's clock at which somebody is woken. Given up on drop.
pub(crate) struct Alarm {
    at: u64,
    seat: Option<Seat>,
}

struct Seat {
    shelf: &'static Shelf,
    id: u64,
}

// === impl Alarm ===

impl Alarm {
    /// At so many nanoseconds of [`monotonic::precise`].
    pub(crate) fn new(at: u64) -> Self {
        Self { at, seat: None }
    }

    /// Wakes `waker` at its time, instead of whoever was to be woken before. Look at the clock before this.
    pub(crate) fn wake(&mut self, waker: &Waker) {
        if self.at == NONE {
            return;
        }
        if let Some(seat) = &self.seat {
            let sleepers = seat.shelf.lock();
            if sleepers.by_time.get(&(self.at, seat.id)).is_some_and(|other| other.will_wake(waker)) {
                return;
            }
        }
        let waker = waker.clone();
        let old = match &self.seat {
            Some(seat) => seat.shelf.lock().by_time.insert((self.at, seat.id), waker),
            None => {
                let shelf = TIMER.shelf();
                let mut sleepers = shelf.lock();
                let id = sleepers.next;
                sleepers.next += 1;
                self.seat = Some(Seat { shelf, id });
                sleepers.by_time.insert((self.at, id), waker)
            }
        };
        drop(old);
        if self.at < TIMER.wakes_at.load(Ordering::SeqCst) {
            TIMER.rouse();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            let waker = seat.shelf.lock().by_time.remove(&(self.at, seat.id));
            drop(waker);
        }
    }
}

// === impl Timer ===

impl Timer {
    fn shelf(&self) -> &Shelf {
        let [first, ..] = &self.shelves;
        self.shelves.get(stripe_slot() % SHELVES).unwrap_or(first)
    }

    /// Makes the thread look again; starts it if it is not there. If the system has no thread to give, the next sleeper
    /// who comes asks again.
    #[cold]
    fn rouse(&'static self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        match &*thread {
            Some(thread) => thread.unpark(),
            None => {
                let started = thread::Builder::new().name("mainstay-timer".to_owned()).spawn(|| self.run());
                *thread = started.ok().map(|started| started.thread().clone());
            }
        }
    }

    fn run(&self) {
        let mut known = 0;
        loop {
            self.wakes_at.store(NONE, Ordering::SeqCst);
            let now = monotonic::precise();
            let Found { due, next, came } = self.look(now);
            if !due.is_empty() {
                // One that panics leaves the others awake. Time has passed: look again.
                due.into_iter().for_each(|waker| contain(|| waker.wake()));
                continue;
            }
            let next = if next == NONE && came != known { now.saturating_add(LINGER) } else { next };
            known = came;
            self.wakes_at.store(next, Ordering::SeqCst);
            match next {
                NONE => thread::park(),
                next => thread::park_timeout(Duration::from_nanos(next.saturating_sub(now))),
            }
        }
    }

    fn look(&self, now: u64) -> Found {
        let (mut due, mut next, mut came) = (Vec::new(), NONE, 0_u64);
        for shelf in &self.shelves {
            let mut sleepers = shelf.lock();
            came = came.wrapping_add(sleepers.next);
            while let Some(first) = sleepers.by_time.first_entry() {
                let (at, _) = *first.key();
                if at > now {
                    next = next.min(at);
                    break;
                }
                due.push(first.remove());
            }
        }
        Found { due, next, came }
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Sleepers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
