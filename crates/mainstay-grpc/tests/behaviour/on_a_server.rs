//! The layer on a server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use crate::real::{messages, soon, status, ten_minutes, until, verdicts};
use futures_util::future::join_all;
use mainstay_breaker::{Breaker, Keyed, OpenFor, State, Trip};
use mainstay_grpc::{GrpcLayer, MethodName};
use mainstay_testkit::grpc::pb::test_client::TestClient;
use mainstay_testkit::grpc::pb::test_server::{Test, TestServer};
use mainstay_testkit::grpc::pb::{Answer, Ask};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::service::LayerExt;
use tonic::transport::server::Router;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status, Streaming};

/// Does what it is told, like the testkit's server, in this process.
struct Obedient;

type Answers = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

async fn obey(ask: &Ask) -> Result<(), Status> {
    if ask.hang {
        pending::<()>().await;
    }
    match ask.message.as_str() {
        "panic" => panic!("as told"),
        _ if ask.code != 0 && ask.messages == 0 => Err(Status::new(Code::from(ask.code as i32), "as told")),
        _ => Ok(()),
    }
}

fn answers(ask: Ask) -> Answers {
    let end = (ask.code != 0).then(|| Err(Status::new(Code::from(ask.code as i32), "as told")));
    let messages = (1..=ask.messages).map(|number| Ok(Answer { number, ..Answer::default() }));
    let gap = Duration::from_millis(ask.gap_ms);
    let stream = tokio_stream::iter(messages.chain(end));
    if ask.gap_ms == 0 {
        return Box::pin(stream);
    }
    Box::pin(tokio_stream::StreamExt::then(stream, move |item| async move {
        if !matches!(item, Ok(Answer { number: 1, .. })) {
            tokio::time::sleep(gap).await;
        }
        item
    }))
}

#[tonic::async_trait]
impl Test for Obedient {
    type ServerStreamStream = Answers;
    type BidiStreamStream = Answers;

    async fn unary(&self, request: Request<Ask>) -> Result<Response<Answer>, Status> {
        obey(request.get_ref()).await?;
        Ok(Response::new(Answer { number: 1, ..Answer::default() }))
    }

    async fn server_stream(&self, request: Request<Ask>) -> Result<Response<Answers>, Status> {
        obey(request.get_ref()).await?;
        Ok(Response::new(answers(request.into_inner())))
    }

    async fn client_stream(&self, request: Request<Streaming<Ask>>) -> Result<Response<Answer>, Status> {
        let mut asks = request.into_inner();
        let mut received = 0;
        while let Some(ask) = asks.message().await? {
            received += 1;
            obey(&ask).await?;
        }
        Ok(Response::new(Answer { received, ..Answer::default() }))
    }

    async fn bidi_stream(&self, request: Request<Streaming<Ask>>) -> Result<Response<Answers>, Status> {
        let ask = request.into_inner().message().await?.unwrap_or_default();
        obey(&ask).await?;
        Ok(Response::new(answers(ask)))
    }
}

fn breaker() -> Breaker {
    Breaker::builder("secret name")
        .trip(Trip::consecutive_failures(3))
        .open_for(OpenFor::fixed(Duration::from_secs(60)))
        .build()
        .unwrap()
}

/// Where to serve, and how to get there.
async fn place() -> (TcpListenerStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (TcpListenerStream::new(listener), addr)
}

fn client(addr: SocketAddr) -> TestClient<Channel> {
    TestClient::new(Endpoint::from_shared(format!("http://{addr}")).unwrap().connect_lazy())
}

/// A server behind a breaker, and a client of it.
async fn guarded(breaker: &Breaker) -> TestClient<Channel> {
    let layer = GrpcLayer::server(breaker.clone());
    let (incoming, addr) = place().await;
    let router = Server::builder().layer(layer).add_service(TestServer::new(Obedient));
    tokio::spawn(router.serve_with_incoming(incoming));
    client(addr)
}

#[tokio::test]
async fn what_a_server_answers_is_what_counts() {
    let breaker = breaker();
    let mut client = guarded(&breaker).await;
    client.unary(Ask::default()).await.unwrap();
    until("the end is written", || verdicts(&breaker) == (1, 0, 0)).await;
    let stream = client.server_stream(messages(1_000)).await.unwrap().into_inner();
    assert_eq!(crate::real::read(stream).await.unwrap(), 1_000);
    until("the end is written", || verdicts(&breaker) == (2, 0, 0)).await;
    let asks = tokio_stream::iter((0..5).map(|_| Ask::default()));
    assert_eq!(client.client_stream(asks).await.unwrap().into_inner().received, 5);
    let stream = client.bidi_stream(tokio_stream::once(messages(3))).await.unwrap().into_inner();
    assert_eq!(crate::real::read(stream).await.unwrap(), 3);
    until("the end is written", || verdicts(&breaker) == (4, 0, 0)).await;

    client.unary(status(Code::NotFound)).await.unwrap_err();
    assert_eq!(verdicts(&breaker), (5, 0, 0));
    let ask = Ask { messages: 3, ..status(Code::Internal) };
    let stream = client.server_stream(ask).await.unwrap().into_inner();
    assert_eq!(crate::real::read(stream).await.unwrap_err().code(), Code::Internal);
    until("the end is written", || verdicts(&breaker) == (5, 1, 0)).await;
}

#[tokio::test]
async fn a_rejection_tells_the_client_when_to_come_back_and_nothing_else() {
    let breaker = breaker();
    let mut client = guarded(&breaker).await;
    for _ in 0..3 {
        client.unary(status(Code::Internal)).await.unwrap_err();
    }
    assert_eq!(breaker.state(), State::Open);
    for _ in 0..3 {
        let status = client.unary(Ask::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap();
        assert!((1..=61_000).contains(&pushback.parse::<u64>().unwrap()), "{pushback}");
        assert!(!format!("{status:?}").contains("secret"), "{status:?}");
        assert!(client.server_stream(Ask::default()).await.is_err());
    }
    assert_eq!(breaker.snapshot().totals.rejected, 6);
}

#[tokio::test]
async fn a_client_that_goes_away_is_not_the_servers_failure() {
    let breaker = breaker();
    let mut client = guarded(&breaker).await;
    let mut stream = client.server_stream(ten_minutes()).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    drop(stream);
    until("the server has heard of it", || verdicts(&breaker) == (1, 0, 0)).await;

    let call = client.unary(crate::real::hang());
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
    until("the server has heard of it", || verdicts(&breaker) == (1, 0, 1)).await;
}

#[tokio::test]
async fn a_handler_that_panics_is_a_failure() {
    let breaker = breaker();
    let mut client = guarded(&breaker).await;
    let ask = Ask { message: "panic".into(), ..Ask::default() };
    assert!(soon(client.unary(ask)).await.is_err());
    until("it is counted", || verdicts(&breaker) == (0, 1, 0)).await;
}

#[tokio::test]
async fn a_handler_that_hangs_is_cut_off_by_the_layer_and_a_failure() {
    let breaker = breaker();
    let (incoming, addr) = place().await;
    let layer = GrpcLayer::server(breaker.clone()).timeout(Duration::from_millis(50));
    let router = Server::builder()
        .timeout(Duration::from_secs(30))
        .layer(layer)
        .add_service(TestServer::new(Obedient));
    tokio::spawn(router.serve_with_incoming(incoming));
    let mut client = client(addr);
    for _ in 0..3 {
        let status = soon(client.unary(crate::real::hang())).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(!format!("{status:?}").contains("secret"), "{status:?}");
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn the_servers_own_time_out_cuts_off_from_outside_and_says_nothing() {
    let breaker = breaker();
    let (incoming, addr) = place().await;
    let router = Server::builder()
        .timeout(Duration::from_millis(50))
        .layer(GrpcLayer::server(breaker.clone()))
        .add_service(TestServer::new(Obedient));
    tokio::spawn(router.serve_with_incoming(incoming));
    let mut client = client(addr);
    for _ in 0..3 {
        soon(client.unary(crate::real::hang())).await.unwrap_err();
    }
    assert_eq!(verdicts(&breaker), (0, 0, 3));
    assert_eq!(breaker.snapshot().totals.cancelled, 3);
}

#[tokio::test]
async fn calls_for_what_nobody_serves_never_trip() {
    let breaker = breaker();
    let layer = GrpcLayer::server(breaker.clone());
    let (incoming, addr) = place().await;
    let router = Server::builder().layer(layer).add_optional_service(None::<TestServer<Obedient>>);
    tokio::spawn(router.serve_with_incoming(incoming));
    let client = client(addr);
    for _ in 0..10 {
        let calls = (0..100).map(|_| {
            let mut client = client.clone();
            async move { client.unary(Ask::default()).await.unwrap_err().code() }
        });
        assert!(join_all(calls).await.iter().all(|code| *code == Code::Unimplemented));
    }
    assert_eq!(verdicts(&breaker), (0, 0, 1_000));
}

#[tokio::test]
async fn one_service_of_several_can_be_guarded() {
    let breaker = breaker();
    breaker.trip();
    let service = GrpcLayer::server(breaker).named_layer(TestServer::new(Obedient));
    let (incoming, addr) = place().await;
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    assert_eq!(client(addr).unary(Ask::default()).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn each_method_of_a_server_has_a_breaker_of_its_own() {
    let settings = mainstay_grpc::default_settings();
    let methods = Keyed::<MethodName>::builder("methods").settings(settings).max_keys(16).build().unwrap();
    let (incoming, addr) = place().await;
    let router: Router<_> = Server::builder()
        .layer(GrpcLayer::server_per_method(methods.clone()))
        .add_service(TestServer::new(Obedient));
    tokio::spawn(router.serve_with_incoming(incoming));
    let mut client = client(addr);
    for _ in 0..3 {
        client.unary(status(Code::Internal)).await.unwrap_err();
    }
    assert_eq!(client.unary(Ask::default()).await.unwrap_err().code(), Code::Unavailable);
    let mut stream = client.server_stream(messages(3)).await.unwrap().into_inner();
    assert!(stream.next().await.unwrap().is_ok());
    assert_eq!(methods.len(), 2);
}
