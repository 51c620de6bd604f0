use std::fmt;
use std::task::{Context, Poll, ready};

use tower_service::Service;

use super::{FallBackOn, FallbackFuture, FallbackLayer, Instead, Never, OnError};
use crate::Mark;

/// A tower service with a fallback. Made by [`FallbackLayer`](crate::FallbackLayer).
pub struct FallbackService<S, F, K, W = OnError, I = Never> {
    inner: S,
    options: FallbackLayer<F, K, W, I>,
    /// The last `poll_ready` of the inner service failed, so that it cannot be asked.
    failed: bool,
}

impl<S, F, K, W, I> FallbackService<S, F, K, W, I> {
    pub(super) fn new(inner: S, options: FallbackLayer<F, K, W, I>) -> Self {
        Self { inner, options, failed: false }
    }
}

impl<S, F, K, W, I, Req> Service<Req> for FallbackService<S, F, K, W, I>
where
    S: Service<Req>,
    F: Service<Req, Response = S::Response> + Clone,
    F::Error: Into<S::Error>,
    K: Mark<S::Response> + Clone,
    W: FallBackOn<S::Response, S::Error> + Clone,
    I: Instead<Req>,
    Req: Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = FallbackFuture<S::Future, F, F::Future, Req, K, W, S::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.failed = false;
        let Err(error) = ready!(self.inner.poll_ready(cx)) else { return Poll::Ready(Ok(())) };
        let result = Err(error);
        self.failed = self.options.when.falls_back(&result);
        match result {
            Err(error) if !self.failed => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let FallbackLayer { fallback, mark, when, instead } = &self.options;
        let (fallback, mark, when) = (fallback.clone(), mark.clone(), when.clone());
        if std::mem::take(&mut self.failed) || instead.instead(&request) {
            return FallbackFuture::instead(fallback, request, mark, when);
        }
        let work = self.inner.call(request.clone());
        FallbackFuture::calling(work, fallback, request, mark, when)
    }
}

/// By hand: what the last `poll_ready` did is true of this service only.
impl<S: Clone, F: Clone, K: Clone, W: Clone, I: Clone> Clone for FallbackService<S, F, K, W, I> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.options.clone())
    }
}

impl<S: fmt::Debug, F: fmt::Debug, K, W, I> fmt::Debug for FallbackService<S, F, K, W, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackService")
            .field("inner", &self.inner)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
