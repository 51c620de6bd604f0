//! The words of the drill: its two routes, and the seven phases that its upstream goes through.

use serde::{Deserialize, Serialize};

/// Which way through the gateway a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Route {
    Guarded,
    Unguarded,
}

/// What is being done to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    Healthy,
    Killed,
    Restarted,
    Hanging,
    Resumed,
    Erroring,
    Repaired,
}

/// What a phase is to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Nothing is wrong, and nothing was.
    Calm,
    /// The upstream fails: the breaker shall trip.
    Outage,
    /// The upstream is well again: the breaker shall close.
    Recovery,
}

// === impl Route ===

impl Route {
    pub(crate) const ALL: [Self; 2] = [Self::Guarded, Self::Unguarded];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Unguarded => "unguarded",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.name() == name)
    }
}

// === impl Phase ===

impl Phase {
    /// All phases, in the order of the drill.
    pub(crate) const ALL: [Self; 7] = [
        Self::Healthy,
        Self::Killed,
        Self::Restarted,
        Self::Hanging,
        Self::Resumed,
        Self::Erroring,
        Self::Repaired,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Killed => "killed",
            Self::Restarted => "restarted",
            Self::Hanging => "hanging",
            Self::Resumed => "resumed",
            Self::Erroring => "erroring",
            Self::Repaired => "repaired",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// What is done to the upstream when the phase begins.
    pub(crate) fn story(self) -> &'static str {
        match self {
            Self::Healthy => "the upstream answers",
            Self::Killed => "SIGKILL: connections are refused",
            Self::Restarted => "a new process on the same port",
            Self::Hanging => "SIGSTOP: connections open, no answer comes",
            Self::Resumed => "SIGCONT: the same process goes on",
            Self::Erroring => "the upstream answers 503",
            Self::Repaired => "the upstream answers 200 again",
        }
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Healthy => Kind::Calm,
            Self::Killed | Self::Hanging | Self::Erroring => Kind::Outage,
            Self::Restarted | Self::Resumed | Self::Repaired => Kind::Recovery,
        }
    }
}
