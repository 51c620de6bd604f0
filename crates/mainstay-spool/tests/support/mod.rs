//! A sink that does as it is told and remembers everything.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use mainstay_spool::{Item, ItemId, Outcome, Sink};
use tokio::sync::watch;

type Answer = Box<dyn Fn(&Item<u64>) -> Outcome + Send + Sync>;

/// What a sink saw, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: ItemId,
    pub(crate) key: Option<String>,
    pub(crate) value: u64,
    pub(crate) attempt: u32,
    pub(crate) done: bool,
}

#[derive(Clone)]
pub(crate) struct Ledger {
    answer: Arc<Answer>,
    seen: Arc<Mutex<Vec<Seen>>>,
    batches: Arc<Mutex<Vec<usize>>>,
    done: Arc<watch::Sender<usize>>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self::answering(|_| Outcome::Done)
    }

    pub(crate) fn answering(answer: impl Fn(&Item<u64>) -> Outcome + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(Box::new(answer)),
            seen: Arc::default(),
            batches: Arc::default(),
            done: Arc::new(watch::channel(0).0),
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The values that the sink has, in its order.
    pub(crate) fn values(&self) -> Vec<u64> {
        self.seen().into_iter().filter(|seen| seen.done).map(|seen| seen.value).collect()
    }

    pub(crate) fn batches(&self) -> Vec<usize> {
        self.batches.lock().unwrap().clone()
    }

    /// Waits until the sink has so many items.
    pub(crate) async fn has(&self, items: usize) {
        self.done.subscribe().wait_for(|done| *done >= items).await.unwrap();
    }
}

impl Sink<u64> for Ledger {
    async fn deliver(&self, batch: &[Item<u64>]) -> Vec<Outcome> {
        let outcomes: Vec<Outcome> = batch.iter().map(|item| (self.answer)(item)).collect();
        let mut done = 0;
        for (item, outcome) in batch.iter().zip(&outcomes) {
            let is_done = *outcome == Outcome::Done;
            done += usize::from(is_done);
            self.seen.lock().unwrap().push(Seen {
                id: item.id(),
                key: item.key().map(str::to_owned),
                value: *item.value(),
                attempt: item.attempt(),
                done: is_done,
            });
        }
        self.batches.lock().unwrap().push(batch.len());
        self.done.send_modify(|all| *all += done);
        outcomes
    }
}

/// The values that were done, by key, each list in the order of the deliveries, repeats left out.
pub(crate) fn by_key(seen: &[Seen]) -> HashMap<String, Vec<u64>> {
    let mut keys: HashMap<String, Vec<u64>> = HashMap::new();
    let mut known = std::collections::HashSet::new();
    for seen in seen.iter().filter(|seen| seen.done) {
        if known.insert(seen.id) {
            keys.entry(seen.key.clone().unwrap_or_default()).or_default().push(seen.value);
        }
    }
    keys
}
