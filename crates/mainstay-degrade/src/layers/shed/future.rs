use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{OnShed, Shed};

pin_project! {
    /// The future of a [`ShedService`](crate::ShedService).
    #[must_use = "futures do nothing unless polled"]
    pub struct ShedFuture<F, R> {
        #[pin]
        work: Option<F>,
        shed: Option<Shed>,
        on_shed: R,
    }
}

impl<F, R> ShedFuture<F, R> {
    pub(super) fn calling(work: F, on_shed: R) -> Self {
        Self { work: Some(work), shed: None, on_shed }
    }

    pub(super) fn shed(shed: Shed, on_shed: R) -> Self {
        Self { work: None, shed: Some(shed), on_shed }
    }
}

impl<F, R, T, E> Future for ShedFuture<F, R>
where
    F: Future<Output = Result<T, E>>,
    R: OnShed<T, E>,
{
    type Output = Result<T, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(work) = this.work.as_pin_mut() {
            return work.poll(cx).map_err(R::inner);
        }
        match this.shed.take() {
            Some(shed) => Poll::Ready(this.on_shed.shed(shed)),
            None => Poll::Pending,
        }
    }
}

impl<F, R> fmt::Debug for ShedFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShedFuture").field("shed", &self.shed).finish_non_exhaustive()
    }
}
