use std::time::Duration;

use crate::splitmix;
use crate::{ConfigError, MAX_DURATION, check_duration};

/// How long to stay away: fixed, or growing with every attempt up to a cap, spread by jitter.
///
/// Jitter only ever shortens, so that the cap holds: with jitter `j` a duration `d` becomes one from
/// `(d * (1 - j), d]`, and never less than a hundredth of `d`, so that even full jitter (`1.0`) gives time. It is
/// a pure function of a seed and an epoch: whoever asks twice gets the same answer.
///
/// ```
/// use std::time::Duration;
/// use mainstay_core::OpenFor;
///
/// let doubling = OpenFor::exponential(Duration::from_secs(5), Duration::from_secs(60));
/// let seconds: Vec<_> = (0..6).map(|attempt| doubling.duration(attempt, 0, 0).as_secs()).collect();
/// assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenFor {
    first: Duration,
    cap: Duration,
    factor: f64,
    jitter: f64,
}

impl OpenFor {
    /// The same time at every attempt. More than zero, at most 365 days.
    pub const fn fixed(duration: Duration) -> Self {
        Self { first: duration, cap: duration, factor: 1.0, jitter: 0.0 }
    }

    /// `first` at the first attempt, twice as long at each further one (see [`factor`](Self::factor)), at most
    /// `cap`. `first` is more than zero; `cap` at least `first` and at most 365 days.
    pub const fn exponential(first: Duration, cap: Duration) -> Self {
        Self { first, cap, factor: 2.0, jitter: 0.0 }
    }

    /// What each attempt multiplies the time by: 1 to 100. Default 2 for exponential.
    #[must_use]
    pub const fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Which part of the time is left to chance: 0 (none, the default) to 1 (all).
    #[must_use]
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// The time before jitter and cap are applied at attempt 0.
    pub const fn first(&self) -> Duration {
        self.first
    }

    /// The longest time.
    pub const fn cap(&self) -> Duration {
        self.cap
    }

    /// The time of an attempt, counted from 0. Any attempt is fine: the growth stops at the cap.
    ///
    /// The same `seed` and `epoch` always give the same jitter.
    pub fn duration(&self, attempt: u32, seed: u64, epoch: u32) -> Duration {
        let grown = self.first.as_secs_f64() * self.factor.powi(i32::try_from(attempt).unwrap_or(i32::MAX));
        // Comparing before converting: the product may be infinite.
        let full = if attempt == 0 {
            self.first.min(self.cap)
        } else if grown < self.cap.as_secs_f64() {
            Duration::try_from_secs_f64(grown).unwrap_or(self.cap)
        } else {
            self.cap
        };
        if self.jitter <= 0.0 {
            return full;
        }
        let share = 1.0 - self.jitter * unit(seed, epoch);
        let shortened = Duration::try_from_secs_f64(full.as_secs_f64() * share).unwrap_or(full);
        shortened.clamp((full / 100).max(Duration::from_nanos(1)), full.max(Duration::from_nanos(1)))
    }

    /// Checks the limits that the constructors document.
    ///
    /// # Errors
    ///
    /// The first field that is out of its limits.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_duration("first", self.first)?;
        if self.cap < self.first {
            return Err(ConfigError::new("cap", format_args!("{:?}", self.cap), "must be at least `first`"));
        }
        if self.cap > MAX_DURATION {
            return Err(ConfigError::new("cap", format_args!("{:?}", self.cap), "must be at most 365 days"));
        }
        if !(1.0..=100.0).contains(&self.factor) {
            return Err(ConfigError::new("factor", self.factor, "must be from 1 to 100"));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(ConfigError::new("jitter", self.jitter, "must be from 0 to 1"));
        }
        Ok(())
    }
}

/// A number in `[0, 1)` that depends on nothing but its arguments.
fn unit(seed: u64, epoch: u32) -> f64 {
    splitmix::share(splitmix::scramble(
        seed.wrapping_add(u64::from(epoch).wrapping_mul(splitmix::GOLDEN_RATIO)),
    ))
}

#[cfg(feature = "serde")]
mod wire {
    use super::*;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// `{ fixed: 15s }` or `{ first: 5s, cap: 60s, factor: 2.0, jitter: 0.1 }`.
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Map {
        #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::humane::option")]
        fixed: Option<Duration>,
        #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::humane::option")]
        first: Option<Duration>,
        #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::humane::option")]
        cap: Option<Duration>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        factor: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        jitter: Option<f64>,
    }

    impl Serialize for OpenFor {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let fixed = self.first == self.cap && self.factor == 1.0;
            let jitter = (self.jitter != 0.0).then_some(self.jitter);
            if fixed {
                Map { fixed: Some(self.first), first: None, cap: None, factor: None, jitter }
            } else {
                Map {
                    fixed: None,
                    first: Some(self.first),
                    cap: Some(self.cap),
                    factor: Some(self.factor),
                    jitter,
                }
            }
            .serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for OpenFor {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let map = Map::deserialize(deserializer)?;
            let mut open_for = match (map.fixed, map.first, map.cap) {
                (Some(fixed), None, None) if map.factor.is_none() => OpenFor::fixed(fixed),
                (None, Some(first), Some(cap)) => OpenFor::exponential(first, cap),
                _ => {
                    return Err(serde::de::Error::custom(ConfigError::new(
                        "open_for",
                        "these keys together",
                        "must have either `fixed`, or `first` and `cap` (and perhaps `factor`)",
                    )));
                }
            };
            open_for.factor = map.factor.unwrap_or(open_for.factor);
            open_for.jitter = map.jitter.unwrap_or(0.0);
            open_for.validate().map_err(|error| serde::de::Error::custom(error.within("open_for")))?;
            Ok(open_for)
        }
    }
}
