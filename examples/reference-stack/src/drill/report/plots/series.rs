//! What is plotted as lines: a value for each second, and the scale that it is measured by.

use super::super::model::{Report, Second};
use super::super::words::count;

/// One value of each second of a stack.
pub(super) struct Series<'r> {
    pub(super) name: &'r str,
    pub(super) values: Vec<Option<f64>>,
}

/// From a value to its share of the height.
pub(super) enum Scale {
    Linear {
        most: f64,
    },
    /// Between two powers of ten.
    Log {
        least: i32,
        most: i32,
    },
}

// === impl Series ===

impl<'r> Series<'r> {
    pub(super) fn of_all(report: &'r Report, value: impl Fn(&Second) -> Option<f64>) -> Vec<Self> {
        let value = |second| value(second).filter(|value| value.is_finite());
        let series = report.stacks.iter();
        series
            .map(|stack| Self { name: &stack.name, values: stack.seconds.iter().map(value).collect() })
            .collect()
    }
}

// === impl Scale ===

impl Scale {
    pub(super) fn percent() -> Self {
        Self::Linear { most: 100.0 }
    }

    /// As wide as all these values are, in whole powers of ten.
    pub(super) fn log_over<'s>(series: impl Iterator<Item = &'s Series<'s>>) -> Self {
        let (mut least, mut most) = (f64::MAX, f64::MIN);
        for value in series.flat_map(|series| &series.values).flatten().filter(|value| **value > 0.0) {
            (least, most) = (least.min(*value), most.max(*value));
        }
        if least > most {
            return Self::Log { least: 0, most: 4 };
        }
        let least = (least.log10().floor() as i32).clamp(-3, 8);
        Self::Log { least, most: (most.log10().ceil() as i32).clamp(least + 1, 9) }
    }

    pub(super) fn share(&self, value: f64) -> f64 {
        match *self {
            Self::Linear { most } => value / most,
            Self::Log { least, most } => {
                let least = f64::from(least);
                (value.max(f64::MIN_POSITIVE).log10() - least) / (f64::from(most) - least)
            }
        }
    }

    /// The shares of the height where there is a tick, and what it says.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        match *self {
            Self::Linear { most } => [0.0, 0.5, 1.0].map(|share| (share, format!("{}", share * most))).into(),
            Self::Log { least, most } => {
                let tick = |power: i32| {
                    let value = 10f64.powi(power);
                    (self.share(value), if power < 0 { value.to_string() } else { count(value as u64) })
                };
                (least..=most).map(tick).collect()
            }
        }
    }
}
