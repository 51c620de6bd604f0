//! The lock of a request that runs: renewed while it does, gone soon after its gateway dies.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::record::{Answer, Record};
use super::{Store, StoreDown};

/// The lock. Dropped without a word, because the caller hung up, it is released: the next one hands in the same task.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    name: String,
    /// The record as it stands in the store: only who knows it may change it.
    mine: String,
    renewal: AbortHandle,
    settled: bool,
}

impl Lease {
    pub(super) fn new(store: Store, name: String, mine: String, lease: Duration) -> Self {
        let renewal = tokio::spawn(renew(store.clone(), name.clone(), mine.clone(), lease)).abort_handle();
        Self { store, name, mine, renewal, settled: false }
    }

    /// Puts the answer in the lock's place. If the lock was lost meanwhile, the answer is not kept: whoever has it now keeps his, of
    /// the same task.
    pub(super) async fn keep(mut self, answer: Answer, kept: Duration) {
        self.renewal.abort();
        let Some(record) = Record::from_json(&self.mine) else { return };
        let done = record.answered(answer).to_json();
        if self.store.replace(&self.name, &self.mine, Some(&done), kept).await.is_ok() {
            self.settled = true;
        }
    }

    /// Lets the next one run.
    pub(super) async fn release(mut self) {
        self.renewal.abort();
        if self.store.replace(&self.name, &self.mine, None, Duration::ZERO).await.is_ok() {
            self.settled = true;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        if self.settled {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let (store, name, mine) = (self.store.clone(), self.name.clone(), self.mine.clone());
            // If that fails too, it expires.
            runtime.spawn(async move { store.replace(&name, &mine, None, Duration::ZERO).await });
        }
    }
}

async fn renew(store: Store, name: String, mine: String, lease: Duration) {
    loop {
        sleep(lease / 3).await;
        match store.replace(&name, &mine, Some(&mine), lease).await {
            Ok(true) | Err(StoreDown) => {}
            Ok(false) => return,
        }
    }
}
