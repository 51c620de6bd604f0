use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mainstay_core::{Classify, ErrorsAreFailures};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::Observer;

/// Lets an [`Observer`] take notice of every request of a service: its verdict, and how long it took from the call to the
/// answer. A call whose future is dropped says nothing.
///
/// Put it inside of what sheds and falls back, so that what the level does is no evidence for the level. Default: errors are
/// failures. That is wrong where a breaker is inside: its rejections are errors, and its opening counts already. Say so with
/// [`classify`](Self::classify), and that an answer which is marked degraded is to ignore:
///
/// ```
/// use mainstay_breaker::BreakerError;
/// use mainstay_core::Verdict;
/// use mainstay_degrade::{DegradationManager, ObserveLayer};
///
/// # let degrade = DegradationManager::builder().build()?;
/// let layer = ObserveLayer::new(degrade.observer()).classify(|result: &Result<String, BreakerError<String>>| match result {
///     Ok(_) => Verdict::Success,
///     Err(BreakerError::Rejected(_)) => Verdict::Ignore,
///     Err(_) => Verdict::Failure,
/// });
/// # Ok::<(), mainstay_degrade::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ObserveLayer<C = ErrorsAreFailures> {
    observer: Observer,
    classify: C,
}

/// A service whose requests are taken notice of. Made by [`ObserveLayer`].
#[derive(Clone, Debug)]
pub struct ObserveService<S, C = ErrorsAreFailures> {
    inner: S,
    observer: Observer,
    classify: C,
}

pin_project! {
    /// The answer of an [`ObserveService`].
    pub struct ObserveFuture<F, C> {
        #[pin]
        inner: F,
        observer: Observer,
        classify: C,
        began: Duration,
    }
}

impl ObserveLayer {
    /// Errors are failures, all else are successes.
    pub fn new(observer: Observer) -> Self {
        Self { observer, classify: ErrorsAreFailures }
    }
}

impl<C> ObserveLayer<C> {
    /// Says what a result is evidence of.
    pub fn classify<D>(self, classify: D) -> ObserveLayer<D> {
        ObserveLayer { observer: self.observer, classify }
    }
}

impl<S, C: Clone> Layer<S> for ObserveLayer<C> {
    type Service = ObserveService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveService { inner, observer: self.observer.clone(), classify: self.classify.clone() }
    }
}

impl<S, C, Request> Service<Request> for ObserveService<S, C>
where
    S: Service<Request>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ObserveFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let began = self.observer.clock().now();
        let (observer, classify) = (self.observer.clone(), self.classify.clone());
        ObserveFuture { inner: self.inner.call(request), observer, classify, began }
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
        let result = ready!(this.inner.poll(cx));
        let verdict = this.classify.classify(&result).verdict();
        this.observer.observe(verdict, this.observer.clock().now().saturating_sub(*this.began));
        Poll::Ready(result)
    }
}

impl<F, C> fmt::Debug for ObserveFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserveFuture").field("began", &self.began).finish_non_exhaustive()
    }
}
