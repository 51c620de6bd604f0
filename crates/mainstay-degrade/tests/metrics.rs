//! What is said to the recorder of the `metrics` crate.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_breaker::Breaker;
use mainstay_core::Verdict;
use mainstay_degrade::{Clock, DegradationManager, ExecutionMode};
use mainstay_health::{Check, HealthManager, Pushed, Status};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// `name{label="value"} figure`, for each.
fn published(
    degrade: &DegradationManager,
    recorder: &DebuggingRecorder,
    read: &Snapshotter,
) -> BTreeMap<String, f64> {
    metrics::with_local_recorder(recorder, || degrade.publish());
    let figures = read.snapshot().into_vec().into_iter();
    figures
        .map(|(key, _, _, value)| {
            let labels: Vec<_> =
                key.key().labels().map(|label| format!("{}={:?}", label.key(), label.value())).collect();
            let figure = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(figure) => figure.into_inner(),
                DebugValue::Histogram(_) => f64::NAN,
            };
            (format!("{}{{{}}}", key.key().name(), labels.join(",")), figure)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_decided_can_be_seen() {
    let (llm, database) =
        (Breaker::builder("llm_service").clock(Clock::tokio()).build().unwrap(), Pushed::new());
    let health = HealthManager::builder("orders")
        .clock(Clock::tokio())
        .check(Check::shared("database", &database).critical())
        .build()
        .unwrap();
    health.start().unwrap();
    database.set(Status::Healthy);
    let degrade =
        DegradationManager::builder().clock(Clock::tokio()).watch(&llm).watch(&health).build().unwrap();
    let recorder = DebuggingRecorder::new();
    let read = recorder.snapshotter();

    degrade.refresh();
    let before = published(&degrade, &recorder, &read);
    assert_eq!(before["mainstay_degrade_level{}"], 0.0);
    assert_eq!(before["mainstay_degrade_dependency_up{dependency=\"llm_service\",type=\"overall\"}"], 1.0);

    llm.trip();
    degrade.refresh();
    database.set(Status::Unhealthy);
    tokio::time::sleep(Duration::from_millis(1)).await;
    degrade.refresh();
    for _ in 0..100 {
        degrade.observe(Verdict::Success, Duration::from_millis(250));
    }
    degrade.mode(ExecutionMode::Complex);
    degrade.behavior("llm_call").allow().unwrap();
    degrade.behavior("of some request").allow().unwrap();
    degrade.partial("complex").decide(1, 5);
    degrade.partial("complex").decide(4, 5);
    let after = published(&degrade, &recorder, &read);
    for (name, figure) in [
        ("level{}", 2.0),
        ("dependency_up{dependency=\"llm_service\",type=\"overall\"}", 0.0),
        ("dependency_up{dependency=\"llm_service\",type=\"circuit_breaker\"}", 0.0),
        ("dependency_up{dependency=\"database\",type=\"critical_check\"}", 0.0),
        ("events_total{level=\"minor\",reason=\"circuit_breaker_open\"}", 1.0),
        ("events_total{level=\"moderate\",reason=\"dependency_failure\"}", 1.0),
        ("mode_downgrades_total{from=\"complex\",to=\"standard\",reason=\"dependency_failure\"}", 1.0),
        ("fallbacks_total{operation=\"llm_call\",behavior=\"cache\"}", 1.0),
        ("unknown_operations_total{}", 1.0),
        (
            "partial_results_total{workflow=\"complex\",reason=\"dependency_failure\",outcome=\"rejected\"}",
            1.0,
        ),
        (
            "partial_results_total{workflow=\"complex\",reason=\"dependency_failure\",outcome=\"accepted\"}",
            1.0,
        ),
        ("traffic_error_ratio{}", 0.0),
    ] {
        assert_eq!(after.get(&format!("mainstay_degrade_{name}")), Some(&figure), "{name} in {after:#?}");
    }
    let p95 = after["mainstay_degrade_traffic_latency_p95_seconds{}"];
    assert!((0.25..0.26).contains(&p95), "{p95}");

    llm.reset();
    degrade.refresh();
    let healed = published(&degrade, &recorder, &read);
    assert_eq!(
        healed["mainstay_degrade_dependency_up{dependency=\"llm_service\",type=\"circuit_breaker\"}"],
        1.0
    );
}
