//! `Watch`: the status at once, then changes, by results and by time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use crate::served::{
    NotServing, ServiceUnknown, Serving, channel, client, manager, next, ready, soon, until, watch,
};
use mainstay_health::{Check, CheckOutcome, Phase, Pushed, Report, Shutdown, Status};
use mainstay_health_grpc::tonic::Code;
use mainstay_health_grpc::tonic::transport::Server;
use mainstay_health_grpc::tonic::transport::server::TcpIncoming;
use mainstay_health_grpc::{HealthGrpc, Serves};
use tokio::net::TcpListener;
use tonic_health::pb::health_client::HealthClient;

#[tokio::test]
async fn the_status_comes_at_once_and_then_only_changes() {
    let (health, worker, _) = ready().await;
    let mut client = client(HealthGrpc::new(&health)).await;
    let mut stream = watch(&mut client, "").await;
    assert_eq!(next(&mut stream).await.unwrap(), Serving);
    // None of this changes whether it serves, though all of it is reported.
    for outcome in [CheckOutcome::degraded("slow"), CheckOutcome::healthy(), CheckOutcome::degraded("slow")] {
        let status = outcome.status();
        worker.set(outcome);
        until(&health, |report| report.status() == status).await;
    }
    worker.set(CheckOutcome::unhealthy("it stands still"));
    assert_eq!(next(&mut stream).await.unwrap(), NotServing);
    worker.set(());
    assert_eq!(next(&mut stream).await.unwrap(), Serving);
}

#[tokio::test]
async fn a_name_that_there_is_not_keeps_the_stream_until_it_is_registered() {
    let (health, ..) = ready().await;
    let mut client = client(HealthGrpc::new(&health)).await;
    let mut stream = watch(&mut client, "cache").await;
    assert_eq!(next(&mut stream).await.unwrap(), ServiceUnknown);
    let cache = Pushed::new();
    cache.set(());
    for _ in 0..2 {
        health.register(Check::shared("cache", &cache)).unwrap();
        let mut status = next(&mut stream).await.unwrap();
        if status == NotServing {
            // It was seen between its registration and its first result.
            status = next(&mut stream).await.unwrap();
        }
        assert_eq!(status, Serving);
        health.deregister("cache").unwrap();
        assert_eq!(next(&mut stream).await.unwrap(), ServiceUnknown);
    }
}

#[tokio::test]
async fn a_name_that_can_never_be_one_is_unknown() {
    let (health, ..) = ready().await;
    let mut client = client(HealthGrpc::new(&health).check_names(false)).await;
    for name in ["worker", &"x".repeat(129)] {
        assert_eq!(next(&mut watch(&mut client, name).await).await.unwrap(), ServiceUnknown);
    }
}

#[tokio::test]
async fn each_name_is_watched_for_what_it_stands_for() {
    let (health, worker, _) = ready().await;
    let cache = Pushed::new();
    cache.set(());
    health.register(Check::shared("cache", &cache)).unwrap();
    until(&health, |report| report.summary().unknown == 0).await;
    let service = HealthGrpc::new(&health).service("orders.v1.Orders", Serves::checks(["worker", "cache"]));
    let mut client = client(service).await;
    let mut whole = watch(&mut client, "").await;
    let mut orders = watch(&mut client, "orders.v1.Orders").await;
    let mut alone = watch(&mut client, "cache").await;
    for stream in [&mut whole, &mut orders, &mut alone] {
        assert_eq!(next(stream).await.unwrap(), Serving);
    }
    cache.set(CheckOutcome::unhealthy("gone"));
    assert_eq!(next(&mut orders).await.unwrap(), NotServing);
    assert_eq!(next(&mut alone).await.unwrap(), NotServing);
    worker.set(CheckOutcome::unhealthy("it stands still"));
    assert_eq!(next(&mut whole).await.unwrap(), NotServing);
}

/// Watches one name while nothing runs the manager, for so many seconds, and then runs it again.
fn grows_too_old(name: &str, seconds: u64) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (checks, server) = (runtime(), runtime());
    let (worker, cache) = (Pushed::new(), Pushed::new());
    worker.set(());
    cache.set(());
    let (builder, time) = manager();
    let health = builder
        .runtime(checks.handle().clone())
        .check(Check::internal("worker", &worker).critical())
        .check(Check::shared("cache", &cache).interval(Duration::from_secs(2)))
        .build()
        .unwrap();
    health.start().unwrap();
    let passes = |report: &Report| report.is_ready() && report.summary().healthy == 2;
    checks.block_on(until(&health, passes));

    let mut stream = server.block_on(async {
        let mut client = client(HealthGrpc::new(&health)).await;
        let mut stream = watch(&mut client, name).await;
        assert_eq!(next(&mut stream).await.unwrap(), Serving);
        time.advance(Duration::from_secs(seconds));
        assert_eq!(next(&mut stream).await.unwrap(), NotServing);
        stream
    });

    checks.block_on(async {
        for _ in 0..3 {
            // Whoever of its tasks is due has its turn.
            tokio::task::yield_now().await;
        }
        until(&health, passes).await;
    });
    // The stream looks again after a while, even if no change was reported.
    time.advance(Duration::from_millis(100));
    assert_eq!(server.block_on(next(&mut stream)).unwrap(), Serving);
}

#[test]
fn readiness_that_grows_too_old_ends_though_nobody_publishes_anything() {
    grows_too_old("", 60);
}

#[test]
fn a_check_that_readiness_rests_on_grows_too_old_though_nobody_publishes_anything() {
    grows_too_old("worker", 60);
}

#[test]
fn a_check_that_readiness_does_not_rest_on_grows_too_old_by_itself() {
    // Not long enough for the manager to count as stuck.
    grows_too_old("cache", 10);
}

#[tokio::test]
async fn time_that_passes_while_the_manager_runs_changes_nothing() {
    let (health, worker, time) = ready().await;
    let mut client = client(HealthGrpc::new(&health)).await;
    let mut stream = watch(&mut client, "").await;
    assert_eq!(next(&mut stream).await.unwrap(), Serving);
    let runs = || health.report().check("worker").map_or(0, |check| check.runs);
    for _ in 0..20 {
        let before = runs();
        time.advance(Duration::from_secs(11));
        soon(async {
            while runs() == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    worker.set(CheckOutcome::unhealthy("it stands still"));
    assert_eq!(next(&mut stream).await.unwrap(), NotServing);
}

#[tokio::test]
async fn a_drain_is_for_good_on_the_streams_that_saw_it() {
    let (health, _, time) = ready().await;
    let mut client = client(HealthGrpc::new(&health)).await;
    let mut streams = Vec::new();
    for name in ["", "readiness", "worker"] {
        streams.push(watch(&mut client, name).await);
    }
    let mut alive = watch(&mut client, "liveness").await;
    for stream in streams.iter_mut().chain([&mut alive]) {
        assert_eq!(next(stream).await.unwrap(), Serving);
    }
    let drain = health.clone();
    let draining = tokio::spawn(async move { drain.drain().await });
    for stream in &mut streams {
        assert_eq!(next(stream).await.unwrap(), NotServing);
    }
    draining.abort();
    health.stop();
    health.start().unwrap();
    until(&health, Report::is_ready).await;
    // They say nothing else, and end; whoever watches anew is told that it serves.
    for stream in &mut streams {
        assert_eq!(next(stream).await.unwrap_err().code(), Code::Unavailable);
    }
    let mut anew = watch(&mut client, "").await;
    assert_eq!(next(&mut anew).await.unwrap(), Serving);
    let drain = health.clone();
    tokio::spawn(async move { drain.drain().await });
    assert_eq!(next(&mut anew).await.unwrap(), NotServing);
    health.stop();
    assert_eq!(next(&mut anew).await.unwrap_err().code(), Code::Unavailable);
    // No drain ends what watches whether it is alive, unless the process ends: this is its next word.
    let closing = health.clone();
    health.start().unwrap();
    tokio::spawn(async move { closing.drain().await });
    until(&health, |report| report.phase() == Phase::Draining).await;
    time.advance(Duration::from_secs(5));
    assert_eq!(next(&mut alive).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_server_that_ends_does_not_wait_for_those_who_watch() {
    let (health, _, time) = ready().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let shutdown = Shutdown::new(&health);
    let server = Server::builder()
        .add_service(HealthGrpc::new(&health))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), shutdown.stop_accepting());
    let ending = shutdown.clone();
    let ended = tokio::spawn(async move { ending.run(server).await });
    let mut client = HealthClient::new(channel(addr));
    let mut streams = Vec::new();
    for (name, first) in [("", Serving), ("liveness", Serving), ("nobody", ServiceUnknown)] {
        let mut stream = watch(&mut client, name).await;
        assert_eq!(next(&mut stream).await.unwrap(), first);
        streams.push(stream);
    }
    shutdown.trigger();
    assert_eq!(next(&mut streams[0]).await.unwrap(), NotServing);
    assert_eq!(health.report().phase(), Phase::Draining);
    time.advance(Duration::from_secs(5));
    for stream in &mut streams {
        assert_eq!(next(stream).await.unwrap_err().code(), Code::Unavailable);
    }
    drop((streams, client));
    let ended = soon(ended).await.unwrap();
    assert!(ended.output.unwrap().is_ok());
}

#[tokio::test]
async fn a_watcher_that_leaves_is_forgotten() {
    let (health, ..) = ready().await;
    let (addr, server) = crate::served::serve(HealthGrpc::new(&health)).await;
    let mut client = HealthClient::new(channel(addr));
    let mut stream = watch(&mut client, "").await;
    assert_eq!(next(&mut stream).await.unwrap(), Serving);
    drop((stream, client));
    server.abort();
    let _ = server.await;
    // Only a manager that nobody keeps stops.
    let mut changes = health.subscribe();
    drop(health);
    soon(async {
        while changes.report().phase() != Phase::Stopped {
            changes.changed().await;
        }
    })
    .await;
    assert_eq!(changes.report().check("worker").unwrap().status, Status::Healthy);
}
