use std::time::Duration;

use mainstay_core::{ConfigError, check_duration};

use crate::{BehaviorRules, ExecutionMode, Level, Mode, ModeRules, PartialPolicies, Thresholds};

/// Everything about a degradation manager that can change while it runs: the plain data behind
/// [`DegradationManagerBuilder`](crate::DegradationManagerBuilder).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings<M: Mode = ExecutionMode> {
    /// From which figures on each level is reached. Default: see [`Thresholds`].
    pub thresholds: Thresholds,
    /// How long minor, moderate and severe are held after their last threshold is no longer reached. More than zero, at most 365 days,
    /// and a worse one not longer than a better one: leaving it leads there. Default: 30 s each.
    pub relax_after: [Duration; 3],
    /// The longest time between two looks at what cannot be watched. More than zero, at most 365 days. Default: 30 s.
    pub check_interval: Duration,
    /// Which mode is granted for which. Default: [`ModeRules::seed`].
    pub modes: ModeRules<M>,
    /// What operations do when something is down. Default: [`BehaviorRules::seed`].
    pub behaviors: BehaviorRules,
    /// How much of a workflow's parts must succeed. Default: [`PartialPolicies::seed`].
    pub partial: PartialPolicies,
}

impl Default for Settings {
    fn default() -> Self {
        Self::with_modes(ModeRules::seed())
    }
}

impl<M: Mode> Settings<M> {
    /// The defaults, with a ladder of your own.
    pub fn with_modes(modes: ModeRules<M>) -> Self {
        Self {
            thresholds: Thresholds::default(),
            relax_after: [Duration::from_secs(30); 3],
            check_interval: Duration::from_secs(30),
            modes,
            behaviors: BehaviorRules::seed(),
            partial: PartialPolicies::seed(),
        }
    }

    /// Checks every limit that is documented on the fields.
    ///
    /// # Errors
    ///
    /// The first field that breaks a rule, such as `thresholds.severe.error_rate`.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.thresholds.validate()?;
        check_duration("check_interval", self.check_interval)?;
        for (level, held) in Level::DEGRADED.into_iter().zip(self.relax_after) {
            check_duration(&format!("relax_after.{level}"), held)?;
        }
        let [minor, moderate, severe] = self.relax_after;
        for (level, held, better) in [(Level::Moderate, moderate, minor), (Level::Severe, severe, moderate)] {
            if held > better {
                let field = format!("relax_after.{level}");
                let rule = "must not be longer than that of a better level";
                return Err(ConfigError::new(field, format_args!("{held:?}"), rule));
            }
        }
        Ok(())
    }
}
