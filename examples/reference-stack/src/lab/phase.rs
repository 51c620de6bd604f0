//! The words of the drill: its two routes, the dependencies behind them, and the phases that these go through.

use serde::{Deserialize, Serialize};

/// Which way through the gateway a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Route {
    Guarded,
    Unguarded,
}

/// What the gateway depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dependency {
    /// An HTTP server, in a process of its own.
    Upstream,
    /// A redis-server.
    Redis,
}

/// What is being done to a dependency.
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
    /// The dependency fails: the breaker shall trip.
    Outage,
    /// The dependency is well again: the breaker shall close.
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

// === impl Dependency ===

impl Dependency {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Redis => "redis",
        }
    }

    /// What callers ask the gateway for, so that it asks this dependency.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Upstream => "/work",
            Self::Redis => "/cached",
        }
    }

    /// The phases that it goes through, in their order.
    pub(crate) fn phases(self) -> &'static [Phase] {
        match self {
            Self::Upstream => &Phase::ALL,
            // Redis can be killed and stopped; it has no switch that makes it err.
            Self::Redis => &Phase::ALL_BUT_ERRORS,
        }
    }
}

// === impl Phase ===

impl Phase {
    /// All phases, in the order of the drill.
    const ALL: [Self; 7] = [
        Self::Healthy,
        Self::Killed,
        Self::Restarted,
        Self::Hanging,
        Self::Resumed,
        Self::Erroring,
        Self::Repaired,
    ];

    const ALL_BUT_ERRORS: [Self; 5] =
        [Self::Healthy, Self::Killed, Self::Restarted, Self::Hanging, Self::Resumed];

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

    /// What is done to the dependency when the phase begins.
    pub(crate) fn story(self) -> &'static str {
        match self {
            Self::Healthy => "it answers",
            Self::Killed => "SIGKILL: connections are refused",
            Self::Restarted => "a new process on the same port",
            Self::Hanging => "SIGSTOP: connections open, no answer comes",
            Self::Resumed => "SIGCONT: the same process goes on",
            Self::Erroring => "it answers 503",
            Self::Repaired => "it answers 200 again",
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
