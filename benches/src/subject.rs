//! What is measured.

/// One way to guard a call, ready to be called again and again.
///
/// Clones share one breaker; each thread calls its own clone.
pub trait Subject: Clone + Send + 'static {
    /// Makes one call.
    fn call(&mut self) -> Answer;
}

/// How one call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Answer {
    /// The guarded work ran and succeeded.
    Ok,
    /// The guarded work ran and failed.
    Failed,
    /// The breaker let nothing through.
    Rejected,
}

/// The only error of the guarded work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure;

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the dependency failed")
    }
}

impl std::error::Error for Failure {}

/// An [`Answer`] read from what a breaker returns.
pub trait Outcome {
    /// How the call ended.
    fn answer(&self) -> Answer;
}

/// A breaker's error type, told apart from the error of the work.
pub trait Refusal {
    /// Whether the breaker, not the work, said no.
    fn is_rejection(&self) -> bool;
}

impl<T, E: Refusal> Outcome for Result<T, E> {
    #[inline]
    fn answer(&self) -> Answer {
        match self {
            Ok(_) => Answer::Ok,
            Err(error) if error.is_rejection() => Answer::Rejected,
            Err(_) => Answer::Failed,
        }
    }
}

impl Refusal for Failure {
    #[inline]
    fn is_rejection(&self) -> bool {
        false
    }
}
