//! From "something is down" to what this request gets, and why.
//!
//! ```
//! use mainstay_breaker::Breaker;
//! use mainstay_degrade::{Behavior, DegradationManager};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let llm = Breaker::new("llm_service")?;
//! let degrade = DegradationManager::builder().watch(&llm).build()?;
//! degrade.start()?;
//!
//! # tokio::task::yield_now().await;
//! llm.trip();
//! degrade.subscribe().changed().await;
//! let decision = degrade.behavior("llm_generation");
//! assert_eq!(decision.behavior, Behavior::UseCache);
//! assert_eq!(decision.why(), "llm_service is down");
//! # Ok(())
//! # }
//! ```
//!
//! - Inputs: breakers, a health manager and other [`StateSource`]s, the service's own traffic ([`Observer`]), [`Signal`]s, an
//!   operator's pin.
//! - [`Level`]: the worst with a threshold reached ([`Thresholds`]); it rises at once and is held for a time. [`Assessment`]: the
//!   level, each [`Cause`], and what is down.
//! - Decisions, pure functions of an assessment: [`ModeRules`], [`BehaviorRules`], [`PartialPolicies`].
//! - Tower layers (features `tower` and `http`): `ObserveLayer`, `ShedLayer`, `FallbackLayer`, `StaleLayer`, `DecisionLayer`.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod assessment;
mod behavior;
mod board;
mod books;
mod builder;
mod cause;
mod easing;
mod exact;
mod gather;
mod inputs;
mod judge;
#[cfg(feature = "tower")]
mod layers;
mod level;
mod manager;
mod mode;
mod partial;
#[cfg(feature = "metrics")]
mod publish;
mod reason;
mod settings;
mod signal;
mod stats;
mod thresholds;
mod traffic;
mod watch;

pub use assessment::{Assessment, DownDependency};
pub use behavior::{Behavior, BehaviorDecision, BehaviorReason, BehaviorRules, Refused};
pub use builder::DegradationManagerBuilder;
pub use cause::{Cause, What};
pub use easing::Easing;
pub use gather::{
    Aggregate, DegradationInfo, End, Gather, GatherError, Gathered, Outcome, Part, PartResult, PartValue,
    PartialResult,
};
#[cfg(feature = "tower")]
pub use layers::*;
pub use level::Level;
pub use mainstay_core::{Clock, ConfigError, ManualClock, Name, NoRuntime, NotAsked, StateSource, Weight};
pub use manager::{Assessments, DegradationManager};
pub use mode::{ExecutionMode, Mode, ModeDecision, ModeRules, UnknownMode};
pub use partial::{Partial, PartialDecision, PartialPolicies, PartialPolicy};
pub use reason::Reason;
pub use settings::Settings;
pub use signal::Signal;
pub use stats::{DegradationStats, DowngradeCount, EventCount, FallbackCount, PartialCount};
pub use thresholds::{LevelThresholds, Thresholds};
pub use traffic::{Observer, TrafficFigures};

/// The README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
