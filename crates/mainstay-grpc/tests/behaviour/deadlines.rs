//! Every kind of deadline trips the breaker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use crate::real::{
    Client, LONG, breaker, client, client_of, endpoint, hang, is_rejected, soon, ten_minutes, verdicts,
};
use hyper_util::rt::TokioIo;
use mainstay_breaker::State;
use mainstay_grpc::GrpcLayer;
use mainstay_testkit::GrpcServer;
use mainstay_testkit::grpc::pb::Ask;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tower::service_fn;

const SHORT: Duration = Duration::from_millis(60);

/// Three calls that nobody answers, one after the other.
async fn three_calls(client: &mut Client, timeout: Option<Duration>) -> Vec<Status> {
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let mut request = Request::new(hang());
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        statuses.push(soon(client.unary(request)).await.unwrap_err());
    }
    statuses
}

async fn assert_it_is_open(client: &mut Client) {
    assert!(is_rejected(&soon(client.unary(hang())).await.unwrap_err()));
}

#[tokio::test]
async fn the_endpoints_time_out() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let channel = endpoint(&server).timeout(SHORT).connect_lazy();
    let mut client = client_of(channel, GrpcLayer::client(breaker.clone()));
    let statuses = three_calls(&mut client, None).await;
    assert!(statuses.iter().all(|status| status.code() == Code::Cancelled), "as tonic calls it");
    assert_eq!(verdicts(&breaker), (0, 3, 0));
    assert_it_is_open(&mut client).await;
}

#[tokio::test]
async fn the_requests_time_out() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let mut client = client(&server, &breaker);
    three_calls(&mut client, Some(SHORT)).await;
    assert_eq!(verdicts(&breaker), (0, 3, 0));
    assert_it_is_open(&mut client).await;
}

#[tokio::test]
async fn the_servers_time_out() {
    let server = GrpcServer::start_with_timeout(SHORT).unwrap();
    let breaker = breaker();
    let mut client = client(&server, &breaker);
    let statuses = three_calls(&mut client, None).await;
    assert!(statuses.iter().all(|status| status.code() == Code::Cancelled), "as tonic calls it");
    assert_eq!(verdicts(&breaker), (0, 3, 0));
    assert_it_is_open(&mut client).await;
}

#[tokio::test]
async fn the_layers_time_out() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let layer = GrpcLayer::client(breaker.clone()).timeout(SHORT);
    let mut client = client_of(endpoint(&server).connect_lazy(), layer);
    let statuses = three_calls(&mut client, None).await;
    assert!(statuses.iter().all(|status| status.code() == Code::DeadlineExceeded));
    assert!(statuses.iter().all(|status| mainstay_grpc::timed_out(status).is_some()));
    assert_eq!(verdicts(&breaker), (0, 3, 0));
    assert_it_is_open(&mut client).await;
}

#[tokio::test]
async fn a_stream_that_falls_silent() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let layer = GrpcLayer::client(breaker.clone()).max_silence(Duration::from_secs(2));
    let mut client = client_of(endpoint(&server).connect_lazy(), layer);
    for _ in 0..3 {
        let mut stream = soon(client.server_stream(ten_minutes())).await.unwrap().into_inner();
        assert!(soon(stream.message()).await.unwrap().is_some());
        let status = soon(stream.message()).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(soon(stream.message()).await.unwrap(), None);
    }
    assert_eq!(verdicts(&breaker), (0, 3, 0));
    assert_it_is_open(&mut client).await;
}

#[tokio::test]
async fn waiting_for_a_connection_is_within_the_layers_time_out() {
    let breaker = breaker();
    let connector = service_fn(async |_: http::Uri| {
        pending::<Result<TokioIo<tokio::net::TcpStream>, Infallible>>().await
    });
    let endpoint = Endpoint::from_static("http://127.0.0.1:1").timeout(SHORT);
    let channel = endpoint.connect_with_connector_lazy(connector);
    let mut client = client_of(channel, GrpcLayer::client(breaker.clone()).timeout(3 * SHORT));
    let statuses = three_calls(&mut client, Some(SHORT)).await;
    assert!(statuses.iter().all(|status| status.code() == Code::DeadlineExceeded));
    assert_eq!(verdicts(&breaker), (0, 3, 0));
    assert_it_is_open(&mut client).await;
}

#[tokio::test]
async fn an_answer_in_time_is_a_success() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let layer = GrpcLayer::client(breaker.clone()).timeout(LONG).max_silence(LONG);
    let mut client = client_of(endpoint(&server).timeout(LONG).connect_lazy(), layer);
    for _ in 0..3 {
        let mut request = Request::new(Ask { delay_ms: 5, ..Ask::default() });
        request.set_timeout(LONG);
        assert!(client.unary(request).await.is_ok());
        let ask = Ask { messages: 3, gap_ms: 5, ..Ask::default() };
        let stream = client.server_stream(ask).await.unwrap().into_inner();
        assert_eq!(crate::real::read(stream).await.unwrap(), 3);
    }
    assert_eq!(verdicts(&breaker), (6, 0, 0));
    assert_eq!(breaker.state(), State::Closed);
}
