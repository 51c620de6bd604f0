//! The service's own traffic as evidence.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mainstay_core::Verdict;
use mainstay_degrade::{Clock, DegradationManager, Level, Thresholds, What};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn manager() -> DegradationManager {
    let degrade = DegradationManager::builder().clock(Clock::tokio()).relax_after(secs(5)).build().unwrap();
    degrade.start().unwrap();
    degrade
}

/// Lets paused time pass.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

fn observe(degrade: &DegradationManager, successes: u32, failures: u32, latency: Duration) {
    (0..successes).for_each(|_| degrade.observe(Verdict::Success, latency));
    (0..failures).for_each(|_| degrade.observe(Verdict::Failure, latency));
}

#[tokio::test(start_paused = true)]
async fn the_share_of_failures_makes_the_level_at_once() {
    let degrade = manager();
    for (successes, failures, expected) in
        [(96, 4, Level::None), (0, 2, Level::Minor), (0, 12, Level::Moderate), (0, 30, Level::Severe)]
    {
        observe(&degrade, successes, failures, millis(10));
        pass(millis(120)).await;
        assert_eq!(degrade.level(), expected, "{:?}", degrade.observer());
    }
    let assessment = degrade.assessment();
    let cause = assessment.worst().unwrap();
    assert_eq!((cause.what, cause.threshold), (What::ErrorRate, 0.30));
    assert_eq!(cause.to_string(), "severe: 33.3 % of requests fail (limit 30.0 %)");
}

#[tokio::test(start_paused = true)]
async fn nineteen_requests_say_nothing_and_twenty_do() {
    let degrade = manager();
    observe(&degrade, 0, 19, millis(10));
    pass(secs(2)).await;
    assert_eq!((degrade.level(), degrade.observer().figures()), (Level::None, None));
    observe(&degrade, 0, 1, millis(10));
    pass(millis(120)).await;
    assert_eq!(degrade.level(), Level::Severe);
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_felt_when_it_is_over_and_not_a_second_later() {
    let degrade = manager();
    observe(&degrade, 0, 1, millis(10));
    pass(millis(2)).await;
    observe(&degrade, 0, 18, millis(10));
    pass(millis(2)).await;
    observe(&degrade, 1, 0, millis(10));
    pass(millis(120)).await;
    assert_eq!(degrade.level(), Level::Severe);
}

#[tokio::test(start_paused = true)]
async fn latency_is_that_of_ninety_five_of_a_hundred() {
    let degrade = manager();
    observe(&degrade, 95, 0, millis(100));
    observe(&degrade, 5, 0, secs(60));
    pass(secs(2)).await;
    assert_eq!(degrade.level(), Level::None, "five of a hundred may take as long as they like");
    observe(&degrade, 5, 0, secs(60));
    pass(secs(2)).await;
    assert_eq!(degrade.level(), Level::Severe);
    assert_eq!(degrade.assessment().worst().unwrap().what, What::Latency);
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_the_window_is_forgotten() {
    let degrade = manager();
    pass(millis(100)).await;
    observe(&degrade, 50, 50, millis(10));
    pass(secs(1)).await;
    assert_eq!(degrade.level(), Level::Severe);
    pass(secs(25)).await;
    assert!(degrade.observer().figures().is_some());
    pass(secs(5)).await;
    assert_eq!(degrade.observer().figures(), None, "30 s");
    pass(secs(5)).await;
    assert_eq!(degrade.level(), Level::None, "and the time that it is held");
}

#[tokio::test(start_paused = true)]
async fn what_is_to_ignore_is_no_evidence() {
    let degrade = manager();
    observe(&degrade, 30, 0, millis(10));
    (0..1_000).for_each(|_| degrade.observe(Verdict::Ignore, secs(100)));
    pass(secs(2)).await;
    assert_eq!((degrade.level(), degrade.observer().figures().unwrap().requests), (Level::None, 30));
}

#[tokio::test(start_paused = true)]
async fn newer_figures_of_the_same_cause_wake_nobody() {
    let degrade = manager();
    observe(&degrade, 0, 100, millis(10));
    pass(secs(1)).await;
    let mut changes = degrade.subscribe();
    let epoch = degrade.assessment().epoch;
    for _ in 0..10 {
        observe(&degrade, 1, 10, millis(10));
        assert!(tokio::time::timeout(secs(1), changes.changed()).await.is_err());
    }
    assert!(degrade.assessment().epoch > epoch, "though they are there");
}

#[test]
fn many_threads_lose_no_request() {
    let (clock, time) = Clock::manual();
    let degrade = DegradationManager::builder().clock(clock).build().unwrap();
    time.advance(secs(100));
    let observer = degrade.observer();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let observer = observer.clone();
            scope.spawn(move || {
                for _ in 0..10_000 {
                    let verdict = if thread % 4 == 0 { Verdict::Failure } else { Verdict::Success };
                    observer.observe(verdict, millis(5));
                }
            });
        }
    });
    let figures = observer.figures().unwrap();
    assert_eq!((figures.requests, figures.error_rate), (80_000, 0.25));
    assert!((millis(5)..=Duration::from_micros(5_050)).contains(&figures.p95), "{figures:?}");
}

#[tokio::test(start_paused = true)]
async fn a_share_of_zero_is_not_used() {
    let mut thresholds = Thresholds::default();
    for level in [&mut thresholds.minor, &mut thresholds.moderate, &mut thresholds.severe] {
        level.error_rate = 0.0;
    }
    let degrade = DegradationManager::builder().clock(Clock::tokio()).thresholds(thresholds).build().unwrap();
    degrade.start().unwrap();
    observe(&degrade, 0, 40, millis(10));
    pass(secs(2)).await;
    assert!(degrade.observer().figures().is_some());
    assert_eq!(degrade.level(), Level::None);
}

#[tokio::test(start_paused = true)]
async fn latencies_of_less_than_a_millisecond_are_told_apart() {
    let mut thresholds = Thresholds::default();
    thresholds.minor.latency = Duration::from_micros(200);
    let degrade = DegradationManager::builder().clock(Clock::tokio()).thresholds(thresholds).build().unwrap();
    degrade.start().unwrap();
    observe(&degrade, 100, 0, Duration::from_micros(20));
    pass(secs(2)).await;
    assert_eq!(degrade.level(), Level::None);
    observe(&degrade, 100, 0, Duration::from_micros(201));
    pass(secs(2)).await;
    assert_eq!(degrade.level(), Level::Minor);
    for beyond in [Duration::from_nanos(9_999), secs(3_601)] {
        thresholds.severe.latency = beyond;
        let refused = DegradationManager::builder().thresholds(thresholds).build().unwrap_err();
        assert_eq!(refused.field, "thresholds.severe.latency");
    }
}

#[test]
fn latencies_of_any_length_are_taken() {
    let (clock, _time) = Clock::manual();
    let degrade = DegradationManager::builder().clock(clock).build().unwrap();
    for latency in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        (0..20).for_each(|_| degrade.observe(Verdict::Success, latency));
    }
    assert!(degrade.observer().figures().unwrap().p95 >= secs(3_500));
}
