//! When checks run.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::scene::{Run, Script, manager, millis, pass, secs, status};
use mainstay_health::{Check, HealthManager, Status};
use proptest::prelude::*;
use tokio::time::Instant;

/// Tokio's timers are late by up to a millisecond, and each run waits for two of them.
const TIMERS: Duration = Duration::from_millis(2);

#[tokio::test(start_paused = true)]
async fn the_first_run_is_at_once_and_the_others_an_interval_apart_give_or_take_the_jitter() {
    let script = Script::new(Run::Healthy);
    let health = manager().check(Check::shared("redis", script.probe()).interval(secs(10))).build().unwrap();
    let started = Instant::now();
    health.start().unwrap();
    pass(secs(2_000)).await;
    assert!(script.begun()[0] - started <= millis(1));
    let waits = script.waits();
    assert!(waits.iter().all(|wait| (millis(8_999)..=millis(11_002)).contains(wait)), "{waits:?}");
    let mean = waits.iter().sum::<Duration>() / waits.len() as u32;
    assert!((millis(9_700)..=millis(10_300)).contains(&mean), "{mean:?}");
    let spread = *waits.iter().max().unwrap() - *waits.iter().min().unwrap();
    assert!(spread > secs(1), "jitter spreads them: {spread:?}");
}

#[tokio::test(start_paused = true)]
async fn replicas_do_not_ask_in_step() {
    let scripts = [Script::new(Run::Healthy), Script::new(Run::Healthy)];
    let managers = [1, 2].map(|seed| {
        let script: &Script = &scripts[seed as usize - 1];
        let health = manager().seed(seed).check(Check::shared("redis", script.probe())).build().unwrap();
        health.start().unwrap();
        health
    });
    pass(secs(100)).await;
    assert_ne!(scripts[0].waits(), scripts[1].waits());
    drop(managers);
}

#[tokio::test(start_paused = true)]
async fn a_slow_run_does_not_put_the_next_one_off() {
    let script = Script::new(Run::Takes(millis(1_500)));
    let health = manager().check(Check::shared("redis", script.probe()).jitter(0.0)).build().unwrap();
    health.start().unwrap();
    pass(secs(60)).await;
    assert!(
        script.waits().iter().all(|wait| (secs(10)..=millis(10_005)).contains(wait)),
        "{:?}",
        script.waits()
    );
}

#[tokio::test(start_paused = true)]
async fn checks_keep_their_schedule_while_fifty_others_hang_for_ever() {
    let hung: Vec<Script> = (0..50).map(|_| Script::new(Run::Hangs)).collect();
    let fine: Vec<Script> = (0..10).map(|_| Script::new(Run::Healthy)).collect();
    let mut builder = manager();
    for (index, script) in hung.iter().enumerate() {
        builder = builder.check(Check::shared(format!("hung-{index}"), script.probe()).jitter(0.0));
    }
    for (index, script) in fine.iter().enumerate() {
        builder = builder.check(Check::shared(format!("fine-{index}"), script.probe()).jitter(0.0));
    }
    let health = builder.build().unwrap();
    health.start().unwrap();
    pass(secs(120)).await;
    for script in &fine {
        let waits = script.waits();
        assert!(waits.len() >= 11, "{waits:?}");
        assert!(waits.iter().all(|wait| (secs(9)..=secs(11)).contains(wait)), "{waits:?}");
    }
    for script in &hung {
        assert!(script.runs() >= 12, "tried again at every turn: {}", script.runs());
        assert!(script.ended() >= script.runs() as u64 - 1, "and dropped at every time-out");
    }
    let summary = health.report().summary();
    assert_eq!((summary.healthy, summary.unhealthy), (10, 50));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_seen_within_the_time_that_the_settings_promise() {
    // The worst moment for it to begin is right after a run did.
    for (interval, timeout, threshold, confirmation) in [
        (secs(10), secs(2), 3, secs(2)),
        (secs(5), secs(4), 1, secs(1)),
        (secs(60), millis(100), 5, secs(10)),
    ] {
        let script = Script::new(Run::Healthy);
        let check = Check::shared("redis", script.probe())
            .interval(interval)
            .timeout(timeout)
            .failure_threshold(threshold)
            .confirmation(confirmation);
        let (detection, recovery) =
            (check.settings().worst_detection(), check.settings().worst_recovery(secs(0)));
        let health = manager().check(check).build().unwrap();
        health.start().unwrap();
        for _ in 0..20 {
            next_run(&script).await;
            script.set(Run::Hangs);
            let outage = Instant::now();
            changes_to(&health, Status::Unhealthy).await;
            assert!(
                outage.elapsed() <= detection + TIMERS * threshold,
                "{:?} of {detection:?}",
                outage.elapsed()
            );
            next_run(&script).await;
            script.set(Run::Healthy);
            let end = Instant::now();
            changes_to(&health, Status::Healthy).await;
            assert!(end.elapsed() <= recovery + TIMERS * 2, "{:?} of {recovery:?}", end.elapsed());
        }
    }
    let defaults = Check::shared("redis", Script::new(Run::Healthy).probe());
    assert_eq!(defaults.settings().worst_detection(), secs(21));
}

async fn next_run(script: &Script) {
    let runs = script.runs();
    while script.runs() == runs {
        pass(millis(5)).await;
    }
}

async fn changes_to(health: &HealthManager, expected: Status) {
    let mut changes = health.subscribe();
    while status(health, "redis") != expected {
        changes.changed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_down_for_long_is_asked_less_often_and_never_less_than_once_a_minute() {
    let script = Script::new(Run::Error);
    let health = manager().check(Check::shared("redis", script.probe()).jitter(0.0)).build().unwrap();
    health.start().unwrap();
    pass(secs(299)).await;
    assert!(script.waits().iter().all(|wait| *wait <= millis(10_010)), "{:?}", script.waits());
    let before = script.runs();
    pass(secs(3_600)).await;
    let waits = &script.waits()[before..];
    assert!(waits.iter().all(|wait| (secs(30)..=millis(60_010)).contains(wait)), "{waits:?}");
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1] + millis(10)), "they grow: {waits:?}");
    assert_eq!(status(&health, "redis"), Status::Unhealthy, "it is not stale for being asked seldom");
    assert_ne!(health.report().check("redis").unwrap().reason, mainstay_health::Reason::Stale);

    script.set(Run::Healthy);
    let end = Instant::now();
    changes_to(&health, Status::Healthy).await;
    let promised = health.settings("redis").unwrap().worst_recovery(secs(3_900));
    assert!(end.elapsed() <= promised, "{:?} of {promised:?}", end.elapsed());
    pass(secs(30)).await;
    let runs = script.runs();
    pass(secs(100)).await;
    assert_eq!(script.runs() - runs, 10, "it is asked as often as before");
}

#[tokio::test(start_paused = true)]
async fn new_settings_hold_within_one_new_interval() {
    let script = Script::new(Run::Healthy);
    let check = Check::shared("redis", script.probe()).interval(secs(3_600)).timeout(secs(1)).jitter(0.0);
    let health = manager().check(check).build().unwrap();
    health.start().unwrap();
    pass(secs(2)).await;
    assert_eq!(script.runs(), 1);

    let mut settings = mainstay_health::CheckSettings::clone(&health.settings("redis").unwrap());
    settings.interval = secs(5);
    health.reconfigure("redis", settings).unwrap();
    pass(secs(5)).await;
    assert_eq!(script.runs(), 2, "the next run is at most one new interval after the change");
    pass(secs(10)).await;
    assert_eq!(script.runs(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_black_holed_connection_that_heals_is_healthy_within_two_intervals() {
    let script = Script::new(Run::Healthy);
    let health = manager().check(Check::exclusive("redis", script.probe()).critical()).build().unwrap();
    health.start().unwrap();
    for down in [10, 60, 61, 65, 120, 290] {
        script.set(Run::Hangs);
        pass(secs(down)).await;
        script.set(Run::Healthy);
        pass(secs(20)).await;
        assert_eq!(status(&health, "redis"), Status::Healthy, "after {down} s");
        assert!(health.is_ready());
        pass(secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_results_in_a_row_are_waited_for_no_longer_than_promised() {
    let script = Script::new(Run::Healthy);
    let check = Check::shared("redis", script.probe())
        .jitter(0.0)
        .interval(millis(10_001))
        .timeout(millis(1_003))
        .confirmation(millis(1_004))
        .failure_threshold(100);
    let promised = check.settings().worst_detection();
    let health = manager().check(check).build().unwrap();
    health.start().unwrap();
    next_run(&script).await;
    script.set(Run::Hangs);
    let outage = Instant::now();
    changes_to(&health, Status::Unhealthy).await;
    assert!(outage.elapsed() <= promised + TIMERS * 100, "{:?} of {promised:?}", outage.elapsed());
}

#[tokio::test(start_paused = true)]
async fn recovery_is_as_fast_as_promised_where_back_off_begins() {
    let script = Script::new(Run::Healthy);
    let check = Check::shared("redis", script.probe())
        .interval(secs(7))
        .timeout(millis(6_500))
        .failure_threshold(1)
        .jitter(0.0);
    let settings = check.settings().clone();
    let health = manager().check(check).build().unwrap();
    health.start().unwrap();
    for outage in [280_000, 290_000, 294_100, 299_000, 301_000, 600_000] {
        next_run(&script).await;
        script.set(Run::Hangs);
        pass(millis(outage)).await;
        script.set(Run::Healthy);
        let end = Instant::now();
        changes_to(&health, Status::Healthy).await;
        let promised = settings.worst_recovery(millis(outage));
        assert!(end.elapsed() <= promised + TIMERS * 2, "{:?} of {promised:?}", end.elapsed());
        pass(secs(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_shortest_interval_leaves_others_their_turn() {
    let health = manager()
        .check(
            Check::shared("eager", || async {})
                .interval(millis(1))
                .timeout(std::time::Duration::from_nanos(1)),
        )
        .build()
        .unwrap();
    health.start().unwrap();
    pass(secs(1)).await;
    assert!(health.report().check("eager").unwrap().runs > 100);
}

#[test]
fn settings_that_make_no_sense_promise_nothing_and_panic_nowhere() {
    for jitter in [f64::NAN, f64::INFINITY, -5.0] {
        let check = Check::shared("redis", Script::new(Run::Healthy).probe()).jitter(jitter);
        assert_eq!(check.settings().worst_detection(), Duration::MAX);
    }
    let check = Check::shared("redis", Script::new(Run::Healthy).probe()).interval(Duration::MAX);
    assert_eq!(check.settings().worst_detection(), Duration::MAX);
    assert_eq!(check.settings().worst_recovery(Duration::MAX), Duration::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn detection_never_takes_longer_than_promised(
        interval in 1u64..120,
        timeout_share in 1u32..99,
        threshold in 1u32..6,
        confirmation_share in 1u32..=100,
        jitter in 0.0f64..=0.5,
        begins_after in 0u64..300_000,
        hangs in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let script = Script::new(Run::Healthy);
            let check = Check::shared("redis", script.probe())
                .interval(secs(interval))
                .timeout(secs(interval) * timeout_share / 100)
                .confirmation(secs(interval) * confirmation_share / 100)
                .failure_threshold(threshold)
                .jitter(jitter);
            let promised = check.settings().worst_detection();
            let health = manager().check(check).build().unwrap();
            health.start().unwrap();
            pass(millis(begins_after)).await;
            script.set(if hangs { Run::Hangs } else { Run::Error });
            let outage = Instant::now();
            changes_to(&health, Status::Unhealthy).await;
            assert!(outage.elapsed() <= promised + TIMERS * threshold, "{:?} of {promised:?}", outage.elapsed());
        });
    }
}
