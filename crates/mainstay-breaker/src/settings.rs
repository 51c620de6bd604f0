use std::time::Duration;

use mainstay_core::{ConfigError, OpenFor, check_duration};

use crate::trip::{Trip, check_count};

/// Everything about a breaker that can change while it runs: the plain data behind [`BreakerBuilder`].
///
/// The builder's methods are on it too. With the feature `serde` it is read and written as
///
/// ```json
/// {
///   "trip": [{ "consecutive_failures": 5, "within": "1m" }, { "failure_rate": 0.5, "over": { "time": "30s" } }],
///   "open_for": { "first": "5s", "cap": "1m", "jitter": 0.1 },
///   "half_open": { "max_in_flight": 3, "close_after": 2, "reopen_after": 1, "probe_timeout": "10s" },
///   "ramp": "30s",
///   "timeout": "2s",
///   "retry_after_cap": "5m",
///   "count_dropped_as_failure": false
/// }
/// ```
///
/// where every key may be left out, unknown keys are errors, and what a builder would refuse is refused.
///
/// [`BreakerBuilder`]: crate::BreakerBuilder
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Settings {
    /// When closed becomes open; any rule trips. At most 8 rules, at most one of them consecutive. Default (`None`):
    /// 5 failures in a row, or 50 % of at least 20 calls in 30 s.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub trip: Option<Vec<Trip>>,
    /// How long open lasts. Default: 10 s, doubling with every reopening to 60 s, jitter 0.1.
    pub open_for: OpenFor,
    /// How half-open probes. See [`HalfOpen`].
    pub half_open: HalfOpen,
    /// After the probes succeeded, let traffic in over this time, from 5 % to all of it, instead of at once.
    /// Default: none.
    #[cfg_attr(
        feature = "serde",
        serde(with = "mainstay_core::humane::option", skip_serializing_if = "Option::is_none")
    )]
    pub ramp: Option<Duration>,
    /// Drop a call that has not answered after this time, and count a failure. For `run`, `run_with` and the tower
    /// layer; a blocking `call` cannot be cut off. Default: none.
    #[cfg_attr(
        feature = "serde",
        serde(with = "mainstay_core::humane::option", skip_serializing_if = "Option::is_none")
    )]
    pub timeout: Option<Duration>,
    /// The longest open time that a retry-after can ask for. Default: 5 min.
    #[cfg_attr(feature = "serde", serde(with = "mainstay_core::humane"))]
    pub retry_after_cap: Duration,
    /// Whether a permit that is dropped without a verdict is a failure instead of ignored. Default: false.
    pub count_dropped_as_failure: bool,
}

/// How a breaker probes whether the dependency has recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct HalfOpen {
    /// How many probes may be under way at once: 1 to 1024. Default: 3.
    pub max_in_flight: u32,
    /// How many successes of this stay close it: at least 1. Default: 2.
    pub close_after: u32,
    /// How many failures of this stay open it again: at least 1. Default: 1.
    pub reopen_after: u32,
    /// After how long a probe without an answer counts as a failure and gives its slot back. Default: 10 s.
    #[cfg_attr(feature = "serde", serde(with = "mainstay_core::humane"))]
    pub probe_timeout: Duration,
}

impl HalfOpen {
    /// The most probes that may be under way at once.
    pub const MAX_IN_FLIGHT: u32 = 1024;
}

impl Default for HalfOpen {
    fn default() -> Self {
        Self { max_in_flight: 3, close_after: 2, reopen_after: 1, probe_timeout: Duration::from_secs(10) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trip: None,
            open_for: OpenFor::exponential(Duration::from_secs(10), Duration::from_secs(60)).jitter(0.1),
            half_open: HalfOpen::default(),
            ramp: None,
            timeout: None,
            retry_after_cap: Duration::from_secs(5 * 60),
            count_dropped_as_failure: false,
        }
    }
}

impl Settings {
    /// The most trip rules.
    pub const MAX_RULES: usize = 8;

    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a trip rule; the first one replaces the default rules.
    #[must_use]
    pub fn trip(mut self, rule: Trip) -> Self {
        self.trip.get_or_insert_default().push(rule);
        self
    }

    /// How long open lasts.
    #[must_use]
    pub fn open_for(mut self, open_for: OpenFor) -> Self {
        self.open_for = open_for;
        self
    }

    /// How half-open probes.
    #[must_use]
    pub fn half_open(mut self, half_open: HalfOpen) -> Self {
        self.half_open = half_open;
        self
    }

    /// Let traffic in over this time after the probes succeeded.
    #[must_use]
    pub fn ramp(mut self, ramp: Duration) -> Self {
        self.ramp = Some(ramp);
        self
    }

    /// Drop an async call after this time and count a failure.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The longest open time that a retry-after can ask for.
    #[must_use]
    pub fn retry_after_cap(mut self, cap: Duration) -> Self {
        self.retry_after_cap = cap;
        self
    }

    /// Whether a permit that is dropped without a verdict is a failure.
    #[must_use]
    pub fn count_dropped_as_failure(mut self, failure: bool) -> Self {
        self.count_dropped_as_failure = failure;
        self
    }

    /// The rules in force: those given, or the default ones.
    pub fn rules(&self) -> Vec<Trip> {
        match &self.trip {
            Some(rules) => rules.clone(),
            None => vec![Trip::consecutive_failures(5), Trip::failure_rate(0.5)],
        }
    }

    /// Checks every limit that is documented on the fields and on [`Trip`].
    ///
    /// # Errors
    ///
    /// The first field that breaks a rule, as a path such as `trip[1].min_calls`.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if let Some(rules) = &self.trip {
            if rules.is_empty() || rules.len() > Self::MAX_RULES {
                let rule = "must be 1 to 8 rules, or left out for the default ones";
                return Err(ConfigError::new("trip", format_args!("{} rules", rules.len()), rule));
            }
            if rules.iter().filter(|rule| rule.is_consecutive()).count() > 1 {
                let rule = "must have at most one rule of consecutive failures";
                return Err(ConfigError::new("trip", format_args!("{} rules", rules.len()), rule));
            }
            for (index, rule) in rules.iter().enumerate() {
                rule.validate().map_err(|error| error.within(&format!("trip[{index}]")))?;
            }
        }
        self.open_for.validate().map_err(|error| error.within("open_for"))?;
        self.half_open.validate().map_err(|error| error.within("half_open"))?;
        if let Some(ramp) = self.ramp {
            check_duration("ramp", ramp)?;
        }
        if let Some(timeout) = self.timeout {
            check_duration("timeout", timeout)?;
        }
        check_duration("retry_after_cap", self.retry_after_cap)
    }
}

impl HalfOpen {
    fn validate(&self) -> Result<(), ConfigError> {
        if self.max_in_flight == 0 || self.max_in_flight > Self::MAX_IN_FLIGHT {
            return Err(ConfigError::new("max_in_flight", self.max_in_flight, "must be from 1 to 1024"));
        }
        check_count("close_after", self.close_after)?;
        check_count("reopen_after", self.reopen_after)?;
        check_duration("probe_timeout", self.probe_timeout)
    }
}

#[cfg(feature = "serde")]
mod wire {
    use super::*;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer};

    #[derive(Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Unchecked {
        trip: Option<Vec<crate::trip::Unchecked>>,
        open_for: OpenFor,
        half_open: HalfOpen,
        #[serde(with = "mainstay_core::humane::option")]
        ramp: Option<Duration>,
        #[serde(with = "mainstay_core::humane::option")]
        timeout: Option<Duration>,
        #[serde(with = "mainstay_core::humane")]
        retry_after_cap: Duration,
        count_dropped_as_failure: bool,
    }

    impl Default for Unchecked {
        fn default() -> Self {
            let Settings {
                open_for,
                half_open,
                ramp,
                timeout,
                retry_after_cap,
                count_dropped_as_failure,
                ..
            } = Settings::default();
            Self { trip: None, open_for, half_open, ramp, timeout, retry_after_cap, count_dropped_as_failure }
        }
    }

    impl<'de> Deserialize<'de> for Settings {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let Unchecked {
                trip,
                open_for,
                half_open,
                ramp,
                timeout,
                retry_after_cap,
                count_dropped_as_failure,
            } = Unchecked::deserialize(deserializer)?;
            let rule = |(index, rule): (usize, crate::trip::Unchecked)| {
                rule.check().map_err(|error| D::Error::custom(error.within(&format!("trip[{index}]"))))
            };
            let trip = trip.map(|rules| rules.into_iter().enumerate().map(rule).collect()).transpose()?;
            let settings = Settings {
                trip,
                open_for,
                half_open,
                ramp,
                timeout,
                retry_after_cap,
                count_dropped_as_failure,
            };
            settings.validate().map_err(D::Error::custom)?;
            Ok(settings)
        }
    }
}
