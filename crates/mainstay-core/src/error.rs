use std::time::Duration;

/// The longest duration any setting accepts: 365 days. Longer ones are mistakes, and sums of accepted ones
/// never overflow.
pub const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A setting that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error("{field}: {value} is refused: {rule}")]
pub struct ConfigError {
    /// The path of the field, such as `trip[1].min_calls`.
    pub field: String,
    /// The value that was given.
    pub value: String,
    /// The rule that it breaks, with the limits.
    pub rule: String,
}

impl ConfigError {
    /// A refusal of `value` for `field`, because of `rule`.
    pub fn new(field: impl Into<String>, value: impl std::fmt::Display, rule: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.to_string(), rule: rule.into() }
    }

    /// The same refusal, with the field named from further out: `parent.field`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// Accepts a duration in which time must pass: more than zero, at most [`MAX_DURATION`].
///
/// # Errors
///
/// A [`ConfigError`] that names the field and the limits.
pub fn check_duration(field: &str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        return Err(ConfigError::new(field, "0s", "must be longer than zero"));
    }
    if value > MAX_DURATION {
        return Err(ConfigError::new(field, format_args!("{value:?}"), "must be at most 365 days"));
    }
    Ok(())
}

/// There is no tokio runtime here to run something on.
///
/// Start it inside of one, or give its builder a handle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no tokio runtime here: call this inside of one, or give the builder a handle")]
#[non_exhaustive]
pub struct NoRuntime {}

impl NoRuntime {
    /// For whoever looked for a runtime and found none.
    #[expect(clippy::new_without_default, reason = "an error is not a default of anything")]
    pub fn new() -> Self {
        Self {}
    }
}
