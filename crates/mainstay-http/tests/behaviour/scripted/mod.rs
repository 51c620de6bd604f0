//! Bodies that do what a test tells them, and breakers whose time a test moves.
#![allow(dead_code, reason = "not every test tells everything")]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use mainstay_breaker::{Breaker, Clock, HalfOpen, ManualClock, OpenFor, Trip};

pub(crate) const OPEN: Duration = Duration::from_secs(10);

/// Opens after so many failures in a row, half-open with 2 probes at once, of which 2 close.
pub(crate) fn breaker(failures: u32) -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { max_in_flight: 2, close_after: 2, ..HalfOpen::default() };
    let builder = Breaker::builder("secret-upstream").trip(Trip::consecutive_failures(failures));
    (builder.half_open(half_open).open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap(), time)
}

/// What the totals say: successes, failures, ignored, and how many of those were cancelled.
pub(crate) fn totals(breaker: &Breaker) -> [u64; 4] {
    let totals = breaker.snapshot().totals;
    [totals.success, totals.failure, totals.ignored, totals.cancelled]
}

pub(crate) const SUCCESS: [u64; 4] = [1, 0, 0, 0];
pub(crate) const FAILURE: [u64; 4] = [0, 1, 0, 0];
pub(crate) const IGNORED: [u64; 4] = [0, 0, 1, 0];
pub(crate) const CANCELLED: [u64; 4] = [0, 0, 1, 1];
pub(crate) const NOTHING: [u64; 4] = [0, 0, 0, 0];

pub(crate) enum Step {
    Data(&'static str),
    Trailers,
    Error(&'static str),
    End,
    Panic,
    Wait,
}

/// A body of steps. `End` makes `is_end_stream` true as soon as it is next, if the body knows its end.
#[derive(Clone)]
pub(crate) struct Scripted {
    steps: Arc<Mutex<VecDeque<Step>>>,
    knows_its_end: bool,
}

impl Scripted {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: Arc::new(Mutex::new(steps.into_iter().collect())), knows_its_end: false }
    }

    pub(crate) fn knowing_its_end(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { knows_its_end: true, ..Self::new(steps) }
    }

    fn steps(&self) -> MutexGuard<'_, VecDeque<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Scripted {
    type Data = &'static [u8];
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let step = self.steps().pop_front();
        match step {
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data.as_bytes())))),
            Some(Step::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
            Some(Step::Error(error)) => Poll::Ready(Some(Err(error))),
            Some(Step::End) => Poll::Ready(None),
            Some(Step::Panic) => panic!("the body panics"),
            Some(Step::Wait) | None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.knows_its_end && matches!(self.steps().front(), Some(Step::End))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(
            self.steps()
                .iter()
                .map(|step| if let Step::Data(data) = step { data.len() as u64 } else { 0 })
                .sum(),
        )
    }
}

pub(crate) fn response<B>(status: u16, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Polls once for a frame: what became of it, in words.
pub(crate) fn poll<B>(body: &mut B) -> String
where
    B: Body<Error = &'static str> + Unpin,
    B::Data: AsRef<[u8]>,
{
    match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => "pending".to_owned(),
        Poll::Ready(None) => "end".to_owned(),
        Poll::Ready(Some(Err(error))) => format!("error {error}"),
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) => format!("data {}", String::from_utf8_lossy(data.as_ref())),
            Err(_) => "trailers".to_owned(),
        },
    }
}
