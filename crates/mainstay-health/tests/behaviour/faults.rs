//! Checks that panic, hang, block, and leave something behind.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::scene::{Run, Script, manager, millis, pass, secs, settle, status};
use mainstay_health::{Check, ErrorClass, HealthManager, Reason, Status, blocking};

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_result_like_any_other_and_ends_when_the_panics_end() {
    let (bad, good) = (Script::new(Run::Panics), Script::new(Run::Healthy));
    let health = manager()
        .check(Check::internal("bad", bad.probe()).jitter(0.0))
        .check(Check::internal("good", good.probe()).jitter(0.0))
        .build()
        .unwrap();
    health.start().unwrap();
    pass(secs(31)).await;
    let report = health.report();
    let check = report.check("bad").unwrap();
    assert_eq!((check.status, check.reason), (Status::Unhealthy, Reason::Panicked));
    let error = check.last.as_ref().unwrap().error.clone().unwrap();
    assert_eq!((error.class(), error.text()), (ErrorClass::Panicked, "the check has a bug"));
    assert_eq!(status(&health, "good"), Status::Healthy);
    assert_eq!(good.runs(), 4);

    bad.set(Run::Healthy);
    pass(secs(13)).await;
    assert_eq!(status(&health, "bad"), Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn panics_in_every_other_place_are_results_too() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    #[derive(Debug)]
    struct PanicsOnPrint;
    impl std::fmt::Display for PanicsOnPrint {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("printed")
        }
    }
    impl std::error::Error for PanicsOnPrint {}

    let health = manager()
        .check(Check::internal("closure", || {
            assert!(std::hint::black_box(false), "the closure, before its future");
            async {}
        }))
        .check(Check::internal("dropped", || async {
            let _left = PanicsOnDrop;
            std::future::pending::<()>().await;
        }))
        .check(Check::internal("printed", || async { Err::<(), _>(PanicsOnPrint) }))
        .check(
            Check::internal("classified", || async { Err::<(), _>("no") }).classify(|_| panic!("classified")),
        )
        .build()
        .unwrap();
    health.start().unwrap();
    let mut changes = health.subscribe();
    while health.report().summary().unhealthy < 4 {
        changes.changed().await;
    }
    let reason = |name: &str| health.report().check(name).unwrap().reason;
    assert_eq!(reason("closure"), Reason::Panicked);
    assert_eq!(reason("dropped"), Reason::Panicked);
    assert_eq!(reason("printed"), Reason::Error);
    assert_eq!(reason("classified"), Reason::Error);
}

#[tokio::test]
async fn a_panic_on_a_thread_is_a_result_too() {
    let check = Check::internal("blocking", blocking(|| -> Status { panic!("on a thread") }));
    let health = HealthManager::builder("orders").check(check).build().unwrap();
    health.start().unwrap();
    reason_becomes(&health, "blocking", Reason::Panicked).await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_dropped_at_its_time_out_and_starts_afresh_at_its_next_turn() {
    let script = Script::new(Run::Hangs);
    let health = manager().check(Check::shared("redis", script.probe()).jitter(0.0)).build().unwrap();
    health.start().unwrap();
    pass(millis(1_999)).await;
    assert_eq!((script.ended(), status(&health, "redis")), (0, Status::Unknown));
    pass(millis(2)).await;
    assert_eq!((script.ended(), status(&health, "redis")), (1, Status::Unhealthy));
    let check = health.report().check("redis").unwrap().clone();
    assert_eq!(check.reason, Reason::TimedOut);
    assert_eq!(check.last.as_ref().unwrap().error.as_ref().unwrap().class(), ErrorClass::TimedOut);
    pass(secs(10)).await;
    assert_eq!(script.runs(), 2);
}

/// A blocking check whose runs end when the test says so.
struct Gate {
    entered: Receiver<()>,
    leave: Sender<()>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

fn gate() -> (impl mainstay_health::IntoProbe, Gate) {
    let ((enter, entered), (leave, left)) = (channel(), channel());
    let (enter, left) = (Mutex::new(enter), Mutex::new(left));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Gate { entered, leave, running: running.clone(), most: most.clone() };
    let probe = blocking(move || {
        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        enter.lock().unwrap().send(()).unwrap();
        let _ = left.lock().unwrap().recv();
        running.fetch_sub(1, Ordering::SeqCst);
    });
    (probe, gate)
}

async fn reason_becomes(health: &HealthManager, check: &str, reason: Reason) {
    let mut changes = health.subscribe();
    let seen = async {
        while health.report().check(check).unwrap().reason != reason {
            changes.changed().await;
        }
    };
    tokio::time::timeout(secs(30), seen).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_check_that_hangs_has_one_thread_is_reported_hung_and_runs_again_when_it_has_ended() {
    let (probe, gate) = gate();
    let health = HealthManager::builder("orders")
        .check(Check::exclusive("disk", probe).interval(millis(60)).timeout(millis(30)).failure_threshold(1))
        .check(Check::exclusive("other", || async {}).interval(millis(50)))
        .build()
        .unwrap();
    health.start().unwrap();
    gate.entered.recv().unwrap();
    reason_becomes(&health, "disk", Reason::TimedOut).await;
    reason_becomes(&health, "disk", Reason::Hung).await;
    let check = health.report().check("disk").unwrap().clone();
    assert_eq!(check.status, Status::Unhealthy);
    assert!(check.hung_since.is_some());
    assert_eq!((gate.running.load(Ordering::SeqCst), gate.most.load(Ordering::SeqCst)), (1, 1));

    // From now on every run may end.
    let done = Arc::new(AtomicBool::new(false));
    let Gate { entered, leave, most, .. } = gate;
    let opener = std::thread::spawn({
        let done = done.clone();
        move || {
            while !done.load(Ordering::SeqCst) && leave.send(()).is_ok() {
                let _ = entered.recv_timeout(Duration::from_millis(10));
            }
        }
    });
    reason_becomes(&health, "disk", Reason::Passed).await;
    assert_eq!(health.report().check("disk").unwrap().hung_since, None);
    assert_eq!(most.load(Ordering::SeqCst), 1, "never two at once");
    assert_eq!(status(&health, "other"), Status::Healthy);
    health.stop();
    done.store(true, Ordering::SeqCst);
    opener.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_threads_hang_a_blocking_check_says_that_it_has_none_and_async_checks_go_on() {
    let (probe, gate) = gate();
    let health = HealthManager::builder("orders")
        .blocking_threads(1)
        .check(Check::exclusive("hung", probe).interval(millis(60)).timeout(millis(30)))
        .build()
        .unwrap();
    health.start().unwrap();
    gate.entered.recv().unwrap();
    health
        .register(Check::exclusive("late", blocking(|| ())).interval(millis(60)).timeout(millis(30)))
        .unwrap();
    health.register(Check::exclusive("async", || async {}).interval(millis(60))).unwrap();
    reason_becomes(&health, "late", Reason::NoThread).await;
    reason_becomes(&health, "async", Reason::Passed).await;
    drop(gate.leave);
    reason_becomes(&health, "late", Reason::Passed).await;
}

#[tokio::test]
async fn an_async_check_that_blocks_its_thread_is_reported() {
    let health = HealthManager::builder("orders")
        .check(
            Check::internal("careless", || async { std::thread::sleep(millis(120)) })
                .interval(secs(60))
                .timeout(secs(30)),
        )
        .build()
        .unwrap();
    health.start().unwrap();
    health.subscribe().changed().await;
    reason_becomes(&health, "careless", Reason::Passed).await;
    let check = health.report().check("careless").unwrap().clone();
    assert!(check.last.as_ref().unwrap().blocked_runtime.unwrap() >= millis(120));
}

#[tokio::test]
async fn an_answer_that_comes_after_its_time_is_none() {
    let health = HealthManager::builder("orders")
        .check(
            Check::internal("careless", || async { std::thread::sleep(millis(60)) })
                .interval(secs(60))
                .timeout(millis(20)),
        )
        .build()
        .unwrap();
    health.start().unwrap();
    reason_becomes(&health, "careless", Reason::TimedOut).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_unhealthy_and_hurts_nobody() {
    use mainstay_core::{Bell, Condition, StateSource, Watch};
    use mainstay_health::{Clock, Name, source};
    struct Broken(Arc<AtomicBool>);
    impl StateSource for Broken {
        fn name(&self) -> Name {
            Name::new("broken").unwrap()
        }
        fn condition(&self) -> Condition {
            assert!(!self.0.load(Ordering::SeqCst), "broken");
            Condition::Up
        }
        fn next_change(&self) -> Option<Duration> {
            assert!(!self.0.load(Ordering::SeqCst), "broken");
            // A moment that has passed, for ever.
            Some(Duration::ZERO)
        }
        fn watch(&self) -> Watch {
            assert!(!self.0.load(Ordering::SeqCst), "broken");
            Bell::new().watch()
        }
        fn poll(&self) {}
        fn clock(&self) -> Clock {
            Clock::tokio()
        }
    }
    let broken = Arc::new(AtomicBool::new(true));
    let health = manager()
        .check(Check::shared("broken", source(Broken(broken.clone()))).jitter(0.0))
        .check(Check::shared("fine", || async {}))
        .build()
        .unwrap();
    health.start().unwrap();
    settle().await;
    assert_eq!(health.report().check("broken").unwrap().reason, Reason::Panicked);
    assert_eq!(status(&health, "fine"), Status::Healthy);
    broken.store(false, Ordering::SeqCst);
    pass(secs(10)).await;
    assert_eq!(status(&health, "broken"), Status::Healthy);
    let before = health.report().check("broken").unwrap().runs;
    pass(secs(1)).await;
    let looks = health.report().check("broken").unwrap().runs - before;
    assert!((50..=110).contains(&looks), "looked at every 10 ms and not in a loop: {looks}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_panics_when_it_is_cut_off_does_not_end_its_check() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("cut off");
        }
    }
    let hangs = Arc::new(AtomicBool::new(true));
    let check = {
        let hangs = hangs.clone();
        Check::exclusive("disk", move || {
            let hangs = hangs.load(Ordering::SeqCst);
            async move {
                if hangs {
                    let _left = PanicsOnDrop;
                    std::future::pending::<()>().await;
                }
            }
        })
    };
    let health = manager().check(check).build().unwrap();
    health.start().unwrap();
    settle().await;
    health.disable("disk").unwrap();
    settle().await;
    hangs.store(false, Ordering::SeqCst);
    health.enable("disk").unwrap();
    settle().await;
    assert_eq!(status(&health, "disk"), Status::Healthy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_run_that_was_cut_off_hangs_only_once_its_time_is_over() {
    let (probe, gate) = gate();
    let check = Check::exclusive("disk", probe).interval(secs(60)).timeout(secs(20)).failure_threshold(1);
    let health = HealthManager::builder("orders").check(check).build().unwrap();
    health.start().unwrap();
    gate.entered.recv().unwrap();
    health.disable("disk").unwrap();
    health.enable("disk").unwrap();
    health.stop();
    health.start().unwrap();
    // The first run is still under way; its end begins the next, and the end of that is the first result.
    gate.leave.send(()).unwrap();
    gate.entered.recv().unwrap();
    assert_eq!(health.report().check("disk").unwrap().reason, Reason::NotYet);
    gate.leave.send(()).unwrap();
    reason_becomes(&health, "disk", Reason::Passed).await;
    assert_eq!((health.report().check("disk").unwrap().runs, gate.most.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_hangs_since_before_a_restart_is_reported_since_when() {
    let (probe, gate) = gate();
    let check = Check::exclusive("disk", probe).interval(millis(100)).timeout(millis(50));
    let health = HealthManager::builder("orders").check(check).build().unwrap();
    health.start().unwrap();
    gate.entered.recv().unwrap();
    health.stop();
    health.start().unwrap();
    reason_becomes(&health, "disk", Reason::Hung).await;
    assert!(health.report().check("disk").unwrap().hung_since.is_some());
    drop(gate.leave);
    reason_becomes(&health, "disk", Reason::Passed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_in_quick_succession_are_not_taken_for_hung_ones() {
    let check = Check::exclusive("disk", blocking(|| ())).interval(secs(60)).timeout(secs(20));
    let gap = Duration::from_nanos(1);
    let health = HealthManager::builder("orders").check_now_gap(gap).check(check).build().unwrap();
    health.start().unwrap();
    for _ in 0..1_000 {
        let check = health.check_now("disk").await.unwrap();
        assert_eq!(check.last.as_ref().unwrap().reason, Reason::Passed);
    }
}
