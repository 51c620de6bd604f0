//! The end of a service.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::scene::{Run, Script, manager, millis, pass, secs, settle};
use mainstay_health::{Check, HealthManager, Phase, Shutdown};
use tokio::sync::Notify;

async fn next_phase(changes: &mut mainstay_health::Subscription, phase: Phase) {
    while changes.report().phase() != phase {
        changes.changed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_fails_readiness_waits_for_balancers_and_then_for_what_is_under_way() {
    let script = Script::new(Run::Healthy);
    let health = manager()
        .drain_delay(secs(5))
        .drain_limit(secs(20))
        .check(Check::shared("redis", script.probe()).critical())
        .build()
        .unwrap();
    health.start().unwrap();
    settle().await;
    let work = [health.begin_work(), health.begin_work()];
    assert_eq!(health.in_flight(), 2);
    let drain = tokio::spawn({
        let health = health.clone();
        async move { health.drain().await }
    });
    settle().await;
    assert!(!health.is_ready() && health.is_live());
    assert_eq!(health.report().phase(), Phase::Draining);
    pass(millis(4_990)).await;
    assert_eq!(health.report().phase(), Phase::Draining);
    pass(millis(20)).await;
    assert_eq!(health.report().phase(), Phase::Closing);
    let runs = script.runs();
    pass(secs(10)).await;
    assert!(script.runs() > runs, "checks go on");
    drop(work);
    let drained = drain.await.unwrap();
    assert_eq!((drained.left, drained.took.as_secs()), (0, 15));
    assert_eq!(health.report().phase(), Phase::Drained);
    assert_eq!(health.drain().await.left, 0, "once drained it stays so");

    health.stop();
    health.start().unwrap();
    settle().await;
    assert!(health.is_ready(), "a stop and a start begin a new life");
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_ever() {
    let health = manager().drain_delay(secs(0)).drain_limit(secs(20)).build().unwrap();
    health.start().unwrap();
    let work = health.begin_work();
    let drained = health.drain().await;
    assert_eq!((drained.left, drained.took), (1, secs(20)));
    drop(work);
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_future_is_dropped_goes_on_with_the_next_call() {
    let health = manager().drain_delay(secs(5)).build().unwrap();
    health.start().unwrap();
    let cut_off = tokio::time::timeout(secs(3), health.drain()).await;
    assert!(cut_off.is_err() && !health.is_ready());
    assert_eq!(health.drain().await.took.as_secs(), 5, "counted from its beginning");
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_does_not_run_has_nothing_to_drain() {
    let health = manager().build().unwrap();
    assert_eq!(health.drain().await.took, secs(0));
    assert_eq!(health.report().phase(), Phase::Created);
    health.start().unwrap();
    assert!(health.is_ready());
    health.stop();
    assert_eq!(health.drain().await.took, secs(0));
    pass(secs(100)).await;
    assert!(health.is_live());
    health.start().unwrap();
    assert!(health.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_an_earlier_life_does_not_hurry_a_later_one() {
    let health = manager().drain_delay(secs(10)).build().unwrap();
    health.start().unwrap();
    let early = tokio::spawn({
        let health = health.clone();
        async move { health.drain().await }
    });
    pass(secs(5)).await;
    health.stop();
    health.start().unwrap();
    pass(secs(1)).await;
    let late = tokio::spawn({
        let health = health.clone();
        async move { health.drain().await }
    });
    pass(secs(6)).await;
    assert_eq!(health.report().phase(), Phase::Draining);
    assert_eq!(late.await.unwrap().took.as_secs(), 10);
    early.await.unwrap();
}

/// A server that accepts until it is told to stop, and then has one request to finish.
struct Server {
    accepts: Arc<AtomicBool>,
    finish: Arc<Notify>,
}

impl Server {
    fn start(shutdown: &Shutdown) -> (Self, impl Future<Output = &'static str> + use<>) {
        let server = Self { accepts: Arc::new(AtomicBool::new(true)), finish: Arc::new(Notify::new()) };
        let (accepts, finish) = (server.accepts.clone(), server.finish.clone());
        let stop = shutdown.stop_accepting();
        let serve = async move {
            stop.await;
            accepts.store(false, Ordering::SeqCst);
            finish.notified().await;
            "finished"
        };
        (server, serve)
    }

    fn accepts(&self) -> bool {
        self.accepts.load(Ordering::SeqCst)
    }
}

fn drains() -> HealthManager {
    let health = manager().drain_delay(secs(5)).drain_limit(secs(20)).build().unwrap();
    health.start().unwrap();
    health
}

#[tokio::test(start_paused = true)]
async fn a_server_is_ended_step_by_step() {
    let health = drains();
    let shutdown = Shutdown::new(&health);
    let (server, serve) = Server::start(&shutdown);
    let run = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.run(serve).await }
    });
    pass(secs(100)).await;
    assert!(health.is_ready() && server.accepts());

    let mut changes = health.subscribe();
    shutdown.trigger();
    next_phase(&mut changes, Phase::Draining).await;
    assert!(!health.is_ready());
    pass(millis(4_900)).await;
    assert!(server.accepts(), "balancers need time to notice");
    next_phase(&mut changes, Phase::Closing).await;
    settle().await;
    assert!(!server.accepts());
    pass(secs(10)).await;
    server.finish.notify_one();
    let ended = run.await.unwrap();
    assert_eq!((ended.output, ended.left, ended.took.as_secs()), (Some("finished"), 0, 15));
    assert_eq!(health.report().phase(), Phase::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_end_is_cut_off_at_the_limit() {
    let health = drains();
    let shutdown = Shutdown::new(&health);
    let (_server, serve) = Server::start(&shutdown);
    shutdown.trigger();
    let ended = shutdown.run(serve).await;
    assert_eq!((ended.output, ended.took.as_secs()), (None, 25));
    assert_eq!(health.report().phase(), Phase::Stopped);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_twice_does_not_want_to_wait() {
    let health = drains();
    let shutdown = Shutdown::new(&health);
    let (_server, serve) = Server::start(&shutdown);
    shutdown.trigger();
    shutdown.trigger();
    let ended = shutdown.run(serve).await;
    assert_eq!((ended.output, ended.took.as_secs()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn work_beside_the_server_is_waited_for_too() {
    let health = drains();
    let work = health.begin_work();
    let shutdown = Shutdown::new(&health);
    shutdown.trigger();
    let stop = shutdown.stop_accepting();
    let finish = async {
        pass(secs(12)).await;
        drop(work);
    };
    let (ended, ()) = tokio::join!(shutdown.run(stop), finish);
    assert_eq!((ended.output, ended.left, ended.took.as_secs()), (Some(()), 0, 12));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_by_itself_ends_the_checks() {
    let health = drains();
    let ended = Shutdown::new(&health).run(async { 42 }).await;
    assert_eq!((ended.output, ended.took), (Some(42), secs(0)));
    assert_eq!(health.report().phase(), Phase::Stopped);
}

#[cfg(unix)]
#[tokio::test]
async fn a_sigterm_begins_the_end() {
    let health = HealthManager::builder("orders").drain_delay(millis(1)).build().unwrap();
    health.start().unwrap();
    let shutdown = Shutdown::on_signals(&health).unwrap();
    let pid = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = shutdown.run(shutdown.stop_accepting()).await;
    assert_eq!(ended.output, Some(()));
}

#[cfg(unix)]
#[test]
fn without_a_runtime_signals_are_an_error_and_no_panic() {
    let health = HealthManager::builder("orders").build().unwrap();
    assert!(Shutdown::on_signals(&health).is_err());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { assert!(Shutdown::on_signals(&health).is_err()) });
}
