use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use quick_cache::sync::Cache;

/// The bit of [`Kept::asked_last`] that is set by a failure.
const FAILED: u64 = 1;
const SUCCEEDED: u64 = 0;

/// The answers of all services of one layer: so many keys at most.
pub(super) struct Store<Key, T> {
    keys: Cache<Key, Arc<Kept<T>>>,
}

/// What is known of one key.
pub(super) struct Kept<T> {
    answer: ArcSwapOption<Answer<T>>,
    /// Somebody asks again. Held by a [`Refresh`].
    refreshing: AtomicBool,
    /// What is known to have been asked last: when, in nanoseconds since the clock's zero, and in the lowest bit whether that failed.
    asked_last: AtomicU64,
    /// When to ask again, in nanoseconds since the clock's zero.
    next_try: AtomicU64,
}

/// An answer, and when it was asked for.
pub(super) struct Answer<T> {
    pub(super) response: T,
    pub(super) asked_at: Duration,
}

/// The right to ask again for one key, of which there is one at a time. Given back when it is dropped.
pub(super) struct Refresh<T>(Arc<Kept<T>>);

impl<Key: Eq + Hash + Clone, T> Store<Key, T> {
    pub(super) fn new(max_entries: usize) -> Self {
        Self { keys: Cache::new(max_entries.max(1)) }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Kept<T>>> {
        self.keys.get(key)
    }

    /// Keeps an answer, unless there is one that was asked for later.
    pub(super) fn keep(&self, key: &Key, response: T, asked_at: Duration) {
        let answer = Arc::new(Answer { response, asked_at });
        let kept =
            match self.keys.get_or_insert_with(key, || Ok::<_, std::convert::Infallible>(Arc::default())) {
                Ok(kept) => kept,
                Err(never) => match never {},
            };
        kept.answer.rcu(|known| match known {
            Some(known) if known.asked_at > asked_at => Some(known.clone()),
            _ => Some(answer.clone()),
        });
        kept.succeeded(asked_at);
    }

    /// What was kept for a key no longer holds.
    pub(super) fn forget(&self, key: &Key) {
        self.keys.remove(key);
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

/// Relaxed throughout: the flags guard no other memory; the answer is published by its own pointer.
impl<T> Kept<T> {
    /// The answer, if it is at most so old. What is older is dropped.
    pub(super) fn answer(&self, now: Duration, max_staleness: Duration) -> Option<Arc<Answer<T>>> {
        let answer = self.answer.load_full()?;
        if answer.age(now) <= max_staleness {
            return Some(answer);
        }
        // Unless there is a new one by now.
        self.answer.compare_and_swap(&Some(answer), None);
        None
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

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            answer: ArcSwapOption::empty(),
            refreshing: AtomicBool::new(false),
            asked_last: AtomicU64::new(0),
            next_try: AtomicU64::new(0),
        }
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
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX >> 1)
}
