use std::fmt;

use serde::{Deserialize, Serialize};

/// How much less than usual the service does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// All is well.
    #[default]
    None,
    /// Something that can be done without is missing.
    Minor,
    /// Something that matters is missing.
    Moderate,
    /// Hardly anything works.
    Severe,
}

impl Level {
    /// All levels, from the best to the worst.
    pub const ALL: [Self; 4] = [Self::None, Self::Minor, Self::Moderate, Self::Severe];

    /// All levels at which something is wrong, from the best to the worst.
    pub const DEGRADED: [Self; 3] = [Self::Minor, Self::Moderate, Self::Severe];

    /// As it is written on the wire: `none`, `minor`, `moderate`, `severe`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::None => "none",
            Level::Minor => "minor",
            Level::Moderate => "moderate",
            Level::Severe => "severe",
        }
    }

    /// 0 for none to 3 for severe, as the metric has it.
    pub const fn as_number(self) -> u8 {
        self as u8
    }

    pub(crate) const fn from_number(number: u8) -> Self {
        match number {
            0 => Level::None,
            1 => Level::Minor,
            2 => Level::Moderate,
            _ => Level::Severe,
        }
    }

    /// What an operator should do: monitor, check, or act.
    pub const fn recommended_action(self) -> Option<&'static str> {
        match self {
            Level::None => None,
            Level::Minor => Some("monitor and retry"),
            Level::Moderate => Some("check the failed dependencies, consider cached results"),
            Level::Severe => Some("investigate at once, use fallback procedures"),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
