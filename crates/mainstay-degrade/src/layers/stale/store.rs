use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Lifecycle, UnitWeighter};

use super::kept::{Kept, nanos};

/// What is known of all services of one layer: so many keys at most.
pub(super) struct Store<Key, T> {
    keys: Cache<Key, Arc<Kept<T>>, UnitWeighter, DefaultHashBuilder, Farewell<Key, T>>,
    taken_back: Arc<TakenBack>,
}

/// The earliest time that an answer must have been asked for at to be kept for a key that nothing is known of: the keys that had to go
/// may have been among those whose answers were taken back until then. In nanoseconds since the clock's zero.
#[derive(Default)]
struct TakenBack(AtomicU64);

/// What happens to keys that have to go.
struct Farewell<Key, T> {
    taken_back: Arc<TakenBack>,
    /// Drops them when no lock is held any more.
    later: DefaultLifecycle<Key, Arc<Kept<T>>>,
}

impl<Key: Eq + Hash + Clone, T> Store<Key, T> {
    pub(super) fn new(max_entries: usize) -> Self {
        let max_entries = max_entries.max(1);
        let taken_back = Arc::<TakenBack>::default();
        let farewell = Farewell { taken_back: taken_back.clone(), later: DefaultLifecycle::default() };
        let hash_builder = DefaultHashBuilder::default();
        let keys = Cache::with(max_entries, max_entries as u64, UnitWeighter, hash_builder, farewell);
        Self { keys, taken_back }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Kept<T>>> {
        self.keys.get(key)
    }

    /// Keeps an answer, unless there is one that was asked for later, or those of its time were taken back.
    pub(super) fn keep(&self, key: &Key, response: T, asked_at: Duration) {
        self.get_or_insert(key).keep(response, asked_at);
    }

    /// What was answered for a key no longer holds, if it was asked for no later than this.
    pub(super) fn forget(&self, key: &Key, asked_at: Duration) {
        let kept = self.get_or_insert(key);
        kept.forget(asked_at);
        if !self.keys.peek(key).is_some_and(|now| Arc::ptr_eq(&now, &kept)) {
            // It had to go meanwhile. Who comes in its place after the next line knows; who did before is told.
            self.taken_back.raise(kept.taken_back());
            if let Some(now) = self.keys.peek(key) {
                now.forget(asked_at);
            }
        }
    }

    /// How many keys have an answer.
    pub(super) fn len(&self) -> usize {
        self.keys.iter().filter(|(_, kept)| kept.has_answer()).count()
    }

    fn get_or_insert(&self, key: &Key) -> Arc<Kept<T>> {
        match self.keys.get_or_insert_with(key, || Ok::<_, Infallible>(Arc::new(self.taken_back.newcomer())))
        {
            Ok(kept) => kept,
            Err(never) => match never {},
        }
    }
}

/// Acquire and release, so that whoever finds a key gone also finds what it left.
impl TakenBack {
    fn raise(&self, until: Duration) {
        self.0.fetch_max(nanos(until), Ordering::AcqRel);
    }

    fn newcomer<T>(&self) -> Kept<T> {
        Kept::new(Duration::from_nanos(self.0.load(Ordering::Acquire)))
    }
}

impl<Key, T> Lifecycle<Key, Arc<Kept<T>>> for Farewell<Key, T> {
    type RequestState = <DefaultLifecycle<Key, Arc<Kept<T>>> as Lifecycle<Key, Arc<Kept<T>>>>::RequestState;

    /// Else somebody else could ask for it anew at the same time.
    fn is_pinned(&self, _: &Key, kept: &Arc<Kept<T>>) -> bool {
        kept.is_refreshing()
    }

    fn on_evict(&self, state: &mut Self::RequestState, key: Key, kept: Arc<Kept<T>>) {
        self.taken_back.raise(kept.taken_back());
        self.later.on_evict(state, key, kept);
    }
}

impl<Key, T> Clone for Farewell<Key, T> {
    fn clone(&self) -> Self {
        Self { taken_back: self.taken_back.clone(), later: self.later.clone() }
    }
}
