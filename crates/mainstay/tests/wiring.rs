//! Breakers, health and degradation, put together in a few lines.
#![cfg(all(feature = "breaker", feature = "degrade", feature = "health", feature = "tokio"))]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mainstay::breaker::OpenFor;
use mainstay::degrade::{Assessment, ExecutionMode, Level, What};
use mainstay::health::{Check, Pushed, Status};
use mainstay::{Clock, Mainstay, MainstayBuilder};

fn builder() -> MainstayBuilder {
    let open_for = OpenFor::fixed(Duration::from_secs(15));
    Mainstay::builder("orders")
        .clock(Clock::tokio())
        .dependency("redis", move |breaker| breaker.open_for(open_for), |check| check.critical())
        .breaker("llm_service", |breaker| breaker)
        .degradation(|degradation| degradation.relax_after(Duration::from_secs(5)))
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_is_an_unhealthy_check_a_level_and_a_decision() {
    let mainstay = builder().build().unwrap();
    mainstay.start().unwrap();
    settle().await;
    assert!(mainstay.health().is_ready());
    assert_eq!(mainstay.degradation().level(), Level::None);

    for _ in 0..5 {
        let _ = mainstay.breaker("redis").unwrap().call(|| Err::<(), _>("connection refused"));
    }
    settle().await;
    let causes: Vec<_> =
        mainstay.degradation().assessment().causes.iter().map(|cause| (cause.level, cause.what)).collect();
    assert_eq!(causes, [(Level::Moderate, What::CriticalDown), (Level::Minor, What::BreakersOpen)]);
    assert!(mainstay.degradation().mode(ExecutionMode::Complex).downgraded);
    assert!(mainstay.health().is_ready(), "what all replicas share takes none of them out");

    // The open time, and the time that the level is held.
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert_eq!(mainstay.degradation().level(), Level::None, "though nobody called");
}

#[tokio::test(start_paused = true)]
async fn what_else_there_is_to_say_is_said_to_the_managers_builders() {
    let disk = Pushed::new();
    let mainstay = builder()
        .check(Check::exclusive("disk", &disk).critical())
        .health(|health| health.drain_delay(Duration::from_secs(1)))
        .degradation(|degradation| degradation.check_interval(Duration::from_secs(1)))
        .build()
        .unwrap();
    mainstay.start().unwrap();
    disk.set(Status::Unhealthy);
    settle().await;
    assert!(!mainstay.health().is_ready());
    assert_eq!(mainstay.degradation().level(), Level::Moderate);
    let kinds: Vec<_> =
        mainstay.registry().list().iter().map(|entry| entry.name().as_str().to_owned()).collect();
    assert_eq!(kinds, ["redis", "llm_service", "redis", "disk", "orders"], "breakers, checks, the level");
    let (name, assessment) = Assessment::all(mainstay.registry()).pop().unwrap();
    assert_eq!((name.as_str(), assessment.level), ("orders", Level::Moderate));
}

#[test]
fn what_a_part_refuses_is_refused_by_the_whole() {
    let twice = builder().breaker("redis", |breaker| breaker).build().unwrap_err();
    assert_eq!(twice.field, "name");
    let zero = builder().degradation(|degradation| degradation.relax_after(Duration::ZERO)).build();
    assert_eq!(zero.unwrap_err().field, "relax_after.minor");
    let nameless = Mainstay::builder("").build().unwrap_err();
    assert!(nameless.value.contains("\"\""), "{nameless}");
}

#[test]
fn breakers_live_as_long_as_what_was_built() {
    let mainstay = builder().build().unwrap();
    assert!(mainstay.start().is_err(), "there is no runtime here");
    let names = |mainstay: &Mainstay| -> Vec<_> {
        mainstay.breakers().iter().map(|breaker| breaker.name().as_str().to_owned()).collect()
    };
    assert_eq!(names(&mainstay), ["redis", "llm_service"]);
    let of_its_own = mainstay.new_breaker("http").build().unwrap();
    assert!(mainstay.breaker("http").is_some());
    drop(of_its_own);
    assert!(mainstay.breaker("http").is_none());
    assert_eq!(names(&mainstay.clone()), ["redis", "llm_service"]);
}

#[cfg(feature = "metrics")]
#[test]
fn how_it_stands_with_the_breakers_can_be_seen() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    let mainstay = Mainstay::builder("gateway").breaker("redis", |breaker| breaker).build().unwrap();
    let redis = mainstay.breaker("redis").unwrap();
    redis.try_acquire().unwrap().success();
    redis.trip();
    redis.try_acquire().unwrap_err();
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || mainstay.publish());
    let figures = recorder.snapshotter().snapshot().into_vec();
    let figure = |name: &str, outcome: Option<&str>| {
        let has = |key: &metrics::Key, label: &str, value: &str| {
            key.labels().any(|it| it.key() == label && it.value() == value)
        };
        let found = figures.iter().map(|(key, _, _, value)| (key.key(), value)).find(|(key, _)| {
            key.name() == name
                && has(key, "breaker", "redis")
                && outcome.is_none_or(|it| has(key, "outcome", it))
        });
        match found.unwrap().1 {
            DebugValue::Gauge(figure) => figure.into_inner(),
            DebugValue::Counter(figure) => *figure as f64,
            DebugValue::Histogram(_) => f64::NAN,
        }
    };
    assert_eq!(figure("mainstay_breaker_state", None), 2.0);
    assert_eq!(figure("mainstay_breaker_calls_total", Some("success")), 1.0);
    assert_eq!(figure("mainstay_breaker_calls_total", Some("rejected")), 1.0);
    assert_eq!(figure("mainstay_breaker_would_reject_total", None), 0.0);
    assert!(figures.iter().any(|(key, ..)| key.key().name() == "mainstay_degrade_level"), "degradation too");
}
