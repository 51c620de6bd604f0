use std::time::Duration;

use crate::fleet::Absence;
use crate::{CheckSettings, Effect, Scope, Status};

/// What is known of a check that matters to the probes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) scope: Scope,
    pub(crate) status: Status,
    /// A result of it has been healthy or degraded once.
    pub(crate) succeeded: bool,
    /// Its last result is too old, or its first one overdue.
    pub(crate) stale: bool,
    /// Since when it is asked.
    pub(crate) began: Duration,
    /// From when to when this replica is out because of it.
    pub(crate) absence: Option<Absence>,
}

/// What a check does to the probes: the table of [`Scope`], as a pure function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) readiness: Effect,
    /// What it makes of the whole.
    pub(crate) overall: Status,
    /// It keeps startup from completing.
    pub(crate) starting: bool,
    pub(crate) fails_liveness: bool,
    /// Its going stale would fail readiness.
    pub(crate) gates: bool,
    /// When this changes by time alone.
    pub(crate) next_change: Option<Duration>,
}

impl Gate {
    /// Of a check that is switched off.
    pub(crate) const OPEN: Self = Self {
        readiness: Effect::Passes,
        overall: Status::Healthy,
        starting: false,
        fails_liveness: false,
        gates: false,
        next_change: None,
    };

    pub(crate) fn at(now: Duration, facts: &Facts, settings: &CheckSettings) -> Self {
        let harm = match facts.status {
            Status::Healthy => Effect::Passes,
            Status::Degraded => Effect::Degrades,
            Status::Unknown | Status::Unhealthy => Effect::Fails,
        };
        let (gates, next_change) = gates(now, facts, settings);
        let readiness = if gates { harm } else { soften(harm) };
        let overall = match facts.status {
            Status::Healthy => Status::Healthy,
            Status::Degraded => Status::Degraded,
            Status::Unhealthy if settings.critical => Status::Unhealthy,
            // Unknown is as bad as unhealthy where it gates, and else degraded.
            Status::Unknown if gates => Status::Unhealthy,
            Status::Unhealthy | Status::Unknown => Status::Degraded,
        };
        let internal = settings.critical && facts.scope == Scope::Internal;
        let dead = match facts.status {
            Status::Healthy | Status::Degraded => false,
            Status::Unhealthy => true,
            Status::Unknown => facts.stale,
        };
        Self {
            readiness,
            overall,
            starting: internal && !facts.succeeded,
            fails_liveness: internal && settings.restart_on_failure && dead,
            gates,
            next_change,
        }
    }
}

/// Whether a failure of the check fails readiness now, and when that changes by time alone.
fn gates(now: Duration, facts: &Facts, settings: &CheckSettings) -> (bool, Option<Duration>) {
    if !settings.critical {
        return (false, None);
    }
    if facts.scope != Scope::Shared {
        return (true, None);
    }
    if !facts.succeeded {
        let until = settings.first_success_within.map(|within| facts.began.saturating_add(within));
        return match until {
            None => (true, None),
            Some(until) => (now < until, Some(until).filter(|until| now < *until)),
        };
    }
    match facts.absence {
        Some(Absence { leave, .. }) if now < leave => (false, Some(leave)),
        Some(Absence { back, .. }) if now < back => (true, Some(back)),
        _ => (false, None),
    }
}

fn soften(harm: Effect) -> Effect {
    match harm {
        Effect::Passes => Effect::Passes,
        Effect::Degrades | Effect::Fails => Effect::Degrades,
    }
}
