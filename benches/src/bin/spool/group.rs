//! How many items one commit has.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use mainstay_spool::{Clock, Item, ManualClock, Outcome, Sink, Spool, SpoolSettings};

use crate::Failure;
use crate::writers::{self, Queue};

/// Remembers when the items were accepted.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<HashSet<SystemTime>>>);

impl Sink<String> for Times {
    async fn deliver(&self, batch: &[Item<String>]) -> Vec<Outcome> {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.extend(batch.iter().map(Item::accepted));
        batch.iter().map(|_| Outcome::Done).collect()
    }
}

/// A spool whose clock goes on by a push, and by nothing else: what was accepted at the same time was committed together.
#[derive(Clone)]
struct Counting(Spool<String>, ManualClock);

impl Queue for Counting {
    async fn push(&self, item: String) -> Result<(), Failure> {
        self.1.advance(Duration::from_millis(1));
        Queue::push(&self.0, item).await
    }
}

/// The mean number of items of a commit with 32 writers. What is delivered is delivered afterwards, and does not disturb.
pub(crate) async fn size(dir: PathBuf, length: Duration) -> Result<f64, Failure> {
    let (clock, hands) = Clock::manual();
    let times = Times::default();
    // Nothing is due before the drain.
    let settings = SpoolSettings::new().clock(clock).linger(Duration::from_secs(86_400)).batch(10_000);
    let spool = Counting(Spool::open(dir, settings, times.clone())?, hands);
    let pushes = writers::push(&spool, 32, length).await?;
    let left = spool.0.drain(Duration::from_secs(86_400)).await.left;
    if left > 0 {
        return Err(format!("{left} items were not delivered").into());
    }
    let commits = times.0.lock().unwrap_or_else(PoisonError::into_inner).len();
    Ok(pushes.items as f64 / commits as f64)
}
