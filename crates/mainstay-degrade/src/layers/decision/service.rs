use std::fmt;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::DecisionFuture;
use crate::{DegradationManager, ExecutionMode, Mode};

/// A tower service that knows how things are. Made by [`DecisionLayer`](crate::DecisionLayer).
pub struct DecisionService<S, M: Mode = ExecutionMode> {
    pub(super) inner: S,
    pub(super) degrade: DegradationManager<M>,
    pub(super) names: bool,
}

impl<S, M: Mode, B, D> Service<Request<B>> for DecisionService<S, M>
where
    S: Service<Request<B>, Response = Response<D>>,
{
    type Response = Response<D>;
    type Error = S::Error;
    type Future = DecisionFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let extensions = request.extensions_mut();
        let is_outermost = extensions.insert(Told).is_none();
        let assessment = extensions.get_or_insert_with(|| self.degrade.assessment()).clone();
        DecisionFuture::new(self.inner.call(request), is_outermost.then_some(assessment), self.names)
    }
}

/// A layer further out says in the response's headers how things were.
#[derive(Clone, Copy)]
struct Told;

impl<S: Clone, M: Mode> Clone for DecisionService<S, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), degrade: self.degrade.clone(), names: self.names }
    }
}

impl<S: fmt::Debug, M: Mode> fmt::Debug for DecisionService<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecisionService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
