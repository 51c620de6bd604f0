//! Mainstay keeps a service answering while what it depends on fails.
//!
//! ```
//! use std::time::Duration;
//! use mainstay::Clock;
//! use mainstay::breaker::{Breaker, OpenFor, State, Trip};
//!
//! let (clock, time) = Clock::manual();
//! let breaker = Breaker::builder("redis")
//!     .trip(Trip::consecutive_failures(5).within(Duration::from_secs(60)))
//!     .open_for(OpenFor::fixed(Duration::from_secs(15)))
//!     .clock(clock)
//!     .build()?;
//!
//! for _ in 0..5 {
//!     let _ = breaker.call(|| Err::<(), _>("connection refused"));
//! }
//! assert_eq!(breaker.state(), State::Open);
//!
//! time.advance(Duration::from_secs(15));
//! assert!(breaker.call(|| Ok::<_, ()>("PONG")).is_ok());
//! # Ok::<(), mainstay::ConfigError>(())
//! ```
//!
//! This crate is the facade: it re-exports each member of the family as a module, behind a feature of the same name.
//!
//! | module | feature | what it is |
//! | --- | --- | --- |
//! | [`breaker`] | `breaker` (default) | circuit breakers: plain, async, tower layers, keyed sets |
//! | [`config`] | `config` | settings from YAML and the environment, strictly read, reloaded without a restart |
//! | [`degrade`] | `degrade` (default) | levels with their causes; modes, behaviours and partial results by level; runs on tokio |
//! | [`health`] | `health` (default) | checks, readiness that knows what is shared, probes, graceful shutdown; runs on tokio |
//! | [`spool`] | `spool` | a write-behind queue that loses nothing: on disk before `push` returns, delivered at least once |
//!
//! `tower` (default) adds the tower layers, `tracing` (default) the events, `tokio` the clock of tokio, `serde` settings
//! and snapshots that can be read and written.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
#[cfg(feature = "metrics")]
mod figures;
#[cfg(feature = "config")]
mod live;
mod mainstay;
#[cfg(feature = "config")]
mod reload;

pub use crate::builder::MainstayBuilder;
pub use crate::mainstay::Mainstay;
#[cfg(feature = "breaker")]
#[doc(inline)]
pub use mainstay_breaker as breaker;
#[cfg(feature = "config")]
#[doc(inline)]
pub use mainstay_config as config;
pub use mainstay_core::{
    Classified, Classify, Clock, Condition, ConfigError, ErrorsAreFailures, ManualClock, Name, NoRuntime,
    OpenFor, Registry, StateSource, Verdict, Watch,
};
#[cfg(feature = "degrade")]
#[doc(inline)]
pub use mainstay_degrade as degrade;
#[cfg(feature = "health")]
#[doc(inline)]
pub use mainstay_health as health;
#[cfg(feature = "spool")]
#[doc(inline)]
pub use mainstay_spool as spool;

#[cfg(feature = "config")]
pub use crate::reload::{Following, ReloadError, ReloadStatus, Reloader};

/// What most programs need, to be imported whole.
pub mod prelude {
    #[cfg(feature = "breaker")]
    pub use mainstay_breaker::{Breaker, BreakerError, HalfOpen, State, Trip, Window};
    pub use mainstay_core::{Clock, OpenFor, Verdict};
    #[cfg(feature = "degrade")]
    pub use mainstay_degrade::{Behavior, DegradationManager, Level};
    #[cfg(feature = "health")]
    pub use mainstay_health::{Check, HealthManager, Shutdown};

    pub use crate::Mainstay;
}

/// The code in the README and in the guide is compiled and run with the tests.
#[cfg(all(doctest, feature = "breaker", feature = "degrade", feature = "health", feature = "tower"))]
mod guide {
    #[doc = include_str!("../../../README.md")]
    mod readme {}
    #[doc = include_str!("../../../docs/guide/breaker.md")]
    mod breaker {}
    #[doc = include_str!("../../../docs/guide/tower.md")]
    mod tower {}
    #[doc = include_str!("../../../docs/guide/degrade.md")]
    mod degrade {}
    #[doc = include_str!("../../../docs/guide/health.md")]
    mod health {}
    #[doc = include_str!("../../../docs/guide/seeing.md")]
    mod seeing {}
    #[cfg(feature = "spool")]
    #[doc = include_str!("../../../docs/guide/spool.md")]
    mod spool {}
}
