//! Health checks that cannot hurt, probes that cannot hang, and a readiness that does not turn a brown-out into a
//! black-out.
//!
//! ```
//! use std::time::Duration;
//! use mainstay_health::{Check, HealthManager};
//!
//! # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
//! # async fn ask_model() -> Result<(), std::io::Error> { Ok(()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = HealthManager::builder("orchestrator")
//!     .check(Check::shared("redis", || async { ping().await }).critical())
//!     .check(Check::shared("llm", || async { ask_model().await }).non_critical().interval(Duration::from_secs(60)))
//!     .build()?;
//! health.start()?;
//! # health.subscribe().changed().await;
//! println!("ready: {}, because of {:?}", health.is_ready(), health.report().obstacles());
//! # Ok(())
//! # }
//! ```
//!
//! - [`Check`]: one question with its own schedule, from an async closure, a [`blocking`] one, a [`source`] such as a breaker,
//!   a hand ([`Pushed`]) or a [`Heartbeat`]. Its [`Scope`] decides what its failure may do.
//! - [`HealthManager`]: runs them, and answers from the latest [`Report`] without waiting.
//! - [`Shutdown`]: SIGTERM, readiness fails, balancers notice, what is under way ends, checks stop.
//! - [`checks`]: ready-made ones; those that need a driver are in the crates of the clients.
//! - [`http`]: the probes over HTTP, as a tower service. `mainstay-health-axum` has the router, `mainstay-health-grpc` the
//!   `grpc.health.v1` service.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod board;
mod builder;
mod check;
pub mod checks;
mod drain;
mod error;
mod event;
mod exit;
mod fault;
mod fleet;
mod flip;
mod gate;
mod heartbeat;
mod history;
#[cfg(feature = "http")]
pub mod http;
mod kin;
mod manager;
mod outcome;
mod phase;
mod probe;
mod pushed;
mod report;
mod roster;
mod rule;
mod run;
mod scope;
mod settings;
mod shutdown;
#[cfg(feature = "signal")]
mod signals;
mod slot;
mod source;
mod state;
mod status;
mod threads;
mod tree;

pub use builder::HealthManagerBuilder;
pub use check::{AnyCheck, Check};
pub use drain::{Drained, InFlight};
pub use error::CheckNowError;
pub use exit::{ProbeExit, ProbeReply};
pub use fault::{BoxError, CheckError, ErrorClass};
pub use fleet::FleetGuard;
pub use heartbeat::Heartbeat;
pub use mainstay_core::{Clock, ConfigError, ManualClock, Name, NoRuntime};
pub use manager::{HealthManager, StartupLatch, Subscription};
pub use outcome::{CheckOutcome, Details, IntoOutcome};
pub use phase::Phase;
pub use probe::{Blocking, IntoProbe, Probe, Source, blocking, source};
pub use pushed::Pushed;
pub use report::{CheckReport, Report, RunReport, Summary};
pub use rule::Rule;
pub use scope::{Exclusive, Internal, Scope, Shared};
pub use settings::CheckSettings;
pub use shutdown::{Ended, Shutdown};
pub use status::{Effect, Reason, Status};
