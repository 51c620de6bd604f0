//! Checks that watch a breaker, a hand, or a heartbeat.
#![allow(clippy::unwrap_used)]

use crate::scene::{manager, millis, pass, secs, settle, status};
use mainstay_breaker::{Breaker, HalfOpen, OpenFor, Trip};
use mainstay_health::{Check, CheckOutcome, Clock, Heartbeat, Pushed, Reason, Status, source};

fn breaker() -> Breaker {
    Breaker::builder("redis")
        .trip(Trip::consecutive_failures(2))
        .open_for(OpenFor::fixed(secs(15)))
        .half_open(HalfOpen { max_in_flight: 1, close_after: 1, reopen_after: 1, probe_timeout: secs(5) })
        .clock(Clock::tokio())
        .build()
        .unwrap()
}

fn fails(breaker: &Breaker) {
    let _ = breaker.call(|| Err::<(), _>("refused"));
}

#[tokio::test(start_paused = true)]
async fn without_any_traffic_a_critical_check_of_an_open_breaker_recovers_by_itself() {
    let breaker = breaker();
    let health =
        manager().check(Check::exclusive("redis", source(breaker.clone())).critical()).build().unwrap();
    health.start().unwrap();
    settle().await;
    assert!(health.is_ready());

    fails(&breaker);
    fails(&breaker);
    settle().await;
    let check = health.report().check("redis").unwrap().clone();
    assert_eq!(
        (check.status, check.reason),
        (Status::Unhealthy, Reason::Down),
        "at once, not at its next turn"
    );
    assert!(!health.is_ready(), "so the load balancer sends nothing, and no call will come");

    pass(millis(14_980)).await;
    assert!(!health.is_ready());
    pass(millis(40)).await;
    let check = health.report().check("redis").unwrap().clone();
    assert_eq!((check.status, check.reason), (Status::Degraded, Reason::Recovering));
    assert!(health.is_ready(), "and traffic comes again");
    breaker.call(|| Ok::<_, ()>(())).unwrap();
    settle().await;
    assert_eq!(status(&health, "redis"), Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_on_a_clock_of_its_own_is_watched_by_that_clock() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("redis").open_for(OpenFor::fixed(secs(15))).clock(clock).build().unwrap();
    let health = manager().check(Check::exclusive("redis", source(breaker.clone()))).build().unwrap();
    health.start().unwrap();
    breaker.trip();
    settle().await;
    assert_eq!(status(&health, "redis"), Status::Unhealthy);
    time.advance(secs(15));
    settle().await;
    assert_eq!(status(&health, "redis"), Status::Degraded);
}

#[tokio::test(start_paused = true)]
async fn what_a_hand_set_holds_until_it_sets_something_else() {
    let pushed = Pushed::new();
    let health = manager().check(Check::internal("replication", &pushed).critical()).build().unwrap();
    health.start().unwrap();
    pass(secs(10)).await;
    assert_eq!(status(&health, "replication"), Status::Unknown);
    pushed.set(CheckOutcome::degraded("40 s behind").detail("lag_s", 40));
    settle().await;
    pass(secs(3_600)).await;
    let check = health.report().check("replication").unwrap().clone();
    assert_eq!(check.status, Status::Degraded);
    assert_eq!(check.last.as_ref().unwrap().details.get("lag_s").unwrap(), 40);
    pushed.set(Err::<(), _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
    settle().await;
    let check = health.report().check("replication").unwrap().clone();
    assert_eq!(check.last.as_ref().unwrap().error.as_ref().unwrap().class().as_str(), "connection_refused");
}

#[tokio::test(start_paused = true)]
async fn what_a_hand_set_expires_if_it_shall() {
    let pushed = Pushed::expires_after(secs(30));
    pushed.set(Status::Healthy);
    let health = manager().check(Check::exclusive("replication", &pushed).critical()).build().unwrap();
    health.start().unwrap();
    pass(millis(29_990)).await;
    assert!(health.is_ready());
    pass(millis(30)).await;
    let check = health.report().check("replication").unwrap().clone();
    assert_eq!((check.status, check.reason), (Status::Unknown, Reason::Stale));
    assert!(!health.is_ready());
    pushed.set(Status::Healthy);
    settle().await;
    assert!(health.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_must_be_fed() {
    let heartbeat = Heartbeat::every(secs(5));
    let health =
        manager().check(Check::internal("loop", &heartbeat).critical().restart_on_failure()).build().unwrap();
    health.start().unwrap();
    pass(millis(4_990)).await;
    assert_eq!(
        (status(&health, "loop"), health.is_live()),
        (Status::Unknown, true),
        "it may take its time to start"
    );
    heartbeat.beat();
    settle().await;
    assert_eq!(status(&health, "loop"), Status::Healthy);
    for _ in 0..20 {
        pass(secs(4)).await;
        heartbeat.beat();
        assert!(health.is_live() && health.is_ready());
    }
    pass(millis(4_990)).await;
    assert!(health.is_live());
    pass(millis(20)).await;
    let check = health.report().check("loop").unwrap().clone();
    assert_eq!((check.status, check.reason), (Status::Unhealthy, Reason::Missed));
    assert!(!health.is_live() && !health.is_ready());
    heartbeat.beat();
    settle().await;
    assert!(health.is_live() && health.is_ready(), "the first beat heals it at once");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_never_beats_is_missed() {
    let heartbeat = Heartbeat::every(secs(60));
    let health = manager().check(Check::internal("loop", &heartbeat).interval(secs(100))).build().unwrap();
    health.start().unwrap();
    pass(secs(59)).await;
    assert_eq!(status(&health, "loop"), Status::Unknown);
    pass(secs(2)).await;
    assert_eq!(health.report().check("loop").unwrap().reason, Reason::Missed);
}

#[tokio::test(start_paused = true)]
async fn what_is_watched_keeps_its_thresholds_of_one_through_new_settings() {
    let breaker = breaker();
    let health = manager().check(Check::exclusive("redis", source(breaker.clone()))).build().unwrap();
    health.start().unwrap();
    settle().await;
    health.reconfigure("redis", mainstay_health::CheckSettings::default()).unwrap();
    assert_eq!(health.settings("redis").unwrap().failure_threshold(), 1);
    breaker.trip();
    settle().await;
    assert_eq!(status(&health, "redis"), Status::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn who_watches_a_check_that_is_removed_does_not_act_on_what_it_was() {
    use mainstay_core::Condition;
    let pushed = Pushed::new();
    let health = manager().check(Check::exclusive("disk", &pushed)).build().unwrap();
    health.start().unwrap();
    pushed.set(Status::Unhealthy);
    settle().await;
    let disk = health.source("disk").unwrap();
    assert_eq!(disk.condition(), Condition::Down);
    let mut watch = disk.watch();
    health.deregister("disk").unwrap();
    watch.changed().await;
    assert_eq!(disk.condition(), Condition::Recovering);
}
