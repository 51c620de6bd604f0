use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock, Name};

use crate::fleet::{Absence, unit};
use crate::flip::Flips;
use crate::gate::{Facts, Gate};
use crate::report::{CheckReport, RunReport};
use crate::{CheckSettings, Reason, Scope, Status};

/// Everything that is remembered of one check: plain data, and pure functions of it and of time.
#[derive(Clone, Debug)]
pub(crate) struct History {
    flips: Flips,
    /// Which rules are in force.
    rules: Vec<bool>,
    status: Status,
    reason: Reason,
    since: Duration,
    last: Option<RunReport>,
    succeeded: bool,
    /// Since when it is asked, which is what the patience of startup counts from.
    began: Duration,
    /// When something was learned last, or when the wait for the first result began.
    known_at: Duration,
    stale_at: Duration,
    blocked_by: Option<Name>,
    hung_since: Option<Duration>,
    /// Since when it is unhealthy, by itself or blocked.
    outage: Option<Duration>,
    runs: u64,
    failures: u64,
    /// When its last run began, and when the next one shall.
    ran_at: Duration,
    pub(crate) next_at: Duration,
    /// Mixed with the manager's seed, so that no two checks walk in step.
    seed: u64,
}

/// After how many intervals, and a time-out, a result is too old.
const STALE_INTERVALS: u32 = 3;

impl History {
    pub(crate) fn new(now: Duration, settings: &CheckSettings, seed: u64) -> Self {
        let mut history = Self {
            flips: Flips::default(),
            rules: Vec::new(),
            status: Status::Unknown,
            reason: Reason::NotYet,
            since: now,
            last: None,
            succeeded: false,
            began: now,
            known_at: now,
            stale_at: Duration::MAX,
            blocked_by: None,
            hung_since: None,
            outage: None,
            runs: 0,
            failures: 0,
            ran_at: now,
            next_at: now,
            seed,
        };
        history.begin(now, settings);
        history
    }

    /// It is asked from now on, or again after a stop: the first run is due at once.
    pub(crate) fn begin(&mut self, now: Duration, settings: &CheckSettings) {
        self.next_at = now;
        if !settings.enabled {
            self.shows(Status::Unknown, Reason::Disabled, now);
            self.forget();
            self.outage = None;
            self.last = None;
            self.stale_at = Duration::MAX;
            return;
        }
        if self.reason == Reason::Disabled {
            self.shows(Status::Unknown, Reason::NotYet, now);
        }
        if !self.succeeded {
            self.began = now;
        }
        if self.reason == Reason::NotYet {
            self.learns(now, settings.interval, settings);
        }
    }

    /// New settings: what is known stays, the schedule is the new one at once.
    pub(crate) fn reconfigured(&mut self, now: Duration, old: &CheckSettings, new: &CheckSettings) {
        if old.enabled != new.enabled {
            self.begin(now, new);
            return;
        }
        self.next_at = self.next_at.min(self.ran_at.saturating_add(new.interval)).max(now);
        if self.stale_at != Duration::MAX {
            self.learns(self.known_at, new.wait_while_down(self.down_for(now)), new);
        }
        if old.rules != new.rules {
            self.rules.clear();
        }
    }

    /// A run begins.
    pub(crate) fn run_begins(&mut self, now: Duration) {
        self.ran_at = now;
    }

    /// A run has ended.
    pub(crate) fn record(&mut self, mut run: RunReport, settings: &CheckSettings) {
        let now = run.at;
        self.runs += 1;
        // What was known before it was blocked is as old as the outage.
        let freed = self.blocked_by.is_some();
        if freed {
            self.forget();
        }
        self.judge(&mut run, settings);
        self.failures += u64::from(run.status == Status::Unhealthy);
        let Some(result) = run.status.severity() else {
            // Nothing was learned: what was known stands until it is too old.
            if freed {
                self.shows(Status::Unknown, Reason::NotYet, now);
                self.learns(now, settings.interval, settings);
            }
            self.next_at = self.turn(now, settings.interval, settings);
            let stale = run.reason == Reason::Stale;
            self.last = Some(run);
            if stale {
                self.goes_stale(now);
            }
            return;
        };
        self.succeeded |= result != crate::status::Severity::Unhealthy;
        let gap = self.reason == Reason::Stale;
        self.flips.record(result, settings.failure_threshold(), settings.success_threshold(), gap);
        let status = self.flips.status().map_or(Status::Unknown, Status::from);
        // The reason of a status is that of the latest result that has it.
        let reason = if run.status == status || status != self.status { run.reason } else { self.reason };
        self.shows(status, reason, now);

        let wait = settings.wait_while_down(self.down_for(now));
        self.next_at = self.turn(now, wait, settings);
        if self.flips.pending().is_some() {
            self.next_at = self.next_at.min(now.saturating_add(settings.confirmation()));
        }
        self.learns(now, wait, settings);
        self.last = Some(run);
    }

    /// Applies the rules to a result that passed.
    fn judge(&mut self, run: &mut RunReport, settings: &CheckSettings) {
        self.rules.resize(settings.rules.len(), false);
        if !matches!(run.status, Status::Healthy | Status::Degraded) {
            return;
        }
        for (rule, holds) in settings.rules.iter().zip(&mut self.rules) {
            *holds = rule.holds(*holds, run.latency, &run.details);
            if *holds && rule.makes().severity() > run.status.severity() {
                run.status = rule.makes();
                run.reason = if rule.is_latency() { Reason::Slow } else { Reason::Rule };
            }
        }
    }

    /// A check that it depends on is unhealthy.
    pub(crate) fn blocked(&mut self, now: Duration, by: Name, settings: &CheckSettings) {
        let another = self.blocked_by.replace(by).is_some();
        if another && now < self.next_at {
            return;
        }
        self.shows(Status::Unhealthy, Reason::Blocked, now);
        // A turn that is left out is a turn.
        self.ran_at = now;
        self.next_at = self.turn(now, settings.interval, settings);
        self.learns(now, settings.interval, settings);
    }

    /// Nothing that it depends on is unhealthy any more. It stays blocked until it has answered, and is asked at once.
    pub(crate) fn unblocked(&mut self, now: Duration) {
        self.next_at = now;
    }

    pub(crate) fn blocked_by(&self) -> Option<Name> {
        self.blocked_by
    }

    /// Since when it is unhealthy, by itself or blocked, after its first success.
    pub(crate) fn outage(&self) -> Option<Duration> {
        self.outage.filter(|_| self.succeeded)
    }

    fn down_for(&self, now: Duration) -> Duration {
        if self.status == Status::Unhealthy { now.saturating_sub(self.since) } else { Duration::ZERO }
    }

    fn learns(&mut self, at: Duration, wait: Duration, settings: &CheckSettings) {
        self.known_at = at;
        self.stale_at = stale_at(at, wait, settings);
    }

    /// Who blocks what depends on this one: itself, or who blocks it.
    pub(crate) fn blocks(&self, name: Name) -> Option<Name> {
        if self.status == Status::Unhealthy { Some(self.blocked_by.unwrap_or(name)) } else { None }
    }

    pub(crate) fn hangs(&mut self, since: Option<Duration>) {
        self.hung_since = since;
    }

    /// Takes notice of a result that is too old.
    pub(crate) fn sweep(&mut self, now: Duration) -> bool {
        let stale = now >= self.stale_at;
        if stale {
            self.goes_stale(now);
        }
        stale
    }

    /// What was good becomes unknown; what was bad stays bad, for nothing says that it is better.
    fn goes_stale(&mut self, now: Duration) {
        self.stale_at = Duration::MAX;
        match self.status {
            Status::Unhealthy => self.reason = Reason::Stale,
            _ => self.shows(Status::Unknown, Reason::Stale, now),
        }
    }

    fn shows(&mut self, status: Status, reason: Reason, now: Duration) {
        self.reason = reason;
        if status != self.status {
            self.status = status;
            self.since = now;
        }
        match status {
            Status::Unhealthy if self.outage.is_none() => self.outage = Some(now),
            Status::Healthy | Status::Degraded => self.outage = None,
            _ => {}
        }
    }

    fn forget(&mut self) {
        self.flips = Flips::default();
        self.rules.clear();
        self.blocked_by = None;
    }

    /// The next turn after a run, or after one that was left out.
    fn turn(&self, now: Duration, wait: Duration, settings: &CheckSettings) -> Duration {
        let lean = 2.0 * unit(self.seed.wrapping_add(self.runs)) - 1.0;
        let wait = wait.mul_f64(1.0 + settings.jitter * lean);
        let turn = self.ran_at.saturating_add(wait);
        if wait < LONG_WAIT { turn.max(now) } else { on_the_tick(turn).max(now) }
    }

    fn gate(&self, now: Duration, scope: Scope, settings: &CheckSettings, absence: Option<Absence>) -> Gate {
        if !settings.enabled {
            return Gate::OPEN;
        }
        let facts = Facts {
            scope,
            status: self.status,
            succeeded: self.succeeded,
            stale: self.reason == Reason::Stale,
            began: self.began,
            absence: absence.filter(|_| settings.fleet_guard.is_some() && self.outage().is_some()),
        };
        Gate::at(now, &facts, settings)
    }

    /// What others see of it.
    pub(crate) fn report(
        &self,
        clock: &Clock,
        now: Duration,
        name: Name,
        scope: Scope,
        settings: &CheckSettings,
        absence: Option<Absence>,
    ) -> Arc<CheckReport> {
        let gate = self.gate(now, scope, settings, absence);
        let report = CheckReport {
            name,
            scope,
            critical: settings.critical,
            status: self.status,
            reason: self.reason,
            since: self.since,
            since_wall: clock.wall(self.since),
            readiness: gate.readiness,
            fails_liveness: gate.fails_liveness,
            starting: gate.starting,
            last: self.last.clone(),
            pending: self.flips.pending().map(Status::from),
            streak: self.flips.streak(),
            blocked_by: self.blocked_by,
            hung_since: self.hung_since,
            runs: self.runs,
            failures: self.failures,
            stale_at: self.stale_at,
            changes_at: gate.next_change.unwrap_or(Duration::MAX).min(self.stale_at),
            overall: gate.overall,
            gates: gate.gates,
            enabled: settings.enabled,
            watched_for_life: settings.restart_on_failure,
        };
        Arc::new(report)
    }
}

/// Of this wait, a tick of 10 ms is a hundredth.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// Turns that are some time away come on a tick of 10 ms, so that of many checks several are woken at once. They come early, so
/// that no promise of the settings is broken.
fn on_the_tick(turn: Duration) -> Duration {
    const TICK: u32 = 10_000_000;
    turn.saturating_sub(Duration::from_nanos((turn.subsec_nanos() % TICK).into()))
}

fn stale_at(from: Duration, interval: Duration, settings: &CheckSettings) -> Duration {
    from.saturating_add(interval.saturating_mul(STALE_INTERVALS)).saturating_add(settings.timeout())
}
