use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::guard::{HeldBy, Tether};
use crate::run::{Attempt, Limit};
use crate::{Conclude, Refuse, Rejected};

pin_project! {
    /// The future of a [`BreakerService`](crate::BreakerService). Dropped before its end it counts as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C, R> {
        #[pin]
        attempt: Attempt<F, C, Tether>,
        rejected: Option<Rejected>,
        refuse: R,
    }
}

impl<F, C, R> ResponseFuture<F, C, R> {
    #[inline(always)]
    pub(crate) fn refused(rejected: Option<Rejected>, conclude: C, refuse: R) -> Self {
        Self { attempt: Attempt::ended(conclude), rejected, refuse }
    }

    #[inline(always)]
    pub(crate) fn calling(work: F, conclude: C, refuse: R, permit: Option<HeldBy>, limit: Limit) -> Self {
        let permit = permit.map(|HeldBy(permit)| permit);
        Self { attempt: Attempt::begun(work, conclude, permit, limit), rejected: None, refuse }
    }
}

impl<F, C, R, T, E> Future for ResponseFuture<F, C, R>
where
    F: Future<Output = Result<T, E>>,
    C: Conclude<T, E>,
    R: Refuse<C::Response, E>,
{
    type Output = Result<C::Response, R::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.rejected.is_some() {
            return match this.rejected.take() {
                Some(rejected) => Poll::Ready(this.refuse.rejected(rejected)),
                None => Poll::Pending,
            };
        }
        match this.attempt.as_mut().poll_work(cx) {
            Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(R::inner(error))),
            Poll::Pending => this.attempt.poll_deadline(cx).map(|timed_out| this.refuse.timed_out(timed_out)),
        }
    }
}

impl<F, C, R> fmt::Debug for ResponseFuture<F, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("refused", &self.rejected.is_some()).finish()
    }
}
