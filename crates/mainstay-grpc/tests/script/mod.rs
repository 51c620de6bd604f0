//! Responses that go as they are written, and the breaker around them.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use mainstay_breaker::{Breaker, Totals};
use mainstay_grpc::{GrpcLayer, GuardedBody};
use tower::{Layer, ServiceExt, service_fn};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// What a body does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Data(&'static [u8]),
    Trailers(Vec<(&'static str, &'static str)>),
    Break,
    Wait,
    Panic,
}

/// A body that goes as it is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    steps: VecDeque<Step>,
    /// It says that it is over as soon as it is, like a body whose length is known.
    announces: bool,
}

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), announces: false }
    }

    pub(crate) fn announced(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { announces: true, ..Self::new(steps) }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(Step::Wait) = self.steps.front() {
            return Poll::Pending;
        }
        Poll::Ready(self.steps.pop_front().map(|step| match step {
            Step::Data(data) => Ok(Frame::data(Bytes::from_static(data))),
            Step::Trailers(pairs) => Ok(Frame::trailers(headers(&pairs))),
            Step::Break => Err("connection reset".into()),
            Step::Wait => unreachable!(),
            Step::Panic => panic!("the body panics"),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.announces && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let sizes =
            self.steps.iter().map(|step| if let Step::Data(data) = step { data.len() as u64 } else { 0 });
        SizeHint::with_exact(sizes.sum())
    }
}

pub(crate) fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    pairs.iter().map(pair).collect()
}

pub(crate) fn response(pairs: &[(&'static str, &'static str)], body: Script) -> Response<Script> {
    let mut response = Response::new(body);
    *response.headers_mut() = headers(pairs);
    response
}

/// One call through the breaker that gets this response.
pub(crate) async fn call(breaker: &Breaker, response: Response<Script>) -> Response<GuardedBody<Script>> {
    call_with(GrpcLayer::client(breaker.clone()), response).await
}

pub(crate) async fn call_with(layer: GrpcLayer, response: Response<Script>) -> Response<GuardedBody<Script>> {
    let mut response = Some(response);
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let response = response.take().unwrap();
        async { Ok::<_, Infallible>(response) }
    }));
    service.oneshot(Request::new(())).await.unwrap()
}

/// One call through the breaker that fails without a response.
pub(crate) async fn fail<E>(breaker: &Breaker, error: E) -> E
where
    E: 'static,
{
    let mut error = Some(error);
    let layer = GrpcLayer::client(breaker.clone());
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let error = error.take().unwrap();
        async { Err::<Response<Script>, _>(error) }
    }));
    match service.oneshot(Request::new(())).await {
        Err(error) => error,
        Ok(_) => panic!("it fails"),
    }
}

/// The next frame, if there is one at once.
pub(crate) async fn frame<B: Body + Unpin>(body: &mut B) -> Option<Result<Frame<B::Data>, B::Error>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

/// Reads to the end, whatever it is.
pub(crate) async fn read<B: Body + Unpin>(mut body: B) {
    while let Some(Ok(_)) = frame(&mut body).await {}
}

/// Successes, failures, ignored.
pub(crate) fn verdicts(breaker: &Breaker) -> (u64, u64, u64) {
    let Totals { success, failure, ignored, .. } = breaker.snapshot().totals;
    (success, failure, ignored)
}

pub(crate) const SUCCESS: (u64, u64, u64) = (1, 0, 0);
pub(crate) const FAILURE: (u64, u64, u64) = (0, 1, 0);
pub(crate) const IGNORED: (u64, u64, u64) = (0, 0, 1);
pub(crate) const UNDECIDED: (u64, u64, u64) = (0, 0, 0);
