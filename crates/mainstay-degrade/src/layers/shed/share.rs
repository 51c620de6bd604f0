use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Assessment;

/// How much a request matters, from the most to the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    /// Nothing works without it. Never shed.
    CriticalPlus,
    /// Users wait for it. Never shed.
    Critical,
    /// It can be tried again in minutes. Half is shed at moderate, all at severe.
    SheddablePlus,
    /// It can be tried again in hours. Half is shed at minor, all from moderate on.
    Sheddable,
}

impl Criticality {
    /// All classes, from the one that matters most.
    pub const ALL: [Self; 4] = [Self::CriticalPlus, Self::Critical, Self::SheddablePlus, Self::Sheddable];

    /// As it is written on the wire: `critical_plus`, `critical`, `sheddable_plus`, `sheddable`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Criticality::CriticalPlus => "critical_plus",
            Criticality::Critical => "critical",
            Criticality::SheddablePlus => "sheddable_plus",
            Criticality::Sheddable => "sheddable",
        }
    }

    /// Which share of this class is shed at a time of the manager's clock: 0 to 1. It follows the
    /// [pressure](Assessment::pressure), so that what was shed comes back little by little, what matters more first.
    pub fn shed_share(self, assessment: &Assessment, now: Duration) -> f64 {
        let pressure = assessment.pressure(now);
        let share = match self {
            Criticality::CriticalPlus | Criticality::Critical => 0.0,
            Criticality::SheddablePlus => (pressure - 1.0) / 2.0,
            Criticality::Sheddable => pressure / 2.0,
        };
        share.clamp(0.0, 1.0)
    }
}

impl fmt::Display for Criticality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
