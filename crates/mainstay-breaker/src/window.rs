//! Sliding windows of fixed size, under the breaker's lock.
//!
//! Successes that are neither slow nor close to a failure are never written here: they are counted in stripes (see
//! `tally`), because all that a window must know of them is how many there were. A window of calls keeps the
//! *position* of each failure in the sequence of verdicts; a failure is out when the sequence has moved on by n.
//! A window of time keeps counts per slice.

use crate::Window;

const SLICES: usize = Window::SLICES as usize;

/// Which of the last n positions of a sequence are marked.
#[derive(Clone)]
pub(crate) struct Marks {
    size: u64,
    /// The last position that was looked at.
    head: u64,
    /// No memory before the first mark: most windows never see a slow call, and many no failure.
    bits: Box<[u64]>,
    count: u64,
}

impl Marks {
    pub(crate) fn new(size: u32, head: u64) -> Self {
        Self { size: u64::from(size.max(1)), head, bits: Box::default(), count: 0 }
    }

    /// Moves on to a position, dropping the marks that are n or more behind. Each position is passed once, sixty-four
    /// at a time, so this costs nothing per call.
    pub(crate) fn advance(&mut self, to: u64) {
        let gap = to.saturating_sub(self.head);
        if gap >= self.size {
            self.clear(to);
            return;
        }
        if self.count > 0 {
            let from = (self.head + 1) % self.size;
            let end = from + gap;
            self.unmark(from, end.min(self.size));
            self.unmark(0, end.saturating_sub(self.size));
        }
        self.head = self.head.max(to);
    }

    /// Marks a position, which becomes the last one.
    pub(crate) fn mark(&mut self, position: u64) {
        self.advance(position);
        if self.bits.is_empty() {
            self.bits = vec![0; self.size.div_ceil(64) as usize].into();
        }
        let place = position % self.size;
        if let Some(word) = self.bits.get_mut((place / 64) as usize) {
            let bit = 1 << (place % 64);
            self.count += u64::from(*word & bit == 0);
            *word |= bit;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn clear(&mut self, head: u64) {
        if self.count > 0 {
            self.bits.fill(0);
            self.count = 0;
        }
        self.head = head;
    }

    /// Clears the places from..to, which do not wrap.
    fn unmark(&mut self, mut from: u64, to: u64) {
        while from < to {
            let end = to.min((from / 64 + 1) * 64);
            let ones = if end - from == 64 { u64::MAX } else { ((1 << (end - from)) - 1) << (from % 64) };
            if let Some(word) = self.bits.get_mut((from / 64) as usize) {
                self.count -= u64::from((*word & ones).count_ones());
                *word &= !ones;
            }
            from = end;
        }
    }
}

/// Counts per slice of time: the current slice and the eleven before it. A slice stops counting at 2^32 - 1.
#[derive(Clone)]
pub(crate) struct Slices {
    latest: u64,
    counts: [u32; SLICES],
}

impl Slices {
    pub(crate) fn new() -> Self {
        Self { latest: 0, counts: [0; SLICES] }
    }

    pub(crate) fn add(&mut self, slice: u64) {
        self.roll(slice);
        self.bump();
    }

    /// Adds at a time, with slices of a width. Dividing only when the slice may be another one.
    pub(crate) fn add_at(&mut self, now: u64, width: u64) {
        self.end_at(now, width);
        self.bump();
    }

    /// Adds to the slice that was looked at last.
    pub(crate) fn gather(&mut self, calls: u64) {
        if let Some(count) = self.counts.get_mut(self.latest as usize % SLICES) {
            *count = count.saturating_add(u32::try_from(calls).unwrap_or(u32::MAX));
        }
    }

    /// Moves on to a time, with slices of a width, and tells when the slice ends.
    pub(crate) fn end_at(&mut self, now: u64, width: u64) -> u64 {
        if now.wrapping_sub(self.latest.wrapping_mul(width)) >= width {
            self.roll(now / width);
        }
        self.latest.saturating_add(1).saturating_mul(width)
    }

    fn bump(&mut self) {
        if let Some(count) = self.counts.get_mut(self.latest as usize % SLICES) {
            *count = count.saturating_add(1);
        }
    }

    /// The sum over the window that ends with `slice`.
    pub(crate) fn sum(&mut self, slice: u64) -> u64 {
        self.roll(slice);
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    pub(crate) fn clear(&mut self) {
        self.counts = [0; SLICES];
    }

    /// Moves on, emptying the slices that are passed; never back (readings of a coarse clock may lag).
    fn roll(&mut self, slice: u64) {
        let passed = slice.saturating_sub(self.latest).min(SLICES as u64);
        for step in 1..=passed {
            if let Some(count) = self.counts.get_mut((self.latest + step) as usize % SLICES) {
                *count = 0;
            }
        }
        if passed == SLICES as u64 {
            self.clear();
        }
        self.latest = self.latest.max(slice);
    }
}

/// The width of a slice of a window of time, in nanoseconds.
pub(crate) fn slice_width(window: std::time::Duration) -> u64 {
    (crate::phase::nanos(window) / u64::from(Window::SLICES)).max(1)
}
