//! Probes while everything hangs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![cfg(feature = "http")]

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::scene::{millis, secs};
use http::Request;
use mainstay_health::http::HealthService;
use mainstay_health::{Check, HealthManager, Status, blocking};
use tower_service::Service;

/// Asks once; the answer must be there at once.
fn probe(service: &mut HealthService, path: &str) -> u16 {
    let mut answer = pin!(service.call(Request::get(path).body(()).unwrap()));
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => response.status().as_u16(),
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => panic!("a probe waits"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_fifty_checks_hung_for_ever_ten_thousand_probes_are_answered_in_microseconds() {
    let (hold, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let mut builder = HealthManager::builder("orders");
    for index in 0..25 {
        let hung = Check::shared(format!("async-{index}"), std::future::pending::<()>);
        builder = builder.check(hung.interval(millis(100)).timeout(millis(50)));
        let held = held.clone();
        let hung = blocking(move || drop(held.lock().map(|held| held.recv())));
        builder = builder.check(
            Check::exclusive(format!("blocking-{index}"), hung).interval(millis(100)).timeout(millis(50)),
        );
    }
    let health = builder.check(Check::exclusive("fine", || async {}).critical()).build().unwrap();
    health.start().unwrap();
    let mut changes = health.subscribe();
    while health.report().summary().unhealthy < 50 || !health.is_ready() {
        changes.changed().await;
    }

    let mut service = HealthService::new(&health);
    for (path, expected) in
        [("/readyz", 200), ("/livez", 200), ("/startupz", 200), ("/health", 200), ("/health/detailed", 200)]
    {
        let mut took: Vec<Duration> = (0..10_000)
            .map(|_| {
                let begin = Instant::now();
                assert_eq!(probe(&mut service, path), expected, "{path}");
                begin.elapsed()
            })
            .collect();
        took.sort_unstable();
        let (median, p99) = (took[5_000], took[9_900]);
        println!("{path}: median {median:?}, p99 {p99:?}");
        // A release build takes less than one. This leaves room for a debug build on a busy machine; a probe that waited for
        // one of the checks would take fifty milliseconds.
        assert!(median < Duration::from_micros(200), "{path}: {median:?}");
        assert!(p99 < millis(5), "{path}: {p99:?}");
    }
    assert_eq!(health.report().check("fine").unwrap().status, Status::Healthy);

    drop(hold);
    let healed = async {
        while health.report().summary().unhealthy > 25 {
            changes.changed().await;
        }
    };
    tokio::time::timeout(secs(30), healed).await.unwrap();
}
