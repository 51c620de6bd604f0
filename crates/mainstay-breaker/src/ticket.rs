use mainstay_core::Clock;

use crate::word;

/// What a permit must remember: which epoch admitted it, and how.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// The epoch, in the place that it has in the word, and `PROBE` or `BYPASS`. Without these it equals the word of
    /// a healthy breaker in that epoch.
    pub(crate) word: u64,
    /// The probe slot, with `PROBE`.
    pub(crate) probe: u64,
    /// When it was taken, if a slow rule wants to know.
    started: u64,
    /// When the head of the answer was in, if that was told.
    answered: u64,
    /// The thread was unwinding already when the permit was taken: that panic says nothing about the call.
    panicking: bool,
    spent: bool,
}

const UNKNOWN: u64 = u64::MAX;

impl Ticket {
    /// A call like any other, in the epoch of `word`.
    #[inline]
    pub(crate) fn normal(word: u64) -> Self {
        Self {
            word: word::ticket(word),
            probe: 0,
            started: UNKNOWN,
            answered: UNKNOWN,
            panicking: std::thread::panicking(),
            spent: false,
        }
    }

    /// A call that holds a probe slot.
    pub(crate) fn probe(word: u64, slot: u64) -> Self {
        Self { word: word::ticket(word) | word::PROBE, probe: slot, ..Self::normal(word) }
    }

    /// A call that decides nothing.
    pub(crate) fn bypass(word: u64) -> Self {
        Self { word: word::ticket(word) | word::BYPASS, ..Self::normal(word) }
    }

    /// Remembers when it was taken, if a slow rule wants to know.
    pub(crate) fn timed(mut self, word: u64, now: impl FnOnce() -> u64) -> Self {
        if word & word::SLOW != 0 {
            self.started = now();
        }
        self
    }

    /// From taking it to the answer, in nanoseconds; 0 if nobody measured.
    pub(crate) fn took(&self, clock: &Clock) -> u64 {
        if self.started == UNKNOWN {
            return 0;
        }
        let end = if self.answered == UNKNOWN { clock.now_nanos() } else { self.answered };
        end.saturating_sub(self.started)
    }

    /// The head of the answer is in: the duration stands. False if it was told before.
    pub(crate) fn answer(&mut self, clock: &Clock) -> bool {
        if self.answered != UNKNOWN {
            return false;
        }
        self.answered = clock.now_nanos();
        true
    }

    /// It has decided what it could; from here on it counts in the totals only.
    pub(crate) fn disarm(&mut self) {
        self.word = word::ticket(self.word) | word::BYPASS;
    }

    #[inline]
    pub(crate) fn spend(&mut self) {
        self.spent = true;
    }

    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Whether a panic that began after it was taken is unwinding this thread.
    pub(crate) fn panicked(&self) -> bool {
        !self.panicking && std::thread::panicking()
    }

    pub(crate) fn is_probe(&self) -> bool {
        self.word & word::PROBE != 0
    }

    pub(crate) fn is_bypass(&self) -> bool {
        self.word & word::BYPASS != 0
    }

    pub(crate) fn epoch(&self) -> u32 {
        word::epoch(self.word)
    }
}
