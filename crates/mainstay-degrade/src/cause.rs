use std::fmt;
use std::time::Duration;

use mainstay_core::Name;
use serde::{Deserialize, Serialize};

use crate::Level;

/// A threshold that was reached: why a level is what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cause {
    /// The level that it reaches: the worst of those whose threshold it reaches.
    pub level: Level,
    /// What was measured.
    pub what: What,
    /// The figure that reached it.
    pub figure: f64,
    /// The threshold that it reached.
    pub threshold: f64,
    /// By whom: the breakers that are open, the checks that are down, the signal.
    pub by: Vec<Name>,
    /// Since when without a break, in time since the clock's zero.
    pub since: Duration,
    /// Since when it is no longer reached, if it is over: the level is held for a time so that it does not flap.
    pub over_since: Option<Duration>,
}

/// What a threshold is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// How many watched breakers are open.
    BreakersOpen,
    /// How many critical checks are down.
    CriticalDown,
    /// How many checks that are not critical are down.
    NonCriticalDown,
    /// The share of the traffic's requests that fail.
    ErrorRate,
    /// The 95th percentile of the traffic's latency, in seconds.
    Latency,
    /// A signal of the user's.
    Signal,
    /// The operator's pin.
    Pinned,
}

impl What {
    /// As it is written on the wire, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            What::BreakersOpen => "breakers_open",
            What::CriticalDown => "critical_down",
            What::NonCriticalDown => "non_critical_down",
            What::ErrorRate => "error_rate",
            What::Latency => "latency",
            What::Signal => "signal",
            What::Pinned => "pinned",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, what, figure, threshold, by, .. } = self;
        let s = if *figure == 1.0 { "" } else { "s" };
        match what {
            What::Pinned => write!(f, "{level}: pinned by an operator")?,
            What::ErrorRate => {
                write!(
                    f,
                    "{level}: {:.1} % of requests fail (limit {:.1} %)",
                    figure * 100.0,
                    threshold * 100.0
                )?;
            }
            What::Latency => {
                write!(f, "{level}: 95 % of requests take up to {figure} s (limit {threshold} s)")?
            }
            What::BreakersOpen => write!(f, "{level}: {figure} breaker{s} open (limit {threshold})")?,
            What::CriticalDown => write!(f, "{level}: {figure} critical check{s} down (limit {threshold})")?,
            What::NonCriticalDown => write!(f, "{level}: {figure} check{s} down (limit {threshold})")?,
            What::Signal => write!(f, "{level}: a signal at {figure} (limit {threshold})")?,
        }
        for (index, name) in by.iter().enumerate() {
            write!(f, "{}{name}", if index == 0 { ": " } else { ", " })?;
        }
        if self.over_since.is_some() { f.write_str(" (over, held)") } else { Ok(()) }
    }
}
