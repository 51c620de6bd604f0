use std::collections::BTreeSet;
use std::time::Duration;

use super::endpoint::Aspect;
use crate::{CheckReport, Effect, Phase, Report, Status};

/// A report as it is to be understood at one moment, without the checks that the asker excludes. Everything that one answer
/// says comes from here, so that its status, its words and its numbers agree.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) report: &'a Report,
    pub(crate) excluded: &'a BTreeSet<String>,
    now: Duration,
    /// Something that readiness rests on is too old, or the manager itself has not been heard of for too long.
    stale: bool,
}

/// How many obstacles are told in a line.
const MOST: usize = 16;

impl<'a> View<'a> {
    pub(crate) fn new(report: &'a Report, now: Duration, excluded: &'a BTreeSet<String>) -> Self {
        Self { report, excluded, now, stale: now >= report.fresh_until }
    }

    /// Whether every asker gets to see the same for as long as the report is the latest.
    pub(crate) fn is_lasting(&self) -> bool {
        self.excluded.is_empty() && !self.stale && self.now < self.report.live_until()
    }

    /// Whether the asker leaves a check out: by its name, or by that of the check which alone keeps it from being run.
    pub(crate) fn excludes(&self, check: &CheckReport) -> bool {
        let named = |name: &str| self.excluded.contains(name);
        named(check.name.as_str()) || check.blocked_by.is_some_and(|blocker| named(blocker.as_str()))
    }

    pub(crate) fn checks(&self) -> impl Iterator<Item = &'a CheckReport> {
        let view = *self;
        self.report.checks().filter(move |check| !view.excludes(check))
    }

    pub(crate) fn passes(&self, aspect: Aspect) -> bool {
        match aspect {
            Aspect::Live => self.is_live(),
            Aspect::Ready => self.is_ready(),
            Aspect::Started => self.is_started(),
            Aspect::Overall => matches!(self.status(), Status::Healthy | Status::Degraded),
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        if self.excluded.is_empty() {
            return self.report.is_live_at(self.now);
        }
        self.none_fails(Aspect::Live)
    }

    pub(crate) fn is_ready(&self) -> bool {
        if self.excluded.is_empty() {
            return self.report.ready && !self.stale;
        }
        let report = self.report;
        let serves =
            report.phase == Phase::Running && report.maintenance.is_none() && !report.stuck && !self.stale;
        serves && self.is_started() && self.none_fails(Aspect::Ready)
    }

    pub(crate) fn is_started(&self) -> bool {
        let report = self.report;
        report.started
            || report.phase.runs() && report.closed_latches.is_empty() && self.none_fails(Aspect::Started)
    }

    /// Of the whole.
    pub(crate) fn status(&self) -> Status {
        if self.stale || self.report.stuck {
            return Status::Unhealthy;
        }
        if self.excluded.is_empty() || !self.report.phase.runs() {
            return self.report.status;
        }
        let severities = self.checks().filter_map(|check| check.overall.severity());
        severities.max().map_or(Status::Healthy, Status::from)
    }

    fn none_fails(&self, aspect: Aspect) -> bool {
        !self.checks().any(|check| self.fails(check, aspect))
    }

    /// Whether one check fails a probe.
    pub(crate) fn fails(&self, check: &CheckReport, aspect: Aspect) -> bool {
        let old = check.enabled && self.now >= check.stale_at;
        match aspect {
            // Who does not run any checks cannot be dead by them.
            Aspect::Live => {
                self.report.phase.runs() && (check.fails_liveness || old && check.watched_for_life)
            }
            Aspect::Ready => {
                check.readiness == Effect::Fails || old && check.gates || self.fails(check, Aspect::Started)
            }
            Aspect::Started => check.starting && !self.report.started,
            Aspect::Overall => check.overall == Status::Unhealthy || old && check.gates,
        }
    }

    /// What of the manager itself, as opposed to checks, makes a probe fail.
    pub(crate) fn service_obstacles(&self, aspect: Aspect) -> Vec<String> {
        let report = self.report;
        let (started, runs) = (self.is_started(), report.phase.runs());
        let phase = match aspect {
            Aspect::Live => false,
            Aspect::Ready => report.phase != Phase::Running,
            Aspect::Started => !started && !runs,
            Aspect::Overall => !runs,
        };
        let ages = matches!(aspect, Aspect::Ready | Aspect::Overall);
        let mut obstacles = Vec::new();
        if phase {
            obstacles.push(report.phase.as_str().to_owned());
        }
        if aspect == Aspect::Ready && report.maintenance.is_some() {
            obstacles.push("maintenance".to_owned());
        }
        if ages && report.stuck {
            obstacles.push("stuck".to_owned());
        }
        if ages && runs && self.stale {
            obstacles.push("stale".to_owned());
        }
        if matches!(aspect, Aspect::Ready | Aspect::Started) && !started {
            obstacles.extend(report.closed_latches.iter().map(|latch| format!("latch {latch}")));
        }
        obstacles
    }

    /// How the probe went, in one line that may be shown to anybody: `ok`, or what is the matter.
    pub(crate) fn line(&self, aspect: Aspect) -> String {
        let status = self.status();
        let degraded = aspect == Aspect::Overall && status == Status::Degraded;
        let failure = match aspect {
            Aspect::Live => "not live",
            Aspect::Ready => "not ready",
            Aspect::Started => "not started",
            Aspect::Overall => status.as_str(),
        };
        if self.passes(aspect) && !degraded {
            return "ok".to_owned();
        }
        let service = self.service_obstacles(aspect);
        let matters = |check: &&CheckReport| match degraded {
            true => check.overall == Status::Degraded,
            false => self.fails(check, aspect),
        };
        let mut checks = self.checks().filter(matters);
        let named = checks.by_ref().take(MOST).map(|check| format!("check {}", check.name));
        let mut obstacles: Vec<String> = service.into_iter().chain(named).collect();
        match checks.count() {
            0 => {}
            more => obstacles.push(format!("{more} more")),
        }
        format!("{failure}: {}", obstacles.join(", "))
    }
}
