//! Whose fault an error is, and our own rejections in other people's errors.

use std::any::Any;
use std::error::Error;
use std::io;

use mainstay_breaker::{BreakerError, Rejected, TimedOut};
use tonic::Status;
use tonic::transport;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// What an error of the transport says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The dependency, or the way to it, failed.
    Dependency,
    /// Nobody was asked: the caller's mistake, or another breaker's rejection.
    NotAsked,
    /// The caller cut the call off.
    CutOff,
}

/// The rejection in an error, at any depth of its chain of sources: of the call breaker in a `Status` made by
/// [`AsStatus`](crate::AsStatus), or of the [connection breaker](crate::ConnectLayer) in what a channel returns.
///
/// ```
/// # fn show(status: tonic::Status) {
/// match mainstay_grpc::rejected(&status) {
///     Some(rejected) => println!("{} did not let it through: {}", rejected.name(), rejected.reason()),
///     None => println!("{status}"),
/// }
/// # }
/// ```
///
/// A rejection that came as a response ([`Unavailable`](crate::Unavailable), the default) is in the extensions of that
/// response. The generated clients of tonic drop those when they make a `Status` of it, so nothing is found here then.
pub fn rejected<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Rejected> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The breaker's own time-out in an error, at any depth of its chain of sources. See [`rejected`].
pub fn timed_out<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TimedOut> {
    chain(error).find_map(|error| error.downcast_ref())
}

// === impl Fault ===

impl Fault {
    /// Looks into the types of errors that there are around a channel. Others are the dependency's.
    pub(crate) fn of(error: &dyn Any) -> Self {
        let error: &(dyn Error + 'static) = if let Some(error) = error.downcast_ref::<transport::Error>() {
            error
        } else if let Some(error) = error.downcast_ref::<Status>() {
            error
        } else if let Some(error) = error.downcast_ref::<BoxError>() {
            &**error
        } else if let Some(error) = error.downcast_ref::<BreakerError<transport::Error>>() {
            error
        } else if let Some(error) = error.downcast_ref::<BreakerError<Status>>() {
            error
        } else if let Some(error) = error.downcast_ref::<BreakerError<BoxError>>() {
            error
        } else {
            return Self::Dependency;
        };
        chain(error).find_map(Self::of_link).unwrap_or(Self::Dependency)
    }

    fn of_link(error: &(dyn Error + 'static)) -> Option<Self> {
        if error.is::<Rejected>() {
            return Some(Self::NotAsked);
        }
        // Those without a source are about the endpoint's address, which no server ever saw.
        if let Some(transport) = error.downcast_ref::<transport::Error>()
            && transport.source().is_none()
        {
            return Some(Self::NotAsked);
        }
        // A stream that neither the peer nor the library reset was reset by this side: by a cancellation handle, or because the
        // request could not be encoded.
        if let Some(h2) = error.downcast_ref::<h2::Error>()
            && h2.is_reset()
            && !h2.is_remote()
            && !h2.is_library()
        {
            let cancelled = h2.reason() == Some(h2::Reason::CANCEL);
            return Some(if cancelled { Self::CutOff } else { Self::NotAsked });
        }
        None
    }
}

/// An error and its sources.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| source(*error))
}

/// The next error of a chain, also where `source` skips one.
fn source<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(io) = error.downcast_ref::<io::Error>()
        && let Some(inner) = io.get_ref()
    {
        return Some(inner);
    }
    if let Some(error) = error.downcast_ref::<BreakerError<transport::Error>>() {
        return inside(error, |inner| inner);
    }
    if let Some(error) = error.downcast_ref::<BreakerError<Status>>() {
        return inside(error, |inner| inner);
    }
    if let Some(error) = error.downcast_ref::<BreakerError<BoxError>>() {
        return inside(error, |inner| &**inner);
    }
    error.source()
}

fn inside<E>(
    error: &BreakerError<E>,
    inner: impl FnOnce(&E) -> &(dyn Error + 'static),
) -> Option<&(dyn Error + 'static)> {
    match error {
        BreakerError::Rejected(rejected) => Some(rejected),
        BreakerError::TimedOut(timed_out) => Some(timed_out),
        BreakerError::Inner(error) => Some(inner(error)),
        _ => None,
    }
}
