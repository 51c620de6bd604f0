use std::time::Duration;

use mainstay_core::{ConfigError, MAX_DURATION, check_duration};

/// A rule that opens a closed breaker.
///
/// Several rules may stand side by side; any of them trips. Failure rules are judged when a failure is recorded,
/// slow rules when a slow verdict is; a plain success never trips, and ignored calls are in no rule.
///
/// | rule | trips at | window, default | `min_calls`, default |
/// | --- | --- | --- | --- |
/// | [`consecutive_failures(k)`](Trip::consecutive_failures) | the k-th failure in a row | none | none |
/// | [`failure_rate(r)`](Trip::failure_rate) | failures / calls >= r | 30 s | 20, or n for a window of n < 20 calls |
/// | [`slow_rate(r, limit)`](Trip::slow_rate) | slow calls / calls >= r | 30 s | the same |
/// | [`failures(k)`](Trip::failures) | k failures in the window | 30 s | none |
///
/// ```
/// use std::time::Duration;
/// use mainstay_breaker::{Trip, Window};
///
/// let rules = [
///     Trip::consecutive_failures(5).within(Duration::from_secs(60)),
///     Trip::failure_rate(0.5).over(Window::calls(100)).min_calls(20),
///     Trip::slow_rate(0.8, Duration::from_millis(500)),
/// ];
/// # let _ = rules;
/// ```
///
/// A setting that a rule does not have (a window for consecutive failures, `within` for a rate) is refused when the
/// breaker is built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trip {
    pub(crate) kind: Kind,
    pub(crate) over: Option<Window>,
    pub(crate) min_calls: Option<u32>,
    pub(crate) within: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    ConsecutiveFailures(u32),
    FailureRate(f64),
    SlowRate(f64, Duration),
    Failures(u32),
}

/// What a rate is taken over: the last n calls, or the last d of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Window {
    /// The last n verdicts: see [`Window::calls`].
    Calls(u32),
    /// The last d of time: see [`Window::time`].
    Time(#[cfg_attr(feature = "serde", serde(with = "mainstay_core::humane"))] Duration),
}

impl Window {
    /// The largest window of calls.
    pub const MAX_CALLS: u32 = 65_536;
    /// The shortest window of time: 1 ms.
    pub const MIN_TIME: Duration = Duration::from_millis(1);
    /// The longest window of time: 24 h.
    pub const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);
    /// Into how many equal slices a window of time is cut.
    pub const SLICES: u32 = 12;

    /// The last `n` verdicts, from 1 to 65,536. Ignored calls are not among them.
    pub const fn calls(n: u32) -> Self {
        Self::Calls(n)
    }

    /// The last `d` of time, from 1 ms to 24 h. It slides in twelve slices aligned to the clock's zero, of which
    /// the current one is partial: it covers at most `d` and more than eleven twelfths of it, whatever the number
    /// of calls, in a fixed amount of memory.
    pub const fn time(d: Duration) -> Self {
        Self::Time(d)
    }
}

impl Trip {
    /// Trips at the `k`-th failure in a row; `k` is at least 1. A success ends the run; ignored calls do not.
    pub const fn consecutive_failures(k: u32) -> Self {
        Self::of(Kind::ConsecutiveFailures(k))
    }

    /// Trips when the failures among the calls of the window reach `rate`, in (0, 1].
    pub const fn failure_rate(rate: f64) -> Self {
        Self::of(Kind::FailureRate(rate))
    }

    /// Trips when the calls that took at least `limit` reach `rate`, in (0, 1], of the calls of the window. Successes
    /// and failures can be slow, ignored calls cannot.
    pub const fn slow_rate(rate: f64, limit: Duration) -> Self {
        Self::of(Kind::SlowRate(rate, limit))
    }

    /// Trips at the `k`-th failure in the window; `k` is at least 1.
    pub const fn failures(k: u32) -> Self {
        Self::of(Kind::Failures(k))
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, over: None, min_calls: None, within: None }
    }

    /// The window of a rate or of [`failures`](Self::failures). Default: 30 s.
    #[must_use]
    pub const fn over(mut self, window: Window) -> Self {
        self.over = Some(window);
        self
    }

    /// How many verdicts must be in the window before it is judged: at least 1, at most the size of a window of
    /// calls. Default for rates: 20, or n for a window of n < 20 calls.
    #[must_use]
    pub const fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = Some(calls);
        self
    }

    /// Ends a run of consecutive failures when two of them are more than `d` apart. Default: a run never grows old.
    #[must_use]
    pub const fn within(mut self, d: Duration) -> Self {
        self.within = Some(d);
        self
    }

    pub(crate) fn is_consecutive(&self) -> bool {
        matches!(self.kind, Kind::ConsecutiveFailures(_))
    }

    /// The window with its default; none for consecutive failures.
    pub(crate) fn window(&self) -> Option<Window> {
        if self.is_consecutive() {
            None
        } else {
            Some(self.over.unwrap_or(Window::Time(Duration::from_secs(30))))
        }
    }

    /// The minimum with its default.
    pub(crate) fn minimum(&self) -> u32 {
        match (self.min_calls, self.kind, self.window()) {
            (Some(calls), ..) => calls,
            (None, Kind::ConsecutiveFailures(_) | Kind::Failures(_), _) => 0,
            (None, _, Some(Window::Calls(n))) => n.min(20),
            (None, ..) => 20,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self.kind {
            Kind::ConsecutiveFailures(k) => check_count("consecutive_failures", k)?,
            Kind::Failures(k) => check_count("failures", k)?,
            Kind::FailureRate(rate) => check_rate("failure_rate", rate)?,
            Kind::SlowRate(rate, limit) => {
                check_rate("slow_rate", rate)?;
                check_duration("slower_than", limit)?;
            }
        }
        if self.is_consecutive() {
            if let Some(window) = self.over {
                return Err(refuse(
                    "over",
                    window,
                    "consecutive failures have no window; `within` bounds the run",
                ));
            }
            if let Some(calls) = self.min_calls {
                return Err(refuse("min_calls", calls, "consecutive failures have no minimum"));
            }
        } else if let Some(within) = self.within {
            return Err(refuse(
                "within",
                within,
                "only consecutive failures have it; use `over` for the window",
            ));
        }
        if let Some(within) = self.within {
            check_duration("within", within)?;
        }
        if let Some(min_calls) = self.min_calls {
            check_count("min_calls", min_calls)?;
        }
        match self.over {
            Some(Window::Calls(n)) => self.validate_calls(n),
            Some(Window::Time(d)) if !(Window::MIN_TIME..=Window::MAX_TIME).contains(&d) => {
                Err(refuse("over.time", d, "must be from 1ms to 24h"))
            }
            _ => Ok(()),
        }
    }

    fn validate_calls(&self, n: u32) -> Result<(), ConfigError> {
        if n == 0 || n > Window::MAX_CALLS {
            return Err(refuse("over.calls", n, "must be from 1 to 65536"));
        }
        if self.min_calls.is_some_and(|min_calls| min_calls > n) {
            return Err(refuse(
                "min_calls",
                self.minimum(),
                format!("must be at most the window's {n} calls"),
            ));
        }
        match self.kind {
            Kind::Failures(k) if k > n => {
                Err(refuse("failures", k, format!("must be at most the window's {n} calls")))
            }
            _ => Ok(()),
        }
    }
}

fn refuse(field: &str, value: impl std::fmt::Debug, rule: impl Into<String>) -> ConfigError {
    ConfigError::new(field, format_args!("{value:?}"), rule)
}

pub(crate) fn check_count(field: &str, count: u32) -> Result<(), ConfigError> {
    if count == 0 { Err(refuse(field, count, "must be at least 1")) } else { Ok(()) }
}

fn check_rate(field: &str, rate: f64) -> Result<(), ConfigError> {
    // A NaN is in no range.
    if rate > 0.0 && rate <= 1.0 { Ok(()) } else { Err(refuse(field, rate, "must be above 0 and at most 1")) }
}

const _: () = assert!(Window::MAX_TIME.as_nanos() < MAX_DURATION.as_nanos());

#[cfg(feature = "serde")]
mod wire {
    use super::*;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// `{ failure_rate: 0.5, over: { time: 30s }, min_calls: 20 }`: one rule key, and what belongs to it.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Map {
        #[serde(skip_serializing_if = "Option::is_none")]
        consecutive_failures: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure_rate: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        slow_rate: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        failures: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none", with = "mainstay_core::humane::option")]
        slower_than: Option<Duration>,
        #[serde(skip_serializing_if = "Option::is_none")]
        over: Option<Window>,
        #[serde(skip_serializing_if = "Option::is_none")]
        min_calls: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none", with = "mainstay_core::humane::option")]
        within: Option<Duration>,
    }

    impl Serialize for Trip {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map =
                Map { over: self.over, min_calls: self.min_calls, within: self.within, ..Map::default() };
            match self.kind {
                Kind::ConsecutiveFailures(k) => map.consecutive_failures = Some(k),
                Kind::FailureRate(rate) => map.failure_rate = Some(rate),
                Kind::SlowRate(rate, limit) => (map.slow_rate, map.slower_than) = (Some(rate), Some(limit)),
                Kind::Failures(k) => map.failures = Some(k),
            }
            map.serialize(serializer)
        }
    }

    /// A rule as it was written, whatever is wrong with it: only who reads the whole list knows which one it is.
    pub(crate) struct Unchecked(Result<Trip, ConfigError>);

    impl Unchecked {
        pub(crate) fn check(self) -> Result<Trip, ConfigError> {
            let trip = self.0?;
            trip.validate()?;
            Ok(trip)
        }
    }

    impl<'de> Deserialize<'de> for Unchecked {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let map = Map::deserialize(deserializer)?;
            let kind = match (
                map.consecutive_failures,
                map.failure_rate,
                map.slow_rate,
                map.failures,
                map.slower_than,
            ) {
                (Some(k), None, None, None, None) => Kind::ConsecutiveFailures(k),
                (None, Some(rate), None, None, None) => Kind::FailureRate(rate),
                (None, None, Some(rate), None, Some(limit)) => Kind::SlowRate(rate, limit),
                (None, None, None, Some(k), None) => Kind::Failures(k),
                _ => {
                    return Ok(Self(Err(ConfigError::new(
                        "rule",
                        "these keys together",
                        "a rule has one of `consecutive_failures`, `failure_rate`, `slow_rate` with `slower_than`, \
                         `failures`",
                    ))));
                }
            };
            Ok(Self(Ok(Trip { kind, over: map.over, min_calls: map.min_calls, within: map.within })))
        }
    }

    impl<'de> Deserialize<'de> for Trip {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let checked = Unchecked::deserialize(deserializer)?.check();
            checked.map_err(|error| serde::de::Error::custom(error.within("trip")))
        }
    }
}

#[cfg(feature = "serde")]
pub(crate) use wire::Unchecked;
