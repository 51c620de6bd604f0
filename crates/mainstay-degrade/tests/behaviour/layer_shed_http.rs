//! What is shed over HTTP, and who takes it for evidence.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use mainstay_degrade::{
    Clock, Criticality, DegradationManager, Level, NotAsked, ObserveLayer, Shed, ShedHttp, ShedLayer,
};
use mainstay_testkit::ServiceProbe;
use tower::{Layer, Service, ServiceExt};

type Probe = ServiceProbe<Request<()>, Response<String>, Infallible>;

fn severe() -> DegradationManager {
    let degrade = DegradationManager::builder().clock(Clock::tokio()).build().unwrap();
    degrade.pin(Level::Severe, Duration::from_secs(3_600)).unwrap();
    degrade
}

fn by_path(request: &Request<()>) -> Criticality {
    if request.uri().path() == "/report" { Criticality::Sheddable } else { Criticality::Critical }
}

fn origin() -> Probe {
    let (probe, handle) = ServiceProbe::new();
    handle.answer_with(|_| Ok(Response::new("full".to_owned())));
    probe
}

fn get(path: &str) -> Request<()> {
    Request::get(path).body(()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_shed_is_a_problem_with_a_time_to_try_again_that_says_nothing_of_the_house() {
    let degrade = severe();
    let layer = ShedLayer::new(&degrade, by_path).reject_http();
    let response = layer.layer(origin()).oneshot(get("/report")).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["retry-after"], "30");
    let problem: serde_json::Value = serde_json::from_str(response.body()).unwrap();
    assert_eq!((&problem["status"], &problem["type"]), (&503.into(), &"about:blank".into()));
    assert_eq!(response.extensions().get(), Some(&NotAsked));
    assert_eq!(response.extensions().get::<Shed>().unwrap().class, Criticality::Sheddable);
    assert!(!response.body().contains("severe") && response.headers().len() == 2);
    assert_eq!(layer.layer(origin()).oneshot(get("/")).await.unwrap().body(), "full");
}

#[tokio::test(start_paused = true)]
async fn the_time_to_try_again_is_in_whole_seconds_and_at_least_one() {
    let degrade = severe();
    let second = Duration::from_secs(1);
    for (wait, expected) in
        [(Duration::ZERO, "1"), (second, "1"), (second * 3 / 2, "2"), (Duration::MAX, "18446744073709551615")]
    {
        let layer = ShedLayer::new(&degrade, by_path).on_shed(ShedHttp::default().retry_after(wait));
        let response = layer.layer(origin()).oneshot(get("/report")).await.unwrap();
        assert_eq!(response.headers()["retry-after"], expected);
    }
}

async fn ask<S: Service<Request<()>> + Clone>(service: S) {
    for _ in 0..40 {
        let _ = service.clone().oneshot(get("/report")).await;
        let _ = service.clone().oneshot(get("/")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_shed_is_no_evidence_wherever_the_traffic_is_observed() {
    let degrade = severe();
    let shed = ShedLayer::new(&degrade, by_path).reject_http();
    ask(ObserveLayer::http(degrade.observer()).layer(shed.layer(origin()))).await;
    let figures = degrade.observer().figures().unwrap();
    assert_eq!((figures.requests, figures.error_rate), (40, 0.0), "outside");

    let degrade = severe();
    let shed = ShedLayer::new(&degrade, by_path).reject_http();
    ask(shed.layer(ObserveLayer::http(degrade.observer()).layer(origin()))).await;
    let figures = degrade.observer().figures().unwrap();
    assert_eq!((figures.requests, figures.error_rate), (40, 0.0), "inside");
}
