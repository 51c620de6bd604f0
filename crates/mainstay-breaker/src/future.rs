use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_core::Classify;
use pin_project_lite::pin_project;

use crate::guard::{HeldBy, Tether};
use crate::run::{Attempt, End};
use crate::{Refuse, Rejected};

pin_project! {
    /// The future of a [`BreakerService`](crate::BreakerService). Dropped before its end it counts as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C, R> {
        #[pin]
        way: Way<F, C>,
        refuse: R,
    }
}

pin_project! {
    #[project = WayProjection]
    enum Way<F, C> {
        Calling { #[pin] attempt: Attempt<F, C, Tether> },
        Refused { rejected: Option<Rejected> },
    }
}

impl<F, C, R> ResponseFuture<F, C, R> {
    pub(crate) fn refused(rejected: Rejected, refuse: R) -> Self {
        Self { way: Way::Refused { rejected: Some(rejected) }, refuse }
    }

    #[inline]
    pub(crate) fn calling(
        work: F,
        classify: C,
        refuse: R,
        permit: Option<HeldBy>,
        timeout: Option<Duration>,
    ) -> Self {
        let attempt = Attempt::begun(work, classify, permit.map(|HeldBy(permit)| permit), timeout);
        Self { way: Way::Calling { attempt }, refuse }
    }
}

impl<F, C, R, T, E> Future for ResponseFuture<F, C, R>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    R: Refuse<T, E>,
{
    type Output = Result<T, R::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.way.project() {
            WayProjection::Calling { attempt } => attempt.poll(cx).map(|end| match end {
                End::Answered(result) => result.map_err(R::inner),
                End::TimedOut(timed_out) => this.refuse.timed_out(timed_out),
            }),
            WayProjection::Refused { rejected } => match rejected.take() {
                Some(rejected) => Poll::Ready(this.refuse.rejected(rejected)),
                None => Poll::Pending,
            },
        }
    }
}

impl<F, C, R> fmt::Debug for ResponseFuture<F, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("refused", &matches!(self.way, Way::Refused { .. })).finish()
    }
}
