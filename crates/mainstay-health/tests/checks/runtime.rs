use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_health::{Check, Clock, ErrorClass, HealthManager, Reason, Status, checks};

use crate::ask::{LIMIT, ask, asking, class, figure};

/// Keeps the runtime's only thread for `turn` at every turn, until it is told to stop.
fn block(turn: Duration) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    tokio::spawn(async move {
        while !told.load(Ordering::SeqCst) {
            std::thread::sleep(turn);
            tokio::task::yield_now().await;
        }
    });
    stop
}

#[tokio::test]
async fn a_runtime_that_is_blocked_is_degraded_and_recovers() {
    let health = asking(checks::runtime_lag());
    let stop = block(Duration::from_millis(120));
    let blocked = ask(&health).await;
    assert_eq!((blocked.status, blocked.reason), (Status::Degraded, Reason::Rule));
    let lag = figure(blocked.last.as_ref().unwrap(), "lag_ms");
    assert!(lag >= 100.0, "{lag} ms");

    stop.store(true, Ordering::SeqCst);
    // On a machine that is busy with something else it may be late for a while longer.
    let recovers = async { while ask(&health).await.status != Status::Healthy {} };
    tokio::time::timeout(LIMIT, recovers).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn time_that_is_made_to_pass_is_no_lag() {
    let check = Check::internal("it", checks::runtime_lag());
    let health = HealthManager::builder("orders").clock(Clock::tokio()).check(check).build().unwrap();
    health.start().unwrap();
    let report = health.subscribe().changed().await;
    let run = report.check("it").unwrap().last.clone().unwrap();
    assert_eq!(class(&run), None);
    assert!(figure(&run, "lag_ms") < 5_000.0);
}

#[test]
fn it_watches_the_runtime_it_was_made_in() {
    let service = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let probe = {
        let _inside = service.enter();
        checks::runtime_lag()
    };
    let (release, held) = std::sync::mpsc::channel::<()>();
    service.spawn(async move {
        let _ = held.recv();
    });
    let check = Check::internal("runtime", probe)
        .interval(Duration::from_millis(400))
        .timeout(Duration::from_millis(200))
        .failure_threshold(1)
        .success_threshold(1);
    let health = HealthManager::builder("orders").runtime(own.handle().clone()).check(check).build().unwrap();
    let mut changes = health.subscribe();
    health.start().unwrap();
    let mut becomes = |status: Status| {
        let report = own.block_on(async {
            let becomes = async {
                while changes.report().check("runtime").unwrap().status != status {
                    changes.changed().await;
                }
                changes.report()
            };
            tokio::time::timeout(LIMIT, becomes).await.unwrap()
        });
        report.check("runtime").unwrap().clone()
    };
    let stuck = becomes(Status::Unhealthy);
    assert_eq!(stuck.reason, Reason::TimedOut);
    assert_eq!(stuck.last.as_ref().unwrap().error.as_ref().unwrap().class(), ErrorClass::TimedOut);
    drop(release);
    // The first sample after that may have been waiting all the while.
    becomes(Status::Healthy);
}
