use std::fmt;

use serde::{Deserialize, Serialize};

use crate::What;

/// Why, in one word of a fixed vocabulary: for labels of metrics and for whoever reads answers by program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// A breaker keeps traffic away.
    CircuitBreakerOpen,
    /// The service's own requests fail, or an operator said so.
    HighDegradationLevel,
    /// A check fails, or parts of an answer did.
    DependencyFailure,
    /// A signal of the user's.
    ResourceConstraint,
    /// The service's own requests take long.
    TimeoutRisk,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::CircuitBreakerOpen,
        Self::HighDegradationLevel,
        Self::DependencyFailure,
        Self::ResourceConstraint,
        Self::TimeoutRisk,
    ];

    /// As it is written on the wire, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::CircuitBreakerOpen => "circuit_breaker_open",
            Reason::HighDegradationLevel => "high_degradation_level",
            Reason::DependencyFailure => "dependency_failure",
            Reason::ResourceConstraint => "resource_constraint",
            Reason::TimeoutRisk => "timeout_risk",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl What {
    /// The same in one word of the fixed vocabulary.
    pub const fn reason(self) -> Reason {
        match self {
            What::BreakersOpen => Reason::CircuitBreakerOpen,
            What::CriticalDown | What::NonCriticalDown => Reason::DependencyFailure,
            What::ErrorRate | What::Pinned => Reason::HighDegradationLevel,
            What::Latency => Reason::TimeoutRisk,
            What::Signal => Reason::ResourceConstraint,
        }
    }
}
