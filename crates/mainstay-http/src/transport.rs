//! Whose fault an error is.

use std::any::Any;
use std::error::Error;

use mainstay_breaker::{BreakerError, Rejected};

type BoxError = Box<dyn Error + Send + Sync>;

/// Whether an error is known to say nothing about the dependency: it is of the caller's making, or another breaker's
/// rejection, which has counted what it knows.
pub(crate) fn says_nothing(error: &dyn Any) -> bool {
    let mut link = as_error(error);
    while let Some(error) = link {
        if error.is::<Rejected>() || is_callers(error) {
            return true;
        }
        // A guard's error in a box: its source would pass over the rejection.
        link = rejected_in(error).or_else(|| error.source());
    }
    false
}

/// The error types that drivers return, the box that layers put them in, and what a guard in between makes of them.
pub(crate) fn as_error(error: &dyn Any) -> Option<&(dyn Error + 'static)> {
    #[cfg(feature = "hyper")]
    if let Some(error) = guarded::<hyper_util::client::legacy::Error>(error, |error| error) {
        return Some(error);
    }
    #[cfg(feature = "hyper")]
    if let Some(error) = guarded::<hyper::Error>(error, |error| error) {
        return Some(error);
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = guarded::<reqwest::Error>(error, |error| error) {
        return Some(error);
    }
    guarded::<BoxError>(error, |error| &**error)
}

/// The error itself, or what a [`BreakerError`] of it has inside.
fn guarded<E: 'static>(
    error: &dyn Any,
    show: impl FnOnce(&E) -> &(dyn Error + 'static),
) -> Option<&(dyn Error + 'static)> {
    match error.downcast_ref::<BreakerError<E>>() {
        Some(BreakerError::Rejected(rejected)) => Some(rejected),
        Some(BreakerError::Inner(error)) => Some(show(error)),
        Some(BreakerError::TimedOut(timed_out)) => Some(timed_out),
        Some(_) => None,
        None => error.downcast_ref().map(show),
    }
}

/// The rejection in a guarded driver's error.
pub(crate) fn rejected_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    #[cfg(feature = "hyper")]
    if let Some(BreakerError::Rejected(rejected)) =
        error.downcast_ref::<BreakerError<hyper_util::client::legacy::Error>>()
    {
        return Some(rejected);
    }
    #[cfg(feature = "reqwest")]
    if let Some(BreakerError::Rejected(rejected)) = error.downcast_ref::<BreakerError<reqwest::Error>>() {
        return Some(rejected);
    }
    let BreakerError::Rejected(rejected) = error.downcast_ref::<BreakerError<BoxError>>()? else {
        return None;
    };
    Some(rejected)
}

#[cfg(not(feature = "hyper"))]
fn is_callers(_: &(dyn Error + 'static)) -> bool {
    false
}

#[cfg(feature = "hyper")]
fn is_callers(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        // It does not show its kind. Everything that the network did to it has a source or is from connecting; what has
        // none was refused before anything was sent, but for a connect that another one made superfluous.
        return match error.source() {
            None => !error.is_connect() && error.to_string() != "client error (Canceled)",
            Some(source) => error.is_connect() && is_unsupported_url(source),
        };
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_user();
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return error.is_builder() || error.is_redirect();
    }
    false
}

/// Whether the connector refused to look at the URL. Its error has no type that can be named; a test over the real one
/// tells when the words change, and until then such an error is a failure like any other.
#[cfg(feature = "hyper")]
fn is_unsupported_url(error: &(dyn Error + 'static)) -> bool {
    error.source().is_none()
        && !error.is::<std::io::Error>()
        && error.to_string().starts_with("invalid URL, ")
}
