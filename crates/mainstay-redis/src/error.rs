use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use mainstay_breaker::{BreakerError, Name, Rejected};
use redis::{ErrorKind, RedisError};

/// A request that the guard dropped because its deadline had passed. It counted as a failure.
///
/// Found by [`timed_out`] in a [`RedisError`] that [`is_timeout`](RedisError::is_timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlinePassed {
    name: Name,
    deadline: Duration,
}

/// Finds the breaker's rejection in an error: then Redis was not asked.
///
/// It looks through the error and all its sources, so that it finds a rejection that the driver or a guard of a guard has
/// wrapped.
pub fn rejected(error: &RedisError) -> Option<&Rejected> {
    rejected_in(error)
}

/// [`rejected`] for any error that may have a [`RedisError`] among its sources.
///
/// ```
/// #[derive(Debug, thiserror::Error)]
/// #[error("the cart is not available")]
/// struct NoCart(#[from] mainstay_redis::redis::RedisError);
///
/// fn status(error: &(dyn std::error::Error + 'static)) -> u16 {
///     if mainstay_redis::rejected_in(error).is_some() { 503 } else { 500 }
/// }
/// ```
pub fn rejected_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Rejected> {
    find(error, |error| {
        let wrapped = || error.downcast_ref::<BreakerError<RedisError>>()?.rejected();
        error.downcast_ref().or_else(wrapped)
    })
}

/// Finds the guard's own deadline in an error. None for the driver's own time-outs.
pub fn timed_out(error: &RedisError) -> Option<&DeadlinePassed> {
    timed_out_in(error)
}

/// [`timed_out`] for any error that may have a [`RedisError`] among its sources.
pub fn timed_out_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a DeadlinePassed> {
    find(error, |error| error.downcast_ref())
}

fn find<'a, T>(
    error: &'a (dyn Error + 'static),
    find: impl Fn(&'a (dyn Error + 'static)) -> Option<&'a T>,
) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = find(error) {
            return Some(found);
        }
        // An error that shows what it wraps, but only in this way.
        next = match error.downcast_ref::<BreakerError<RedisError>>() {
            Some(BreakerError::Inner(inner)) => Some(inner),
            _ => error.source(),
        };
    }
    None
}

/// The error of a request that was not admitted.
///
/// It is the kind of I/O error of which the driver says that the connection is not lost, that it is no time-out, and that it
/// is not to be retried.
#[cold]
pub(crate) fn refused(rejected: Rejected) -> RedisError {
    io::Error::new(io::ErrorKind::PermissionDenied, Carried(rejected)).into()
}

/// The error of a request with a deadline where nobody can tell the time. It says nothing about Redis.
#[cold]
pub(crate) fn no_timer() -> RedisError {
    (ErrorKind::Client, "a deadline needs a tokio runtime with its timer enabled").into()
}

/// The error of a request whose deadline has passed. The driver takes it for one of its own time-outs.
#[cold]
pub(crate) fn late(name: Name, deadline: Duration) -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, Carried(DeadlinePassed { name, deadline })).into()
}

/// What an [`io::Error`] carries. It is in no chain of sources itself, an I/O error passes on the source of what it carries
/// instead: so that has to be the real thing.
struct Carried<E>(E);

// === impl Carried ===

impl<E: fmt::Display> fmt::Display for Carried<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: fmt::Debug> fmt::Debug for Carried<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Error + 'static> Error for Carried<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

// === impl DeadlinePassed ===

impl DeadlinePassed {
    /// The breaker's name.
    pub fn name(&self) -> Name {
        self.name
    }

    /// The deadline that has passed.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }
}

impl fmt::Display for DeadlinePassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer from {} within {:?}", self.name, self.deadline)
    }
}

impl Error for DeadlinePassed {}
