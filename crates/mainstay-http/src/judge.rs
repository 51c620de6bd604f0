use mainstay_breaker::{Classified, Verdict};

use crate::{Head, transport};

/// Decides what the head of a response says about the dependency. Every closure over [`&Head`](Head) that returns a
/// [`Verdict`] or a [`Classified`] is one; what you do not care about is [`Head::usual`].
///
/// ```
/// use http::StatusCode;
/// use mainstay_breaker::{Breaker, Verdict};
/// use mainstay_http::HttpLayer;
///
/// let layer = HttpLayer::client(Breaker::new("inventory")?).judge(|head| match head.status() {
///     StatusCode::REQUEST_TIMEOUT => Verdict::Failure.into(),
///     StatusCode::NOT_IMPLEMENTED => Verdict::Success.into(),
///     _ => head.usual(),
/// });
/// # let _ = layer;
/// # Ok::<(), mainstay_breaker::ConfigError>(())
/// ```
///
/// A failure is recorded when the head is in; after anything else the body may still break off, which is a failure.
pub trait JudgeHead {
    /// The verdict on one head.
    fn judge(&self, head: &Head<'_>) -> Classified;
}

/// Decides what an error says about the dependency. Every closure over `&E` that returns a [`Verdict`] or a
/// [`Classified`] is one.
pub trait JudgeError<E> {
    /// The verdict on one error.
    fn judge(&self, error: &E) -> Classified;
}

/// Judges where nobody knows better.
///
/// Heads by [`Head::usual`]. Every error is a failure, except (feature `hyper`) what is known to be the caller's own
/// mistake or choice, which is ignored, like the rejections of other breakers:
///
/// - a request without an absolute URI, with an unsupported method, version or scheme, or whose own body failed before the head was in: in the
///   errors of hyper-util's client, hyper and reqwest, among their sources, and in boxes (`Box<dyn Error + Send + Sync>`);
/// - of reqwest's errors also those of building a request and of its redirect policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usual;

impl JudgeHead for Usual {
    fn judge(&self, head: &Head<'_>) -> Classified {
        head.usual()
    }
}

impl<J, C> JudgeHead for J
where
    J: Fn(&Head<'_>) -> C,
    C: Into<Classified>,
{
    fn judge(&self, head: &Head<'_>) -> Classified {
        self(head).into()
    }
}

impl<E: 'static> JudgeError<E> for Usual {
    fn judge(&self, error: &E) -> Classified {
        if transport::says_nothing(error) { Verdict::Ignore.into() } else { Verdict::Failure.into() }
    }
}

impl<J, C, E> JudgeError<E> for J
where
    J: Fn(&E) -> C,
    C: Into<Classified>,
{
    fn judge(&self, error: &E) -> Classified {
        self(error).into()
    }
}
