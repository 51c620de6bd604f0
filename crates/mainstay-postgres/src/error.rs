use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use mainstay_breaker::{Name, Rejected};
use sqlx::Error;

use crate::{GuardedPool, PoolFigures};

/// A deadline of the guard that passed. It counted as a failure. The connection, if there was one, is closed.
///
/// Its [`source`](StdError::source), where it has one, is the driver's own error that says why no connection was to be
/// had.
#[derive(Debug)]
pub struct DeadlineExpired {
    name: Name,
    after: Duration,
    waited_for: WaitedFor,
    pool: PoolFigures,
    lent: u32,
    cause: Option<Error>,
}

/// What a deadline of the guard was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitedFor {
    /// A connection, new or used, from the pool.
    Connection,
    /// The server's answer to a statement, or its next row.
    Answer,
}

/// A connection that was used again after its guard had given it up: a deadline passed on it, it broke, or a `BEGIN`,
/// `COMMIT` or `ROLLBACK` on it was cut off or failed, so that nobody knows what it is in the middle of.
///
/// It is closed when it is dropped, and the server rolls back what was not committed when it notices. Says nothing about
/// the server: whatever it was given up for has been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionGivenUp(pub(crate) ());

/// The rejection, if an error is one, or was made from one: at any depth of its chain of sources. The call was not made.
///
/// ```
/// use std::time::Duration;
/// use mainstay_breaker::{Breaker, RejectReason};
/// use mainstay_postgres::{GuardedPool, rejected, sqlx};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = Breaker::new("orders")?;
/// let db = GuardedPool::new(sqlx::PgPool::connect_lazy("postgres://localhost/orders")?, breaker.clone());
///
/// breaker.trip();
/// let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
/// let rejected = rejected(&error).unwrap();
/// assert_eq!(rejected.reason(), RejectReason::Open);
/// assert!(rejected.retry_after().unwrap() > Duration::from_secs(8));
/// # Ok(())
/// # }
/// ```
pub fn rejected<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Rejected> {
    find(error)
}

/// The deadline of the guard that passed, if an error is that, or was made from it.
pub fn timed_out<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e DeadlineExpired> {
    find(error)
}

/// The first error of a type in a chain of sources.
pub(crate) fn find<'e, T: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    let mut error = error;
    loop {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // What an `io::Error` was made from is not its source: that is the source of what it was made from.
        error = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(payload) => payload,
            None => error.source()?,
        };
    }
}

// Ours travel as I/O errors: of all that sqlx has it is what programs take for "not to be had now", and the only one that
// both carries a value and reads like the truth ("error communicating with database: breaker orders rejected the call").

pub(crate) fn refuse(rejected: Rejected) -> Error {
    Error::Io(io::Error::other(rejected))
}

pub(crate) fn given_up() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::NotConnected, ConnectionGivenUp(())))
}

// === impl DeadlineExpired ===

impl DeadlineExpired {
    pub(crate) fn no_connection(guard: &GuardedPool, cause: Option<Error>) -> Error {
        Self::of(guard, guard.deadlines().acquire, WaitedFor::Connection, cause)
    }

    pub(crate) fn no_answer(guard: &GuardedPool) -> Error {
        Self::of(guard, guard.deadlines().statement, WaitedFor::Answer, None)
    }

    fn of(guard: &GuardedPool, after: Duration, waited_for: WaitedFor, cause: Option<Error>) -> Error {
        let (name, pool, lent) = (guard.breaker().name(), guard.figures(), guard.lent());
        let expired = Self { name, after, waited_for, pool, lent, cause };
        Error::Io(io::Error::new(io::ErrorKind::TimedOut, expired))
    }

    /// Whose deadline: the breaker's name.
    pub fn name(&self) -> Name {
        self.name
    }

    /// The deadline.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// What it was for.
    pub fn waited_for(&self) -> WaitedFor {
        self.waited_for
    }

    /// The pool at that moment.
    pub fn pool(&self) -> PoolFigures {
        self.pool
    }

    /// Whether the guard had lent all the connections that the pool may open: then there are too few, or they are kept
    /// too long. Otherwise, if no connection was to be had, the server could not be reached.
    pub fn pool_was_exhausted(&self) -> bool {
        self.lent >= self.pool.max
    }
}

impl fmt::Display for DeadlineExpired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, after, lent, pool, .. } = self;
        match self.waited_for {
            WaitedFor::Connection => {
                let PoolFigures { max, waiters, .. } = pool;
                write!(
                    f,
                    "{name}: no connection within {after:?} ({lent} of {max} lent, {waiters} waiting)"
                )?;
            }
            WaitedFor::Answer => write!(f, "{name}: no answer within {after:?}")?,
        }
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl StdError for DeadlineExpired {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

// === impl ConnectionGivenUp ===

impl fmt::Display for ConnectionGivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was given up before, and with it any transaction on it")
    }
}

impl StdError for ConnectionGivenUp {}
