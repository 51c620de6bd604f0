//! A ready-made check for `mainstay-health`.
//!
//! ```no_run
//! use mainstay_breaker::Breaker;
//! use mainstay_health::{Check, HealthManager};
//! use mainstay_postgres::{GuardedPool, default_settings, health, sqlx};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let breaker = Breaker::builder("orders").settings(default_settings()).build()?;
//! let db = GuardedPool::new(sqlx::PgPool::connect_lazy("postgres://localhost/orders")?, breaker);
//!
//! let health = HealthManager::builder("orchestrator")
//!     .check(Check::shared("database", health::check(db.clone())).critical())
//!     .build()?;
//! health.start()?;
//! # Ok(())
//! # }
//! ```
//!
//! | found | status |
//! | --- | --- |
//! | an answer to `SELECT 1` | healthy; degraded once the run took 100 ms or longer, until one takes less than 80 ms |
//! | the pool is exhausted | degraded; the server is not asked |
//! | the breaker is open, or forced open | unhealthy, [`CircuitOpen`](ErrorClass::CircuitOpen); the server is not asked |
//! | the breaker is half-open or ramps up, and lets others go first | degraded, `CircuitOpen` |
//! | an error | unhealthy, with its [class](error_class) |
//!
//! | detail | |
//! | --- | --- |
//! | `latency_ms` | until the answer came, in milliseconds; missing where none did |
//! | `open` | connections that are open or being opened |
//! | `idle`, `in_use` | of these, at the beginning of the run |
//! | `max` | the most that the pool opens |
//! | `waiters` | calls that wait in the guard for a connection, without the check's own |

use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;

use mainstay_breaker::{RejectReason, Rejected};
use mainstay_health::{CheckError, CheckOutcome, ErrorClass, IntoProbe, Probe, Rule};
use sqlx::Error;
use tokio::time::{Instant, timeout};

use crate::acquire::acquire;
use crate::alarm::Alarm;
use crate::call::Call;
use crate::{Deadlines, GuardedPool, PoolFigures, rejected, timed_out};

/// The longest wait for a connection, and the longest for the answer, of a check whose guard has longer deadlines: 900 ms.
///
/// Both fit into the time-out that checks have by default, so that a silent server is a failure to the breaker: what a
/// manager cuts off counts for nothing.
pub const LONGEST_WAIT: Duration = Duration::from_millis(900);

/// How long it waits for one of a pool's connections while all of them are lent.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// Asks `SELECT 1` on a connection of the pool, as any other call that counts: it opens the breaker, and while that is
/// half-open it is one of the probes that close it, so that a service that gets no traffic because it is not ready recovers
/// all the same.
///
/// The pool is exhausted while the guard has lent all connections that it may open and others wait for one; then the check
/// does not join them. If nobody waits it does so for 50 ms, and gives up when all of them are still lent. Neither counts
/// for anything with the breaker.
///
/// Waits are as long as the guard's deadlines, and at most [`LONGEST_WAIT`]. A connection that is silent is closed when its
/// time is up, or the check's, and the next run takes another one.
pub fn check(pool: GuardedPool) -> Probe {
    let Deadlines { acquire, statement } = pool.deadlines();
    let pool =
        pool.acquire_deadline(acquire.min(LONGEST_WAIT)).statement_deadline(statement.min(LONGEST_WAIT));
    let probe = move || {
        let pool = pool.clone();
        async move { run(&pool).await }
    };
    probe.into_probe().rule(Rule::latency_above(Duration::from_millis(100), Duration::from_millis(80)))
}

/// The class of an error, as it is shown to anybody.
///
/// | error | class |
/// | --- | --- |
/// | a rejection by the breaker | `CircuitOpen` |
/// | a deadline of the guard, `PoolTimedOut` | that of its reason if it has one, else `TimedOut` |
/// | SQLSTATE class 28, 42501 | `Unauthorized` |
/// | SQLSTATE class 53, 57P03 | `Overloaded` |
/// | SQLSTATE class 08, 57P01, 57P02 | `ConnectionLost` |
/// | 57014 | `TimedOut` |
/// | 3D000 | `NotFound` |
/// | every other SQLSTATE, what is not the protocol, or does not decode | `BadAnswer` |
/// | I/O | as [`ErrorClass::of`] has it |
/// | TLS | `Tls` |
pub fn error_class(error: &Error) -> ErrorClass {
    if rejected(error).is_some() {
        return ErrorClass::CircuitOpen;
    }
    if let Some(expired) = timed_out(error) {
        let reason = expired.source().and_then(|source| source.downcast_ref::<Error>());
        return reason.map_or(ErrorClass::TimedOut, error_class);
    }
    match error {
        Error::Database(error) => error.code().map_or(ErrorClass::BadAnswer, |code| by_code(&code)),
        Error::PoolTimedOut => ErrorClass::TimedOut,
        Error::Tls(_) => ErrorClass::Tls,
        Error::Protocol(_) | Error::Decode(_) | Error::ColumnDecode { .. } => ErrorClass::BadAnswer,
        error => ErrorClass::of(error),
    }
}

fn by_code(code: &str) -> ErrorClass {
    match (code, code.get(..2)) {
        ("42501", _) | (_, Some("28")) => ErrorClass::Unauthorized,
        ("57P03", _) | (_, Some("53")) => ErrorClass::Overloaded,
        ("57P01" | "57P02", _) | (_, Some("08")) => ErrorClass::ConnectionLost,
        ("57014", _) => ErrorClass::TimedOut,
        ("3D000", _) => ErrorClass::NotFound,
        _ => ErrorClass::BadAnswer,
    }
}

/// What became of the question.
enum Answer {
    Came,
    Exhausted,
}

async fn run(pool: &GuardedPool) -> CheckOutcome {
    let (figures, began) = (pool.figures(), Instant::now());
    let outcome = match ask(pool, figures).await {
        Ok(Answer::Came) => {
            CheckOutcome::healthy().detail("latency_ms", began.elapsed().as_micros() as f64 / 1000.0)
        }
        Ok(Answer::Exhausted) => CheckOutcome::degraded("the pool is exhausted"),
        Err(error) => failed(&error),
    };
    let PoolFigures { size, idle, in_use, max, waiters } = figures;
    outcome
        .detail("open", size)
        .detail("idle", idle)
        .detail("in_use", in_use)
        .detail("max", max)
        .detail("waiters", waiters)
}

async fn ask(pool: &GuardedPool, figures: PoolFigures) -> Result<Answer, Error> {
    let call = Call::admit(pool)?;
    let mut alarm = pin!(Alarm::new());
    let lease = if pool.is_exhausted() && figures.waiters > 0 {
        None
    } else {
        let mut lease = pin!(acquire(pool, alarm.as_mut()));
        match timeout(SHORT_WAIT, lease.as_mut()).await {
            Ok(lease) => Some(lease),
            Err(_) if pool.is_exhausted() => None,
            Err(_) => Some(lease.await),
        }
    };
    let result = match lease {
        None => {
            call.withdraw();
            return Ok(Answer::Exhausted);
        }
        // All that it could wait for were lent meanwhile.
        Some(Err(error)) if timed_out(&error).is_some_and(|expired| expired.pool_was_exhausted()) => {
            call.withdraw();
            return Ok(Answer::Exhausted);
        }
        // Not prepared, so that poolers which do not keep statements will do.
        Some(Ok(mut lease)) => lease.fetch_optional(alarm, sqlx::raw_sql("SELECT 1")).await,
        Some(Err(error)) => Err(error),
    };
    call.end(&result);
    result.map(|_| Answer::Came)
}

fn failed(error: &Error) -> CheckOutcome {
    let found = CheckError::from_error(error_class(error), error);
    match rejected(error).map(Rejected::reason) {
        None | Some(RejectReason::Open | RejectReason::Forced) => CheckOutcome::failed(found),
        Some(_) => CheckOutcome::degraded("the breaker lets calls in again, a few at a time").error(found),
    }
}
