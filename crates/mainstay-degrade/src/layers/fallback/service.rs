use std::task::{Context, Poll};

use tower_service::Service;

use super::{FallBackOn, FallbackFuture, FallbackLayer, Instead, Never, OnError};
use crate::Mark;

/// A tower service with a fallback. Made by [`FallbackLayer`](crate::FallbackLayer).
#[derive(Clone, Debug)]
pub struct FallbackService<S, F, K, W = OnError, I = Never> {
    pub(super) inner: S,
    pub(super) options: FallbackLayer<F, K, W, I>,
}

impl<S, F, K, W, I, Req> Service<Req> for FallbackService<S, F, K, W, I>
where
    S: Service<Req> + Clone,
    F: Service<Req, Response = S::Response> + Clone,
    F::Error: Into<S::Error>,
    K: Mark<S::Response> + Clone,
    W: FallBackOn<S::Response, S::Error> + Clone,
    I: Instead<Req>,
    Req: Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = FallbackFuture<S, F, Req, K, W>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let FallbackLayer { fallback, mark, when, instead } = &self.options;
        let (fallback, mark, when) = (fallback.clone(), mark.clone(), when.clone());
        if instead.instead(&request) {
            return FallbackFuture::instead(fallback, request, mark, when);
        }
        FallbackFuture::asking(self.inner.clone(), fallback, request, mark, when)
    }
}
