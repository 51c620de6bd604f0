use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_core::Classify;
use tower_service::Service;

use super::noted::Noted;
use super::{JudgeErrors, ObserveFuture};
use crate::Observer;

/// A service whose requests are taken notice of. Made by [`ObserveLayer`](crate::ObserveLayer).
#[derive(Clone, Debug)]
pub struct ObserveService<S, C = JudgeErrors> {
    pub(super) inner: S,
    pub(super) observer: Observer,
    pub(super) classify: C,
    pub(super) given_up_after: Duration,
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
        let mut noted = Noted::new(&self.observer, self.given_up_after);
        let inner = noted.run(|| self.inner.call(request));
        ObserveFuture::new(inner, noted, self.classify.clone())
    }
}
