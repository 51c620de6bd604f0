//! The same in memory, behind the breaker `redis`: for one gateway, until it ends.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay::Clock;
use mainstay::breaker::Breaker;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::{StoreDown, below};

/// How many keys are expected.
const KEYS: usize = 20_000;
/// How many bytes are remembered; what was used longest ago is forgotten first.
const BYTES: u64 = 64 * 1024 * 1024;

/// In memory.
#[derive(Clone)]
pub struct MemoryStore {
    held: Arc<Mutex<Cache<String, Held, Size>>>,
    breaker: Breaker,
    clock: Clock,
}

#[derive(Clone)]
struct Held {
    record: String,
    until: Duration,
}

#[derive(Clone)]
struct Size;

impl Weighter<String, Held> for Size {
    fn weight(&self, name: &String, held: &Held) -> u64 {
        (name.len() + held.record.len()) as u64
    }
}

impl MemoryStore {
    /// Behind this breaker.
    pub fn new(breaker: Breaker, clock: Clock) -> Self {
        Self { held: Arc::new(Mutex::new(Cache::with_weighter(KEYS, BYTES, Size))), breaker, clock }
    }

    pub(super) async fn begin(
        &self,
        name: &str,
        record: &str,
        lease: Duration,
    ) -> Result<Option<String>, StoreDown> {
        self.ask(|held, now| {
            let found = stands(held, name, now);
            if found.is_none() {
                put(held, name, record, now + lease);
            }
            found
        })
        .await
    }

    pub(super) async fn replace(
        &self,
        name: &str,
        mine: &str,
        by: Option<&str>,
        lease: Duration,
    ) -> Result<bool, StoreDown> {
        self.ask(|held, now| {
            let is_mine = stands(held, name, now).as_deref() == Some(mine);
            match by {
                _ if !is_mine => {}
                None => _ = held.remove(name),
                Some(by) => put(held, name, by, now + lease),
            }
            is_mine
        })
        .await
    }

    pub(super) async fn cover(
        &self,
        name: &str,
        found: &str,
        (below_it, kept): (&str, Duration),
        (by, lease): (&str, Duration),
    ) -> Result<bool, StoreDown> {
        self.ask(|held, now| {
            let is_there = stands(held, name, now).as_deref() == Some(found);
            if is_there {
                put(held, &below(name), below_it, now + kept);
                put(held, name, by, now + lease);
            }
            is_there
        })
        .await
    }

    pub(super) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(&mut Cache<String, Held, Size>, Duration) -> T,
    ) -> Result<T, StoreDown> {
        let asked = self.breaker.run(async {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            Ok::<_, Infallible>(ask(&mut held, self.clock.now()))
        });
        asked.await.map_err(|_| StoreDown)
    }
}

/// What counts under a name.
fn stands(held: &Cache<String, Held, Size>, name: &str, now: Duration) -> Option<String> {
    let fresh = |name: &str| held.get(name).filter(|held| held.until > now).map(|held| held.record.clone());
    fresh(name).or_else(|| fresh(&below(name)))
}

fn put(held: &mut Cache<String, Held, Size>, name: &str, record: &str, until: Duration) {
    held.insert(name.to_owned(), Held { record: record.to_owned(), until });
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
