//! The layer that takes notice of requests.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use http::{Request, Response};
use mainstay_breaker::{Breaker, BreakerError, BreakerLayer, Control};
use mainstay_core::{NotAsked, Verdict};
use mainstay_degrade::{
    Clock, Criticality, DegradationManager, Degraded, InExtensions, JudgeSources, Level, Mark, ObserveLayer,
    ShedLayer, TrafficFigures,
};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

/// Answers after so many milliseconds; even ones well.
async fn answer(millis: u64) -> Result<u64, &'static str> {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    if millis.is_multiple_of(2) { Ok(millis) } else { Err("odd") }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Asks so often, whatever comes of it.
async fn ask<S, Req>(service: &S, request: Req, times: u32)
where
    S: Service<Req> + Clone,
    Req: Clone,
{
    for _ in 0..times {
        let _ = service.clone().oneshot(request.clone()).await;
    }
}

/// Requests and failures.
fn counts(degrade: &DegradationManager) -> Option<(u64, u64)> {
    let TrafficFigures { requests, error_rate, .. } = degrade.observer().figures()?;
    Some((requests, (error_rate * requests as f64).round() as u64))
}

async fn down(_: u64) -> Result<u64, io::Error> {
    Err(io::Error::other("down"))
}

fn tripped(name: &str) -> Breaker {
    let breaker = Breaker::new(name).unwrap();
    breaker.set_control(Control::ForcedOpen);
    breaker
}

fn manager() -> DegradationManager {
    DegradationManager::builder().clock(Clock::tokio()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_counted_with_its_verdict_and_its_time() {
    let degrade = manager();
    let service = ObserveLayer::new(degrade.observer()).layer(service_fn(answer));
    for _ in 0..15 {
        assert!(service.clone().oneshot(50).await.is_ok());
    }
    for _ in 0..5 {
        assert!(service.clone().oneshot(51).await.is_err());
    }
    let figures = degrade.observer().figures().unwrap();
    assert_eq!((figures.requests, figures.error_rate), (20, 0.25));
    assert!((50..=54).contains(&figures.p95.as_millis()), "{figures:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_classifier_ignores_and_what_the_caller_drops_is_not_counted() {
    let degrade = manager();
    let classify = |result: &Result<u64, &str>| match result {
        Ok(_) => Verdict::Success,
        Err(_) => Verdict::Ignore,
    };
    let service = ObserveLayer::new(degrade.observer()).classify(classify).layer(service_fn(answer));
    for _ in 0..20 {
        let _ = service.clone().oneshot(50).await;
        let _ = service.clone().oneshot(51).await;
        let dropped = tokio::time::timeout(Duration::from_millis(10), service.clone().oneshot(50)).await;
        assert!(dropped.is_err());
    }
    let figures = degrade.observer().figures().unwrap();
    assert_eq!((figures.requests, figures.error_rate), (20, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_breakers_rejection_is_no_evidence_and_what_failed_behind_it_is() {
    let (degrade, breaker) = (manager(), tripped("llm"));
    let service = ServiceBuilder::new()
        .layer(ObserveLayer::new(degrade.observer()))
        .layer(BreakerLayer::new(breaker.clone()))
        .service_fn(down);
    ask(&service, 1, 40).await;
    assert_eq!(counts(&degrade), None);
    breaker.set_control(Control::ForcedClosed);
    ask(&service, 1, 30).await;
    assert_eq!(counts(&degrade), Some((30, 30)));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_known_in_a_box_behind_a_buffer_and_behind_another_breaker() {
    let (degrade, breaker) = (manager(), tripped("llm"));
    let service = ServiceBuilder::new()
        .layer(ObserveLayer::new(degrade.observer()))
        .layer(
            BreakerLayer::new(Breaker::new("all").unwrap())
                .classify(|_: &Result<u64, BoxError>| Verdict::Ignore),
        )
        .timeout(secs(5))
        .buffer(8)
        .layer(BreakerLayer::new(breaker.clone()))
        .service_fn(down);
    ask(&service, 1, 40).await;
    assert_eq!(counts(&degrade), None);
    breaker.set_control(Control::ForcedClosed);
    ask(&service, 1, 30).await;
    assert_eq!(counts(&degrade), Some((30, 30)));
}

#[tokio::test(start_paused = true)]
async fn what_is_shed_inside_is_no_evidence_and_neither_hides_what_failed() {
    let degrade = manager();
    degrade.pin(Level::Severe, secs(60)).unwrap();
    let service = ServiceBuilder::new()
        .layer(ObserveLayer::new(degrade.observer()))
        .layer(ShedLayer::new(&degrade, |odd: &u64| {
            if *odd == 1 { Criticality::Sheddable } else { Criticality::Critical }
        }))
        .service_fn(down);
    ask(&service, 1, 40).await;
    assert_eq!(counts(&degrade), None);
    ask(&service, 2, 30).await;
    assert_eq!(counts(&degrade), Some((30, 30)));
}

#[derive(Debug)]
struct NoCart(BreakerError<io::Error>);

impl fmt::Display for NoCart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no cart")
    }
}

impl std::error::Error for NoCart {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_an_error_hides_is_found_among_its_sources() {
    let (degrade, breaker) = (manager(), tripped("carts"));
    let guarded = BreakerLayer::new(breaker.clone()).layer(service_fn(down)).map_err(NoCart);
    let service = ObserveLayer::new(degrade.observer()).classify(JudgeSources).layer(guarded.clone());
    ask(&service, 1, 40).await;
    assert_eq!(counts(&degrade), None);
    let boxed = guarded.map_err(BoxError::from);
    ask(&ObserveLayer::new(degrade.observer()).layer(boxed), 1, 40).await;
    assert_eq!(counts(&degrade), None);
    breaker.set_control(Control::ForcedClosed);
    ask(&service, 1, 30).await;
    assert_eq!(counts(&degrade), Some((30, 30)));
}

#[tokio::test(start_paused = true)]
async fn of_http_a_status_of_500_is_a_failure_unless_the_answer_is_degraded_or_nobody_was_asked() {
    let degrade = manager();
    let service = ObserveLayer::http(degrade.observer()).layer(service_fn(
        async |request: Request<fn(Response<()>) -> Response<()>>| {
            let status = request.uri().path().trim_start_matches('/').parse::<u16>().unwrap();
            let mut response = Response::new(());
            *response.status_mut() = status.try_into().unwrap();
            Ok::<_, Infallible>(request.into_body()(response))
        },
    ));
    let asked = |status: &str, how: fn(Response<()>) -> Response<()>| Request::get(status).body(how).unwrap();
    for not_counted in [
        asked("/200", |response| InExtensions.mark(response, Degraded::Fallback)),
        asked("/503", |response| InExtensions.mark(response, Degraded::Fallback)),
        asked("/503", |mut response| {
            response.extensions_mut().insert(NotAsked);
            response
        }),
    ] {
        ask(&service, not_counted, 40).await;
    }
    assert_eq!(counts(&degrade), None);
    ask(&service, asked("/200", |response| response), 10).await;
    ask(&service, asked("/404", |response| response), 10).await;
    ask(&service, asked("/503", |response| response), 5).await;
    assert_eq!(counts(&degrade), Some((25, 5)));
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_marked_in_a_way_of_ones_own_are_not_counted() {
    let degrade = manager();
    let layer = ObserveLayer::new(degrade.observer()).degraded_when(|millis: &u64| *millis == 2);
    let service = layer.layer(service_fn(answer));
    ask(&service, 2, 40).await;
    assert_eq!(counts(&degrade), None);
    ask(&service, 4, 20).await;
    ask(&service, 1, 5).await;
    assert_eq!(counts(&degrade), Some((25, 5)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_on_late_is_evidence_for_the_latency_and_for_nothing_else() {
    let degrade = manager();
    let layer = ObserveLayer::new(degrade.observer());
    let hangs = service_fn(async |(): ()| std::future::pending::<Result<(), io::Error>>().await);
    let give_up = async |layer: &ObserveLayer, after| {
        let calls = (0..25).map(|_| tokio::time::timeout(after, layer.layer(hangs).oneshot(())));
        assert!(join_all(calls).await.iter().all(Result::is_err));
    };
    give_up(&layer, Duration::from_millis(9_999)).await;
    give_up(&layer.clone().given_up_after(Duration::MAX), secs(60)).await;
    assert_eq!(degrade.observer().figures(), None);
    give_up(&layer, secs(10)).await;
    let figures = degrade.observer().figures().unwrap();
    assert_eq!((figures.requests, figures.error_rate), (25, 0.0));
    assert!(figures.p95 >= secs(10), "{figures:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_is_a_failure() {
    let degrade = manager();
    let service = ObserveLayer::new(degrade.observer()).layer(service_fn(|at_once: bool| {
        assert!(!at_once, "before there is a future");
        async move {
            assert!(at_once, "in the future");
            Ok::<_, io::Error>(())
        }
    }));
    for at_once in [true, false].repeat(15) {
        assert!(tokio::spawn(service.clone().oneshot(at_once)).await.unwrap_err().is_panic());
    }
    assert_eq!(counts(&degrade), Some((30, 30)));
}

/// Its text cannot be written, which is somebody else's mistake.
#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("there are no words")
    }
}

/// Takes it for granted that its text can be written.
#[derive(Debug)]
struct Confident(BreakerError<io::Error>);

impl fmt::Display for Confident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no cart: {}", self.0).unwrap();
        f.write_str(", nor will there be one").unwrap();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_text_panics_comes_to_the_caller_and_is_a_failure() {
    let degrade = manager();
    let service =
        ObserveLayer::new(degrade.observer()).layer(service_fn(async |(): ()| Err::<u64, _>(Unspeakable)));
    for _ in 0..30 {
        assert!(service.clone().oneshot(()).await.is_err());
    }
    assert_eq!(counts(&degrade), Some((30, 30)));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_known_in_an_error_that_must_be_able_to_write_its_text() {
    let (degrade, breaker) = (manager(), tripped("carts"));
    let guarded = BreakerLayer::new(breaker).layer(service_fn(down)).map_err(Confident);
    ask(&ObserveLayer::new(degrade.observer()).layer(guarded), 1, 40).await;
    assert_eq!(counts(&degrade), None);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_classifier_panics_is_a_failure() {
    let degrade = manager();
    let classify = |_: &Result<u64, io::Error>| -> Verdict { panic!("at a loss") };
    let service = ObserveLayer::new(degrade.observer()).classify(classify).layer(service_fn(down));
    for _ in 0..30 {
        assert!(tokio::spawn(service.clone().oneshot(1)).await.unwrap_err().is_panic());
    }
    assert_eq!(counts(&degrade), Some((30, 30)));
}
