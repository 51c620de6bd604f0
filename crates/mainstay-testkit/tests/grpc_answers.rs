//! What the gRPC server makes of each thing one can ask.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mainstay_testkit::GrpcServer;
use mainstay_testkit::grpc::pb::Ask;
use mainstay_testkit::grpc::pb::test_client::TestClient;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{self, HeaderMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

async fn client(server: &GrpcServer) -> TestClient<Channel> {
    TestClient::connect(server.url()).await.unwrap()
}

#[tokio::test]
async fn a_unary_call_gets_one_answer() {
    let server = GrpcServer::start().unwrap();
    let ask = Ask { payload: 1000, ..Ask::default() };
    let answer = client(&server).await.unary(ask).await.unwrap().into_inner();
    assert_eq!((answer.number, answer.payload.len(), answer.received), (1, 1000, 1));
}

#[tokio::test]
async fn a_status_comes_in_the_trailers_or_in_the_headers() {
    let server = GrpcServer::start().unwrap();
    let ask = Ask { code: 14, message: "gone fishing".into(), ..Ask::default() };
    for headers in [false, true] {
        let ask = Ask { headers, ..ask.clone() };
        let status = client(&server).await.unary(ask.clone()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "gone fishing"));

        let status =
            client(&server).await.client_stream(tokio_stream::iter([ask.clone()])).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);

        // A stream tells one from the other: a status in the headers is the call's own.
        let stream = client(&server).await.server_stream(ask.clone()).await;
        let both = client(&server).await.bidi_stream(tokio_stream::iter([ask.clone()])).await;
        assert_eq!((stream.is_err(), both.is_err()), (headers, headers));
        if let Ok(stream) = stream {
            assert_eq!(stream.into_inner().message().await.unwrap_err().code(), Code::Unavailable);
        }
    }
}

#[tokio::test]
async fn a_unary_status_in_the_trailers_follows_headers_without_one() {
    let server = GrpcServer::start().unwrap();
    for (headers, is_in_headers) in [(false, false), (true, true)] {
        let head = head_of_unary(&server, Ask { code: 13, headers, ..Ask::default() }).await;
        assert_eq!(head.contains_key("grpc-status"), is_in_headers);
    }
}

#[tokio::test]
async fn a_stream_has_as_many_answers_as_asked_and_then_its_status() {
    let server = GrpcServer::start().unwrap();
    let ask = Ask { messages: 1000, code: 13, ..Ask::default() };
    let mut answers = client(&server).await.server_stream(ask).await.unwrap().into_inner();
    for number in 1..=1000 {
        assert_eq!(answers.message().await.unwrap().unwrap().number, number);
    }
    assert_eq!(answers.message().await.unwrap_err().code(), Code::Internal);

    let mut answers = client(&server).await.server_stream(Ask::default()).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap(), None);
}

#[tokio::test]
async fn the_callers_messages_are_counted() {
    let server = GrpcServer::start().unwrap();
    let asks = || tokio_stream::iter((0..7).map(|_| Ask { messages: 2, gap_ms: 1, ..Ask::default() }));
    let answer = client(&server).await.client_stream(asks()).await.unwrap().into_inner();
    assert_eq!((answer.number, answer.received), (1, 7));

    let mut answers = client(&server).await.bidi_stream(asks()).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().number, 1);
    assert_eq!(answers.message().await.unwrap().unwrap().number, 2);
    assert_eq!(answers.message().await.unwrap(), None);

    let status = client(&server).await.client_stream(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_reset_comes_after_the_answers_and_has_no_status() {
    let server = GrpcServer::start().unwrap();
    for messages in [0, 1, 100] {
        let ask = Ask { messages, reset: true, ..Ask::default() };
        let mut answers = client(&server).await.server_stream(ask).await.unwrap().into_inner();
        for number in 1..=messages {
            assert_eq!(answers.message().await.unwrap().unwrap().number, number);
        }
        let status = answers.message().await.unwrap_err();
        assert!(
            std::error::Error::source(&status).is_some(),
            "made by the client from a broken stream: {status:?}"
        );
    }
    let status = client(&server).await.unary(Ask { reset: true, ..Ask::default() }).await.unwrap_err();
    assert!(std::error::Error::source(&status).is_some(), "{status:?}");
}

#[tokio::test]
async fn a_delay_comes_before_the_headers_and_a_gap_between_answers() {
    let server = GrpcServer::start().unwrap();
    let mut client = client(&server).await;
    let begun = Instant::now();
    let ask = Ask { delay_ms: 100, messages: 3, gap_ms: 50, ..Ask::default() };
    let mut answers = client.server_stream(ask).await.unwrap().into_inner();
    assert!(begun.elapsed() >= Duration::from_millis(100));
    while answers.message().await.unwrap().is_some() {}
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn hanging_is_for_ever() {
    let server = GrpcServer::start().unwrap();
    let mut client = client(&server).await;
    let ask = Ask { hang: true, ..Ask::default() };
    let wait = Duration::from_millis(100);
    assert!(timeout(wait, client.unary(ask.clone())).await.is_err());
    assert!(timeout(wait, client.server_stream(ask.clone())).await.is_err());
    assert!(timeout(wait, client.client_stream(tokio_stream::iter([ask.clone()]))).await.is_err());
    assert!(timeout(wait, client.bidi_stream(tokio_stream::iter([ask]))).await.is_err());
}

#[tokio::test]
async fn the_servers_own_timeout_cancels() {
    let server = GrpcServer::start_with_timeout(Duration::from_secs(1)).unwrap();
    let mut client = client(&server).await;
    let status = client.unary(Ask { hang: true, ..Ask::default() }).await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    client.unary(Ask::default()).await.unwrap();
}

#[tokio::test]
async fn the_callers_deadline_is_kept_by_the_server() {
    let server = GrpcServer::start().unwrap();
    let mut request = Request::new(Ask { hang: true, ..Ask::default() });
    request.set_timeout(Duration::from_millis(50));
    let status = client(&server).await.unary(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
}

/// A channel that remembers the headers of its last response.
struct Heads {
    channel: Channel,
    last: Arc<Mutex<HeaderMap>>,
}

impl Service<http::Request<Body>> for Heads {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let response = self.channel.call(request);
        let last = Arc::clone(&self.last);
        Box::pin(async move {
            let response = response.await?;
            *last.lock().unwrap() = response.headers().clone();
            Ok(response)
        })
    }
}

/// The headers of the answer to a unary call, as the transport sees them.
async fn head_of_unary(server: &GrpcServer, ask: Ask) -> HeaderMap {
    let channel = Endpoint::from_shared(server.url()).unwrap().connect().await.unwrap();
    let last = Arc::default();
    let mut client = TestClient::new(Heads { channel, last: Arc::clone(&last) });
    client.unary(ask).await.unwrap_err();
    last.lock().unwrap().clone()
}
