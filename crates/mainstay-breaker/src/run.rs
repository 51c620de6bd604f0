use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_core::panics::contain;
use mainstay_core::{Classified, Classify, Name, Sleep};
use pin_project_lite::pin_project;

use crate::conclude::Judged;
use crate::machine::Machine;
use crate::permit::{Held, Host};
use crate::{Breaker, BreakerError, Conclude, TimedOut};

pin_project! {
    /// A guarded async call. Made by [`Breaker::run`] and its siblings.
    ///
    /// It asks for admission when first polled. Dropped before its end it counts as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<'a, F, C> {
        breaker: &'a Breaker,
        timeout: Option<Duration>,
        #[pin]
        attempt: Attempt<F, Judged<C>, &'a Machine>,
        admitted: bool,
    }
}

pin_project! {
    /// A call under way: the permit, the work, and the breaker's own time-out. Shared by `run` and the tower layer.
    pub(crate) struct Attempt<F, C, H>
    where
        H: Host,
    {
        #[pin]
        work: Option<F>,
        conclude: C,
        permit: Option<Held<H>>,
        limit: Limit,
    }
}

/// The breaker's own time-out. In a box: most calls have none, and the future is moved about.
pub(crate) struct Limit(Option<Box<Deadline>>);

struct Deadline {
    sleep: Sleep,
    timeout: Duration,
    name: Name,
}

// === impl Limit ===

impl Limit {
    pub(crate) const NONE: Self = Self(None);

    #[cold]
    pub(crate) fn new(machine: &Machine, timeout: Duration) -> Self {
        let clock = &machine.identity.clock;
        let sleep = clock.sleep_until(clock.now().saturating_add(timeout));
        Self(Some(Box::new(Deadline { sleep, timeout, name: machine.identity.name })))
    }
}

impl Drop for Limit {
    /// By value, and only if there is something to drop: see [`Host::let_go`].
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(deadline) = self.0.take() {
            forget_it(deadline);
        }
    }
}

/// Nothing unwinds from it; see [`Tether::let_go`](crate::guard::Tether).
#[allow(improper_ctypes_definitions, reason = "the ABI is only there to say that nothing unwinds")]
#[cold]
#[inline(never)]
extern "C" fn forget_it(deadline: Box<Deadline>) {
    contain(|| drop(deadline));
}

impl Deadline {
    #[cold]
    #[inline(never)]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.sleep).poll(cx)
    }
}

// === impl Run ===

impl<'a, F, C> Run<'a, F, C> {
    pub(crate) fn new(breaker: &'a Breaker, work: F, classify: C, timeout: Option<Duration>) -> Self {
        Self { breaker, timeout, attempt: Attempt::new(work, Judged(classify)), admitted: false }
    }
}

impl<F, C, T, E> Future for Run<'_, F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = Result<T, BreakerError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if !*this.admitted {
            let machine = this.breaker.machine();
            let ticket = machine.ticket()?;
            *this.admitted = true;
            this.attempt.as_mut().begin(Held::new(machine, ticket), *this.timeout);
        }
        match this.attempt.as_mut().poll_work(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(BreakerError::Inner)),
            Poll::Pending => {
                this.attempt.poll_deadline(cx).map(|timed_out| Err(BreakerError::TimedOut(timed_out)))
            }
        }
    }
}

impl<F, C> std::fmt::Debug for Run<'_, F, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("breaker", &self.breaker.name())
            .field("admitted", &self.admitted)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

// === impl Attempt ===

impl<F, C, H: Host> Attempt<F, C, H> {
    pub(crate) fn new(work: F, conclude: C) -> Self {
        Self { work: Some(work), conclude, permit: None, limit: Limit::NONE }
    }

    /// The call was admitted; its time-out begins.
    pub(crate) fn begin(self: Pin<&mut Self>, permit: Held<H>, timeout: Option<Duration>) {
        let this = self.project();
        if let (Some(timeout), Some(machine)) = (timeout, permit.machine()) {
            *this.limit = Limit::new(machine, timeout);
        }
        *this.permit = Some(permit);
    }

    /// A call that was admitted; without a permit, one that nobody guards.
    #[cfg(feature = "tower")]
    #[inline(always)]
    pub(crate) fn begun(work: F, conclude: C, permit: Option<Held<H>>, limit: Limit) -> Self {
        Self { work: Some(work), conclude, permit, limit }
    }

    /// A call that was not admitted: pending for ever.
    #[cfg(feature = "tower")]
    pub(crate) fn ended(conclude: C) -> Self {
        Self { work: None, conclude, permit: None, limit: Limit::NONE }
    }

    /// Polls the work. Pending for ever once it has ended.
    #[inline(always)]
    pub(crate) fn poll_work<T, E>(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<C::Response, E>>
    where
        F: Future<Output = Result<T, E>>,
        C: Conclude<T, E>,
    {
        let mut this = self.project();
        let Some(work) = this.work.as_mut().as_pin_mut() else { return Poll::Pending };
        let on_panic = OnPanic(this.permit);
        let Poll::Ready(result) = work.poll(cx) else {
            std::mem::forget(on_panic);
            return Poll::Pending;
        };
        let result = this.conclude.conclude(result, on_panic.0);
        std::mem::forget(on_panic);
        this.work.set(None);
        Poll::Ready(result)
    }

    /// The breaker's own time-out: when it has passed, the call is a failure, and is dropped.
    #[inline]
    pub(crate) fn poll_deadline(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TimedOut> {
        let mut this = self.project();
        let (Some(deadline), Some(permit), Some(_)) = (&mut this.limit.0, this.permit, &*this.work) else {
            return Poll::Pending;
        };
        std::task::ready!(deadline.poll(cx));
        permit.settle_here(Classified::failure());
        let timed_out = TimedOut::new(deadline.name, deadline.timeout);
        this.work.set(None);
        Poll::Ready(timed_out)
    }
}

/// While user code runs: a panic in the work or in what concludes it settles the permit here and now, while the thread
/// unwinds, whatever becomes of the future that holds it.
struct OnPanic<'a, H: Host>(&'a mut Option<Held<H>>);

impl<H: Host> Drop for OnPanic<'_, H> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.0 = None;
    }
}
