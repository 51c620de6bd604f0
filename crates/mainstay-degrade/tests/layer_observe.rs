//! The layer that takes notice of requests.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mainstay_core::Verdict;
use mainstay_degrade::{Clock, DegradationManager, ObserveLayer};
use tower::{Layer, ServiceExt, service_fn};

/// Answers after so many milliseconds; even ones well.
async fn answer(millis: u64) -> Result<u64, &'static str> {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    if millis.is_multiple_of(2) { Ok(millis) } else { Err("odd") }
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
