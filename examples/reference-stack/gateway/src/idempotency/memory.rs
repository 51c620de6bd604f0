//! The same in memory, behind the breaker `redis`: for one gateway, until it ends.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay::Clock;
use mainstay::breaker::Breaker;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::StoreDown;

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
        self.ask(|held, now| match held.get(name).filter(|held| held.until > now) {
            Some(held) => Some(held.record.clone()),
            None => {
                held.insert(name.to_owned(), Held { record: record.to_owned(), until: now + lease });
                None
            }
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
            let is_mine = held.get(name).is_some_and(|held| held.until > now && held.record == mine);
            match by {
                _ if !is_mine => {}
                None => _ = held.remove(name),
                Some(by) => {
                    held.insert(name.to_owned(), Held { record: by.to_owned(), until: now + lease });
                }
            }
            is_mine
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

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
