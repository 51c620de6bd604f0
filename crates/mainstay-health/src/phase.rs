use std::fmt;

use serde::{Deserialize, Serialize};

/// What the manager does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// It was built and not started: no check runs, and the service is not ready.
    #[default]
    Created,
    /// Checks run.
    Running,
    /// The service is about to end: readiness fails, while balancers take notice. Checks run. There is no way back but a
    /// stop and a start.
    Draining,
    /// No new work is accepted; what is under way is waited for.
    Closing,
    /// Nothing is under way any more, or it was waited for long enough.
    Drained,
    /// No check runs, and the service is not ready.
    Stopped,
}

impl Phase {
    /// As it is written on the wire, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Created => "created",
            Phase::Running => "running",
            Phase::Draining => "draining",
            Phase::Closing => "closing",
            Phase::Drained => "drained",
            Phase::Stopped => "stopped",
        }
    }

    /// Whether it is one of the steps of a drain.
    pub const fn is_draining(self) -> bool {
        matches!(self, Phase::Draining | Phase::Closing | Phase::Drained)
    }

    /// Whether checks run.
    pub(crate) const fn runs(self) -> bool {
        !matches!(self, Phase::Created | Phase::Stopped)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
