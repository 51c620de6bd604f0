use std::error::Error;
use std::fmt;
use std::time::Duration;

use mainstay_core::{Name, NotAsked};

use crate::Cause;
use crate::phase::nanos;

/// A call that was not admitted: who rejected it, why, and when it may be tried again.
///
/// It is a small value (at most 128 bytes) that allocates nothing. As an [`Error`] its
/// [`source`](Error::source) is the [`Cause`] of the trip, and it says [`NotAsked`] of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Rejected {
    name: Name,
    reason: RejectReason,
    retry_after: Wait,
    cause: Option<Cause>,
}

/// In nanoseconds, which are not worth the division before somebody asks; `u64::MAX` for nobody knows.
#[derive(Clone, Copy, PartialEq)]
struct Wait(u64);

/// Why a call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RejectReason {
    /// The breaker is open.
    Open,
    /// The breaker is half-open, and as many probes as it allows are under way.
    ProbesBusy,
    /// The breaker is ramping up, and this call was not in the admitted share.
    Ramping,
    /// The breaker is forced open.
    Forced,
    /// A keyed set is full, nothing in it can be evicted, and it was told to reject then.
    KeysFull,
    /// The service was called without having been ready.
    NotReady,
    /// The call was made, but cut off by the breaker's time-out. Only seen by a layer's `reject_with`.
    TimedOut,
}

/// The error of a guarded call.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum BreakerError<E> {
    /// The call was not made.
    Rejected(Rejected),
    /// The call was made, and this is its own error.
    Inner(E),
    /// The call was made and dropped, because the breaker's time-out passed.
    TimedOut(TimedOut),
}

/// A call that was dropped because the breaker's own time-out passed. It counted as a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TimedOut {
    name: Name,
    after: Duration,
}

// === impl Rejected ===

const _: () = assert!(size_of::<Rejected>() <= 128);

impl Rejected {
    pub(crate) fn new(
        name: Name,
        reason: RejectReason,
        retry_after: Option<Duration>,
        cause: Option<Cause>,
    ) -> Self {
        Self::in_nanos(name, reason, retry_after.map_or(Self::UNKNOWN, nanos), cause)
    }

    #[inline(always)]
    pub(crate) fn in_nanos(name: Name, reason: RejectReason, wait: u64, cause: Option<Cause>) -> Self {
        Self { name, reason, retry_after: Wait(wait), cause }
    }

    #[cfg(feature = "tower")]
    #[inline(always)]
    pub(crate) fn cause_mut(&mut self) -> &mut Option<Cause> {
        &mut self.cause
    }

    /// Nobody knows how long to wait.
    pub(crate) const UNKNOWN: u64 = u64::MAX;

    /// Who rejected it.
    pub fn name(&self) -> Name {
        self.name
    }

    /// Why.
    pub fn reason(&self) -> RejectReason {
        self.reason
    }

    /// How long to wait before it is worth trying again: what is left of the open time, or of the earliest probe's
    /// time, or a slice of the ramp. `None` when only a hand can tell (forced open).
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.known()
    }

    /// Why the breaker opened last.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }
}

impl Wait {
    fn known(self) -> Option<Duration> {
        (self.0 != Rejected::UNKNOWN).then(|| Duration::from_nanos(self.0))
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.known().fmt(f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Wait {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.known().serialize(serializer)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One that was cut off had been made.
        if self.reason != RejectReason::TimedOut {
            NotAsked::say();
        }
        write!(f, "breaker {} rejected the call: {}", self.name, self.reason)?;
        match self.retry_after() {
            Some(after) => write!(f, "; retry after {after:?}"),
            None => Ok(()),
        }
    }
}

impl Error for Rejected {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "it is open",
            Self::ProbesBusy => "it is half-open and all probes are under way",
            Self::Ramping => "it is ramping up",
            Self::Forced => "it is forced open",
            Self::KeysFull => "its set of keys is full",
            Self::NotReady => "the service was not ready",
            Self::TimedOut => "it did not answer in time",
        })
    }
}

// === impl BreakerError ===

impl<E> BreakerError<E> {
    /// The rejection, if the call was not made.
    pub fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            _ => None,
        }
    }

    /// The call's own error, if it was made.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Inner(error) => Some(error),
            _ => None,
        }
    }
}

impl<E> From<Rejected> for BreakerError<E> {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl<E: fmt::Display> fmt::Display for BreakerError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejected) => rejected.fmt(f),
            Self::Inner(error) => error.fmt(f),
            Self::TimedOut(timed_out) => timed_out.fmt(f),
        }
    }
}

/// For every `E: Debug + Display`, so that it stacks over boxed errors too. A rejection's source is its cause; the
/// inner error is shown by `Display` and found by matching.
impl<E: fmt::Debug + fmt::Display> Error for BreakerError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Rejected(rejected) => rejected.source(),
            Self::Inner(_) | Self::TimedOut(_) => None,
        }
    }
}

// === impl TimedOut ===

impl TimedOut {
    pub(crate) fn new(name: Name, after: Duration) -> Self {
        Self { name, after }
    }

    /// Whose time-out.
    pub fn name(&self) -> Name {
        self.name
    }

    /// The time-out.
    pub fn after(&self) -> Duration {
        self.after
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "breaker {} dropped the call after {:?}", self.name, self.after)
    }
}

impl Error for TimedOut {}
