use std::any::Any;
use std::error::Error;
use std::fmt;

use mainstay_core::{Classified, Classify, NotAsked};

type BoxError = Box<dyn Error + Send + Sync>;

/// Answers are successes and errors are failures, but for an error that says that [nobody was asked](NotAsked): a breaker
/// rejected the call, which counts already, or it was shed.
///
/// It finds that in the error itself and in what its text shows, and in a box also among the sources. For an error type of your own that
/// hides what it is made from, take [`JudgeSources`].
///
/// An error whose text shows several others, as that of a retry may ("2 attempts: connection reset; rejected"), is ignored if one of them says
/// so: a text does not tell which of them counts. If what failed before that is to count, say so with a classifier of your own,
/// which knows the type:
///
/// ```
/// use mainstay_core::{Classified, Classify};
/// use mainstay_degrade::{DegradationManager, JudgeErrors, ObserveLayer};
/// use tower::BoxError;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("{attempts} attempts, the last: {last}")]
/// struct Exhausted { attempts: u32, last: BoxError }
///
/// let degrade = DegradationManager::builder().build()?;
/// let layer = ObserveLayer::new(degrade.observer()).classify(|result: &Result<u64, Exhausted>| match result {
///     Err(exhausted) if exhausted.attempts > 1 => Classified::failure(),
///     _ => JudgeErrors.classify(result),
/// });
/// # let _ = layer;
/// # Ok::<(), mainstay_degrade::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JudgeErrors;

/// The same as [`JudgeErrors`], with a look at all sources of an error. Texts that show several errors it takes for a rejection as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JudgeSources;

/// A status of 500 or more is a failure. A response that is marked as [`Degraded`](crate::Degraded) or [`NotAsked`] in its extensions is
/// to ignore, whatever its status. Errors are the word of the parameter.
///
/// Of gRPC it sees what HTTP sees: there, say what the status in headers or trailers means with a classifier of your own.
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JudgeHttp<C = JudgeErrors>(pub C);

/// Ignores what is marked as degraded in a way of your own. Made by
/// [`ObserveLayer::degraded_when`](crate::ObserveLayer::degraded_when).
#[derive(Clone, Copy, Debug)]
pub struct UnlessDegraded<C, D> {
    pub(super) classify: C,
    pub(super) degraded: D,
}

impl<T, E: fmt::Display + 'static> Classify<T, E> for JudgeErrors {
    fn classify(&self, result: &Result<T, E>) -> Classified {
        judge(result, |error| match (error as &dyn Any).downcast_ref::<BoxError>() {
            Some(boxed) => NotAsked::is_in_chain(&**boxed),
            None => NotAsked::is_said_by(error),
        })
    }
}

impl<T, E: Error + 'static> Classify<T, E> for JudgeSources {
    fn classify(&self, result: &Result<T, E>) -> Classified {
        judge(result, |error| NotAsked::is_in_chain(error))
    }
}

fn judge<T, E>(result: &Result<T, E>, not_asked: impl FnOnce(&E) -> bool) -> Classified {
    match result {
        Ok(_) => Classified::success(),
        Err(error) if not_asked(error) => Classified::ignore(),
        Err(_) => Classified::failure(),
    }
}

#[cfg(feature = "http")]
impl<B, E, C> Classify<http::Response<B>, E> for JudgeHttp<C>
where
    C: Classify<http::Response<B>, E>,
{
    fn classify(&self, result: &Result<http::Response<B>, E>) -> Classified {
        let Ok(response) = result else { return self.0.classify(result) };
        let extensions = response.extensions();
        if extensions.get::<crate::Degraded>().is_some() || extensions.get::<NotAsked>().is_some() {
            Classified::ignore()
        } else if response.status().is_server_error() {
            Classified::failure()
        } else {
            Classified::success()
        }
    }
}

impl<T, E, C, D> Classify<T, E> for UnlessDegraded<C, D>
where
    C: Classify<T, E>,
    D: Fn(&T) -> bool,
{
    fn classify(&self, result: &Result<T, E>) -> Classified {
        match result {
            Ok(response) if (self.degraded)(response) => Classified::ignore(),
            _ => self.classify.classify(result),
        }
    }
}
