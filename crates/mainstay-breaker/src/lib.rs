//! A circuit breaker: it stops calling a dependency that fails, looks from time to time whether it is back, and tells
//! everybody who asks what it does, and why.
//!
//! ```
//! use std::time::Duration;
//! use mainstay_breaker::{Breaker, BreakerError, Trip, Window};
//!
//! let breaker = Breaker::builder("inventory")
//!     .trip(Trip::consecutive_failures(5))
//!     .trip(Trip::failure_rate(0.5).over(Window::time(Duration::from_secs(30))).min_calls(20))
//!     .build()?;
//!
//! match breaker.call(|| "42".parse::<u32>()) {
//!     Ok(stock) => println!("{stock} in stock"),
//!     Err(BreakerError::Rejected(rejected)) => println!("not asked: {rejected}"),
//!     Err(error) => println!("asked in vain: {error}"),
//! }
//! # Ok::<(), mainstay_breaker::ConfigError>(())
//! ```
//!
//! - Plain: [`Breaker::try_acquire`] gives a [`Permit`] to record a verdict on; [`Breaker::call`] and [`Breaker::run`] do
//!   it for you.
//! - When it opens: [`Trip`] rules over a [`Window`]; any of several trips.
//! - How it recovers: [`HalfOpen`] probes, bounded in count and time, and then, if you like, a ramp.
//! - What it tells: [`Rejected`], [`Snapshot`], [`Transition`], each with its [`Cause`].
//! - One per key: [`Keyed`], for hosts, tenants and routes.
//! - By hand: [`Control`], [`Breaker::trip`], [`Breaker::reset`], [`Breaker::reconfigure`].
//!
//! No runtime is needed, and no timer: every transition that is due by time is seen by whoever looks and delivered by
//! the next call.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod admit;
mod books;
mod breaker;
mod conclude;
mod deliver;
mod error;
#[cfg(feature = "tower")]
mod future;
#[cfg(feature = "tower")]
mod gate;
#[cfg(feature = "tower")]
mod guard;
mod keyed;
#[cfg(feature = "tower")]
mod layer;
mod lazily;
mod ledger;
mod machine;
mod pace;
mod permit;
mod phase;
mod rare;
#[cfg(feature = "tower")]
mod ready;
mod record;
mod run;
#[cfg(feature = "tower")]
mod service;
mod settings;
mod snapshot;
mod subscribe;
mod tally;
mod ticket;
mod transition;
mod trip;
mod window;
mod word;

pub use breaker::{Breaker, BreakerBuilder};
pub use conclude::{CallPermit, Conclude, Judged};
pub use error::{BreakerError, RejectReason, Rejected, TimedOut};
#[cfg(feature = "tower")]
pub use future::ResponseFuture;
#[cfg(feature = "tower")]
pub use guard::{ByKey, Guard, One};
pub use keyed::{Keyed, KeyedBuilder, KeyedStats, OnFull};
#[cfg(feature = "tower")]
pub use layer::{BreakerLayer, KeyedLayer, OnOpen};
pub use mainstay_core::{
    Classified, Classify, Clock, Condition, ConfigError, ErrorsAreFailures, ManualClock, Name, NotAsked,
    OpenFor, Registry, StateSource, Verdict, Watch,
};
pub use permit::{OwnedPermit, Permit};
pub use run::Run;
#[cfg(feature = "tower")]
pub use service::{BreakerService, PassError, Refuse, RespondWith};
pub use settings::{HalfOpen, Settings};
pub use snapshot::{HalfOpenSnapshot, RuleSnapshot, Snapshot, Totals};
pub use subscribe::Transitions;
pub use transition::{Cause, Control, Outlook, Stage, State, Transition};
pub use trip::{Trip, Window};
