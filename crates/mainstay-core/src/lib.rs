//! The words every Mainstay crate shares, and nothing that any one of them could do without.
//!
//! | word | what it is |
//! | --- | --- |
//! | [`Verdict`], [`Classify`] | what a result says about a dependency, and who decides |
//! | [`NotAsked`] | how it is known of a result that the dependency was not asked |
//! | [`Clock`], [`ManualClock`] | monotonic time that is injected: the system's, tokio's, or a test's |
//! | [`OpenFor`] | how long to stay away: fixed or exponential, capped, jittered |
//! | [`Name`], [`Registry`], [`StateSource`] | how members find and watch each other |
//! | [`Rows`], [`Striped`], [`StripedCounter`] | counters that many threads bump without sharing a cache line |
//! | [`ConfigError`] | a setting that was refused: which field, which value, which rule |
//!
//! ```
//! use std::time::Duration;
//! use mainstay_core::{Clock, OpenFor};
//!
//! let (clock, time) = Clock::manual();
//! time.advance(Duration::from_secs(3));
//! assert_eq!(clock.now(), Duration::from_secs(3));
//!
//! let open_for = OpenFor::exponential(Duration::from_secs(5), Duration::from_secs(60));
//! assert_eq!(open_for.duration(0, 0, 0), Duration::from_secs(5));
//! assert_eq!(open_for.duration(2, 0, 0), Duration::from_secs(20));
//! assert_eq!(open_for.duration(u32::MAX, 0, 0), Duration::from_secs(60));
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod classify;
mod clock;
mod error;
mod name;
mod not_asked;
mod open_for;
#[doc(hidden)]
pub mod panics;
mod registry;
mod sleep;
mod source;
#[doc(hidden)]
pub mod splitmix;
mod stripe;
#[doc(hidden)]
pub mod sync;
mod timer;
mod verdict;
mod wakers;

#[cfg(feature = "serde")]
pub mod humane;

pub use classify::{Classify, ErrorsAreFailures};
pub use clock::{Clock, ManualClock};
pub use error::{ConfigError, MAX_DURATION, NoRuntime, check_duration};
pub use name::Name;
pub use not_asked::NotAsked;
pub use open_for::OpenFor;
pub use registry::{Kind, Registered, Registry};
pub use sleep::Sleep;
pub use source::{Bell, Condition, StateSource, Watch, Weight};
pub use stripe::{Row, Rows, Striped, StripedCounter, stripe_slot};
pub use verdict::{Classified, Verdict};
