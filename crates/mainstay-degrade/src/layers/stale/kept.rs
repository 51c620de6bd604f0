use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

/// The bit of [`Kept::asked_last`] that is set by a failure.
const FAILED: u64 = 1;
const SUCCEEDED: u64 = 0;

/// What is known of one key.
pub(super) struct Kept<T> {
    word: ArcSwap<Word<T>>,
    /// Somebody asks again. Held by a [`Refresh`].
    refreshing: AtomicBool,
    /// What is known to have been asked last: when, in nanoseconds since the clock's zero, and in the lowest bit whether that failed.
    asked_last: AtomicU64,
    /// When to ask again, in nanoseconds since the clock's zero.
    next_try: AtomicU64,
}

/// What was said last, and what was taken back.
struct Word<T> {
    answer: Option<Arc<Answer<T>>>,
    /// Answers that were asked for before that no longer hold.
    taken_back: Duration,
}

/// An answer, and when it was asked for.
pub(super) struct Answer<T> {
    pub(super) response: T,
    pub(super) asked_at: Duration,
}

/// The right to ask again for one key, of which there is one at a time. Given back when it is dropped.
pub(super) struct Refresh<T>(Arc<Kept<T>>);

/// Relaxed throughout: the flags guard no other memory; the word is published by its own pointer.
impl<T> Kept<T> {
    pub(super) fn new(taken_back: Duration) -> Self {
        Self {
            word: ArcSwap::from_pointee(Word { answer: None, taken_back }),
            refreshing: AtomicBool::new(false),
            asked_last: AtomicU64::new(0),
            next_try: AtomicU64::new(0),
        }
    }

    /// The answer, if it is at most so old. What is older is dropped.
    pub(super) fn answer(&self, now: Duration, max_staleness: Duration) -> Option<Arc<Answer<T>>> {
        let word = self.word.load_full();
        let answer = word.answer.as_ref()?;
        if answer.age(now) <= max_staleness {
            return Some(answer.clone());
        }
        // Unless there is a new one by now.
        self.word.compare_and_swap(&word, Arc::new(Word { answer: None, taken_back: word.taken_back }));
        None
    }

    pub(super) fn has_answer(&self) -> bool {
        self.word.load().answer.is_some()
    }

    pub(super) fn taken_back(&self) -> Duration {
        self.word.load().taken_back
    }

    pub(super) fn keep(&self, response: T, asked_at: Duration) {
        let answer = Arc::new(Answer { response, asked_at });
        self.word.rcu(|word| {
            let is_outdone = word.answer.as_ref().is_some_and(|known| known.asked_at > asked_at);
            if is_outdone || asked_at < word.taken_back {
                return word.clone();
            }
            Arc::new(Word { answer: Some(answer.clone()), taken_back: word.taken_back })
        });
        self.succeeded(asked_at);
    }

    pub(super) fn forget(&self, asked_at: Duration) {
        let taken_back = asked_at.saturating_add(Duration::from_nanos(1));
        self.word.rcu(|word| {
            let answer = word.answer.as_ref().filter(|known| known.asked_at >= taken_back).cloned();
            Arc::new(Word { answer, taken_back: word.taken_back.max(taken_back) })
        });
        self.succeeded(asked_at);
    }

    pub(super) fn is_failing(&self) -> bool {
        self.asked_last.load(Ordering::Relaxed) & FAILED != 0
    }

    pub(super) fn succeeded(&self, asked_at: Duration) {
        self.conclude(asked_at, SUCCEEDED);
    }

    pub(super) fn failed(&self, asked_at: Duration, next_try: Duration) {
        if self.conclude(asked_at, FAILED) {
            self.next_try.store(nanos(next_try), Ordering::Relaxed);
        }
    }

    /// Unless there is a result that was asked for later.
    fn conclude(&self, asked_at: Duration, failed: u64) -> bool {
        let result = (nanos(asked_at) << 1) | failed;
        let order = Ordering::Relaxed;
        let is_news = |known: u64| (known | FAILED <= result | FAILED).then_some(result);
        self.asked_last.fetch_update(order, order, is_news).is_ok()
    }

    pub(super) fn is_refreshing(&self) -> bool {
        self.refreshing.load(Ordering::Relaxed)
    }

    /// The right to ask again, if it is time for that and nobody has it.
    pub(super) fn refresh(self: &Arc<Self>, now: Duration, every: Duration) -> Option<Refresh<T>> {
        let is_due = nanos(now) >= self.next_try.load(Ordering::Relaxed);
        if !is_due || self.refreshing.swap(true, Ordering::Relaxed) {
            return None;
        }
        self.next_try.store(nanos(now.saturating_add(every)), Ordering::Relaxed);
        Some(Refresh(self.clone()))
    }
}

impl<T> Answer<T> {
    pub(super) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.asked_at)
    }
}

impl<T> Drop for Refresh<T> {
    fn drop(&mut self) {
        self.0.refreshing.store(false, Ordering::Relaxed);
    }
}

/// With a bit to spare: that is enough for 292 years.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX >> 1)
}
