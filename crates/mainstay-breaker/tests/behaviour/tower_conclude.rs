//! Answers that are not over when they begin: the permit goes along with them.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the point")]

use std::convert::Infallible;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mainstay_breaker::{
    Breaker, BreakerLayer, CallPermit, Clock, Conclude, HalfOpen, Keyed, ManualClock, OpenFor, OwnedPermit,
    Refuse, Rejected, State, TimedOut, Trip, Verdict,
};
use tower::{Layer, Service, ServiceExt, service_fn};

const OPEN: Duration = Duration::from_secs(10);

fn breaker() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { max_in_flight: 1, close_after: 2, ..HalfOpen::default() };
    let builder = Breaker::builder("stream").trip(Trip::consecutive_failures(1)).half_open(half_open);
    (builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap(), time)
}

/// A stream: its head is in, its end is not.
struct Stream(Option<OwnedPermit>);

/// Takes the permit along.
#[derive(Clone)]
struct Streams;

impl<E> Conclude<(), E> for Streams {
    type Response = Stream;

    fn conclude<P: CallPermit>(&self, result: Result<(), E>, permit: &mut P) -> Result<Stream, E> {
        result.inspect_err(|_| permit.record(Verdict::Failure))?;
        let mut kept = permit.keep();
        assert!(permit.keep().is_none(), "there is one permit");
        if let Some(kept) = &mut kept {
            kept.answered(Verdict::Success);
        }
        Ok(Stream(kept))
    }
}

async fn answer(fine: bool) -> Result<(), &'static str> {
    fine.then_some(()).ok_or("refused")
}

#[tokio::test]
async fn the_verdict_is_given_when_the_answer_is_over() {
    let (breaker, _time) = breaker();
    let service = BreakerLayer::new(breaker.clone()).conclude_with(Streams).layer(service_fn(answer));
    let stream = service.oneshot(true).await.unwrap();
    assert_eq!(breaker.snapshot().totals.success, 0);
    stream.0.unwrap().failure();
    assert_eq!(breaker.snapshot().totals.failure, 1);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn half_open_counts_streams_that_never_end() {
    let (breaker, time) = breaker();
    let mut service = BreakerLayer::new(breaker.clone()).conclude_with(Streams).layer(service_fn(answer));
    assert!(service.ready().await.unwrap().call(false).await.is_err());
    assert_eq!(breaker.state(), State::Open);
    time.advance(OPEN);
    let streams =
        [service.ready().await.unwrap().call(true).await, service.ready().await.unwrap().call(true).await];
    assert!(streams.iter().all(Result::is_ok));
    assert_eq!(breaker.state(), State::Closed, "both were answered, though neither is over");
}

#[tokio::test]
async fn an_answer_of_which_nothing_was_said_counts_as_cancelled() {
    #[derive(Clone)]
    struct Silent;
    impl<T, E> Conclude<T, E> for Silent {
        type Response = T;
        fn conclude<P: CallPermit>(&self, result: Result<T, E>, _: &mut P) -> Result<T, E> {
            result
        }
    }
    let (breaker, _time) = breaker();
    let service = BreakerLayer::new(breaker.clone()).conclude_with(Silent).layer(service_fn(answer));
    assert_eq!(service.oneshot(false).await.unwrap_err().into_inner(), Some("refused"));
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.failure, totals.cancelled), (0, 1));
}

#[tokio::test]
async fn a_panic_while_concluding_is_a_failure() {
    #[derive(Clone)]
    struct Panics;
    impl<T, E> Conclude<T, E> for Panics {
        type Response = T;
        fn conclude<P: CallPermit>(&self, _: Result<T, E>, _: &mut P) -> Result<T, E> {
            panic!("on purpose")
        }
    }
    let (breaker, _time) = breaker();
    let mut service = BreakerLayer::new(breaker.clone()).conclude_with(Panics).layer(service_fn(answer));
    let mut call = pin!(service.ready().await.unwrap().call(true));
    let polled =
        catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut Context::from_waker(Waker::noop()))));
    assert!(polled.is_err());
    assert_eq!(breaker.snapshot().totals.failure, 1);
}

#[tokio::test]
async fn a_key_is_in_use_while_its_stream_lives() {
    let (clock, _time) = Clock::manual();
    let set = Keyed::<u8>::builder("hosts").clock(clock).build().unwrap();
    let keyed = BreakerLayer::keyed(set.clone(), |_: &bool| 1).conclude_with(Streams);
    let stream = keyed.layer(service_fn(answer)).oneshot(true).await.unwrap();
    assert!(!set.remove(&1), "a stream is under way");
    stream.0.unwrap().success();
    assert_eq!(set.peek(&1).unwrap().snapshot().totals.success, 1);
    assert!(set.remove(&1));
}

#[tokio::test]
async fn an_inner_service_that_fails_to_get_ready_is_concluded_too() {
    struct Broken;
    impl Service<bool> for Broken {
        type Response = ();
        type Error = &'static str;
        type Future = std::future::Pending<Result<(), &'static str>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("gone"))
        }
        fn call(&mut self, _: bool) -> Self::Future {
            pending()
        }
    }
    let (breaker, _time) = breaker();
    let mut service = BreakerLayer::new(breaker.clone()).conclude_with(Streams).layer(Broken);
    assert!(service.ready().await.is_err());
    assert_eq!(breaker.snapshot().totals.failure, 1);
}

#[tokio::test]
async fn one_can_answer_rejections_and_time_outs_in_a_way_of_ones_own() {
    #[derive(Clone)]
    struct Apologize;
    impl<E> Refuse<String, E> for Apologize {
        type Error = E;
        fn rejected(&self, rejected: Rejected) -> Result<String, E> {
            Ok(format!("not asked: {:?}", rejected.reason()))
        }
        fn timed_out(&self, timed_out: TimedOut) -> Result<String, E> {
            Ok(format!("asked for {:?}", timed_out.after()))
        }
        fn inner(error: E) -> E {
            error
        }
    }
    let (breaker, _time) = breaker();
    let layer = BreakerLayer::new(breaker).refuse_with(Apologize).timeout(Duration::ZERO);
    let service = layer.layer(service_fn(async |_: ()| pending::<Result<String, Infallible>>().await));
    assert_eq!(service.clone().oneshot(()).await.unwrap(), "asked for 0ns");
    assert_eq!(service.oneshot(()).await.unwrap(), "not asked: Open");
}
