use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::Item;

/// The part of the queue that is in memory, with what is under way.
///
/// Of each order key at most one item is here: ready, under way, or waiting for its next try. What stands behind it stays on
/// the log, and all that is kept of it is the place of the first. So a failing item holds back its key and nothing else, and however
/// much stands behind it takes no memory.
pub(crate) struct Window<T> {
    /// By turn and place: what was accepted first goes first.
    ready: BTreeMap<(i64, i64), Ready<T>>,
    /// Those that are ready or under way, and their bytes.
    items: usize,
    bytes: usize,
    waiting: BTreeMap<(Duration, i64), Entry>,
    /// The keys that have an item here, and the place of the first one behind it, if there is one.
    keys: HashMap<Arc<str>, Option<i64>>,
    /// Everything up to here was looked at.
    pub(crate) cursor: i64,
    most: usize,
    most_bytes: usize,
}

/// What is kept of an item that is under way, or waits.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) place: i64,
    pub(crate) key: Option<Arc<str>>,
    /// Tries that failed.
    pub(crate) tries: u32,
    /// What it takes of the window while it is in memory.
    pub(crate) bytes: usize,
    /// How it is to be tried.
    pub(crate) mark: Mark,
}

impl Entry {
    /// What stands behind an item of its key that is gone.
    pub(crate) fn untried(place: i64, key: Arc<str>) -> Self {
        Self { place, key: Some(key), tries: 0, bytes: 0, mark: Mark::default() }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    /// It was tried, and failed.
    pub(crate) failed: bool,
    /// Not together with others: it may be what made a delivery panic or hang.
    pub(crate) alone: bool,
    /// What the sink had delivered when this item hung last.
    pub(crate) hung_at: Option<u64>,
}

pub(crate) struct Ready<T> {
    pub(crate) item: Item<T>,
    pub(crate) entry: Entry,
    pub(crate) since: Duration,
}

/// How many times the window's items may wait for their next try.
const WAITING: usize = 10;

impl<T> Window<T> {
    pub(crate) fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            ready: BTreeMap::new(),
            items: 0,
            bytes: 0,
            waiting: BTreeMap::new(),
            keys: HashMap::new(),
            cursor: 0,
            most,
            most_bytes,
        }
    }

    /// How many items more may be in memory, and how many bytes.
    pub(crate) fn room(&self) -> Option<(usize, usize)> {
        let items = self.most.saturating_sub(self.items);
        let bytes = self.most_bytes.saturating_sub(self.bytes);
        (items > 0 && bytes > 0).then_some((items, bytes))
    }

    /// The same for items that were never here.
    pub(crate) fn room_for_new(&self) -> Option<(usize, usize)> {
        let few_wait = self.waiting.len() < self.most.saturating_mul(WAITING);
        self.room().filter(|_| few_wait)
    }

    /// Claims the key of the item at this place. False if another item of the key is here; the place is remembered then.
    pub(crate) fn claim(&mut self, key: Option<&Arc<str>>, place: i64) -> bool {
        let Some(key) = key else {
            return true;
        };
        match self.keys.get_mut(key) {
            Some(behind) => {
                behind.get_or_insert(place);
                false
            }
            None => {
                self.keys.insert(key.clone(), None);
                true
            }
        }
    }

    /// The key's item is gone. The place of the next one, if there is one; the key stays claimed then, for it.
    pub(crate) fn release(&mut self, key: Option<&Arc<str>>) -> Option<i64> {
        let key = key?;
        let behind = self.keys.get_mut(key)?.take();
        if behind.is_none() {
            self.keys.remove(key);
        }
        behind
    }

    /// What stands behind the item that a key was claimed for.
    pub(crate) fn behind(&mut self, key: &Arc<str>, place: Option<i64>) {
        if let Some(behind) = self.keys.get_mut(key) {
            *behind = place;
        }
    }

    pub(crate) fn add(&mut self, ready: Ready<T>) {
        self.items += 1;
        self.bytes += ready.entry.bytes;
        // One that failed has had its turn: it goes behind what was read meanwhile, lest failing items keep the others away.
        let turn = if ready.entry.mark.failed { self.cursor.saturating_add(1) } else { ready.entry.place };
        self.ready.insert((turn, ready.entry.place), ready);
    }

    /// An item that was under way is in memory no longer.
    pub(crate) fn landed(&mut self, entry: &Entry) {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
    }

    pub(crate) fn wait(&mut self, due: Duration, entry: Entry) {
        self.waiting.insert((due, entry.place), entry);
    }

    /// Takes out those that are due, the longest due first, at most so many.
    pub(crate) fn due(&mut self, now: Duration, most: usize) -> Vec<Entry> {
        let mut due = Vec::new();
        while due.len() < most {
            match self.waiting.first_entry() {
                Some(first) if first.key().0 <= now => due.push(first.remove()),
                _ => break,
            }
        }
        due
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// When the next batch is to be delivered, if nothing comes that fills it.
    pub(crate) fn batch_due(&self, batch: usize, linger: Duration) -> Option<Duration> {
        let (_, first) = self.ready.first_key_value()?;
        let held_up = |ready: &Ready<T>| {
            let key = ready.entry.key.as_ref();
            key.is_some_and(|key| self.keys.get(key).is_some_and(Option::is_some))
        };
        let next = || self.ready.values().take(batch);
        let full = self.ready.len() >= batch || self.room().is_none();
        if full || first.entry.mark.alone || next().any(held_up) {
            return Some(Duration::ZERO);
        }
        next().map(|ready| ready.since.saturating_add(linger)).min()
    }

    pub(crate) fn take(&mut self, batch: usize) -> Vec<Ready<T>> {
        let mut taken: Vec<Ready<T>> = Vec::new();
        while taken.len() < batch && !taken.first().is_some_and(|first| first.entry.mark.alone) {
            match self.ready.first_entry() {
                Some(next) if taken.is_empty() || !next.get().entry.mark.alone => taken.push(next.remove()),
                _ => break,
            }
        }
        taken
    }

    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    pub(crate) fn in_memory(&self) -> usize {
        self.items
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
