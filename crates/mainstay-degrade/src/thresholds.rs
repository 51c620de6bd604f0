use std::time::Duration;

use mainstay_core::ConfigError;
use serde::Serialize;

use crate::Level;
use crate::traffic::LONGEST;

/// From which figures on each level is reached. A figure of zero is not used.
///
/// | | minor | moderate | severe |
/// | --- | --- | --- | --- |
/// | `breakers_open` | 1 | 2 | 3 |
/// | `critical_down` | not used | 1 | 2 |
/// | `non_critical_down` | 1 | 2 | 3 |
/// | `error_rate` | 5 % | 15 % | 30 % |
/// | `latency` | 1 s | 2 s | 5 s |
///
/// are the defaults, which are those of the system that this one re-creates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Thresholds {
    /// For [`Level::Minor`].
    pub minor: LevelThresholds,
    /// For [`Level::Moderate`].
    pub moderate: LevelThresholds,
    /// For [`Level::Severe`].
    pub severe: LevelThresholds,
}

/// The figures of one level; any of them reaches it. Zero means that a figure is not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LevelThresholds {
    /// How many watched breakers are open.
    pub breakers_open: u32,
    /// How many critical checks are down.
    pub critical_down: u32,
    /// How many checks that are not critical are down.
    pub non_critical_down: u32,
    /// Which share of the traffic's requests fails: 0 to 1.
    pub error_rate: f64,
    /// How long 95 of 100 of the traffic's requests take at most: 10 us to 1 h.
    #[serde(with = "mainstay_core::humane")]
    pub latency: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        let level = |breakers_open, critical_down, non_critical_down, error_rate, latency| LevelThresholds {
            breakers_open,
            critical_down,
            non_critical_down,
            error_rate,
            latency: Duration::from_secs(latency),
        };
        Self {
            minor: level(1, 0, 1, 0.05, 1),
            moderate: level(2, 1, 2, 0.15, 2),
            severe: level(3, 2, 3, 0.30, 5),
        }
    }
}

impl Thresholds {
    /// The shortest latency that may be a threshold: shorter ones are not told apart well.
    pub const MIN_LATENCY: Duration = Duration::from_micros(10);
    /// The longest latency that may be a threshold.
    pub const MAX_LATENCY: Duration = LONGEST;

    /// Those of one level; none for [`Level::None`].
    pub fn of(&self, level: Level) -> Option<&LevelThresholds> {
        match level {
            Level::None => None,
            Level::Minor => Some(&self.minor),
            Level::Moderate => Some(&self.moderate),
            Level::Severe => Some(&self.severe),
        }
    }

    /// Checks that no figure falls from a level to a worse one, and that each is possible.
    ///
    /// # Errors
    ///
    /// The first field that breaks a rule, such as `severe.error_rate`.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let levels = Level::DEGRADED.map(|level| (level, self.of(level).copied().unwrap_or_default()));
        for (level, figures) in &levels {
            if !(0.0..=1.0).contains(&figures.error_rate) {
                return Err(refuse(*level, "error_rate", figures.error_rate, "must be from 0 to 1"));
            }
            // The traffic's histogram goes from the one to the other.
            if figures.latency > Self::MAX_LATENCY
                || Duration::ZERO < figures.latency && figures.latency < Self::MIN_LATENCY
            {
                let value = format!("{:?}", figures.latency);
                return Err(refuse(
                    *level,
                    "latency",
                    value,
                    "must be from 10 us to 1 h, or zero if it is not used",
                ));
            }
        }
        rising(&levels, "breakers_open", |figures| f64::from(figures.breakers_open))?;
        rising(&levels, "critical_down", |figures| f64::from(figures.critical_down))?;
        rising(&levels, "non_critical_down", |figures| f64::from(figures.non_critical_down))?;
        rising(&levels, "error_rate", |figures| figures.error_rate)?;
        rising(&levels, "latency", |figures| figures.latency.as_secs_f64())
    }
}

/// Of the figures that are used, none is smaller than that of a better level.
fn rising(
    levels: &[(Level, LevelThresholds)],
    field: &str,
    figure: impl Fn(&LevelThresholds) -> f64,
) -> Result<(), ConfigError> {
    let mut least = 0.0;
    for (level, figures) in levels {
        let figure = figure(figures);
        if figure == 0.0 {
            continue;
        }
        if figure < least {
            return Err(refuse(*level, field, figure, "must not be less than that of a better level"));
        }
        least = figure;
    }
    Ok(())
}

fn refuse(level: Level, field: &str, value: impl std::fmt::Display, rule: &str) -> ConfigError {
    ConfigError::new(format!("thresholds.{level}.{field}"), value, rule)
}
