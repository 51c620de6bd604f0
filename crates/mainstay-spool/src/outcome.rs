use std::time::Duration;

/// What became of one item of a delivery.
///
/// Errors are kept with the item when it becomes a dead letter, and shown to whoever lists those: leave secrets out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The sink has it.
    Done,
    /// It failed, and may succeed later. Counts as a try of this item.
    Retry {
        /// Not before this has passed, if the sink says so. The spool's back-off may be longer.
        after: Option<Duration>,
        /// Why.
        error: String,
    },
    /// It will never succeed: it becomes a dead letter at once.
    Poison {
        /// Why.
        error: String,
    },
    /// The sink cannot take anything now. Says nothing about the item, so it does not count as a try; nothing else is tried either
    /// until the back-off has passed.
    Unavailable {
        /// Not before this has passed, if the sink says so.
        after: Option<Duration>,
        /// Why.
        error: String,
    },
}

impl Outcome {
    /// [`Outcome::Retry`] by the spool's own back-off.
    pub fn retry(error: impl Into<String>) -> Self {
        Self::Retry { after: None, error: error.into() }
    }

    /// [`Outcome::Retry`], not before `after` has passed.
    pub fn retry_after(after: Duration, error: impl Into<String>) -> Self {
        Self::Retry { after: Some(after), error: error.into() }
    }

    /// [`Outcome::Poison`].
    pub fn poison(error: impl Into<String>) -> Self {
        Self::Poison { error: error.into() }
    }

    /// [`Outcome::Unavailable`] by the spool's own back-off.
    pub fn unavailable(error: impl Into<String>) -> Self {
        Self::Unavailable { after: None, error: error.into() }
    }

    /// [`Outcome::Unavailable`], not before `after` has passed.
    pub fn unavailable_for(after: Duration, error: impl Into<String>) -> Self {
        Self::Unavailable { after: Some(after), error: error.into() }
    }
}
