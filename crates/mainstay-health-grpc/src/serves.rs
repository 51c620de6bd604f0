use std::time::Duration;

use mainstay_health::{HealthManager, Phase, Report, Status};

use crate::pb::health_check_response::ServingStatus;

/// What the name of a service stands for. See [`HealthGrpc::service`](crate::HealthGrpc::service).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Serves {
    /// Whether the whole service shall be given work: [`HealthManager::is_ready`].
    Readiness,
    /// Whether a restart would not help: [`HealthManager::is_live`]. A drain does not change it.
    Liveness,
    /// Whether the service has initialised itself: [`HealthManager::is_started`]. A drain does not change it.
    Startup,
    /// Whether all of these checks are healthy or degraded, by results that are fresh, while the manager runs, after the service
    /// has initialised itself, and outside of maintenance. Checks that are switched off are left out; if none is left, or one of
    /// them is not registered, it does not serve.
    Checks(Vec<String>),
}

/// The status of a service at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) status: ServingStatus,
    /// When to look again, if no change is reported before.
    pub(crate) until: Duration,
}

/// How soon to look again when the time says something else than the report: somebody is publishing another one at this
/// moment, or the coarse clock is a tick behind the precise one. A new result of the same kind is not reported as a change.
const TICK: Duration = Duration::from_millis(20);

// === impl Serves ===

impl Serves {
    /// One check.
    pub fn check(name: impl Into<String>) -> Self {
        Self::Checks(vec![name.into()])
    }

    /// A set of checks: it serves if all of them do.
    pub fn checks<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self::Checks(names.into_iter().map(Into::into).collect())
    }

    /// Whether a drain ends it.
    pub(crate) fn drains(&self) -> bool {
        matches!(self, Serves::Readiness | Serves::Checks(_))
    }

    pub(crate) fn standing(&self, health: &HealthManager, report: &Report) -> Standing {
        let runs = !matches!(report.phase(), Phase::Created | Phase::Stopped);
        match self {
            Serves::Readiness => Standing::of(health, report, health.is_ready(), report.is_ready()),
            // Of a manager that does not run nothing is fresh, which says nothing about its liveness.
            Serves::Liveness if !runs => Standing::settled(report.is_live()),
            Serves::Liveness => Standing::of(health, report, health.is_live(), report.is_live()),
            Serves::Startup => Standing::settled(health.is_started()),
            Serves::Checks(_) if !report.is_started() || report.maintenance().is_some() => {
                Standing::settled(false)
            }
            Serves::Checks(names) => checks(names.iter().map(String::as_str), health, report),
        }
    }
}

/// The standing of a set of checks.
pub(crate) fn checks<'a>(
    names: impl Iterator<Item = &'a str>,
    health: &HealthManager,
    report: &Report,
) -> Standing {
    if report.phase() != Phase::Running || report.is_stuck() {
        return Standing::settled(false);
    }
    let (mut any, mut stale_at) = (false, Duration::MAX);
    for name in names {
        let Some(check) = report.check(name) else { return Standing::settled(false) };
        if check.is_enabled() {
            if !matches!(check.status, Status::Healthy | Status::Degraded) {
                return Standing::settled(false);
            }
            any = true;
            stale_at = stale_at.min(check.stale_at);
        }
    }
    let fresh = health.clock().coarse() < stale_at;
    Standing::of(health, report, any && fresh, any).no_later_than(health, stale_at)
}

// === impl Standing ===

impl Standing {
    /// Nobody has this name.
    pub(crate) const UNKNOWN: Self = Self { status: ServingStatus::ServiceUnknown, until: Duration::MAX };

    /// Until a change is reported.
    fn settled(serves: bool) -> Self {
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        Self { status, until: Duration::MAX }
    }

    /// What holds now by the time, and what the report says.
    fn of(health: &HealthManager, report: &Report, holds: bool, reported: bool) -> Self {
        let settled = Self::settled(holds);
        if holds != reported {
            return Self { until: health.clock().now().saturating_add(TICK), ..settled };
        }
        if !holds {
            return settled;
        }
        settled.no_later_than(health, report.fresh_until())
    }

    /// Looks again then, or when it is to look again anyhow; in a tick if that has passed.
    fn no_later_than(self, health: &HealthManager, at: Duration) -> Self {
        match self.status {
            ServingStatus::Serving => {
                let tick = health.clock().now().saturating_add(TICK);
                Self { until: self.until.min(at).max(tick), ..self }
            }
            _ => self,
        }
    }
}
