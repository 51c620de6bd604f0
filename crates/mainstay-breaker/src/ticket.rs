use mainstay_core::Clock;

use crate::word;

/// What a permit must remember: which epoch admitted it, and how.
///
/// It is small, and handed on by value, so that on the fast way it never leaves the registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// The word that admitted the call, whose lowest byte is free for flags about the permit: a plain one equals the
    /// word, as long as nothing has happened since.
    pub(crate) word: u64,
    /// With `PROBE`, the slot.
    pub(crate) probe: u64,
    /// With `STARTED`, when it was taken; with `ANSWERED`, how long the answer took; in nanoseconds.
    time: u64,
}

/// The permit holds a probe slot.
const PROBE: u64 = 1;
/// The permit decides nothing.
const BYPASS: u64 = 1 << 1;
/// It is known when it was taken, because a slow rule wants to know.
const STARTED: u64 = 1 << 2;
/// The head of the answer is in.
const ANSWERED: u64 = 1 << 3;
/// The thread was unwinding already when the permit was taken: that panic says nothing about the call.
const PANICKING: u64 = 1 << 4;
/// It is no permit any more: a verdict was recorded, or the right was handed over.
const SPENT: u64 = 1 << 5;

impl Ticket {
    /// A call like any other, of a breaker whose word is passable, in a thread that does not unwind.
    #[inline(always)]
    pub(crate) fn plain(word: u64) -> Self {
        Self { word, probe: 0, time: 0 }
    }

    /// A call like any other, in the epoch of `word`.
    pub(crate) fn normal(word: u64) -> Self {
        let panicking = if std::thread::panicking() { PANICKING } else { 0 };
        Self { word: word::healthy(word) | word & word::TIMEOUT | panicking, probe: 0, time: 0 }
    }

    #[inline]
    pub(crate) fn into_parts(self) -> (u64, u64, u64) {
        (self.word, self.probe, self.time)
    }

    #[inline]
    pub(crate) fn from_parts(word: u64, probe: u64, time: u64) -> Self {
        Self { word, probe, time }
    }

    /// A call that holds a probe slot.
    pub(crate) fn probe(word: u64, slot: u64) -> Self {
        let normal = Self::normal(word);
        Self { word: normal.word | PROBE, probe: slot, ..normal }
    }

    /// A call that decides nothing.
    pub(crate) fn bypass(word: u64) -> Self {
        let normal = Self::normal(word);
        Self { word: normal.word | BYPASS, ..normal }
    }

    /// Remembers when it was taken, if a slow rule wants to know.
    pub(crate) fn timed(mut self, word: u64, now: impl FnOnce() -> u64) -> Self {
        if word & word::SLOW != 0 {
            self.word |= STARTED;
            self.time = now();
        }
        self
    }

    /// From taking it to the answer, in nanoseconds; 0 if nobody measured.
    pub(crate) fn took(&self, clock: &Clock) -> u64 {
        match self.word & (STARTED | ANSWERED) {
            STARTED => clock.now_nanos().saturating_sub(self.time),
            // Measured, or (not started) 0.
            _ => self.time,
        }
    }

    /// The head of the answer is in: the duration stands. False if it was told before.
    pub(crate) fn answer(&mut self, clock: &Clock) -> bool {
        if self.word & ANSWERED != 0 {
            return false;
        }
        self.time = self.took(clock);
        self.word |= ANSWERED;
        true
    }

    /// It has decided what it could; from here on it counts in the totals only.
    pub(crate) fn disarm(&mut self) {
        self.word = self.word & !PROBE | BYPASS;
    }

    /// The permit itself, to be settled once; what stays behind is spent.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<Self> {
        let ticket = *self;
        self.spend();
        (!ticket.is_spent()).then_some(ticket)
    }

    #[inline(always)]
    pub(crate) fn is_spent(&self) -> bool {
        self.word & SPENT != 0
    }

    #[inline(always)]
    pub(crate) fn spend(&mut self) {
        self.word = SPENT;
    }

    /// Whether a panic that began after it was taken is unwinding this thread.
    pub(crate) fn panicked(&self) -> bool {
        self.word & PANICKING == 0 && std::thread::panicking()
    }

    /// Whether the breaker had a time-out of its own when it was taken.
    #[cfg(feature = "tower")]
    #[inline(always)]
    pub(crate) fn is_limited(&self) -> bool {
        self.word & word::TIMEOUT != 0
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.word & ANSWERED != 0
    }

    pub(crate) fn is_probe(&self) -> bool {
        self.word & PROBE != 0
    }

    pub(crate) fn is_bypass(&self) -> bool {
        self.word & BYPASS != 0
    }

    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        word::epoch(self.word)
    }
}
