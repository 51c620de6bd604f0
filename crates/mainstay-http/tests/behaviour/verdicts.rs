//! What heads and errors say about the dependency.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::time::Duration;

use crate::scripted::{FAILURE, IGNORED, OPEN, SUCCESS, breaker, response, totals};
use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::{Empty, Full};
use mainstay_breaker::{Breaker, BreakerError, Clock, OpenFor, RejectReason, State, Trip, Verdict};
use mainstay_http::{Exchanges, Head, HttpLayer, default_settings};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

type Answer = Response<Empty<&'static [u8]>>;

fn answer(status: u16, retry_after: &[&'static str]) -> Answer {
    let mut answer = response(status, Empty::new());
    for value in retry_after {
        answer.headers_mut().append(RETRY_AFTER, HeaderValue::from_static(value));
    }
    answer
}

async fn echo(answer: Answer) -> Result<Answer, Infallible> {
    Ok(answer)
}

async fn ask(breaker: &Breaker, answer: Answer) -> Result<u16, BreakerError<Infallible>> {
    let service = HttpLayer::client(breaker.clone()).layer(service_fn(echo));
    Ok(service.oneshot(answer).await?.status().as_u16())
}

#[tokio::test]
async fn statuses_from_500_up_fail_and_the_response_reaches_the_caller() {
    for status in [500, 501, 502, 503, 504, 505, 507, 511, 599, 600, 999] {
        let (breaker, _) = breaker(3);
        assert_eq!(ask(&breaker, answer(status, &[])).await, Ok(status));
        assert_eq!(totals(&breaker), FAILURE, "{status}");
    }
}

#[tokio::test]
async fn statuses_below_500_succeed_but_for_429() {
    for status in (100..500).filter(|status| *status != 429) {
        let (breaker, _) = breaker(3);
        assert_eq!(ask(&breaker, answer(status, &[])).await, Ok(status));
        assert_eq!(totals(&breaker), SUCCESS, "{status}");
    }
}

#[tokio::test]
async fn a_callers_mistakes_by_the_thousand_never_trip() {
    let (breaker, _) = breaker(1);
    for _ in 0..1000 {
        for status in [400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 418, 422, 429, 431, 451] {
            ask(&breaker, answer(status, &[])).await.unwrap();
        }
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(totals(&breaker), [14_000, 0, 1000, 0]);
}

#[tokio::test]
async fn what_another_breaker_rejects_is_no_evidence() {
    let (inner, outer) = (breaker(1).0, breaker(1).0);
    inner.trip();
    let fine = || service_fn(async |answer: Answer| Ok::<_, BoxError>(answer));

    let client = HttpLayer::client(outer.clone()).layer(HttpLayer::client(inner.clone()).layer(fine()));
    let error = client.oneshot(answer(200, &[])).await.unwrap_err();
    assert!(matches!(error, BreakerError::Inner(BreakerError::Rejected(_))), "{error}");
    assert_eq!(totals(&outer), IGNORED);

    let boxed = HttpLayer::client(inner.clone()).layer(fine()).map_err(BoxError::from);
    HttpLayer::client(outer.clone()).layer(boxed).oneshot(answer(200, &[])).await.unwrap_err();
    assert_eq!(totals(&outer), [0, 0, 2, 0]);

    let full = || service_fn(async |_: ()| Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))));
    let server = HttpLayer::server(outer.clone()).layer(HttpLayer::server(inner.clone()).layer(full()));
    assert_eq!(server.oneshot(()).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(totals(&outer), [0, 0, 3, 0]);
    assert_eq!(outer.state(), State::Closed);
}

#[tokio::test]
async fn too_many_requests_without_a_wait_is_ignored() {
    let (breaker, _) = breaker(3);
    ask(&breaker, answer(429, &[])).await.unwrap();
    assert_eq!(totals(&breaker), IGNORED);
}

#[tokio::test]
async fn a_wait_that_nobody_can_read_is_none() {
    for value in ["", "soon", "-1", "+5", "1.5", "0x10", "5 s", "120, 60", "Thu, 32 Jan 1970 00:01:00 GMT"] {
        let (breaker, _) = breaker(1);
        ask(&breaker, answer(429, &[value])).await.unwrap();
        assert_eq!(totals(&breaker), IGNORED, "{value}");

        ask(&breaker, answer(503, &[value])).await.unwrap();
        assert_eq!(breaker.try_acquire().unwrap_err().retry_after(), Some(OPEN), "{value}");
    }
}

/// The open time after one such answer; the wall clock stands at the Unix epoch plus 1000 s.
async fn open_time(answer: Answer) -> Duration {
    let (breaker, time) = breaker(1);
    time.advance(Duration::from_secs(1000));
    ask(&breaker, answer).await.unwrap();
    assert_eq!(breaker.state(), State::Open);

    let wait = breaker.try_acquire().unwrap_err().retry_after().unwrap();
    time.advance(wait - Duration::from_nanos(1));
    assert_eq!(breaker.state(), State::Open);
    time.advance(Duration::from_nanos(1));
    assert_eq!(breaker.state(), State::HalfOpen);
    wait
}

#[tokio::test]
async fn a_wait_in_seconds_opens_for_that_long() {
    for status in [429, 503] {
        assert_eq!(open_time(answer(status, &["60"])).await, Duration::from_secs(60));
        assert_eq!(open_time(answer(status, &[" 0060 "])).await, Duration::from_secs(60));
        // The own open time is the least, the cap the most.
        assert_eq!(open_time(answer(status, &["0"])).await, OPEN);
        assert_eq!(open_time(answer(status, &["86400"])).await, Duration::from_secs(300));
        assert_eq!(
            open_time(answer(status, &["99999999999999999999999999"])).await,
            Duration::from_secs(300)
        );
    }
}

#[tokio::test]
async fn a_date_opens_until_then_by_the_breakers_own_clock() {
    for status in [429, 503] {
        for date in
            ["Thu, 01 Jan 1970 00:17:40 GMT", "Thursday, 01-Jan-70 00:17:40 GMT", "Thu Jan  1 00:17:40 1970"]
        {
            assert_eq!(open_time(answer(status, &[date])).await, Duration::from_secs(60), "{date}");
        }
        // The past is no wait, but a failure all the same.
        assert_eq!(open_time(answer(status, &["Thu, 01 Jan 1970 00:16:00 GMT"])).await, OPEN);
        assert_eq!(
            open_time(answer(status, &["Fri, 31 Dec 9999 23:59:59 GMT"])).await,
            Duration::from_secs(300)
        );
    }
}

#[tokio::test]
async fn a_date_is_counted_from_the_systems_wall_clock_if_the_breakers_clock_is_the_systems() {
    let breaker = Breaker::builder("wall")
        .trip(Trip::consecutive_failures(1))
        .open_for(OpenFor::fixed(OPEN))
        .retry_after_cap(Duration::from_secs(86_400))
        .build()
        .unwrap();
    let hour = Duration::from_secs(3600);
    let mut away = answer(503, &[]);
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + hour);
    away.headers_mut().insert(RETRY_AFTER, HeaderValue::from_str(&date).unwrap());
    ask(&breaker, away).await.unwrap();
    let wait = breaker.try_acquire().unwrap_err().retry_after().unwrap();
    assert!(wait <= hour && wait > hour - Duration::from_secs(60), "{wait:?}");
}

#[tokio::test]
async fn of_several_waits_the_longest_counts() {
    assert_eq!(open_time(answer(503, &["20", "60", "soon", "40"])).await, Duration::from_secs(60));
    let mixed = ["20", "Thu, 01 Jan 1970 00:17:10 GMT"];
    assert_eq!(open_time(answer(429, &mixed)).await, Duration::from_secs(30));
}

#[tokio::test]
async fn a_wait_with_any_other_status_is_not_listened_to() {
    assert_eq!(open_time(answer(500, &["60"])).await, OPEN);
    let (breaker, _) = breaker(1);
    ask(&breaker, answer(301, &["60"])).await.unwrap();
    assert_eq!(totals(&breaker), SUCCESS);
}

#[tokio::test]
async fn every_error_is_a_failure() {
    let (breaker, _) = breaker(3);
    let service = service_fn(async |error: &'static str| Err::<Answer, _>(error));
    let service = HttpLayer::client(breaker.clone()).layer(service);
    let error = service.oneshot("connection refused").await.unwrap_err();
    assert_eq!(error, BreakerError::Inner("connection refused"));
    assert_eq!(totals(&breaker), FAILURE);
}

#[tokio::test]
async fn the_users_word_on_heads_goes_before_the_usual() {
    let (breaker, _) = breaker(9);
    let judge = |head: &Head<'_>| match head.status() {
        StatusCode::REQUEST_TIMEOUT => Verdict::Failure.into(),
        StatusCode::NOT_IMPLEMENTED => Verdict::Success.into(),
        _ if head.headers().contains_key("x-maintenance") => Verdict::Ignore.into(),
        _ if head.extensions().get::<u8>() == Some(&7) => Verdict::Ignore.into(),
        _ => head.usual(),
    };
    let mut service = HttpLayer::client(breaker.clone()).judge(judge).layer(service_fn(echo));

    for status in [408, 501, 200, 500] {
        service.ready().await.unwrap().call(answer(status, &[])).await.unwrap();
    }
    assert_eq!(totals(&breaker), [2, 2, 0, 0]);

    let mut maintained = answer(500, &[]);
    maintained.headers_mut().insert("x-maintenance", HeaderValue::from_static("yes"));
    service.ready().await.unwrap().call(maintained).await.unwrap();
    let mut marked = answer(500, &[]);
    marked.extensions_mut().insert(7_u8);
    service.ready().await.unwrap().call(marked).await.unwrap();
    assert_eq!(totals(&breaker), [2, 2, 2, 0]);
}

#[tokio::test]
async fn the_users_word_on_errors_goes_before_the_usual() {
    let (breaker, _) = breaker(9);
    let service = service_fn(async |error: &'static str| Err::<Answer, _>(error));
    let judge = |error: &&'static str| if error.contains("URL") { Verdict::Ignore } else { Verdict::Failure };
    let mut service = HttpLayer::client(breaker.clone()).judge_errors(judge).layer(service);
    for error in ["invalid URL", "connection refused"] {
        service.ready().await.unwrap().call(error).await.unwrap_err();
    }
    assert_eq!(totals(&breaker), [0, 1, 1, 0]);
}

#[tokio::test]
async fn a_rejection_is_an_error_on_the_client_side() {
    let (breaker, _) = breaker(1);
    ask(&breaker, answer(500, &[])).await.unwrap();
    let error = ask(&breaker, answer(200, &[])).await.unwrap_err();
    let rejected = error.rejected().unwrap();
    assert_eq!((rejected.reason(), rejected.retry_after()), (RejectReason::Open, Some(OPEN)));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_in_time_is_a_failure() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("slow").trip(Trip::consecutive_failures(1)).clock(clock).build().unwrap();
    let service = service_fn(|(): ()| std::future::pending::<Result<Answer, Infallible>>());
    let layer = HttpLayer::client(breaker.clone()).timeout(Duration::from_secs(2));
    let call = tokio::spawn(layer.layer(service).oneshot(()));
    tokio::task::yield_now().await;
    time.advance(Duration::from_secs(2));
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, BreakerError::TimedOut(_)), "{error}");
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn the_judge_works_in_a_layer_of_the_breakers_own() {
    let (breaker, _) = breaker(1);
    let exchanges = Exchanges::of_client(breaker.clock()).judge(|head: &Head<'_>| head.usual());
    let layer = mainstay_breaker::BreakerLayer::new(breaker.clone()).conclude_with(exchanges);
    layer.layer(service_fn(echo)).oneshot(answer(500, &[])).await.unwrap();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn the_default_settings_are_those_of_the_seed() {
    let settings = default_settings();
    settings.validate().unwrap();
    assert_eq!(settings.rules(), [Trip::consecutive_failures(3).within(Duration::from_secs(30))]);
    assert_eq!(settings.open_for, OpenFor::fixed(Duration::from_secs(15)));
    let half_open = settings.half_open;
    assert_eq!((half_open.max_in_flight, half_open.close_after, half_open.reopen_after), (5, 2, 1));
}
