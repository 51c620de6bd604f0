use mainstay_core::sync::{AtomicU64, Ordering};

/// When a breaker of a keyed set was last used: when a verdict was last recorded, or a permit dropped. In nanoseconds but
/// for the lowest two bits, which say whether it was used at all, and whether it was used again since the hand last
/// passed; a key that comes only once is no reason to keep its breaker.
///
/// Not when it was last looked up: a lookup would have to read the clock for that, which a call does anyway. Relaxed, and
/// in two steps, because two uses at once are about as late as each other.
pub(crate) struct Used(AtomicU64);

const ONCE: u64 = 1 << 1;
const AGAIN: u64 = 1;
const TIME: u64 = !(ONCE | AGAIN);

impl Used {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// It was made: that is not a use.
    pub(super) fn begin(&self, now: u64) {
        self.0.store(now & TIME, Ordering::Relaxed);
    }

    /// Has the memory brought that a call will need, which ends here, before a locked instruction on its beginning makes
    /// everything after it wait.
    #[inline]
    pub(super) fn touch(&self) {
        std::hint::black_box(self.0.load(Ordering::Relaxed));
    }

    #[inline]
    pub(crate) fn note(&self, now: u64) {
        let before = self.0.load(Ordering::Relaxed);
        let again = (before & ONCE) >> 1;
        self.0.store(now & TIME | ONCE | again, Ordering::Relaxed);
    }

    /// Whether it was used again since this was last asked.
    pub(super) fn take_again(&self) -> bool {
        self.0.load(Ordering::Relaxed) & AGAIN != 0
            && self.0.fetch_and(!AGAIN, Ordering::Relaxed) & AGAIN != 0
    }

    pub(super) fn is_idle(&self, now: u64, idle_after: u64) -> bool {
        now.saturating_sub(self.0.load(Ordering::Relaxed) & TIME) >= idle_after
    }
}
