use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainstay_core::Classify;
use pin_project_lite::pin_project;

use super::noted::Noted;

pin_project! {
    /// The answer of an [`ObserveService`](crate::ObserveService).
    #[must_use = "futures do nothing unless polled"]
    pub struct ObserveFuture<F, C> {
        #[pin]
        inner: F,
        noted: Noted,
        classify: C,
    }
}

impl<F, C> ObserveFuture<F, C> {
    pub(super) fn new(inner: F, noted: Noted, classify: C) -> Self {
        Self { inner, noted, classify }
    }
}

impl<F, C, Res, Err> Future for ObserveFuture<F, C>
where
    F: Future<Output = Result<Res, Err>>,
    C: Classify<Res, Err>,
{
    type Output = Result<Res, Err>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let inner = this.inner;
        let result = ready!(this.noted.run(|| inner.poll(cx)));
        let verdict = this.noted.run(|| this.classify.classify(&result).verdict());
        this.noted.answered(verdict);
        Poll::Ready(result)
    }
}

impl<F, C> fmt::Debug for ObserveFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserveFuture").field("began", &self.noted.began()).finish_non_exhaustive()
    }
}
