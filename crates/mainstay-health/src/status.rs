use std::fmt;

use serde::{Deserialize, Serialize};

/// How something is. Unknown until known; unknown is never healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing is known, or what was known is too old.
    #[default]
    Unknown,
    /// It does what it is for.
    Healthy,
    /// It answers, but not as it should: slow, crowded, or in part.
    Degraded,
    /// It does not do what it is for.
    Unhealthy,
}

/// What a check does to one of the probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing.
    #[default]
    Passes,
    /// The probe passes, and says that something is wrong.
    Degrades,
    /// The probe fails.
    Fails,
}

/// Why a check has the status it has: safe to show to anybody, because it holds no text from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// It has not answered yet.
    #[default]
    NotYet,
    /// It passed.
    Passed,
    /// The check itself said so.
    Reported,
    /// The check returned an error; its class says what kind.
    Error,
    /// The check did not answer in time, and was dropped.
    TimedOut,
    /// The check panicked.
    Panicked,
    /// The check answered, but slower than its latency rule allows.
    Slow,
    /// One of the figures in its details broke a rule.
    Rule,
    /// An earlier run of this blocking check has not ended; it is not started again until it does.
    Hung,
    /// No thread was free for this blocking check: all of them are taken by checks that hang.
    NoThread,
    /// A check that it depends on is unhealthy, so it is not run.
    Blocked,
    /// Its last result is too old.
    Stale,
    /// It is switched off.
    Disabled,
    /// The source that it watches lets traffic in again, a little at a time.
    Recovering,
    /// The source that it watches keeps traffic away.
    Down,
    /// The heartbeat was not fed in time.
    Missed,
}

/// Status without "unknown", in the order of how bad it is: what a run can find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Healthy,
    Degraded,
    Unhealthy,
}

// === impl Status ===

impl Status {
    /// As it is written on the wire: `unknown`, `healthy`, `degraded`, `unhealthy`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Healthy => "healthy",
            Status::Degraded => "degraded",
            Status::Unhealthy => "unhealthy",
        }
    }

    pub(crate) fn severity(self) -> Option<Severity> {
        match self {
            Status::Unknown => None,
            Status::Healthy => Some(Severity::Healthy),
            Status::Degraded => Some(Severity::Degraded),
            Status::Unhealthy => Some(Severity::Unhealthy),
        }
    }
}

impl From<Severity> for Status {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Healthy => Status::Healthy,
            Severity::Degraded => Status::Degraded,
            Severity::Unhealthy => Status::Unhealthy,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Reason ===

impl Reason {
    /// As it is written on the wire, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::NotYet => "not_yet",
            Reason::Passed => "passed",
            Reason::Reported => "reported",
            Reason::Error => "error",
            Reason::TimedOut => "timed_out",
            Reason::Panicked => "panicked",
            Reason::Slow => "slow",
            Reason::Rule => "rule",
            Reason::Hung => "hung",
            Reason::NoThread => "no_thread",
            Reason::Blocked => "blocked",
            Reason::Stale => "stale",
            Reason::Disabled => "disabled",
            Reason::Recovering => "recovering",
            Reason::Down => "down",
            Reason::Missed => "missed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
