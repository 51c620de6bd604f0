//! Redis behind a circuit breaker: [`Guarded`] is a connection of the [`redis`] crate, so that every command, pipeline,
//! transaction and script works on it as before, and every one of them asks the breaker first and tells it how it went.
//!
//! ```no_run
//! use std::time::Duration;
//! use mainstay_breaker::Breaker;
//! use mainstay_redis::{Guarded, redis};
//! use redis::AsyncCommands;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let breaker = Breaker::builder("redis").settings(mainstay_redis::default_settings()).build()?;
//! let client = redis::Client::open("redis://127.0.0.1/")?;
//! let manager = client.get_connection_manager().await?;
//! let mut redis = Guarded::new(manager, breaker).deadline(Duration::from_millis(250));
//!
//! redis.set::<_, _, ()>("visits", 1).await?;
//! match redis.incr::<_, _, u64>("visits", 1).await {
//!     Ok(visits) => println!("{visits} visits"),
//!     Err(error) => match mainstay_redis::rejected(&error) {
//!         Some(rejected) => println!("not asked: {rejected}"),
//!         None => println!("asked in vain: {error}"),
//!     },
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - [`Guarded`]: over a multiplexed connection, a connection manager, a cluster connection, a blocking connection, or
//!   anything else that is a `ConnectionLike`.
//! - [`verdict`]: which errors count against Redis, code by code; [`Guarded::classify`] takes another opinion.
//! - [`rejected`], [`timed_out`]: what a [`RedisError`](redis::RedisError) came from, at any depth of its sources.
//! - [`default_settings`]: the breaker's settings for Redis.
//! - `health`, with the feature of that name: a ready-made check for `mainstay-health`.
//!
//! # Deadlines
//!
//! A guard over an async connection gives every call a deadline, [`DEFAULT_DEADLINE`] unless told otherwise: a call that
//! has not been answered by then is dropped and counts as a failure. It covers all that the driver does for the call,
//! its retries and reconnects too. It needs a tokio runtime with its timer enabled.
//!
//! The driver has time-outs of its own, which are failures as well. Whichever is shorter strikes first, and only its error
//! is seen: [`timed_out`] tells ours from the driver's, and both are [`is_timeout`](redis::RedisError::is_timeout).
//!
//! | driver | its time-out for an answer | what it does not cover |
//! | --- | --- | --- |
//! | multiplexed connection | 500 ms (`AsyncConnectionConfig::set_response_timeout`) | |
//! | connection manager | 500 ms (`ConnectionManagerConfig::set_response_timeout`) | waiting for a reconnect: up to seven attempts, some ten seconds in all |
//! | async cluster connection | none (`ClusterClientBuilder::response_timeout`) | anything; set one, or a node that is silent for ever stops its recovery |
//! | blocking connection | none (`Connection::set_read_timeout`) | anything: a guard cannot cut off a blocking call |
//!
//! Commands that block on purpose (`BLPOP`, `BLMOVE`, `BZPOPMIN`, `XREAD BLOCK`, `WAIT`) have to be answered within the
//! deadline too, or every wait in vain counts as a failure of Redis. Give them a longer one, for
//! [one call](Guarded::with_deadline) or for a clone, and lengthen the driver's as well:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use mainstay_redis::{Guarded, redis::{self, AsyncCommands}};
//! # async fn example(mut redis: Guarded<redis::aio::MultiplexedConnection>) -> redis::RedisResult<()> {
//! let job: Option<(String, String)> = redis.with_deadline(Duration::from_secs(6)).blpop("jobs", 5.0).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Dropping a call, at its deadline or by its caller, is safe: the driver reads its answer all the same and throws it
//! away, so that no later call gets it. Whether the server has carried out the command is not known then.
//!
//! # Recovery
//!
//! A connection manager and a cluster connection reconnect by themselves: when Redis is back, the probes of the half-open
//! breaker find out, and close it. A plain multiplexed connection and a blocking one never do: once it is lost every call on
//! it fails, the breaker opens again and again, and only a new connection in its place
//! ([`get_mut`](Guarded::get_mut)) helps. A blocking [`redis::Client`] is a connection too: it connects for every request.
//!
//! A connection manager that has given up reconnecting, after its seven attempts, hands the news of it to the next call before
//! it tries again: so after a long outage the first probe fails though Redis is back. Let the breaker be open for a short
//! time, or let it take two (`HalfOpen::reopen_after`).
//!
//! Two limits of the driver are worth knowing. A network that swallows packets without a reset leaves the connection open
//! until TCP gives up, after many minutes, whatever the breaker does: set `TcpSettings::set_user_timeout` or a keepalive on
//! the client. And a connection manager that gave up reconnecting because of an error other than I/O (a server that refuses
//! the password, or that is full while it is asked for one) returns that error for ever, without trying again.
//!
//! # What it does not do
//!
//! It adds no retries, and does not hide the driver's: a cluster connection retries up to 16 times
//! (`ClusterClientBuilder::retries`), all within one call and one deadline, and the last error counts once. It does not
//! guard what is not a request on the connection: connecting, pub/sub and `MONITOR`, reached through
//! [`get_mut`](Guarded::get_mut) or the client. It does not look behind the connection: an answer from the driver's
//! client-side cache is a success, though Redis was not asked.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod blocking;
mod call;
mod error;
mod guarded;
#[cfg(feature = "health")]
pub mod health;
mod request;
mod settings;
mod up;
mod verdict;

pub use error::{DeadlinePassed, rejected, rejected_in, timed_out, timed_out_in};
pub use guarded::{DEFAULT_DEADLINE, Guarded, Judge, WithDeadline};
pub use mainstay_breaker::{Breaker, RejectReason, Rejected, Settings, Verdict};
#[cfg(feature = "health")]
pub use mainstay_health;
pub use redis;
pub use settings::default_settings;
pub use verdict::verdict;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
