//! The spool.

use std::path::Path;
use std::time::Duration;

use mainstay_spool::{FsyncPolicy, Item, Outcome, Sink, Spool, SpoolSettings};

use crate::Failure;
use crate::case::{Case, SinkIs};
use crate::figures::{Figures, Stopwatch};
use crate::writers::{self, Queue};

struct Answers(SinkIs);

impl Sink<String> for Answers {
    async fn deliver(&self, batch: &[Item<String>]) -> Vec<Outcome> {
        let outcome = || match self.0 {
            SinkIs::Up => Outcome::Done,
            SinkIs::Down => Outcome::unavailable("down"),
        };
        batch.iter().map(|_| outcome()).collect()
    }
}

impl Queue for Spool<String> {
    async fn push(&self, item: String) -> Result<(), Failure> {
        let _ticket = Spool::push(self, item).await.map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// With the defaults, but for the policy.
pub(crate) async fn run(
    place: Option<(&Path, FsyncPolicy)>,
    case: Case,
    length: Duration,
) -> Result<Figures, Failure> {
    let settings = SpoolSettings::new();
    let spool = match place {
        Some((dir, policy)) => Spool::open(dir, settings.fsync(policy), Answers(case.sink))?,
        None => Spool::in_memory(settings, Answers(case.sink))?,
    };
    let watch = Stopwatch::start();
    let pushes = writers::push(&spool, case.writers, length).await?;
    let delivered = spool.stats().delivered;
    if case.sink == SinkIs::Down {
        let figures = watch.figures(pushes, delivered);
        spool.drain(Duration::ZERO).await;
        return Ok(figures);
    }
    match spool.drain(Duration::from_secs(120)).await.left {
        0 => Ok(watch.figures(pushes, delivered)),
        left => Err(format!("{left} items were not delivered").into()),
    }
}
