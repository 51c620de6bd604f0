//! Which tasks the database may not know yet, or not as they are: those that run here, and those whose last record is on its way.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay::spool::{Item, Outcome, Sink};
use uuid::Uuid;

use crate::store::{Record, Store};
use crate::task::Task;

/// A task's place in its user's list: when it was made, and its id.
pub(crate) type Place = (i64, Uuid);

/// Some bytes for each of them.
#[derive(Clone, Default)]
pub(crate) struct Waiting {
    by_user: Arc<Mutex<HashMap<String, BTreeSet<Place>>>>,
}

/// The store, which tells what it has got.
pub(crate) struct Told {
    pub(crate) store: Store,
    pub(crate) waiting: Waiting,
}

impl Waiting {
    pub(crate) fn add(&self, task: &Task) {
        self.lock().entry(task.user.clone()).or_default().insert((task.created_ms, task.id));
    }

    pub(crate) fn remove(&self, user: &str, place: Place) {
        let mut users = self.lock();
        let Some(places) = users.get_mut(user) else { return };
        places.remove(&place);
        if places.is_empty() {
            users.remove(user);
        }
    }

    /// Those of a user behind a place, newest first.
    pub(crate) fn of_user(&self, user: &str, before: Place, most: usize) -> Vec<Place> {
        let users = self.lock();
        let places = users.get(user).into_iter().flat_map(|places| places.range(..before).rev());
        places.take(most).copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<Place>>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink<Record> for Told {
    async fn deliver(&self, batch: &[Item<Record>]) -> Vec<Outcome> {
        let outcomes = self.store.deliver(batch).await;
        for (item, outcome) in batch.iter().zip(&outcomes) {
            if let (Record::Task(task), Outcome::Done) = (item.value(), outcome)
                && task.has_ended()
            {
                self.waiting.remove(&task.user, (task.created_ms, task.id));
            }
        }
        outcomes
    }
}
