//! The state in one word.
//!
//! ```text
//!  63           32 31        16 15        8 7       0
//! |     epoch     |   round    |  what now | ticket  |
//! ```
//!
//! Everything that a call must know before it goes through is in one `AtomicU64`, laid out so that the case that
//! matters (closed, automatic, no run of failures, no rule that needs the time) has a low half of zeros: admission is
//! one load and one test, and a success is one load, one comparison with the permit's ticket, which is the word that
//! admitted it, and one with the tag of the thread's row, which is the word of a healthy breaker in the row's epoch.
//!
//! Only the holder of the breaker's lock writes it. Everybody else looks at it, and at what belongs to it (deadline and
//! cause of an open breaker) in between two looks: see [`Word::still`].

use mainstay_core::sync::{AtomicU64, Ordering, fence};

use crate::{Control, phase::Stand};

pub(crate) struct Word(AtomicU64);

/// Failures in a row are being counted; a success must end the run. The count itself lies under the lock.
pub(crate) const RUN: u64 = 1 << 8;
/// A rule has a window of time: a success must look at the clock.
pub(crate) const TIMED: u64 = 1 << 9;
/// A rule is about slow calls: a permit must know when it was taken.
pub(crate) const SLOW: u64 = 1 << 10;
/// Half-open, and every probe slot is taken until `due`.
pub(crate) const FULL: u64 = 1 << 11;
/// A transition is being written: what belongs to the state (deadline, cause) must not be read yet.
pub(crate) const CLAIMED: u64 = 1 << 12;
/// A keyed set has given this breaker up; look the key up again.
pub(crate) const EVICTED: u64 = 1 << 13;
const STAND: u32 = 14;
const CONTROL: u32 = 16;
/// Counts, within an epoch, how often probe slots were taken and given back, so that a word never returns to what it was.
const ROUND: u32 = 20;
const EPOCH: u32 = 32;

/// Nobody has a row to count in: successes go through the cell of `pace`, other verdicts take the lock.
pub(crate) const COMPACT: u64 = 1 << 18;

/// The breaker has a time-out of its own.
pub(crate) const TIMEOUT: u64 = 1 << 19;

/// Flags under which a closed breaker still admits without a further look.
const PASSABLE: u64 = RUN | TIMED | COMPACT | TIMEOUT;

/// All but the epoch.
pub(crate) const FLAGS: u64 = (1 << EPOCH) - 1;

/// Closed, and no reason to look any closer before a call goes through.
#[inline(always)]
pub(crate) fn is_passable(word: u64) -> bool {
    (word as u32) & !(PASSABLE as u32) == 0
}

/// Open by its rules, under no control, and all that belongs to it is posted.
#[inline(always)]
pub(crate) fn is_plainly_open(word: u64) -> bool {
    const ASKED: u32 = (3 << CONTROL | 3 << STAND | CLAIMED) as u32;
    const OPEN: u32 = (Stand::Open as u32) << STAND;
    word as u32 & ASKED == OPEN
}

/// Closed, automatic, without a run of failures and without a slow rule, in the compact form: a success has nothing to do
/// but to be counted.
pub(crate) fn is_plain_compact(word: u64) -> bool {
    word as u32 & !((TIMED | TIMEOUT) as u32) == COMPACT as u32
}

pub(crate) fn pack(epoch: u32, stand: Stand, control: Control, flags: u64) -> u64 {
    with_control(u64::from(epoch) << EPOCH | (stand as u64) << STAND | flags, control)
}

pub(crate) fn with_control(word: u64, control: Control) -> u64 {
    let bits: u64 = match control {
        Control::Automatic => 0,
        Control::ForcedOpen => 1,
        Control::ForcedClosed => 2,
        Control::ObserveOnly => 3,
    };
    word & !(3 << CONTROL) | bits << CONTROL
}

/// The word of a healthy breaker in an epoch.
pub(crate) fn healthy_in(epoch: u32) -> u64 {
    u64::from(epoch) << EPOCH
}

/// `next`, in another round than `word`.
pub(crate) fn next_round(word: u64, next: u64) -> u64 {
    let rounds = ((1 << EPOCH) - 1) & !((1 << ROUND) - 1);
    next & !rounds | word.wrapping_add(1 << ROUND) & rounds
}

pub(crate) fn epoch(word: u64) -> u32 {
    (word >> EPOCH) as u32
}

/// What a permit says about itself in its ticket: no part of the word.
pub(crate) const TICKET: u64 = (1 << 8) - 1;

/// The word of a healthy breaker in the epoch of `word`, about which there is nothing to say.
pub(crate) fn healthy(word: u64) -> u64 {
    word >> EPOCH << EPOCH
}

pub(crate) fn stand(word: u64) -> Stand {
    match word >> STAND & 3 {
        0 => Stand::Closed,
        1 => Stand::Open,
        2 => Stand::Probing,
        _ => Stand::Ramping,
    }
}

pub(crate) fn control(word: u64) -> Control {
    match word >> CONTROL & 3 {
        0 => Control::Automatic,
        1 => Control::ForcedOpen,
        2 => Control::ForcedClosed,
        _ => Control::ObserveOnly,
    }
}

impl Word {
    pub(crate) fn new(word: u64) -> Self {
        Self(AtomicU64::new(word))
    }

    /// Acquire: whoever sees a state sees what was published with it.
    #[inline]
    pub(crate) fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Whether `word` still stands, after other cells were read with relaxed loads. The fence keeps those loads before
    /// this one; together with the fence in [`claim`](Self::claim) a reader that got a cell of a later transition sees
    /// that transition's word here.
    #[inline]
    pub(crate) fn still(&self, word: u64) -> bool {
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == word
    }

    /// Under the lock: replaces the word by what `change` makes of it, and returns what was there. Release: whoever sees
    /// the new word sees what was written before it.
    pub(crate) fn update(&self, change: impl Fn(u64) -> u64) -> u64 {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(change(before), Ordering::Release);
        before
    }

    /// Under the lock: shows the new epoch and state, but nothing else of them yet. From here on the calls of the old
    /// epoch are late, and nobody believes the deadline and the cause until [`publish`](Self::publish).
    pub(crate) fn claim(&self, word: u64) {
        self.update(|before| word & !RUN | before & EVICTED | CLAIMED);
        fence(Ordering::Release);
    }

    /// Under the lock, after a claim: the state is complete.
    pub(crate) fn publish(&self, word: u64) {
        self.0.store(word & !CLAIMED, Ordering::Release);
    }
}
