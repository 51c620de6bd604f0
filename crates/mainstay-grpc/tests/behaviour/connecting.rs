//! Connecting has a breaker of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::real::{client_of, endpoint, is_rejected, patient, soon, timed, verdicts};
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use mainstay_breaker::{Breaker, Clock, ManualClock, State};
use mainstay_grpc::{ConnectLayer, GrpcLayer};
use mainstay_testkit::GrpcServer;
use mainstay_testkit::grpc::pb::Ask;
use tonic::Code;
use tonic::transport::Endpoint;
use tower::{Layer, Service, service_fn};

fn connections() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("connections").settings(mainstay_grpc::connect_settings());
    (builder.clock(clock).build().unwrap(), time)
}

/// A connector that counts how often it is asked to connect.
fn counting(
    attempts: &Arc<AtomicU64>,
) -> impl Service<
    Uri,
    Response = TokioIo<tokio::net::TcpStream>,
    Error = Box<dyn std::error::Error + Send + Sync>,
    Future: Send,
> + Clone
+ Send
+ use<> {
    let attempts = attempts.clone();
    service_fn(move |uri: Uri| {
        attempts.fetch_add(1, Ordering::Relaxed);
        async move { HttpConnector::new().call(uri).await.map_err(Into::into) }
    })
}

#[tokio::test]
async fn a_server_that_is_down_is_tried_no_more_often_than_the_breaker_admits() {
    let mut server = GrpcServer::start().unwrap();
    let (connections, time) = connections();
    let calls = patient();
    let attempts = Arc::new(AtomicU64::new(0));
    let connector = ConnectLayer::new(connections.clone()).layer(counting(&attempts));
    let channel = endpoint(&server).connect_with_connector_lazy(connector);
    let mut client = client_of(channel, GrpcLayer::client(calls.clone()));
    client.unary(Ask::default()).await.unwrap();
    assert_eq!(attempts.load(Ordering::Relaxed), 1);

    server.kill().unwrap();
    let mut rejected = 0;
    for _ in 0..200 {
        let status = soon(client.unary(Ask::default())).await.unwrap_err();
        if let Some(rejection) = mainstay_grpc::rejected(&status) {
            assert_eq!(status.code(), Code::Unavailable);
            assert_eq!(status.message(), "rejected by a circuit breaker");
            assert_eq!(rejection.name(), "connections");
            rejected += 1;
        }
    }
    assert_eq!(attempts.load(Ordering::Relaxed), 1 + 3);
    assert_eq!(connections.state(), State::Open);
    assert!(rejected >= 196, "{rejected}");
    // What the connection breaker turned away is no evidence for the calls' breaker.
    let (successes, failures, ignored) = verdicts(&calls);
    assert_eq!((successes, failures + ignored, ignored), (1, 200, rejected));

    server.restart().unwrap();
    assert!(is_rejected(&client.unary(Ask::default()).await.unwrap_err()));
    time.advance(Duration::from_secs(30));
    client.unary(Ask::default()).await.unwrap();
    assert_eq!(connections.state(), State::Closed);
    assert_eq!(attempts.load(Ordering::Relaxed), 1 + 3 + 1);
}

#[tokio::test]
async fn both_breakers_recover_when_the_first_of_them_may() {
    let mut server = GrpcServer::start().unwrap();
    let (connections, time_of_connections) = connections();
    let (calls, time_of_calls) = timed();
    let connector = ConnectLayer::new(connections.clone()).layer(HttpConnector::new());
    let channel = endpoint(&server).connect_with_connector_lazy(connector);
    let mut client = client_of(channel, GrpcLayer::client(calls.clone()));
    client.unary(Ask::default()).await.unwrap();
    server.kill().unwrap();
    let mut tries = 0;
    while connections.state() != State::Open || calls.state() != State::Open {
        soon(client.unary(Ask::default())).await.unwrap_err();
        // The call whose connection died counts for the calls alone.
        if calls.state() == State::Open && connections.state() != State::Open {
            time_of_calls.advance(Duration::from_secs(20));
        }
        tries += 1;
        assert!(tries < 20);
    }
    server.restart().unwrap();
    // After 20 s the calls' breaker probes, and the other still turns them away.
    time_of_calls.advance(Duration::from_secs(20));
    time_of_connections.advance(Duration::from_secs(20));
    for _ in 0..50 {
        let status = client.unary(Ask::default()).await.unwrap_err();
        assert_eq!(mainstay_grpc::rejected(&status).unwrap().name(), "connections");
    }
    assert_eq!(calls.state(), State::HalfOpen, "nothing was learnt");
    time_of_calls.advance(Duration::from_secs(10));
    time_of_connections.advance(Duration::from_secs(10));
    for _ in 0..2 {
        client.unary(Ask::default()).await.unwrap();
    }
    assert_eq!((calls.state(), connections.state()), (State::Closed, State::Closed));
}

#[tokio::test]
async fn connecting_at_once_gives_the_connectors_own_error_or_the_rejection() {
    let mut server = GrpcServer::start().unwrap();
    server.kill().unwrap();
    let (connections, _time) = connections();
    for _ in 0..3 {
        let connector = ConnectLayer::new(connections.clone()).layer(HttpConnector::new());
        let error = soon(endpoint(&server).connect_with_connector(connector)).await.unwrap_err();
        assert!(mainstay_grpc::rejected(&error).is_none(), "{error:?}");
    }
    let connector = ConnectLayer::new(connections.clone()).layer(HttpConnector::new());
    let error = soon(endpoint(&server).connect_with_connector(connector)).await.unwrap_err();
    assert_eq!(mainstay_grpc::rejected(&error).unwrap().name(), "connections");
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_a_failure() {
    let connections =
        Breaker::builder("connections").settings(mainstay_grpc::connect_settings()).build().unwrap();
    let calls = patient();
    let attempts = Arc::new(AtomicU64::new(0));
    let silent = service_fn({
        let attempts = attempts.clone();
        move |_: Uri| {
            attempts.fetch_add(1, Ordering::Relaxed);
            pending::<Result<TokioIo<tokio::net::TcpStream>, Infallible>>()
        }
    });
    let layer = ConnectLayer::new(connections.clone()).timeout(Duration::from_millis(30));
    let endpoint = Endpoint::from_static("http://127.0.0.1:1").connect_timeout(Duration::from_secs(60));
    let channel = endpoint.connect_with_connector_lazy(layer.layer(silent));
    let mut client = client_of(channel, GrpcLayer::client(calls.clone()));
    for number in 0..20 {
        let status = soon(client.unary(Ask::default())).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(mainstay_grpc::timed_out(&status).is_some(), number < 3);
        assert_eq!(is_rejected(&status), number >= 3);
    }
    assert_eq!(attempts.load(Ordering::Relaxed), 3);
    assert_eq!(verdicts(&connections), (0, 3, 0));
    assert_eq!(verdicts(&calls), (0, 3, 17));
}

#[tokio::test]
async fn a_malformed_endpoint_is_the_drivers_own_error() {
    assert!(Endpoint::from_shared("not a uri").is_err());
    let endpoint = Endpoint::from_shared("").map(|_| ());
    assert!(endpoint.is_err());

    // An address without a scheme is refused at the first call, and at every one.
    let calls = crate::real::breaker();
    let channel = Endpoint::from_static("localhost").connect_lazy();
    let mut client = client_of(channel, GrpcLayer::client(calls.clone()));
    for _ in 0..10 {
        let status = soon(client.unary(Ask::default())).await.unwrap_err();
        assert!(!is_rejected(&status));
        assert!(format!("{status:?}").contains("InvalidUri"), "{status:?}");
    }
    assert_eq!(verdicts(&calls), (0, 0, 10));
}

#[tokio::test]
async fn a_refused_first_connection_is_a_failure() {
    let mut server = GrpcServer::start().unwrap();
    server.kill().unwrap();
    let calls = crate::real::breaker();
    let mut client = crate::real::client(&server, &calls);
    for _ in 0..3 {
        let status = soon(client.unary(Ask::default())).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!is_rejected(&status));
    }
    assert!(is_rejected(&client.unary(Ask::default()).await.unwrap_err()));
    assert_eq!(verdicts(&calls), (0, 3, 0));
}
