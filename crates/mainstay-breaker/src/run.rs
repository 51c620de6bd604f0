use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_core::{Classified, Classify, Sleep};
use pin_project_lite::pin_project;

use crate::machine::Machine;
use crate::permit::{Held, Host};
use crate::{Breaker, BreakerError, TimedOut};

pin_project! {
    /// A guarded async call. Made by [`Breaker::run`] and its siblings.
    ///
    /// It asks for admission when first polled. Dropped before its end it counts as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<'a, F, C> {
        breaker: &'a Breaker,
        timeout: Option<Duration>,
        #[pin]
        attempt: Attempt<F, C, &'a Machine>,
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
        classify: C,
        stage: Stage<H>,
        deadline: Option<Deadline>,
    }
}

enum Stage<H: Host> {
    /// Not admitted yet, or at its end.
    Still,
    Guarded(Held<H>),
    /// Nobody guards it: there is nothing to record.
    Unguarded,
}

struct Deadline {
    sleep: Sleep,
    timeout: Duration,
}

impl Deadline {
    fn new(machine: &Machine, timeout: Duration) -> Self {
        let clock = &machine.clock;
        Self { sleep: clock.sleep_until(clock.now().saturating_add(timeout)), timeout }
    }
}

/// How an attempt ended.
pub(crate) enum End<T, E> {
    Answered(Result<T, E>),
    TimedOut(TimedOut),
}

// === impl Run ===

impl<'a, F, C> Run<'a, F, C> {
    pub(crate) fn new(breaker: &'a Breaker, work: F, classify: C, timeout: Option<Duration>) -> Self {
        Self { breaker, timeout, attempt: Attempt::new(work, classify), admitted: false }
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
            let ticket = machine.admit()?;
            *this.admitted = true;
            this.attempt.as_mut().begin(Held::new(machine, ticket), *this.timeout);
        }
        this.attempt.poll(cx).map(|end| match end {
            End::Answered(result) => result.map_err(BreakerError::Inner),
            End::TimedOut(timed_out) => Err(BreakerError::TimedOut(timed_out)),
        })
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
    pub(crate) fn new(work: F, classify: C) -> Self {
        Self { work: Some(work), classify, stage: Stage::Still, deadline: None }
    }

    /// The call was admitted; its time-out begins.
    pub(crate) fn begin(self: Pin<&mut Self>, permit: Held<H>, timeout: Option<Duration>) {
        let this = self.project();
        *this.deadline = timeout.map(|timeout| Deadline::new(permit.machine(), timeout));
        *this.stage = Stage::Guarded(permit);
    }

    /// A call that was admitted.
    #[cfg(feature = "tower")]
    #[inline]
    pub(crate) fn guarded(work: F, classify: C, permit: Held<H>, timeout: Option<Duration>) -> Self {
        let timeout = timeout.or_else(|| permit.machine().timeout());
        let deadline = timeout.map(|timeout| Deadline::new(permit.machine(), timeout));
        Self { work: Some(work), classify, stage: Stage::Guarded(permit), deadline }
    }

    /// A call that nobody guards.
    #[cfg(feature = "tower")]
    pub(crate) fn unguarded(work: F, classify: C) -> Self {
        Self { work: Some(work), classify, stage: Stage::Unguarded, deadline: None }
    }

    /// Polls the work, then the time-out. Pending for ever once it has ended.
    pub(crate) fn poll<T, E>(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End<T, E>>
    where
        F: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        let mut this = self.project();
        // Out of its place while user code runs: a panic in the work or in the classifier drops it here and now, while
        // the thread unwinds, whatever becomes of this future.
        let permit = match std::mem::replace(this.stage, Stage::Still) {
            Stage::Still => return Poll::Pending,
            Stage::Guarded(permit) => Some(permit),
            Stage::Unguarded => None,
        };
        let Some(work) = this.work.as_mut().as_pin_mut() else { return Poll::Pending };
        if let Poll::Ready(result) = work.poll(cx) {
            if let Some(permit) = permit {
                let classified = this.classify.classify(&result);
                permit.settle(classified);
            }
            return Poll::Ready(End::Answered(result));
        }
        let Some(permit) = permit else {
            *this.stage = Stage::Unguarded;
            return Poll::Pending;
        };
        if let Some(deadline) = this.deadline.as_mut()
            && Pin::new(&mut deadline.sleep).poll(cx).is_ready()
        {
            let timed_out = TimedOut::new(permit.machine().name, deadline.timeout);
            permit.settle(Classified::failure());
            this.work.set(None);
            return Poll::Ready(End::TimedOut(timed_out));
        }
        *this.stage = Stage::Guarded(permit);
        Poll::Pending
    }
}
