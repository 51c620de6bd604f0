use std::time::Duration;

use mainstay_core::{ConfigError, Name, check_duration};

use crate::probe::{Kind, Probe};
use crate::{FleetGuard, Rule, Scope};

/// Everything about a check that can change while it runs: the plain data behind [`Check`](crate::Check)'s methods.
///
/// # How long it takes to see an outage
///
/// An outage that begins right after a run began is met by the next one, at most an interval and its jitter later. That
/// run and the ones that confirm it take at most a time-out each, with the confirmation's wait between them:
///
/// `interval × (1 + jitter) + failure_threshold × timeout + (failure_threshold − 1) × confirmation`
///
/// With the defaults: 10 s × 1.1 + 3 × 2 s + 2 × 2 s = 21 s. [`worst_detection`](Self::worst_detection) computes it, and
/// [`worst_recovery`](Self::worst_recovery) the same for the end of an outage.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CheckSettings {
    /// Whether its failure fails a probe, as the table at [`Scope`] has it, or only degrades. Default: false.
    pub critical: bool,
    /// From the start of one run to the start of the next: 1 ms to 365 days. Default: 10 s.
    pub interval: Duration,
    /// By which share of itself each wait is shortened or lengthened, so that replicas do not ask all at once: 0 to 0.5.
    /// Default: 0.1.
    pub jitter: f64,
    /// After which time a run is dropped and is a failure. More than zero, less than the interval. Default: 2 s, or half of
    /// the interval if that is less.
    pub timeout: Option<Duration>,
    /// How many results in a row make it worse: 1 to 1000. The first result counts at once. Default: 3; 1 for checks that watch
    /// a source, a hand or a heartbeat.
    pub failure_threshold: Option<u32>,
    /// How many results in a row make it better: 1 to 1000. Default: 2; 1 for checks that watch a source, a hand or a
    /// heartbeat.
    pub success_threshold: Option<u32>,
    /// From the end of a run to the start of the next while results disagree with the status: more than zero, at most the
    /// interval. Default: 2 s, or the interval if that is less.
    pub confirmation: Option<Duration>,
    /// How long it must have been unhealthy until it is asked less often. Default: 5 min.
    pub back_off_after: Duration,
    /// The longest wait between two runs while it is unhealthy for long: then a wait is a tenth of the time it has been so, at
    /// least the interval and at most this. Default: 60 s, or the interval if that is more.
    pub back_off_to: Duration,
    /// When a result that passed is degraded all the same. At most 8. Default: those of the [`Probe`](crate::Probe), which
    /// only ready-made ones have.
    pub rules: Vec<Rule>,
    /// Checks without which this one makes no sense: while one of them is unhealthy this one is blocked, and not run. At
    /// most 8. Default: none.
    pub depends_on: Vec<Name>,
    /// Of a critical check of our insides: whether its failure fails liveness, so that the process is restarted.
    /// Default: false.
    pub restart_on_failure: bool,
    /// Of a critical shared check: how long readiness waits for its first success. After that the check only degrades, so
    /// that a replica that restarts during an outage becomes ready. Default: without end.
    pub first_success_within: Option<Duration>,
    /// Of a critical shared check: lets its failure fail readiness after all, for a share of the replicas at a time.
    /// Default: none.
    pub fleet_guard: Option<FleetGuard>,
    /// Whether it is run at all. Default: true.
    pub enabled: bool,
    pub(crate) defaults: Defaults,
}

/// The default thresholds of a kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Defaults {
    pub(crate) failure_threshold: u32,
    pub(crate) success_threshold: u32,
}

impl Defaults {
    pub(crate) fn of(probe: &Probe) -> Self {
        match probe.0 {
            Kind::Watched(_) => Self::WATCHED,
            Kind::Async(_) | Kind::Blocking(_) => Self::ASKED,
        }
    }

    /// For what is asked.
    pub(crate) const ASKED: Self = Self { failure_threshold: 3, success_threshold: 2 };
    /// For what is watched: its source has thresholds of its own.
    pub(crate) const WATCHED: Self = Self { failure_threshold: 1, success_threshold: 1 };
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self {
            critical: false,
            interval: Duration::from_secs(10),
            jitter: 0.1,
            timeout: None,
            failure_threshold: None,
            success_threshold: None,
            confirmation: None,
            back_off_after: Duration::from_secs(5 * 60),
            back_off_to: Duration::from_secs(60),
            rules: Vec::new(),
            depends_on: Vec::new(),
            restart_on_failure: false,
            first_success_within: None,
            fleet_guard: None,
            enabled: true,
            defaults: Defaults::ASKED,
        }
    }
}

impl CheckSettings {
    /// The highest threshold.
    pub const MAX_THRESHOLD: u32 = 1000;
    /// The largest jitter.
    pub const MAX_JITTER: f64 = 0.5;
    /// The most rules, and the most checks to depend on.
    pub const MAX_RULES: usize = 8;

    /// The time-out in force.
    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or_else(|| Duration::from_secs(2).min(self.interval / 2))
    }

    /// The wait of a confirmation in force.
    pub fn confirmation(&self) -> Duration {
        self.confirmation.unwrap_or(Duration::from_secs(2)).min(self.interval)
    }

    /// How many results in a row make it worse.
    pub fn failure_threshold(&self) -> u32 {
        self.failure_threshold.unwrap_or(self.defaults.failure_threshold)
    }

    /// How many results in a row make it better.
    pub fn success_threshold(&self) -> u32 {
        self.success_threshold.unwrap_or(self.defaults.success_threshold)
    }

    /// The longest time from the beginning of an outage until the check is unhealthy: see [the formula](CheckSettings).
    pub fn worst_detection(&self) -> Duration {
        self.worst(self.interval, self.failure_threshold())
    }

    /// The longest time from the end of an outage of `outage` until the check is healthy: the same formula with the success
    /// threshold, and with the wait that back-off has reached.
    pub fn worst_recovery(&self, outage: Duration) -> Duration {
        // The last run that failed may have ended a time-out after the outage did, and begun the wait then.
        self.worst(self.wait_while_down(outage.saturating_add(self.timeout())), self.success_threshold())
    }

    fn worst(&self, wait: Duration, threshold: u32) -> Duration {
        let runs = self.timeout().saturating_mul(threshold);
        let confirmations = self.confirmation().saturating_mul(threshold.saturating_sub(1));
        // Settings that nobody has checked yet may be anything.
        let wait =
            Duration::try_from_secs_f64(wait.as_secs_f64() * (1.0 + self.jitter)).unwrap_or(Duration::MAX);
        wait.saturating_add(runs).saturating_add(confirmations)
    }

    /// The wait from one run to the next of a check that has been unhealthy for some time.
    pub(crate) fn wait_while_down(&self, down: Duration) -> Duration {
        if down < self.back_off_after {
            return self.interval;
        }
        (down / 10).min(self.back_off_to).max(self.interval)
    }

    /// Checks every limit that is documented on the fields.
    ///
    /// # Errors
    ///
    /// The first field that breaks a rule.
    pub(crate) fn validate(&self, scope: Scope) -> Result<(), ConfigError> {
        check_duration("interval", self.interval)?;
        if self.interval < Duration::from_millis(1) {
            return Err(ConfigError::new(
                "interval",
                format_args!("{:?}", self.interval),
                "must be at least 1ms",
            ));
        }
        if !(0.0..=Self::MAX_JITTER).contains(&self.jitter) {
            return Err(ConfigError::new("jitter", self.jitter, "must be from 0 to 0.5"));
        }
        let timeout = self.timeout();
        check_duration("timeout", timeout)?;
        if timeout >= self.interval {
            let rule = format!("must be less than the interval, {:?}", self.interval);
            return Err(ConfigError::new("timeout", format_args!("{timeout:?}"), rule));
        }
        check_threshold("failure_threshold", self.failure_threshold())?;
        check_threshold("success_threshold", self.success_threshold())?;
        if let Some(confirmation) = self.confirmation {
            check_duration("confirmation", confirmation)?;
            if confirmation > self.interval {
                let rule = format!("must be at most the interval, {:?}", self.interval);
                return Err(ConfigError::new("confirmation", format_args!("{confirmation:?}"), rule));
            }
        }
        check_duration("back_off_after", self.back_off_after)?;
        check_duration("back_off_to", self.back_off_to)?;
        check_len("rules", self.rules.len())?;
        for (index, rule) in self.rules.iter().enumerate() {
            rule.validate().map_err(|error| error.within(&format!("rules[{index}]")))?;
        }
        check_len("depends_on", self.depends_on.len())?;
        if self.restart_on_failure {
            only("restart_on_failure", "true", scope == Scope::Internal, "is for internal checks only")?;
            only("restart_on_failure", "true", self.critical, "needs a critical check")?;
        }
        if let Some(within) = self.first_success_within {
            check_duration("first_success_within", within)?;
            let value = format!("{within:?}");
            only("first_success_within", &value, scope == Scope::Shared, "is for shared checks only")?;
            only("first_success_within", &value, self.critical, "needs a critical check")?;
        }
        if let Some(guard) = self.fleet_guard {
            guard.validate().map_err(|error| error.within("fleet_guard"))?;
            let value = format!("{guard:?}");
            only("fleet_guard", &value, scope == Scope::Shared, "is for shared checks only")?;
            only("fleet_guard", &value, self.critical, "needs a critical check")?;
        }
        Ok(())
    }
}

fn check_threshold(field: &str, value: u32) -> Result<(), ConfigError> {
    only(field, value, (1..=CheckSettings::MAX_THRESHOLD).contains(&value), "must be from 1 to 1000")
}

fn check_len(field: &str, len: usize) -> Result<(), ConfigError> {
    only(field, format_args!("{len} entries"), len <= CheckSettings::MAX_RULES, "must have at most 8 entries")
}

fn only(field: &str, value: impl std::fmt::Display, holds: bool, rule: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::new(field, value, rule)) }
}
