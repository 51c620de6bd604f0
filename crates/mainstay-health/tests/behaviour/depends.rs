//! Checks that make no sense without others.
#![allow(clippy::unwrap_used)]

use crate::scene::{Run, Script, manager, pass, secs, settle, status};
use mainstay_core::Condition;
use mainstay_health::{Check, CheckSettings, Effect, Heartbeat, Pushed, Reason, Status};

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

/// Found by the model of flips.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_under_way_when_its_check_is_blocked_is_dropped_and_counts_for_nothing() {
    let (network, script) = (Pushed::new(), Script::new(Run::Takes(secs(1))));
    let health = manager()
        .check(Check::shared("network", &network).interval(secs(3_600)))
        .check(Check::shared("below", script.probe()).depends_on("network"))
        .build()
        .unwrap();
    health.start().unwrap();
    settle().await;
    assert_eq!((script.runs(), script.ended()), (1, 0), "it is under way");

    network.set(Status::Unhealthy);
    settle().await;
    assert_eq!(script.ended(), 1, "it is dropped");
    let check = || health.report().check("below").unwrap().clone();
    assert_eq!((check().status, check().reason), (Status::Unhealthy, Reason::Blocked), "at once");
    pass(secs(2)).await;
    assert_eq!(
        (check().reason, check().runs, check().streak),
        (Reason::Blocked, 0, 0),
        "no answer of it counts"
    );
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

#[tokio::test(start_paused = true)]
async fn a_blocked_check_that_has_nothing_to_say_when_it_is_free_is_unknown_and_hurts_nobody() {
    let network = Pushed::new();
    network.set(Status::Unhealthy);
    let (hand, heartbeat, script) = (Pushed::new(), Heartbeat::every(secs(300)), Script::new(Run::Unknown));
    let health = manager()
        .check(Check::shared("network", &network))
        .check(Check::internal("hand", &hand).depends_on("network"))
        .check(Check::internal("heartbeat", &heartbeat).depends_on("network"))
        .check(Check::internal("script", script.probe()).depends_on("network"))
        .build()
        .unwrap();
    health.start().unwrap();
    pass(secs(20)).await;
    assert_eq!(health.report().summary().blocked, 3);
    network.set(Status::Healthy);
    settle().await;
    let report = health.report();
    for name in ["hand", "heartbeat", "script"] {
        let check = report.check(name).unwrap();
        assert_eq!((check.status, check.reason, check.blocked_by), (Status::Unknown, Reason::NotYet, None));
    }
    let runs = script.runs();
    pass(secs(12)).await;
    assert_eq!(script.runs(), runs + 1);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_check_names_the_one_that_blocks_it_now() {
    let (a, b) = (Pushed::new(), Pushed::new());
    let health = manager()
        .check(Check::shared("a", &a))
        .check(Check::shared("b", &b))
        .check(Check::shared("below", || async {}).depends_on("a").depends_on("b").interval(secs(3_600)))
        .build()
        .unwrap();
    health.start().unwrap();
    a.set(Status::Unhealthy);
    b.set(Status::Unhealthy);
    settle().await;
    assert_eq!(health.report().check("below").unwrap().blocked_by.unwrap(), "a");
    a.set(Status::Healthy);
    settle().await;
    assert_eq!(health.report().check("below").unwrap().blocked_by.unwrap(), "b");
}

#[tokio::test(start_paused = true)]
async fn new_settings_do_not_make_a_failure_of_a_blocked_check() {
    let network = Pushed::new();
    let health = manager()
        .check(Check::shared("network", &network))
        .check(Check::shared("below", || async {}).critical().depends_on("network"))
        .build()
        .unwrap();
    health.start().unwrap();
    settle().await;
    network.set(Status::Unhealthy);
    pass(secs(300)).await;
    let settings = CheckSettings::clone(&health.settings("below").unwrap());
    health.reconfigure("below", settings).unwrap();
    settle().await;
    let report = health.report();
    assert_eq!(report.check("below").unwrap().reason, Reason::Blocked);
    assert_eq!((report.summary().critical_down, report.summary().blocked), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_a_thousand_is_blocked_by_its_head_and_freed_again() {
    let head = Pushed::new();
    let mut builder = manager().check(Check::shared("0", &head));
    for index in 1..1_000 {
        let check = Check::shared(index.to_string(), || async {}).depends_on((index - 1).to_string());
        builder = builder.check(check);
    }
    let health = builder.build().unwrap();
    health.start().unwrap();
    head.set(Status::Unhealthy);
    settle().await;
    assert_eq!(health.report().summary().blocked, 999);
    assert_eq!(health.report().check("999").unwrap().blocked_by.unwrap(), "0");
    head.set(Status::Healthy);
    settle().await;
    assert_eq!(health.report().summary().healthy, 1_000);
}
