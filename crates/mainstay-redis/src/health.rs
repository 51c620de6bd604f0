//! A ready-made check for `mainstay-health`.
//!
//! ```no_run
//! use mainstay_health::{Check, HealthManager};
//! use mainstay_redis::{Breaker, Guarded, default_settings, health, redis};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let breaker = Breaker::builder("redis").settings(default_settings()).build()?;
//! let connection = redis::Client::open("redis://127.0.0.1/")?.get_connection_manager().await?;
//! let redis = Guarded::new(connection, breaker);
//!
//! let health = HealthManager::builder("orchestrator")
//!     .check(Check::shared("redis", health::check(redis.clone())).critical())
//!     .build()?;
//! health.start()?;
//! # Ok(())
//! # }
//! ```
//!
//! | found | status |
//! | --- | --- |
//! | `PONG` | healthy; degraded once it took 100 ms or longer, until it takes less than 80 ms |
//! | the breaker is open, or forced open | unhealthy, [`CircuitOpen`](ErrorClass::CircuitOpen); Redis is not asked |
//! | the breaker is half-open or ramps up, and lets others go first | degraded, `CircuitOpen` |
//! | an error | unhealthy, with its [class](error_class) |
//!
//! Through a guard a `PING` counts like any other call: it opens the breaker, and while that is half-open it is one of the
//! probes that close it, so that a service that gets no traffic because it is not ready recovers all the same. Let the
//! check's time-out (2 s unless told otherwise) be longer than the guard's deadline (1 s): what the check cuts off counts for
//! nothing.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_breaker::{Breaker, RejectReason, Rejected, Verdict};
use mainstay_health::{CheckError, CheckOutcome, ErrorClass, IntoProbe, Probe, Rule};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Client, ErrorKind, RedisError, RedisResult};

use crate::error::refused;
use crate::{rejected, verdict};

/// Asks over a clone of this connection, guarded or not: for every async connection whose clones share it, such as a
/// connection manager's and a multiplexed one.
///
/// It finds what the service's own calls find. A connection that has gone silent for good (a firewall has forgotten it) is
/// unhealthy for them and for the check until the driver gives it up, though a new one would work: see
/// [the crate's page](crate#recovery). To ask about the server, whatever becomes of the service's connection, there is
/// [`check_client`].
pub fn check<C>(connection: C) -> Probe
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    let probe = move || {
        let mut connection = connection.clone();
        async move { judge(ping(&mut connection).await) }
    };
    prompt(probe.into_probe())
}

/// Asks over a connection of the check's own, through a breaker.
///
/// It is kept from one run to the next as long as it answers. One that was lost is replaced within the run; one that is
/// silent is closed with the run that it was silent in, and the next one connects anew.
///
/// The driver's time-outs are in force: 1 s for connecting and 500 ms for an answer.
pub fn check_client(client: Client, breaker: Breaker) -> Probe {
    let line = Arc::new(Line { client, breaker, kept: Mutex::default() });
    let probe = move || {
        let line = line.clone();
        async move { judge(line.ask().await) }
    };
    prompt(probe.into_probe())
}

/// The class of an error, as it is shown to anybody.
///
/// | error | class |
/// | --- | --- |
/// | a rejection by the breaker | `CircuitOpen` |
/// | a deadline, the driver's time-outs | `TimedOut` |
/// | other I/O | as [`ErrorClass::of`] has it |
/// | `NOAUTH`, `WRONGPASS`, `NOPERM`, credentials that were refused | `Unauthorized` |
/// | `LOADING`, `BUSY`, `OOM` and all other codes that are [failures](crate::verdict()) | `Overloaded` |
/// | other codes of the server, and what is not the protocol | `BadAnswer` |
/// | no node of the cluster, no master known to the sentinels | `Unreachable` |
/// | TLS | `Tls` |
pub fn error_class(error: &RedisError) -> ErrorClass {
    use ErrorKind::*;

    if rejected(error).is_some() {
        return ErrorClass::CircuitOpen;
    }
    match error.kind() {
        Io if error.is_timeout() => ErrorClass::TimedOut,
        Io => match of_io(error) {
            ErrorClass::Other if error.is_connection_dropped() => ErrorClass::ConnectionLost,
            class => class,
        },
        AuthenticationFailed => ErrorClass::Unauthorized,
        Server(_) | Extension => match error.code() {
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => ErrorClass::Unauthorized,
            _ if verdict(error) == Verdict::Failure => ErrorClass::Overloaded,
            _ => ErrorClass::BadAnswer,
        },
        Parse | UnexpectedReturnType | RESP3NotSupported => ErrorClass::BadAnswer,
        ClusterConnectionNotFound | MasterNameNotFoundBySentinel | NoValidReplicasFoundBySentinel => {
            ErrorClass::Unreachable
        }
        Client if error.source().is_some() => ErrorClass::Tls,
        _ => ErrorClass::Other,
    }
}

/// The check's own connection.
struct Line {
    client: Client,
    breaker: Breaker,
    kept: Mutex<Option<MultiplexedConnection>>,
}

/// The rule of all these checks.
fn prompt(probe: Probe) -> Probe {
    probe.rule(Rule::latency_above(Duration::from_millis(100), Duration::from_millis(80)))
}

async fn ping(connection: &mut impl ConnectionLike) -> RedisResult<String> {
    redis::cmd("PING").query_async(connection).await
}

fn judge(answer: RedisResult<String>) -> CheckOutcome {
    let error = match answer {
        Ok(answer) if answer == "PONG" => return CheckOutcome::healthy(),
        Ok(_) => {
            return CheckOutcome::failed(CheckError::new(
                ErrorClass::BadAnswer,
                "PING is not answered by PONG",
            ));
        }
        Err(error) => error,
    };
    let found = CheckError::from_error(error_class(&error), &error);
    match rejected(&error).map(Rejected::reason) {
        None | Some(RejectReason::Open | RejectReason::Forced) => CheckOutcome::failed(found),
        Some(_) => CheckOutcome::degraded("the breaker lets calls in again, a few at a time").error(found),
    }
}

/// The driver keeps the error of the system behind a pointer, which is what it gives as the source.
fn of_io(error: &RedisError) -> ErrorClass {
    let source = error.source().and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    match source.and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(error) => ErrorClass::of(error),
        None => ErrorClass::of(error),
    }
}

// === impl Line ===

impl Line {
    async fn ask(&self) -> RedisResult<String> {
        let permit = self.breaker.try_acquire().map_err(refused)?;
        // Out of its place while it is in use: a run that is cut off takes it along.
        let kept = self.kept().take();
        let answer = self.ask_over(kept).await;
        permit.record(match &answer {
            Ok(_) => Verdict::Success,
            Err(error) => verdict(error),
        });
        let (answer, connection) = answer?;
        *self.kept() = Some(connection);
        Ok(answer)
    }

    async fn ask_over(
        &self,
        kept: Option<MultiplexedConnection>,
    ) -> RedisResult<(String, MultiplexedConnection)> {
        if let Some(mut connection) = kept {
            match ping(&mut connection).await {
                // It was lost since the last run: that says nothing about now.
                Err(error) if error.is_unrecoverable_error() => {}
                answer => return Ok((answer?, connection)),
            }
        }
        let mut connection = self.client.get_multiplexed_async_connection().await?;
        Ok((ping(&mut connection).await?, connection))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<MultiplexedConnection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
