//! Servers that are killed, stopped, cut off and started again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::real::{
    Client, LONG, client, client_of, endpoint, is_rejected, patient, soon, timed, until, until_state,
    verdicts,
};
use mainstay_breaker::{Breaker, ManualClock, State};
use mainstay_grpc::GrpcLayer;
use mainstay_testkit::grpc::pb::{Answer, Ask};
use mainstay_testkit::{Fault, FaultProxy, GrpcServer};
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};

/// The open time of the default settings.
const OPEN: Duration = Duration::from_secs(20);
const DEADLINE: Duration = Duration::from_secs(10);

/// A call that has little time.
async fn call_shortly(client: &mut Client) -> Result<Response<Answer>, Status> {
    let mut request = Request::new(Ask::default());
    request.set_timeout(Duration::from_millis(300));
    soon(client.unary(request)).await
}

/// Calls until the breaker is closed, as traffic would, while time goes on; how many of the admitted ones failed.
async fn recover(client: &mut Client, breaker: &Breaker, time: &ManualClock) -> u64 {
    let began = Instant::now();
    let before = verdicts(breaker).1;
    while breaker.state() != State::Closed {
        assert!(began.elapsed() < LONG, "it recovers by traffic alone");
        if breaker.state() == State::Open {
            time.advance(OPEN);
        }
        let _ = soon(client.unary(Ask::default())).await;
    }
    verdicts(breaker).1 - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_killed_under_load_trips_the_breaker_and_keeps_nobody_waiting() {
    const TASKS: u64 = 32;
    let mut server = GrpcServer::start().unwrap();
    let (breaker, time) = timed();
    let channel = endpoint(&server).timeout(DEADLINE).connect_lazy();
    let mut client = client_of(channel, GrpcLayer::client(breaker.clone()));
    let (stop, longest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (mut client, stop, longest) = (client.clone(), stop.clone(), longest.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    if client.unary(Ask { payload: 1_000, ..Ask::default() }).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    longest.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    until("there is load", || verdicts(&breaker).0 > 500).await;
    assert_eq!(verdicts(&breaker).1, 0);

    server.kill().unwrap();
    until_state(&breaker, State::Open).await;
    until("calls are rejected", || breaker.snapshot().totals.rejected > 500).await;
    // Three in a row opened it; those that were under way then failed too.
    assert_eq!(breaker.snapshot().recent.len(), 1);
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        soon(task).await.unwrap();
    }
    // A success that was under way when the server died may have come late, and begun the run anew.
    let failures = verdicts(&breaker).1;
    assert!((3..3 + 2 * TASKS).contains(&failures), "{failures}");
    assert!(longest.load(Ordering::Relaxed) < (DEADLINE + Duration::from_secs(5)).as_millis() as u64);

    let mut rejections = Vec::new();
    for _ in 0..101 {
        let began = Instant::now();
        assert!(is_rejected(&client.unary(Ask::default()).await.unwrap_err()));
        rejections.push(began.elapsed());
    }
    rejections.sort();
    assert!(rejections[50] < Duration::from_millis(1), "{:?}", rejections[50]);
    assert_eq!(verdicts(&breaker).1, failures);

    // While it is down, probes fail and open it again.
    time.advance(OPEN);
    assert!(!is_rejected(&soon(client.unary(Ask::default())).await.unwrap_err()));
    assert_eq!(breaker.state(), State::Open);

    server.restart().unwrap();
    let failed = recover(&mut client, &breaker, &time).await;
    assert!(failed <= 1, "{failed} calls went to a connection of the old server");
    for _ in 0..100 {
        client.unary(Ask::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_stands_still_trips_the_breaker_by_deadlines() {
    let mut server = GrpcServer::start().unwrap();
    let (breaker, time) = timed();
    let channel = endpoint(&server).timeout(DEADLINE).connect_lazy();
    let mut client = client_of(channel, GrpcLayer::client(breaker.clone()));
    client.unary(Ask::default()).await.unwrap();
    server.stop().unwrap();
    for _ in 0..3 {
        assert!(!is_rejected(&call_shortly(&mut client).await.unwrap_err()));
    }
    assert_eq!(breaker.state(), State::Open);
    assert!(is_rejected(&client.unary(Ask::default()).await.unwrap_err()));
    server.resume().unwrap();
    recover(&mut client, &breaker, &time).await;
    client.unary(Ask::default()).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_a_failure() {
    let server = GrpcServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let breaker = patient();
    let channel = Endpoint::from_shared(server.url_at(proxy.addr())).unwrap().connect_lazy();
    let mut client = client_of(channel, GrpcLayer::client(breaker.clone()));
    client.unary(Ask::default()).await.unwrap();
    assert_eq!(verdicts(&breaker), (1, 0, 0));

    // In the middle of one message.
    proxy.set(Fault::CutAfter { bytes: 20_000 });
    let large = Ask { payload: 60_000, ..Ask::default() };
    assert!(soon(client.unary(large)).await.is_err());
    assert_eq!(verdicts(&breaker), (1, 1, 0));

    // Between the messages of a stream.
    proxy.set(Fault::None);
    let ask = Ask { messages: 1_000, gap_ms: 1, payload: 100, ..Ask::default() };
    let mut stream = soon(client.server_stream(ask)).await.unwrap().into_inner();
    for _ in 0..3 {
        assert!(stream.message().await.unwrap().is_some());
    }
    proxy.set(Fault::Reset);
    assert!(soon(crate::real::read(stream)).await.is_err());
    assert_eq!(verdicts(&breaker), (1, 2, 0));

    proxy.set(Fault::None);
    let answered = async { while client.unary(Ask::default()).await.is_err() {} };
    soon(answered).await;
}

#[tokio::test]
async fn a_network_that_swallows_everything_trips_the_breaker_by_deadlines() {
    let server = GrpcServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let (breaker, time) = timed();
    let endpoint = Endpoint::from_shared(server.url_at(proxy.addr())).unwrap();
    let channel = endpoint.timeout(DEADLINE).connect_lazy();
    let mut client = client_of(channel, GrpcLayer::client(breaker.clone()));
    client.unary(Ask::default()).await.unwrap();
    proxy.set(Fault::BlackHole);
    for _ in 0..3 {
        assert!(!is_rejected(&call_shortly(&mut client).await.unwrap_err()));
    }
    assert_eq!(breaker.state(), State::Open);
    // What was swallowed is lost to HTTP/2, and only the end of the connection makes tonic make another.
    proxy.set(Fault::Reset);
    proxy.set(Fault::None);
    recover(&mut client, &breaker, &time).await;
}

#[tokio::test]
async fn a_connection_of_a_server_that_was_restarted_meanwhile_is_handed_out_broken_once_at_most() {
    let mut server = GrpcServer::start().unwrap();
    let breaker = patient();
    let mut client = client(&server, &breaker);
    client.unary(Ask::default()).await.unwrap();
    server.restart().unwrap();
    let mut failed = 0;
    for _ in 0..100 {
        failed += u64::from(soon(client.unary(Ask::default())).await.is_err());
    }
    assert!(failed <= 1, "{failed} calls failed");
    assert_eq!(verdicts(&breaker).1, failed);
}

#[tokio::test]
async fn pings_find_out_that_nobody_is_there_for_a_stream() {
    let server = GrpcServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let breaker = patient();
    let endpoint = Endpoint::from_shared(server.url_at(proxy.addr())).unwrap();
    let pinging = endpoint
        .http2_keep_alive_interval(Duration::from_millis(100))
        .keep_alive_timeout(Duration::from_secs(3));
    let mut client = client_of(pinging.connect_lazy(), GrpcLayer::client(breaker.clone()));
    let mut stream = client.server_stream(crate::real::ten_minutes()).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    proxy.set(Fault::BlackHole);
    assert!(soon(stream.message()).await.is_err());
    assert_eq!(verdicts(&breaker), (0, 1, 0));
}

#[tokio::test]
async fn streams_under_way_fail_when_their_server_is_killed() {
    let mut server = GrpcServer::start().unwrap();
    let (breaker, time) = timed();
    let mut client = crate::real::client(&server, &breaker);
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = client.server_stream(crate::real::ten_minutes()).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().is_some());
        streams.push(stream);
    }
    server.kill().unwrap();
    for mut stream in streams {
        assert!(soon(stream.message()).await.is_err());
    }
    assert_eq!(verdicts(&breaker), (0, 5, 0));
    assert_eq!(breaker.state(), State::Open);
    server.restart().unwrap();
    recover(&mut client, &breaker, &time).await;
}
