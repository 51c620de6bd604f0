use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{Level, Partial, PartialDecision};

/// How a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It gave its value.
    Success,
    /// It gave an error.
    Failure,
    /// Its own deadline or the gather's longest wait was over before it was done.
    TimedOut,
    /// It panicked.
    Panicked,
    /// The decision fell while it ran, and it was dropped.
    Cancelled,
    /// The decision fell before it was begun.
    NotStarted,
}

/// Why a gather ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum End {
    /// All parts had ended.
    Complete,
    /// Enough had succeeded, and the grace for the others was over.
    Enough,
    /// Those that were pending could not have made it enough.
    Hopeless,
    /// The longest wait was over.
    MaxWait,
}

/// A part's result.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PartResult<T, E> {
    /// The part's name.
    pub source: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether there is no answer without it.
    pub required: bool,
    /// What it counts for in the share.
    pub weight: f64,
    /// Its value, of a success.
    pub value: Option<T>,
    /// Its error, of a failure.
    pub error: Option<E>,
    /// What its panic said, if it panicked: also when its future was dropped after its end, which takes nothing from how it ended.
    pub panic: Option<String>,
    /// From its start to its end; zero for one that was not begun.
    pub latency: Duration,
    /// How sure its source is of the value: 0 to 1; 0 without a value.
    pub confidence: f64,
    /// Whether the value is less than what was asked for.
    pub degraded: bool,
    /// What else its source says about the value.
    pub metadata: BTreeMap<String, String>,
    /// When it ended, in time since the clock's zero.
    pub at: Duration,
    /// The same as wall time.
    pub at_wall: SystemTime,
}

/// What a [`Gather`](super::Gather) brought.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gathered<T, E> {
    /// Whether the answer is given, at which level, and why.
    pub decision: PartialDecision,
    /// Each part's result, in the order in which the parts were given.
    pub parts: Vec<PartResult<T, E>>,
    /// The policy and level that it was decided by, with the parts' own weights and requirements:
    /// [`decide_parts`](Partial::decide_parts) repeats the decision.
    pub partial: Partial,
    /// Why it ended.
    pub end: End,
    /// How long it took.
    pub took: Duration,
    /// When it ended, in time since the clock's zero.
    pub at: Duration,
    /// The same as wall time.
    pub at_wall: SystemTime,
}

impl Outcome {
    /// In words: `failed`, `timed out`.
    pub const fn as_words(self) -> &'static str {
        match self {
            Outcome::Success => "succeeded",
            Outcome::Failure => "failed",
            Outcome::TimedOut => "timed out",
            Outcome::Panicked => "panicked",
            Outcome::Cancelled => "was cancelled",
            Outcome::NotStarted => "was not started",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_words())
    }
}

impl<T, E> PartResult<T, E> {
    /// Whether it succeeded.
    pub fn is_success(&self) -> bool {
        self.outcome == Outcome::Success
    }
}

impl<T, E> Gathered<T, E> {
    /// Whether the answer is given.
    pub fn accepted(&self) -> bool {
        self.decision.accept
    }

    /// Whether the answer is less than a full one: something is degraded, a part is missing, or one is itself degraded.
    pub fn is_degraded(&self) -> bool {
        self.decision.level > Level::None || self.parts.iter().any(|part| !part.is_success() || part.degraded)
    }

    /// The result of a part.
    pub fn part(&self, source: &str) -> Option<&PartResult<T, E>> {
        self.parts.iter().find(|part| part.source == source)
    }

    /// Each value with its source, in the order in which the parts were given.
    pub fn values(&self) -> impl Iterator<Item = (&str, &T)> {
        self.parts.iter().filter_map(|part| Some((part.source.as_str(), part.value.as_ref()?)))
    }

    /// The parts that did not succeed.
    pub fn failed(&self) -> impl Iterator<Item = &PartResult<T, E>> {
        self.parts.iter().filter(|part| !part.is_success())
    }
}
