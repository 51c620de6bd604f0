//! What one writes with SQLite and no spool: a connection behind a lock, and a task that delivers and deletes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::Failure;
use crate::bare;
use crate::case::{Case, SinkIs, Synchronous};
use crate::figures::{Figures, Stopwatch};
use crate::writers::{self, Queue};

#[derive(Clone)]
struct Plain(Arc<Inner>);

struct Inner {
    connection: Mutex<Connection>,
    delivered: AtomicU64,
    /// No more pushes come.
    ends: AtomicBool,
}

/// The most that is delivered at once, as by the spool's default.
const BATCH: u32 = 100;
/// How often one looks for something to deliver when there was nothing.
const LOOKS: Duration = Duration::from_millis(10);

pub(crate) async fn run(
    dir: &Path,
    synchronous: Synchronous,
    case: Case,
    length: Duration,
) -> Result<Figures, Failure> {
    let connection = Mutex::new(bare::open(dir, synchronous)?);
    let inner = Inner { connection, delivered: AtomicU64::new(0), ends: AtomicBool::new(false) };
    let plain = Plain(Arc::new(inner));
    let watch = Stopwatch::start();
    let delivering = plain.clone().deliver(case.sink);
    let pushes = writers::push(&plain, case.writers, length).await?;
    let delivered = plain.0.delivered.load(Ordering::Relaxed);
    if case.sink == SinkIs::Down {
        delivering.abort();
        return Ok(watch.figures(pushes, delivered));
    }
    plain.0.ends.store(true, Ordering::Release);
    delivering.await??;
    Ok(watch.figures(pushes, delivered))
}

// === impl Plain ===

impl Queue for Plain {
    async fn push(&self, item: String) -> Result<(), Failure> {
        self.with(move |connection| bare::insert(connection, &item)).await
    }
}

impl Plain {
    async fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<R, rusqlite::Error> + Send + 'static,
    ) -> Result<R, Failure> {
        let inner = self.0.clone();
        let done = spawn_blocking(move || {
            work(&mut inner.connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        Ok(done.await??)
    }

    fn deliver(self, sink: SinkIs) -> JoinHandle<Result<(), Failure>> {
        tokio::spawn(async move {
            loop {
                let ends = self.0.ends.load(Ordering::Acquire);
                let batch = self.with(|connection| bare::first(connection, BATCH)).await?;
                if sink == SinkIs::Down {
                    sleep(Duration::from_secs(1)).await;
                } else if !batch.is_empty() {
                    let count = batch.len() as u64;
                    self.with(move |connection| bare::delete(connection, &batch)).await?;
                    self.0.delivered.fetch_add(count, Ordering::Relaxed);
                } else if ends {
                    return Ok(());
                } else {
                    sleep(LOOKS).await;
                }
            }
        })
    }
}
