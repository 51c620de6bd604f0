use std::time::{Duration, SystemTime};

use mainstay_core::Name;

use crate::{Cause, Control, Stage, State, Transition};

/// A breaker at one moment, with everything that is due: taking it changes nothing.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// Whose.
    pub name: Name,
    /// The state effective now.
    pub state: State,
    /// The operator's hand.
    pub control: Control,
    /// How many state changes there were, modulo 2^32.
    pub epoch: u32,
    /// When the state began, since the clock's zero.
    pub since: Duration,
    /// The wall time of `since`, for display.
    pub since_wall: SystemTime,
    /// What was counted since the breaker was built.
    pub totals: Totals,
    /// What each trip rule sees, in their order. Zeros while nothing is judged (open, probing).
    pub rules: Vec<RuleSnapshot>,
    /// Failures in a row, whatever the rules; 0 unless closed. A run that is too old for `within` is ended by the next
    /// failure, and shown until then.
    pub consecutive_failures: u32,
    /// The stay in half-open, if there is one.
    pub half_open: Option<HalfOpenSnapshot>,
    /// How long a call would be told to wait, if it would be rejected for a time.
    pub retry_after: Option<Duration>,
    /// Why it opened last; nothing after a reset.
    pub last_trip: Option<Cause>,
    /// The latest transitions, oldest first; at most 16.
    pub recent: Vec<Transition>,
    /// Whether the last 20 or more permits were all dropped without a verdict: the breaker sees nothing. A call that
    /// is cut off from outside says nothing about the dependency; give the breaker the time-out.
    pub blind: bool,
}

/// What was counted since a breaker was built. Every permit is in one of `success`, `failure` and `ignored`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Totals {
    /// Successes.
    pub success: u64,
    /// Failures, panics and time-outs among them.
    pub failure: u64,
    /// Verdicts to ignore, and permits dropped without a verdict.
    pub ignored: u64,
    /// Calls that were not admitted.
    pub rejected: u64,
    /// Successes and failures that were slow for any rule.
    pub slow: u64,
    /// Permits dropped without a verdict. Each is also in `ignored`, or in `failure` with
    /// `count_dropped_as_failure`.
    pub cancelled: u64,
    /// Calls that were admitted only because the breaker observes.
    pub would_reject: u64,
}

/// What a trip rule sees.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RuleSnapshot {
    /// The verdicts in its window; 0 for a rule of consecutive failures.
    pub calls: u64,
    /// The failures in its window, or in a row.
    pub failures: u64,
    /// The slow verdicts in its window, by its own limit or else by the lowest of any rule.
    pub slow: u64,
    /// The share that it judges; none for a rule that counts, and for an empty window.
    pub rate: Option<f64>,
}

/// A stay in half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HalfOpenSnapshot {
    /// Probes under way.
    pub in_flight: u32,
    /// Probes that succeeded in this stay.
    pub successes: u32,
    /// Probes that failed, or did not answer in time, in this stay.
    pub failures: u32,
    /// Probing, or ramping up after the probes succeeded.
    pub stage: Stage,
}
