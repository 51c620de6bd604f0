use std::time::Duration;

/// What the result of one call says about the dependency that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Verdict {
    /// The dependency did its part.
    Success,
    /// The dependency failed to do its part.
    Failure,
    /// The result says nothing about the dependency (a caller's mistake, a cancelled call). It is in neither
    /// side of any rate, ends no run and decides nothing.
    Ignore,
}

/// A [`Verdict`], and for a failure how long the dependency asked to be left alone.
///
/// ```
/// use std::time::Duration;
/// use mainstay_core::{Classified, Verdict};
///
/// let told_to_wait = Classified::failure().retry_after(Duration::from_secs(30));
/// assert_eq!(told_to_wait.verdict(), Verdict::Failure);
/// assert_eq!(Classified::from(Verdict::Success), Classified::success());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Classified {
    verdict: Verdict,
    retry_after: Option<Duration>,
}

impl Classified {
    /// The dependency did its part.
    pub const fn success() -> Self {
        Self { verdict: Verdict::Success, retry_after: None }
    }

    /// The dependency failed to do its part.
    pub const fn failure() -> Self {
        Self { verdict: Verdict::Failure, retry_after: None }
    }

    /// The result says nothing about the dependency.
    pub const fn ignore() -> Self {
        Self { verdict: Verdict::Ignore, retry_after: None }
    }

    /// How long the dependency asked to be left alone (an HTTP `Retry-After`, say). It lengthens the open time
    /// of a breaker that this failure opens, up to the breaker's `retry_after_cap`; on other verdicts it has no
    /// effect.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// What the result says about the dependency.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// How long the dependency asked to be left alone, if it did.
    pub const fn asked_to_wait(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<Verdict> for Classified {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, retry_after: None }
    }
}
