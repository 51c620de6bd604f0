//! What the tests play with: a check that answers by script, and time that passes at once.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_health::{CheckOutcome, Clock, HealthManager, HealthManagerBuilder, IntoProbe, Probe, Status};
use tokio::time::Instant;

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A manager on tokio's clock, which the tests pause.
pub fn manager() -> HealthManagerBuilder {
    HealthManager::builder("orders").clock(Clock::tokio()).seed(7)
}

/// Lets paused time pass: everything that is due meanwhile happens, in its order.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Lets everything run that can run now.
pub async fn settle() {
    pass(millis(1)).await;
}

pub fn status(health: &HealthManager, check: &str) -> Status {
    health.report().check(check).unwrap().status
}

/// How a run of a scripted check goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Run {
    Healthy,
    Degraded,
    Unhealthy,
    Unknown,
    Error,
    Panics,
    Hangs,
    Takes(Duration),
}

/// What the next runs of a check do.
#[derive(Clone)]
pub struct Script {
    run: Arc<Mutex<Run>>,
    begun: Arc<Mutex<Vec<Instant>>>,
    dropped: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
}

struct Drops(Arc<AtomicU64>);

impl Drop for Drops {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Script {
    pub fn new(run: Run) -> Self {
        Self {
            run: Arc::new(Mutex::new(run)),
            begun: Arc::default(),
            dropped: Arc::default(),
            passed: Arc::default(),
        }
    }

    pub fn set(&self, run: Run) {
        *self.run.lock().unwrap() = run;
    }

    /// How many runs began.
    pub fn runs(&self) -> usize {
        self.begun.lock().unwrap().len()
    }

    /// When they began.
    pub fn begun(&self) -> Vec<Instant> {
        self.begun.lock().unwrap().clone()
    }

    /// From the start of each run to that of the next.
    pub fn waits(&self) -> Vec<Duration> {
        self.begun().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// How many runs ended well.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// How many runs have ended or were dropped.
    pub fn ended(&self) -> u64 {
        self.dropped.load(Ordering::SeqCst)
    }

    pub fn probe(&self) -> Probe {
        let script = self.clone();
        let probe = move || {
            let script = script.clone();
            async move { script.play().await }
        };
        probe.into_probe()
    }

    async fn play(self) -> Result<CheckOutcome, String> {
        let outcome = self.perform().await?;
        if matches!(outcome.status(), Status::Healthy | Status::Degraded) {
            self.passed.fetch_add(1, Ordering::SeqCst);
        }
        Ok(outcome)
    }

    async fn perform(&self) -> Result<CheckOutcome, String> {
        let run = *self.run.lock().unwrap();
        self.begun.lock().unwrap().push(Instant::now());
        let _drops = Drops(self.dropped.clone());
        match run {
            Run::Healthy => Ok(CheckOutcome::healthy()),
            Run::Degraded => Ok(CheckOutcome::degraded("so so")),
            Run::Unhealthy => Ok(CheckOutcome::unhealthy("no")),
            Run::Unknown => Ok(CheckOutcome::unknown()),
            Run::Error => Err("refused".to_owned()),
            Run::Panics => panic!("the check has a bug"),
            Run::Hangs => std::future::pending().await,
            Run::Takes(time) => {
                tokio::time::sleep(time).await;
                Ok(CheckOutcome::healthy())
            }
        }
    }
}
