//! Checks that make no sense without others.
#![allow(clippy::unwrap_used)]

mod scene;

use mainstay_core::Condition;
use mainstay_health::{Check, Effect, Pushed, Reason, Status};
use scene::{Run, Script, manager, pass, secs, settle, status};

#[tokio::test(start_paused = true)]
async fn a_check_below_an_unhealthy_one_is_blocked_at_once_is_not_run_and_names_the_first_cause() {
    let network = Pushed::new();
    let (redis, cache) = (Script::new(Run::Healthy), Script::new(Run::Healthy));
    let health = manager()
        .check(Check::shared("cache", cache.probe()).critical().depends_on("redis"))
        .check(Check::shared("redis", redis.probe()).critical().depends_on("network"))
        .check(Check::exclusive("network", &network).critical())
        .build()
        .unwrap();
    health.start().unwrap();
    settle().await;
    assert_eq!(status(&health, "redis"), Status::Healthy, "an unknown parent does not block");
    network.set(Status::Healthy);
    settle().await;

    network.set(Status::Unhealthy);
    settle().await;
    let report = health.report();
    for name in ["redis", "cache"] {
        let check = report.check(name).unwrap();
        assert_eq!((check.status, check.reason), (Status::Unhealthy, Reason::Blocked));
        assert_eq!(check.blocked_by.unwrap(), "network");
        assert_eq!(check.readiness, Effect::Degrades, "its own row: shared, after its first success");
        assert!(!check.is_down());
    }
    let summary = report.summary();
    assert_eq!((summary.unhealthy, summary.blocked, summary.critical_down), (1, 2, 1));
    assert_eq!(health.source("redis").unwrap().condition(), Condition::Recovering, "only the blocker counts");
    assert_eq!(health.source("network").unwrap().condition(), Condition::Down);

    let runs = (redis.runs(), cache.runs());
    pass(secs(600)).await;
    assert_eq!((redis.runs(), cache.runs()), runs, "not run");
    assert_eq!(health.report().check("cache").unwrap().reason, Reason::Blocked, "and not stale either");

    network.set(Status::Healthy);
    settle().await;
    assert_eq!((redis.runs(), cache.runs()), (runs.0 + 1, runs.1 + 1), "asked at once when it is free");
    assert_eq!(health.report().summary().healthy, 3);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_check_that_gates_readiness_fails_it_by_its_own_row() {
    let network = Pushed::new();
    let health = manager()
        .check(Check::shared("network", &network))
        .check(Check::exclusive("sidecar", || async {}).critical().depends_on("network"))
        .build()
        .unwrap();
    health.start().unwrap();
    network.set(Status::Unhealthy);
    settle().await;
    assert!(!health.is_ready());
    assert_eq!(health.report().obstacles(), ["check sidecar"]);
    network.set(Status::Healthy);
    settle().await;
    assert!(health.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_is_degraded_or_switched_off_does_not_block() {
    let network = Pushed::new();
    let below = Script::new(Run::Healthy);
    let health = manager()
        .check(Check::shared("network", &network))
        .check(Check::shared("below", below.probe()).depends_on("network"))
        .build()
        .unwrap();
    health.start().unwrap();
    network.set(Status::Degraded);
    settle().await;
    assert_eq!(status(&health, "below"), Status::Healthy);
    network.set(Status::Unhealthy);
    settle().await;
    assert_eq!(health.report().check("below").unwrap().reason, Reason::Blocked);
    health.disable("network").unwrap();
    settle().await;
    assert_eq!(status(&health, "below"), Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn who_asks_a_blocked_check_now_learns_that_it_is_blocked() {
    let network = Pushed::new();
    let health = manager()
        .check(Check::shared("network", &network))
        .check(Check::shared("below", || async {}).depends_on("network"))
        .build()
        .unwrap();
    health.start().unwrap();
    network.set(Status::Unhealthy);
    pass(secs(5)).await;
    let check = health.check_now("below").await.unwrap();
    assert_eq!(check.reason, Reason::Blocked);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_others_depend_on_cannot_be_removed() {
    let health = manager()
        .check(Check::shared("network", || async {}))
        .check(Check::shared("below", || async {}).depends_on("network"))
        .build()
        .unwrap();
    let refused = health.deregister("network").unwrap_err();
    assert_eq!(refused.rule, "must not be depended on, and check below does");
    health.deregister("below").unwrap();
    health.deregister("network").unwrap();
}
