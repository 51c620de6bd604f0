//! Every way in which a body can end, and what it says about the call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::scripted::{
    CANCELLED, FAILURE, IGNORED, NOTHING, OPEN, SUCCESS, Scripted, Step, breaker, poll, response, totals,
};
use http::Response;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use mainstay_breaker::{Breaker, Clock, ManualClock, State, Trip, Window};
use mainstay_http::{GuardedBody, HttpLayer};
use tower::{Layer, Service, ServiceExt, service_fn};

/// One call through the layer; the response is what the service gives.
async fn call<B: Body>(breaker: &Breaker, answer: Response<B>) -> Response<GuardedBody<B>> {
    let mut answer = Some(answer);
    let service = service_fn(move |(): ()| {
        let answer = answer.take().unwrap();
        async move { Ok::<_, Infallible>(answer) }
    });
    HttpLayer::client(breaker.clone()).layer(service).oneshot(()).await.unwrap()
}

async fn body(breaker: &Breaker, steps: impl IntoIterator<Item = Step>) -> GuardedBody<Scripted> {
    call(breaker, response(200, Scripted::new(steps))).await.into_body()
}

#[tokio::test]
async fn a_body_that_ends_is_a_success_at_its_end() {
    let (breaker, _) = breaker(3);
    let mut body = body(&breaker, [Step::Data("hello"), Step::Wait, Step::Data("world"), Step::End]).await;

    assert_eq!([poll(&mut body), poll(&mut body), poll(&mut body)], ["data hello", "pending", "data world"]);
    assert_eq!(totals(&breaker), NOTHING);

    assert_eq!(poll(&mut body), "end");
    assert_eq!(totals(&breaker), SUCCESS);
    drop(body);
    assert_eq!(totals(&breaker), SUCCESS);
}

#[tokio::test]
async fn a_body_that_knows_its_end_is_a_success_with_its_last_frame() {
    let (breaker, _) = breaker(3);
    let steps = [Step::Data("hello"), Step::Data("world"), Step::End];
    let mut body = call(&breaker, response(200, Scripted::knowing_its_end(steps))).await.into_body();

    assert_eq!(poll(&mut body), "data hello");
    assert_eq!(totals(&breaker), NOTHING);
    assert_eq!(poll(&mut body), "data world");
    assert!(body.is_end_stream());
    assert_eq!(totals(&breaker), SUCCESS);
}

#[tokio::test]
async fn trailers_end_a_body() {
    let (breaker, _) = breaker(3);
    let mut body = body(&breaker, [Step::Data("hello"), Step::Trailers, Step::Wait]).await;

    assert_eq!([poll(&mut body), poll(&mut body)], ["data hello", "trailers"]);
    assert_eq!(totals(&breaker), SUCCESS);
}

#[tokio::test]
async fn a_response_without_a_body_is_judged_by_its_head() {
    let (breaker, _) = breaker(3);
    let empty = call(&breaker, response(204, Full::new(&b""[..]))).await;
    assert_eq!(totals(&breaker), SUCCESS);
    assert!(empty.body().is_end_stream());

    // The answer to HEAD, a 304, an upgrade: nothing of it is waited for.
    for (calls, status) in [(2, 200), (3, 304), (4, 101)] {
        let head = call(&breaker, response(status, Scripted::knowing_its_end([Step::End]))).await;
        assert_eq!(totals(&breaker), [calls, 0, 0, 0]);
        drop(head);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_failure_though_the_status_was_good() {
    for status in [200, 206, 302, 404] {
        let (breaker, _) = breaker(3);
        let steps = [Step::Data("hel"), Step::Error("connection reset")];
        let mut body = call(&breaker, response(status, Scripted::new(steps))).await.into_body();

        assert_eq!([poll(&mut body), poll(&mut body)], ["data hel", "error connection reset"]);
        assert_eq!(totals(&breaker), FAILURE, "{status}");
        drop(body);
        assert_eq!(totals(&breaker), FAILURE, "{status}");
    }
}

#[tokio::test]
async fn bodies_that_break_off_trip_the_breaker() {
    let (breaker, _) = breaker(3);
    for _ in 0..3 {
        assert_eq!(breaker.state(), State::Closed);
        let mut body = body(&breaker, [Step::Data("hel"), Step::Error("connection reset")]).await;
        while !poll(&mut body).starts_with("error") {}
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_body_that_its_reader_drops_is_a_success() {
    let (breaker, _) = breaker(3);
    let mut half = body(&breaker, [Step::Data("hel"), Step::Data("lo"), Step::End]).await;
    poll(&mut half);
    drop(half);
    assert_eq!(totals(&breaker), SUCCESS);

    let unread = body(&breaker, [Step::Data("hello"), Step::End]).await;
    drop(unread);
    assert_eq!(totals(&breaker), [2, 0, 0, 0]);

    let mut stalled = body(&breaker, [Step::Wait, Step::Wait]).await;
    poll(&mut stalled);
    drop(stalled);
    assert_eq!(totals(&breaker), [3, 0, 0, 0]);
}

#[tokio::test]
async fn a_reader_that_panics_is_no_failure_of_the_server() {
    let (breaker, _) = breaker(3);
    let mut body = body(&breaker, [Step::Data("not a number"), Step::End]).await;
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _: u32 = poll(&mut body).parse().unwrap();
    }));
    panicked.unwrap_err();
    assert_eq!(totals(&breaker), SUCCESS);
}

#[tokio::test]
async fn a_body_that_panics_is_a_failure() {
    let (breaker, _) = breaker(3);
    let mut body = body(&breaker, [Step::Panic]).await;
    catch_unwind(AssertUnwindSafe(|| poll(&mut body))).unwrap_err();
    assert_eq!(totals(&breaker), FAILURE);
    drop(body);
    assert_eq!(totals(&breaker), FAILURE);
}

#[tokio::test]
async fn a_failing_head_is_recorded_at_once_and_its_body_says_nothing_more() {
    for ending in [Step::End, Step::Error("connection reset")] {
        let (breaker, _) = breaker(3);
        let mut answer = call(&breaker, response(500, Scripted::new([Step::Data("sorry"), ending]))).await;
        assert_eq!(totals(&breaker), FAILURE);

        assert_eq!(poll(answer.body_mut()), "data sorry");
        poll(answer.body_mut());
        drop(answer);
        assert_eq!(totals(&breaker), FAILURE);
    }
}

#[tokio::test]
async fn an_ignored_head_stays_ignored_unless_its_body_breaks_off() {
    let (breaker, _) = breaker(3);
    let mut answer = call(&breaker, response(429, Scripted::new([Step::Data("slow down"), Step::End]))).await;
    while poll(answer.body_mut()) != "end" {}
    assert_eq!(totals(&breaker), IGNORED);

    let mut answer = call(&breaker, response(429, Scripted::new([Step::Error("connection reset")]))).await;
    poll(answer.body_mut());
    assert_eq!(totals(&breaker), [0, 1, 1, 0]);
}

#[tokio::test]
async fn after_an_error_or_the_end_whatever_the_body_does_counts_no_more() {
    let (breaker, _) = breaker(3);
    let mut broken = body(&breaker, [Step::Error("one"), Step::Error("two"), Step::End]).await;
    assert_eq!([poll(&mut broken), poll(&mut broken), poll(&mut broken)], ["error one", "error two", "end"]);
    assert_eq!(totals(&breaker), FAILURE);

    let mut ended = body(&breaker, [Step::End, Step::Error("late"), Step::End]).await;
    assert_eq!([poll(&mut ended), poll(&mut ended)], ["end", "error late"]);
    assert_eq!(totals(&breaker), [1, 1, 0, 0]);
}

#[tokio::test]
async fn a_call_that_is_dropped_before_its_head_is_in_says_nothing() {
    let (breaker, _) = breaker(3);
    let mut service = HttpLayer::client(breaker.clone())
        .layer(service_fn(|(): ()| std::future::pending::<Result<Response<Full<&[u8]>>, Infallible>>()));
    let mut call = Box::pin(service.ready().await.unwrap().call(()));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(call);
    assert_eq!(totals(&breaker), CANCELLED);
}

fn half_open() -> (Breaker, ManualClock) {
    let (breaker, time) = breaker(3);
    breaker.trip();
    time.advance(OPEN);
    assert_eq!(breaker.state(), State::HalfOpen);
    (breaker, time)
}

#[tokio::test]
async fn half_open_with_only_unread_bodies_closes() {
    let (breaker, _) = half_open();
    let first = body(&breaker, [Step::Data("hello"), Step::End]).await;
    assert_eq!(breaker.state(), State::HalfOpen);
    let second = body(&breaker, [Step::Data("hello"), Step::End]).await;

    // Nobody has read a byte.
    assert_eq!(breaker.state(), State::Closed);
    drop((first, second));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn unread_bodies_hold_no_probe_slots() {
    let (breaker, _) = half_open();
    // A 429 closes nothing, and as many as there are slots, and more, are kept.
    let mut kept = Vec::new();
    for _ in 0..10 {
        kept.push(call(&breaker, response(429, Scripted::new([Step::Wait]))).await);
    }
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(breaker.snapshot().half_open.unwrap().in_flight, 0);
}

#[tokio::test]
async fn a_body_of_before_that_breaks_off_does_not_open_a_breaker_that_has_closed() {
    let (breaker, _) = half_open();
    let mut first = body(&breaker, [Step::Error("connection reset")]).await;
    let _second = body(&breaker, [Step::End]).await;
    assert_eq!(breaker.state(), State::Closed);

    poll(&mut first);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(totals(&breaker)[1], 1);
}

#[tokio::test]
async fn a_slow_body_is_not_a_slow_call() {
    let (clock, time) = Clock::manual();
    let slow = Trip::slow_rate(0.5, Duration::from_secs(1)).over(Window::calls(4)).min_calls(4);
    let breaker = Breaker::builder("downloads").trip(slow).clock(clock).build().unwrap();
    for _ in 0..8 {
        let mut body = body(&breaker, [Step::Data("hello"), Step::End]).await;
        time.advance(Duration::from_secs(60));
        while poll(&mut body) != "end" {}
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(totals(&breaker), [8, 0, 0, 0]);
}

#[tokio::test]
async fn size_and_end_are_passed_on() {
    let (breaker, _) = breaker(3);
    let mut body = call(&breaker, response(200, Full::new(&b"hello"[..]))).await.into_body();
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());

    body.frame().await.unwrap().unwrap();
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn bodies_that_cannot_be_moved_are_guarded_too() {
    struct Pinned(std::marker::PhantomPinned);
    impl Body for Pinned {
        type Data = &'static [u8];
        type Error = Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Infallible>>> {
            Poll::Ready(None)
        }
    }
    let (breaker, _) = breaker(3);
    let body = call(&breaker, response(200, Pinned(std::marker::PhantomPinned))).await.into_body();
    assert!(pin!(body).frame().await.is_none());
    assert_eq!(totals(&breaker), SUCCESS);
}

#[tokio::test]
async fn a_written_body_has_one_piece_and_an_empty_one_none() {
    let mut written = GuardedBody::<Full<&'static [u8]>>::written(b"sorry");
    assert_eq!(written.size_hint().exact(), Some(5));
    assert!(!written.is_end_stream());
    assert_eq!(written.frame().await.unwrap().unwrap().into_data().unwrap(), b"sorry");
    assert!(written.is_end_stream());
    assert!(written.frame().await.is_none());

    for mut empty in
        [GuardedBody::empty(), GuardedBody::default(), GuardedBody::<Full<&'static [u8]>>::written(b"")]
    {
        assert!(empty.is_end_stream());
        assert_eq!(empty.size_hint().exact(), Some(0));
        assert!(empty.frame().await.is_none());
    }
}

#[test]
fn a_guarded_body_can_be_sent_shared_and_moved_if_its_inner_can() {
    fn holds<T: Send + Sync + Unpin + std::fmt::Debug>() {}
    holds::<GuardedBody<Full<&'static [u8]>>>();
}
