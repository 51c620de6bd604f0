//! From a batch that fails to the items that make it fail.

use std::future::Future;
use std::time::Duration;

use mainstay_breaker::{RejectReason, State};
use mainstay_spool::Outcome;
use sqlx::Error;
use tokio::time::timeout;

use crate::spool::{Blame, WriteError, blame, describe};
use crate::{GuardedPool, rejected};

/// Why a part of a batch was not written.
pub(super) struct Failure {
    blame: Blame,
    after: Option<Duration>,
    /// Other calls probe the server just now.
    probing: bool,
    /// The writer said so, of an item, and not the database.
    by_writer: bool,
    error: String,
}

/// So many items that the database cannot take now may have a lock each in their way. More than that, and nothing that it can take, is the
/// server's matter: a table that somebody has locked.
const FEW: usize = 3;

/// How often a part asks again while others probe the server, at most, and how long it waits in between, unless the breaker's state
/// changes before.
const TURNS: usize = 50;
const TURN: Duration = Duration::from_millis(100);

/// How a sink reads errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge {
    pub(super) blame: fn(&Error) -> Blame,
    pub(super) describe: fn(&Error) -> String,
}

/// Writes a batch, in halves and halves of halves as long as an item may be to blame. The outcomes are in the rows' order.
///
/// The left part always goes before the right one, so that the items keep the order in which they were accepted as well as can be.
pub(super) async fn write_in_parts<'a, R, F, A>(db: &GuardedPool, rows: &'a [R], attempt: F) -> Vec<Outcome>
where
    F: Fn(&'a [R]) -> A,
    A: Future<Output = Result<(), Failure>>,
{
    let mut outcomes = Vec::with_capacity(rows.len());
    let mut parts = vec![rows];
    let (mut blocked, mut put_off) = (0, 0);
    while let Some(part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        match in_turn(db, || attempt(part)).await {
            Ok(()) => outcomes.extend(part.iter().map(|_| Outcome::Done)),
            Err(failure) if failure.blame == Blame::Server => {
                // What is left would fare no better now.
                outcomes.resize(rows.len(), failure.outcome());
                break;
            }
            Err(failure) if part.len() == 1 => {
                blocked += usize::from(failure.is_blocked());
                outcomes.push(failure.outcome());
            }
            // Each takes as long as the server waits for a lock: nobody else is looked for.
            Err(failure) if blocked >= FEW && failure.is_blocked() => {
                put_off += part.len();
                outcomes.extend(part.iter().map(|_| failure.unavailable()));
            }
            Err(_) => {
                let (left, right) = part.split_at(part.len() / 2);
                parts.extend([right, left]);
            }
        }
    }
    if rows.len() > 1 && blocked + put_off == rows.len() {
        // Or an hour of it would make dead letters of the whole backlog.
        outcomes.iter_mut().for_each(|outcome| {
            if let Outcome::Retry { after, error } = outcome {
                *outcome = Outcome::Unavailable { after: *after, error: std::mem::take(error) };
            }
        });
    }
    outcomes
}

/// Attempts once more when a half-open breaker has no probe left, as soon as it may have.
///
/// A spool delivers several batches at once. If those for which there is no probe were unavailable, the spool would leave the server
/// alone for as long as its back-off has grown in the outage, though it is back.
async fn in_turn<F, A>(db: &GuardedPool, attempt: F) -> Result<(), Failure>
where
    F: Fn() -> A,
    A: Future<Output = Result<(), Failure>>,
{
    for _ in 1..TURNS {
        match attempt().await {
            Err(failure) if failure.probing => {
                let mut transitions = db.breaker().subscribe();
                // Whatever changes from here on is heard of.
                if db.breaker().state() == State::HalfOpen {
                    let _ = timeout(TURN, transitions.recv()).await;
                }
            }
            result => return result,
        }
    }
    attempt().await
}

// === impl Failure ===

impl Failure {
    /// A lock, a time-out: whatever it is, the database had nothing against the items.
    fn is_blocked(&self) -> bool {
        self.blame == Blame::Moment && !self.by_writer
    }

    fn unavailable(&self) -> Outcome {
        Outcome::Unavailable { after: self.after, error: self.error.clone() }
    }

    fn outcome(self) -> Outcome {
        let Self { blame, after, error, .. } = self;
        match blame {
            Blame::Item => Outcome::poison(error),
            Blame::Moment => Outcome::retry(error),
            Blame::Server => Outcome::Unavailable { after, error },
        }
    }
}

// === impl Judge ===

impl Default for Judge {
    fn default() -> Self {
        Self { blame, describe }
    }
}

impl Judge {
    pub(super) fn failure(self, error: &Error) -> Failure {
        let rejected = rejected(error);
        // Whoever judges: what was not asked has nothing to say about the items.
        let blame = if rejected.is_some() { Blame::Server } else { (self.blame)(error) };
        let probing = rejected.is_some_and(|rejected| rejected.reason() == RejectReason::ProbesBusy);
        // While others probe it is only known when they must have ended, and most end long before.
        let after = rejected.filter(|_| !probing).and_then(|rejected| rejected.retry_after());
        Failure { blame, after, probing, by_writer: false, error: (self.describe)(error) }
    }

    pub(super) fn write_failure(self, error: WriteError) -> Failure {
        let (blame, error) = match error {
            WriteError::Database(error) => return self.failure(&error),
            WriteError::Poison(error) => (Blame::Item, error),
            WriteError::Retry(error) => (Blame::Moment, error),
        };
        Failure { blame, after: None, probing: false, by_writer: true, error }
    }

    pub(super) fn lost_transaction() -> Failure {
        let error = "the writer ended the transaction that was to be committed".to_owned();
        Failure { blame: Blame::Moment, after: None, probing: false, by_writer: true, error }
    }
}
