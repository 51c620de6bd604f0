//! Checks of HTTP endpoints, for a [`HealthManager`](mainstay_health::HealthManager), and a probe for containers.
//!
//! ```
//! use std::time::Duration;
//! use mainstay_health::{Check, HealthManager, Rule};
//! use mainstay_http::health;
//!
//! let llm = Check::shared("llm", health::check("http://llm:8000/health")?)
//!     .interval(Duration::from_secs(60))
//!     .rule(Rule::latency_above(Duration::from_millis(500), Duration::from_millis(400)));
//! let health = HealthManager::builder("orchestrator").check(llm).build()?;
//! # Ok::<(), mainstay_health::ConfigError>(())
//! ```
//!
//! - [`check`]: asks by itself, over a new connection each time; plain HTTP only.
//! - [`check_with`]: asks through a client of yours, guarded by a breaker or not: hyper-util's, or any tower service.
//! - `check_reqwest`, with the feature `reqwest`: the same through reqwest's client, or a `GuardedClient`.
//! - [`probe`]: asks once, for the health check of a container.
//!
//! | what comes back | check |
//! | --- | --- |
//! | 2xx, and its body (of which 64 KiB are read) | healthy |
//! | 429, 503 | unhealthy, [`Overloaded`](mainstay_health::ErrorClass::Overloaded) |
//! | any other status; redirects are not followed, except by reqwest | unhealthy, [`BadAnswer`](mainstay_health::ErrorClass::BadAnswer) |
//! | a rejection by the breaker: nobody is asked | unhealthy, [`CircuitOpen`](mainstay_health::ErrorClass::CircuitOpen) |
//! | a transport error, or a body that breaks off | unhealthy, with the class that it tells |
//!
//! The status is among the details, as `http_status`. The deadline is the check's own time-out, at which everything is dropped,
//! the connection too. What is slow is for [`Rule`](mainstay_health::Rule)s to say.
//!
//! A check through a guarded client is a call like any other: the breaker counts it, and it takes a probe's slot while the
//! breaker is half-open. To watch the breaker without a call, give the check the breaker as a
//! [`source`](mainstay_health::source).

mod answer;
mod ask;
mod check;
mod class;
mod probe;
mod target;

pub use check::check;
#[cfg(feature = "reqwest")]
pub use check::check_reqwest;
pub use check::check_with;
pub use probe::{ProbeTimeouts, probe};
