//! Starting and stopping, and checks that come and go.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use crate::scene::{Run, Script, manager, millis, pass, secs, settle, status};
use mainstay_health::{Check, CheckNowError, Clock, HealthManager, Phase, Pushed, Reason, Status};

#[test]
fn outside_of_a_runtime_a_start_is_refused_and_with_a_handle_it_is_not() {
    let health = HealthManager::builder("orders").build().unwrap();
    let refused = health.start().unwrap_err();
    assert!(refused.to_string().contains("no tokio runtime"), "{refused}");

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let health = HealthManager::builder("orders").runtime(runtime.handle().clone()).build().unwrap();
    health.start().unwrap();
    assert!(health.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_was_stopped_is_not_ready_runs_nothing_and_can_start_again() {
    let script = Script::new(Run::Healthy);
    let health = manager().check(Check::exclusive("disk", script.probe()).critical()).build().unwrap();
    for round in 1..=3 {
        health.start().unwrap();
        health.start().unwrap();
        settle().await;
        assert!(health.is_ready(), "round {round}");
        pass(secs(25)).await;
        let runs = script.runs();
        health.stop();
        health.stop();
        assert!(!health.is_ready());
        assert_eq!(health.report().phase(), Phase::Stopped);
        assert_eq!(health.report().obstacles(), ["stopped"]);
        pass(secs(100)).await;
        assert_eq!(script.runs(), runs);
    }
    assert!(script.waits().iter().all(|wait| *wait > millis(1)), "one task for each check");
}

#[tokio::test(start_paused = true)]
async fn what_was_known_before_a_long_stop_is_not_believed_after_it() {
    let script = Script::new(Run::Healthy);
    let health = manager().check(Check::exclusive("disk", script.probe()).critical()).build().unwrap();
    health.start().unwrap();
    settle().await;
    health.stop();
    pass(secs(3_600)).await;
    script.set(Run::Hangs);
    health.start().unwrap();
    assert!(!health.is_ready());
    assert_eq!(status(&health, "disk"), Status::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_under_way_at_a_stop_is_dropped_and_counts_for_nothing() {
    let script = Script::new(Run::Takes(secs(1)));
    let health = manager().check(Check::exclusive("disk", script.probe())).build().unwrap();
    health.start().unwrap();
    settle().await;
    health.stop();
    settle().await;
    assert_eq!((script.runs(), script.ended()), (1, 1));
    assert_eq!(health.report().check("disk").unwrap().runs, 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_ends_the_checks() {
    let script = Script::new(Run::Healthy);
    let health = manager().check(Check::exclusive("disk", script.probe())).build().unwrap();
    health.start().unwrap();
    let clone = health.clone();
    let (subscription, report) = (health.subscribe(), health.report());
    pass(secs(15)).await;
    drop(health);
    pass(secs(15)).await;
    let runs = script.runs();
    assert!(runs >= 3, "a clone keeps it alive");
    drop(clone);
    pass(secs(100)).await;
    assert_eq!(script.runs(), runs);
    assert_eq!(subscription.report().phase(), Phase::Stopped);
    assert_eq!(report.phase(), Phase::Running, "a report does not change");
}

#[tokio::test(start_paused = true)]
async fn checks_come_and_go_while_the_manager_runs() {
    let health = manager().build().unwrap();
    health.start().unwrap();
    let scripts = [Script::new(Run::Healthy), Script::new(Run::Error)];
    health.register(Check::exclusive("a", scripts[0].probe()).critical()).unwrap();
    assert!(!health.is_ready(), "it has not answered yet");
    settle().await;
    assert!(health.is_ready());
    let refused = health.register(Check::exclusive("a", scripts[1].probe())).unwrap_err();
    assert_eq!((refused.field.as_str(), refused.value.as_str()), ("check.name", "\"a\""));

    health.deregister("a").unwrap();
    let runs = scripts[0].runs();
    health.register(Check::exclusive("b", scripts[1].probe()).critical()).unwrap();
    settle().await;
    assert_eq!((health.is_ready(), status(&health, "b")), (false, Status::Unhealthy));
    assert!(health.report().check("a").is_none());
    pass(secs(60)).await;
    assert_eq!(scripts[0].runs(), runs, "what is gone is not run");
    health.deregister("b").unwrap();
    assert!(health.is_ready());
    for refused in [health.deregister("a"), health.enable("a"), health.disable("a")] {
        assert_eq!(refused.unwrap_err().rule, "must be the name of a registered check");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_result_of_a_check_that_is_gone_is_not_another_ones() {
    let (first, second) = (Script::new(Run::Takes(secs(1))), Script::new(Run::Error));
    let health = manager().check(Check::exclusive("first", first.probe())).build().unwrap();
    health.start().unwrap();
    settle().await;
    health.deregister("first").unwrap();
    health.register(Check::exclusive("second", second.probe()).interval(secs(60))).unwrap();
    pass(secs(2)).await;
    assert_eq!(health.report().check("second").unwrap().runs, 1);
    assert_eq!(status(&health, "second"), Status::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn startup_waits_for_every_latch_and_is_never_taken_back() {
    let worker = Pushed::new();
    let health = manager()
        .startup_latch("migrations")
        .startup_latch("cache")
        .check(Check::internal("worker", &worker).critical())
        .build()
        .unwrap();
    health.start().unwrap();
    worker.set(Status::Healthy);
    settle().await;
    assert_eq!(health.report().obstacles(), ["latch migrations", "latch cache"]);
    health.startup_latch("migrations").unwrap().open();
    assert!(!health.is_started() && !health.is_ready());
    let cache = health.startup_latch("cache").unwrap();
    cache.open();
    cache.open();
    assert!(cache.is_open() && health.is_started() && health.is_ready());

    worker.set(Status::Unhealthy);
    settle().await;
    assert!(health.is_started() && !health.is_ready());
    health.stop();
    assert!(health.is_started());
    assert!(health.startup_latch("unheard of").is_none());
}

#[tokio::test(start_paused = true)]
async fn maintenance_takes_the_service_out_and_lets_it_back() {
    let health = manager().build().unwrap();
    health.start().unwrap();
    let mut changes = health.subscribe();
    health.begin_maintenance("new disks");
    assert!(!health.is_ready() && health.is_live() && health.is_started());
    let report = changes.changed().await;
    assert_eq!(
        (report.maintenance(), report.obstacles()),
        (Some("new disks"), vec!["maintenance".to_owned()])
    );
    health.end_maintenance();
    assert!(health.is_ready());
    assert_eq!(changes.changed().await.maintenance(), None);
}

#[tokio::test(start_paused = true)]
async fn a_check_can_be_asked_now_by_many_at_once_and_is_run_once() {
    let script = Script::new(Run::Healthy);
    let health = manager()
        .check(Check::exclusive("disk", script.probe()).interval(secs(3_600)).timeout(secs(2)))
        .build()
        .unwrap();
    assert_eq!(health.check_now("disk").await.unwrap_err(), CheckNowError::NotRunning);
    health.start().unwrap();
    pass(secs(10)).await;
    script.set(Run::Takes(millis(500)));
    let asked: Vec<_> = (0..100)
        .map(|_| {
            let health = health.clone();
            tokio::spawn(async move { health.check_now("disk").await.unwrap() })
        })
        .collect();
    for answer in asked {
        let check = answer.await.unwrap();
        assert_eq!((check.runs, check.latency()), (2, Some(millis(500))));
    }
    assert_eq!(script.runs(), 2);
    assert_eq!(health.check_now("disk").await.unwrap().runs, 2, "a result this young is good enough");
    pass(secs(1)).await;
    assert_eq!(health.check_now("disk").await.unwrap().runs, 3);

    script.set(Run::Hangs);
    pass(secs(1)).await;
    let check = health.check_now("disk").await.unwrap();
    assert_eq!(
        check.last.as_ref().unwrap().reason,
        Reason::TimedOut,
        "its time-out holds for those who ask, too"
    );
    health.disable("disk").unwrap();
    assert_eq!(health.check_now("disk").await.unwrap().reason, Reason::Disabled);
    assert_eq!(health.check_now("").await.unwrap_err(), CheckNowError::Unknown(String::new()));
}

#[tokio::test(start_paused = true)]
async fn who_asks_now_is_not_left_waiting_by_a_stop() {
    let script = Script::new(Run::Hangs);
    let health = manager()
        .check(Check::exclusive("disk", script.probe()).interval(secs(60)).timeout(secs(50)))
        .build()
        .unwrap();
    health.start().unwrap();
    let asked = tokio::spawn({
        let health = health.clone();
        async move { health.check_now("disk").await }
    });
    settle().await;
    health.stop();
    assert_eq!(asked.await.unwrap().unwrap_err(), CheckNowError::NotRunning);
}

#[tokio::test(start_paused = true)]
async fn subscribers_hear_of_changes_and_not_of_every_result() {
    let script = Script::new(Run::Healthy);
    let health =
        manager().check(Check::exclusive("disk", script.probe()).failure_threshold(1)).build().unwrap();
    health.start().unwrap();
    settle().await;
    let mut changes = health.subscribe();
    let quiet = tokio::time::timeout(secs(600), changes.changed()).await;
    assert!(quiet.is_err(), "sixty more of the same");
    script.set(Run::Error);
    let report = changes.changed().await;
    assert_eq!(report.check("disk").unwrap().status, Status::Unhealthy);
    assert!(report.check("disk").unwrap().runs > 50, "though the reports in between were made");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_subscribers_of_a_thousand_flips_each_see_the_latest() {
    let pushed = Pushed::new();
    let health = manager().check(Check::exclusive("disk", &pushed)).build().unwrap();
    health.start().unwrap();
    let watchers: Vec<_> = (0..1_000)
        .map(|_| {
            let mut changes = health.subscribe();
            tokio::spawn(async move {
                loop {
                    let report = changes.changed().await;
                    let last = report.check("disk").unwrap().last.clone();
                    if last.is_some_and(|last| last.message.as_deref() == Some("the last")) {
                        return report.check("disk").unwrap().status;
                    }
                }
            })
        })
        .collect();
    for flip in 0..1_000 {
        pushed.set(if flip % 2 == 0 { Status::Unhealthy } else { Status::Healthy });
        tokio::task::yield_now().await;
    }
    pushed.set(Status::Healthy);
    settle().await;
    pushed.set(mainstay_health::CheckOutcome::degraded("the last"));
    for watcher in watchers {
        assert_eq!(watcher.await.unwrap(), Status::Degraded);
    }
}

#[tokio::test]
async fn ten_thousand_checks_start_in_under_a_second() {
    let mut builder = HealthManager::builder("orders").clock(Clock::monotonic());
    for index in 0..10_000 {
        builder = builder.check(Check::exclusive(format!("check-{index}"), || async {}).critical());
    }
    let began = std::time::Instant::now();
    let health = builder.build().unwrap();
    health.start().unwrap();
    let mut changes = health.subscribe();
    while !health.is_ready() {
        changes.changed().await;
    }
    let took = began.elapsed();
    assert_eq!(health.report().summary().healthy, 10_000);
    println!("10,000 checks were built, started and healthy in {took:?}");
    // A debug build on a busy machine takes longer; the benchmark has the figure of a release build.
    assert!(took < if cfg!(debug_assertions) { secs(10) } else { secs(1) }, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_no_life() {
    let health = manager()
        .check(Check::internal("loop", || async {}).critical().restart_on_failure())
        .build()
        .unwrap();
    health.start().unwrap();
    settle().await;
    health.stop();
    pass(secs(3_600)).await;
    assert!(health.is_live() && health.report().is_live(), "a restart would help nobody");
}

#[test]
fn who_waits_for_readiness_is_woken_when_a_manager_that_stood_still_goes_on() {
    let (clock, time) = Clock::manual();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let health = HealthManager::builder("orders")
        .clock(clock)
        .runtime(runtime.handle().clone())
        .check(Check::exclusive("disk", || async {}).critical())
        .build()
        .unwrap();
    health.start().unwrap();
    let run = |health: &HealthManager| runtime.block_on(async { while_not_ready(health).await });
    run(&health);
    // Nothing runs now; the results grow too old, and nobody says so.
    time.advance(secs(100));
    assert!(!health.is_ready());
    run(&health);
    assert!(health.is_ready());
}

async fn while_not_ready(health: &HealthManager) {
    let mut changes = health.subscribe();
    while !health.is_ready() {
        changes.changed().await;
    }
}

#[test]
fn switching_and_reconfiguring_at_the_same_time_lose_neither() {
    let health =
        HealthManager::builder("orders").check(Check::exclusive("disk", || async {})).build().unwrap();
    for round in 0..500 {
        health.enable("disk").unwrap();
        let interval = secs(10 + round);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut settings = mainstay_health::CheckSettings::clone(&health.settings("disk").unwrap());
                settings.interval = interval;
                settings.enabled = false;
                health.reconfigure("disk", settings).unwrap();
            });
            scope.spawn(|| health.disable("disk").unwrap());
        });
        let settings = health.settings("disk").unwrap();
        assert_eq!((settings.enabled, settings.interval), (false, interval));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_check_says_is_kept_in_bounds() {
    let pushed = Pushed::new();
    let health = manager().check(Check::exclusive("disk", &pushed)).build().unwrap();
    health.start().unwrap();
    let mut outcome = mainstay_health::CheckOutcome::degraded("x".repeat(10_000_000));
    for index in 0..100 {
        outcome = outcome.detail(format!("figure-{index}"), index);
    }
    outcome = outcome.detail("long", "y".repeat(10_000));
    pushed.set(outcome);
    settle().await;
    let report = health.report();
    let last = report.check("disk").unwrap().last.as_ref().unwrap();
    assert!(last.message.as_ref().unwrap().len() <= 2_051);
    assert_eq!(last.details.iter().count(), 32);
    assert_eq!(last.details.get("truncated").unwrap(), true);
}

#[tokio::test(start_paused = true)]
async fn who_joins_a_run_causes_no_other() {
    let script = Script::new(Run::Takes(millis(1_500)));
    let check = Check::exclusive("disk", script.probe()).timeout(secs(2)).jitter(0.0);
    let health = manager().check_now_gap(secs(1)).check(check).build().unwrap();
    health.start().unwrap();
    for _ in 0..100 {
        pass(millis(100)).await;
        let asking = health.clone();
        tokio::spawn(async move { asking.check_now("disk").await });
    }
    let waits = script.waits();
    assert!(waits.iter().all(|wait| *wait >= millis(2_400)), "a run of 1.5 s and a gap of 1 s: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn who_asks_a_check_that_is_replaced_meanwhile_learns_that_it_is_gone() {
    let script = Script::new(Run::Hangs);
    let slow = || Check::exclusive("disk", script.probe()).interval(secs(60)).timeout(secs(50));
    let health = manager().check(slow()).build().unwrap();
    health.start().unwrap();
    let asked = tokio::spawn({
        let health = health.clone();
        async move { health.check_now("disk").await }
    });
    settle().await;
    health.deregister("disk").unwrap();
    health.register(Check::exclusive("disk", || async {})).unwrap();
    assert_eq!(asked.await.unwrap().unwrap_err(), CheckNowError::Unknown("disk".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_free_as_soon_as_its_check_is_gone() {
    let registry = mainstay_core::Registry::new();
    let script = Script::new(Run::Hangs);
    let health =
        manager().registry(&registry).check(Check::exclusive("disk", script.probe())).build().unwrap();
    health.start().unwrap();
    settle().await;
    let held = health.source("disk").unwrap();
    health.deregister("disk").unwrap();
    health.register(Check::exclusive("disk", script.probe())).unwrap();
    assert_eq!(registry.list().len(), 1);
    drop(health);
    let health =
        manager().registry(&registry).check(Check::exclusive("disk", script.probe())).build().unwrap();
    drop((health, held));
    assert!(registry.list().is_empty());
}

/// Calls its manager when it is dropped.
struct CallsBack(Arc<std::sync::Mutex<Option<HealthManager>>>);

impl Drop for CallsBack {
    fn drop(&mut self) {
        let health = self.0.lock().unwrap().take();
        if let Some(health) = health {
            assert!(health.settings("other").is_some());
        }
    }
}

#[test]
fn what_a_check_has_captured_is_dropped_while_no_lock_is_held() {
    let health = manager_without_time().check(Check::exclusive("other", || async {})).build().unwrap();
    let captured = || {
        let calls_back = CallsBack(Arc::new(std::sync::Mutex::new(Some(health.clone()))));
        move || {
            let _ = &calls_back;
            async {}
        }
    };
    assert!(health.register(Check::exclusive("other", captured())).is_err());
    assert!(health.register(Check::exclusive("x", captured()).depends_on("nobody")).is_err());
    health.register(Check::exclusive("x", captured())).unwrap();
    health.deregister("x").unwrap();
}

fn manager_without_time() -> mainstay_health::HealthManagerBuilder {
    HealthManager::builder("orders").clock(Clock::manual().0)
}

#[tokio::test]
async fn a_check_that_restarts_its_own_manager_runs_on() {
    let cell: Arc<std::sync::OnceLock<HealthManager>> = Arc::default();
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let check = {
        let (cell, runs) = (cell.clone(), runs.clone());
        Check::exclusive("disk", move || {
            let (cell, runs) = (cell.clone(), runs.clone());
            async move {
                if runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3
                    && let Some(health) = cell.get()
                {
                    health.stop();
                    health.start().unwrap();
                }
            }
        })
    };
    let health = HealthManager::builder("orders").check(check).build().unwrap();
    cell.set(health.clone()).ok().unwrap();
    health.start().unwrap();
    let mut changes = health.subscribe();
    let healthy = async {
        while status(&health, "disk") != Status::Healthy {
            changes.changed().await;
        }
    };
    tokio::time::timeout(secs(20), healthy).await.unwrap();
    assert_eq!(runs.load(std::sync::atomic::Ordering::SeqCst), 4);
    health.stop();
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_whose_waker_panics_hurts_nobody() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Wake, Waker};
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("woken");
        }
    }
    let script = Script::new(Run::Healthy);
    let health = manager().check(Check::exclusive("disk", script.probe()).jitter(0.0)).build().unwrap();
    let mut changes = health.subscribe();
    let mut changed = pin!(changes.changed());
    let waker = Waker::from(Arc::new(Panics));
    assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    health.start().unwrap();
    pass(secs(25)).await;
    assert_eq!(script.runs(), 3);
}
