use std::time::{Duration, SystemTime};

use mainstay_core::{Name, Weight};
use serde::{Deserialize, Serialize};

use crate::{Cause, Easing, Level};

/// A level with everything that a decision needs, and why: immutable, numbered, and the same for whoever reads it back from
/// its JSON.
///
/// Every decision is a pure function of an assessment and a question: kept with the answer, it explains and repeats it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Assessment {
    /// How much less than usual the service does.
    pub level: Level,
    /// Since when the level is this one, in time since the clock's zero.
    pub since: Duration,
    /// The same as wall time.
    pub since_wall: SystemTime,
    /// Which one it is: how many came before it.
    pub epoch: u64,
    /// Each threshold that is reached, or was and still holds the level; the worst first.
    pub causes: Vec<Cause>,
    /// Each dependency that is down, in the order of their names.
    pub down: Vec<DownDependency>,
    /// How what was shed because of the traffic comes back, after the level fell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub easing: Option<Easing>,
}

/// A dependency that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DownDependency {
    /// Which.
    pub name: Name,
    /// What says so: a breaker that is open, or a check, critical or not.
    pub weight: Weight,
    /// Since when.
    pub since: Duration,
}

impl Assessment {
    /// Whether a dependency is down.
    pub fn is_down(&self, dependency: &str) -> bool {
        self.down.iter().any(|down| down.name.as_str() == dependency)
    }

    /// The worst cause of the level.
    pub fn worst(&self) -> Option<&Cause> {
        self.causes.first()
    }
}
