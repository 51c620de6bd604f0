//! The settings of one breaker as plain data: what the model reads, and what the real settings are built from.

use std::time::Duration;

use mainstay_breaker::{HalfOpen, OpenFor, Settings, Trip, Window};

/// Everything that can be set on a breaker and that changes what it decides.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rules: Vec<Rule>,
    pub(crate) open: OpenTime,
    pub(crate) max_in_flight: u32,
    pub(crate) close_after: u32,
    pub(crate) reopen_after: u32,
    pub(crate) probe_timeout: Duration,
    pub(crate) ramp: Option<Duration>,
    pub(crate) retry_after_cap: Duration,
    pub(crate) dropped_is_failure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    Consecutive { limit: u32, within: Option<Duration> },
    FailureRate { threshold: f64, over: Option<Span>, min_calls: Option<u32> },
    SlowRate { threshold: f64, slower_than: Duration, over: Option<Span>, min_calls: Option<u32> },
    Failures { limit: u32, over: Option<Span>, min_calls: Option<u32> },
}

/// What a rule looks back over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Span {
    Calls(u32),
    Time(Duration),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum OpenTime {
    Fixed(Duration),
    Growing { first: Duration, cap: Duration, factor: f64 },
    Jittered { first: Duration, cap: Duration, jitter: f64 },
}

/// The seed of every jitter in these tests. Jitter is a pure function of it and of the epoch.
pub(crate) const JITTER_SEED: u64 = 0x6d61_696e;

// === impl Rule ===

impl Rule {
    /// The window, with the default of 30 seconds. A consecutive rule has a run instead.
    pub(crate) fn span(&self) -> Option<Span> {
        match *self {
            Rule::Consecutive { .. } => None,
            Rule::FailureRate { over, .. } | Rule::SlowRate { over, .. } | Rule::Failures { over, .. } => {
                Some(over.unwrap_or(Span::Time(Duration::from_secs(30))))
            }
        }
    }

    /// How many calls must be in the window before the rule is judged. By default 20 for a rate, or all of a
    /// smaller count window; a number of failures needs no minimum.
    pub(crate) fn min_calls(&self) -> u32 {
        match *self {
            Rule::Consecutive { .. } => 0,
            Rule::Failures { min_calls, .. } => min_calls.unwrap_or(0),
            Rule::FailureRate { min_calls, .. } | Rule::SlowRate { min_calls, .. } => {
                min_calls.unwrap_or(match self.span() {
                    Some(Span::Calls(n)) => n.min(20),
                    _ => 20,
                })
            }
        }
    }

    fn to_trip(self) -> Trip {
        let (trip, over, min_calls) = match self {
            Rule::Consecutive { limit, within: None } => return Trip::consecutive_failures(limit),
            Rule::Consecutive { limit, within: Some(d) } => {
                return Trip::consecutive_failures(limit).within(d);
            }
            Rule::FailureRate { threshold, over, min_calls } => {
                (Trip::failure_rate(threshold), over, min_calls)
            }
            Rule::SlowRate { threshold, slower_than, over, min_calls } => {
                (Trip::slow_rate(threshold, slower_than), over, min_calls)
            }
            Rule::Failures { limit, over, min_calls } => (Trip::failures(limit), over, min_calls),
        };
        let trip = match over {
            None => trip,
            Some(Span::Calls(n)) => trip.over(Window::calls(n)),
            Some(Span::Time(d)) => trip.over(Window::time(d)),
        };
        match min_calls {
            None => trip,
            Some(n) => trip.min_calls(n),
        }
    }
}

// === impl OpenTime ===

impl OpenTime {
    /// How long the breaker stays open at the given attempt (0 is the first), before any retry-after.
    pub(crate) fn own(&self, attempt: u32, epoch: u32) -> Duration {
        match *self {
            OpenTime::Fixed(d) => d,
            OpenTime::Growing { first, cap, factor } => {
                let mut time = first.min(cap);
                for _ in 0..attempt {
                    time = time.mul_f64(factor).min(cap);
                }
                time
            }
            // How much jitter takes off is nothing to model; when it applies, to which attempt and epoch, is.
            OpenTime::Jittered { .. } => self.to_open_for().duration(attempt, JITTER_SEED, epoch),
        }
    }

    fn to_open_for(self) -> OpenFor {
        match self {
            OpenTime::Fixed(d) => OpenFor::fixed(d),
            OpenTime::Growing { first, cap, factor } => OpenFor::exponential(first, cap).factor(factor),
            OpenTime::Jittered { first, cap, jitter } => OpenFor::exponential(first, cap).jitter(jitter),
        }
    }
}

// === impl Plan ===

impl Plan {
    /// The same, with an open time that is the same for every seed.
    pub(crate) fn without_jitter(&self) -> Self {
        let open = match self.open {
            OpenTime::Jittered { first, cap, .. } => OpenTime::Growing { first, cap, factor: 2.0 },
            open => open,
        };
        Self { open, ..self.clone() }
    }

    /// The shortest duration that any slow rule calls slow: what is slow where no rule of its own decides.
    pub(crate) fn lowest_slow_limit(&self) -> Option<Duration> {
        let limits = self.rules.iter().filter_map(|rule| match *rule {
            Rule::SlowRate { slower_than, .. } => Some(slower_than),
            _ => None,
        });
        limits.min()
    }

    /// From which duration on a call is marked slow in the window of this rule.
    pub(crate) fn slow_limit_of(&self, rule: &Rule) -> Option<Duration> {
        match *rule {
            Rule::SlowRate { slower_than, .. } => Some(slower_than),
            _ => self.lowest_slow_limit(),
        }
    }

    /// The same, in the words of the crate.
    pub(crate) fn to_settings(&self) -> Settings {
        let mut settings = Settings::default()
            .open_for(self.open.to_open_for())
            .half_open(HalfOpen {
                max_in_flight: self.max_in_flight,
                close_after: self.close_after,
                reopen_after: self.reopen_after,
                probe_timeout: self.probe_timeout,
            })
            .retry_after_cap(self.retry_after_cap)
            .count_dropped_as_failure(self.dropped_is_failure);
        for rule in &self.rules {
            settings = settings.trip(rule.to_trip());
        }
        if let Some(length) = self.ramp {
            settings = settings.ramp(length);
        }
        settings
    }
}
