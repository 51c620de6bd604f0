use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_core::ErrorsAreFailures;
use mainstay_core::panics::contain;
use tower_service::Service;

use crate::future::ResponseFuture;
use crate::gate::{Place, poll_admissible};
use crate::guard::{Guard, HeldBy, One};
use crate::machine::Machine;
use crate::run::Limit;
use crate::{BreakerError, Conclude, OnOpen, RejectReason, Rejected, TimedOut};

/// A tower service behind a breaker. Made by [`BreakerLayer`](crate::BreakerLayer) or
/// [`KeyedLayer`](crate::KeyedLayer).
///
/// `poll_ready` takes no permit, and does not ask the inner service while the breaker would reject. A `call` is made
/// only if the last `poll_ready` made the inner service ready; otherwise it is rejected, even if the breaker has become
/// due meanwhile, because the inner service was not asked. An error of the inner `poll_ready` is classified and recorded
/// as a call of its own, and returned.
pub struct BreakerService<S, C = ErrorsAreFailures, R = PassError, G = One> {
    inner: S,
    guard: G,
    options: Options<C, R>,
    /// The last `poll_ready` made the inner service ready.
    readied: bool,
    place: Option<Place>,
}

#[derive(Clone, Debug)]
pub(crate) struct Options<C, R> {
    pub(crate) conclude: C,
    pub(crate) refuse: R,
    pub(crate) on_open: OnOpen,
    pub(crate) timeout: Option<Duration>,
}

/// What becomes of a call that the breaker rejects or cuts off: [`PassError`], [`RespondWith`], or your own, when the
/// answer must be made for every type of response.
///
/// `T` is the response that the caller gets, `E` the error of the inner service.
pub trait Refuse<T, E>: Clone {
    /// The error of the service.
    type Error;

    /// The call was rejected.
    fn rejected(&self, rejected: Rejected) -> Result<T, Self::Error>;

    /// The call took longer than the breaker's time-out and was dropped.
    fn timed_out(&self, timed_out: TimedOut) -> Result<T, Self::Error>;

    /// The call was made, or the inner service asked whether it is ready, and failed.
    fn inner(error: E) -> Self::Error;
}

/// It becomes a [`BreakerError`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PassError;

/// It becomes a response.
#[derive(Clone, Copy, Debug)]
pub struct RespondWith<F>(pub(crate) F);

impl<T, E> Refuse<T, E> for PassError {
    type Error = BreakerError<E>;

    #[inline]
    fn rejected(&self, rejected: Rejected) -> Result<T, Self::Error> {
        Err(BreakerError::Rejected(rejected))
    }

    fn timed_out(&self, timed_out: TimedOut) -> Result<T, Self::Error> {
        Err(BreakerError::TimedOut(timed_out))
    }

    #[inline]
    fn inner(error: E) -> Self::Error {
        BreakerError::Inner(error)
    }
}

impl<F, T, E> Refuse<T, E> for RespondWith<F>
where
    F: Fn(Rejected) -> T + Clone,
{
    type Error = E;

    fn rejected(&self, rejected: Rejected) -> Result<T, E> {
        Ok((self.0)(rejected))
    }

    fn timed_out(&self, timed_out: TimedOut) -> Result<T, E> {
        Ok((self.0)(Rejected::new(timed_out.name(), RejectReason::TimedOut, None, None)))
    }

    #[inline]
    fn inner(error: E) -> E {
        error
    }
}

impl Default for Options<ErrorsAreFailures, PassError> {
    fn default() -> Self {
        Self { conclude: ErrorsAreFailures, refuse: PassError, on_open: OnOpen::Reject, timeout: None }
    }
}

impl<S, C, R, G> BreakerService<S, C, R, G> {
    pub(crate) fn new(inner: S, guard: G, options: Options<C, R>) -> Self {
        Self { inner, guard, options, readied: false, place: None }
    }

    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The wrapped service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, R, G, Req> Service<Req> for BreakerService<S, C, R, G>
where
    S: Service<Req>,
    C: Conclude<S::Response, S::Error> + Clone,
    R: Refuse<C::Response, S::Error>,
    G: Guard<Req>,
{
    type Response = C::Response;
    type Error = R::Error;
    type Future = ResponseFuture<S::Future, C, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.readied = false;
        if let Some(breaker) = self.guard.gatekeeper() {
            match self.options.on_open {
                OnOpen::Reject if !breaker.machine().would_admit() => return Poll::Ready(Ok(())),
                OnOpen::Reject => {}
                OnOpen::NotReady => {
                    if poll_admissible(breaker, &mut self.place, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                self.readied = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                let mut permit = self
                    .guard
                    .gatekeeper()
                    .and_then(|breaker| breaker.try_acquire().ok())
                    .map(|permit| permit.0);
                if permit.is_none() {
                    return Poll::Ready(Err(R::inner(error)));
                }
                let result = self.options.conclude.conclude(Err(error), &mut permit);
                Poll::Ready(result.map(|_| ()).map_err(R::inner))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let Options { conclude, refuse, timeout, .. } = &self.options;
        if !std::mem::take(&mut self.readied) {
            let mut rejected = None;
            self.guard.unready(&mut rejected);
            return ResponseFuture::refused(rejected, conclude.clone(), refuse.clone());
        }
        let permit = match self.guard.admit_at_once() {
            Some(permit) => Some(permit),
            None => match self.guard.admit(&request) {
                Ok(permit) => permit,
                Err(rejected) => {
                    return ResponseFuture::refused(Some(rejected), conclude.clone(), refuse.clone());
                }
            },
        };
        let work = self.inner.call(request);
        let limit = match &permit {
            Some(HeldBy(permit)) if timeout.is_some() || permit.is_limited() => {
                permit.machine().map_or(Limit::NONE, |machine| limit(machine, *timeout))
            }
            _ => Limit::NONE,
        };
        ResponseFuture::calling(work, conclude.clone(), refuse.clone(), permit, limit)
    }
}

/// The time-out begins: the service's, else the breaker's. Nothing unwinds from it; see [`Machine::record_quietly`].
#[allow(improper_ctypes_definitions, reason = "the ABI is only there to say that nothing unwinds")]
#[cold]
#[inline(never)]
extern "C" fn limit(machine: &Machine, timeout: Option<Duration>) -> Limit {
    let mut limit = Limit::NONE;
    contain(|| {
        if let Some(timeout) = timeout.or_else(|| machine.timeout()) {
            limit = Limit::new(machine, timeout);
        }
    });
    limit
}

/// By hand: what the last `poll_ready` did is true of this service only, and so is its place in the queue.
impl<S: Clone, C: Clone, R: Clone, G: Clone> Clone for BreakerService<S, C, R, G> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.guard.clone(), self.options.clone())
    }
}

impl<S: fmt::Debug, C, R, G: fmt::Debug> fmt::Debug for BreakerService<S, C, R, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerService")
            .field("inner", &self.inner)
            .field("guard", &self.guard)
            .field("on_open", &self.options.on_open)
            .field("readied", &self.readied)
            .finish_non_exhaustive()
    }
}
