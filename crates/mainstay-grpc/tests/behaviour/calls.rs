//! Calls of every kind to a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::task::Poll;
use std::time::Duration;

use crate::real::{
    breaker, client, client_of, endpoint, is_rejected, messages, patient, read, soon, status, ten_minutes,
    timed, verdicts,
};
use futures_util::future::join_all;
use mainstay_breaker::{Breaker, Clock, HalfOpen, Keyed, OpenFor, Rejected, State, Trip};
use mainstay_grpc::{Codes, GrpcLayer, MethodName};
use mainstay_testkit::GrpcServer;
use mainstay_testkit::grpc::pb::Ask;
use mainstay_testkit::grpc::pb::test_client::TestClient;
use tonic::{Code, Request};
use tower::{Layer, ServiceBuilder};

#[tokio::test]
async fn calls_of_every_kind_go_through_and_succeed() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let mut client = client(&server, &breaker);

    let answer = client.unary(Ask { payload: 100, ..Ask::default() }).await.unwrap().into_inner();
    assert_eq!((answer.number, answer.payload.len()), (1, 100));
    assert_eq!(verdicts(&breaker), (1, 0, 0));

    let stream = client.server_stream(messages(10)).await.unwrap().into_inner();
    assert_eq!(read(stream).await.unwrap(), 10);
    assert_eq!(verdicts(&breaker), (2, 0, 0));

    let asks = tokio_stream::iter((0..5).map(|_| Ask::default()));
    assert_eq!(client.client_stream(asks).await.unwrap().into_inner().received, 5);
    assert_eq!(verdicts(&breaker), (3, 0, 0));

    let asks = tokio_stream::iter((0..5).map(|_| messages(3)));
    let stream = client.bidi_stream(asks).await.unwrap().into_inner();
    assert_eq!(read(stream).await.unwrap(), 3);
    assert_eq!(verdicts(&breaker), (4, 0, 0));

    // A message of many frames.
    let large = Ask { payload: 1_000_000, ..Ask::default() };
    assert_eq!(client.unary(large).await.unwrap().into_inner().payload.len(), 1_000_000);
    assert_eq!(verdicts(&breaker), (5, 0, 0));
}

#[tokio::test]
async fn a_plain_guard_fits_a_generated_client_too() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let service = ServiceBuilder::new()
        .layer(GrpcLayer::client(breaker.clone()).timeout(Duration::from_secs(10)))
        .service(endpoint(&server).connect_lazy());
    let mut client = TestClient::new(service);
    assert!(client.unary(Ask::default()).await.is_ok());
    let mut clone = client.clone();
    assert!(clone.unary(Ask::default()).await.is_ok());
    assert_eq!(verdicts(&breaker), (2, 0, 0));
    breaker.trip();
    let status = client.unary(Ask::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.metadata().get("grpc-retry-pushback-ms").is_some());
    assert!(client.server_stream(Ask::default()).await.is_err());
    assert_eq!(breaker.snapshot().totals.rejected, 2);
}

#[tokio::test]
async fn every_status_counts_as_the_table_says_wherever_it_comes() {
    let server = GrpcServer::start().unwrap();
    let breaker = patient();
    let mut client = client(&server, &breaker);
    for code in (1..=16).map(Code::from) {
        let before = verdicts(&breaker);
        let in_headers = Ask { headers: true, ..status(code) };
        let after_messages = Ask { messages: 3, ..status(code) };
        assert_eq!(client.unary(status(code)).await.unwrap_err().code(), code);
        assert_eq!(client.unary(in_headers.clone()).await.unwrap_err().code(), code);
        assert_eq!(client.server_stream(in_headers).await.unwrap_err().code(), code);
        let stream = client.server_stream(after_messages).await.unwrap().into_inner();
        assert_eq!(read(stream).await.unwrap_err().code(), code);
        let sent = tokio_stream::iter([status(code), status(code)]);
        assert_eq!(client.client_stream(sent).await.unwrap_err().code(), code);
        let both_ways = tokio_stream::iter([Ask { messages: 2, ..status(code) }]);
        let stream = client.bidi_stream(both_ways).await.unwrap().into_inner();
        assert_eq!(read(stream).await.unwrap_err().code(), code);
        let after = verdicts(&breaker);
        let counted = (after.0 - before.0, after.1 - before.1);
        let succeeds = Codes::new().verdict(code) == mainstay_breaker::Verdict::Success;
        assert_eq!(counted, if succeeds { (6, 0) } else { (0, 6) }, "{code:?}");
    }
}

#[tokio::test]
async fn the_table_can_be_changed() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let codes = Codes::new().ignore(Code::ResourceExhausted).fail(Code::NotFound).succeed(Code::Internal);
    let layer = GrpcLayer::client(breaker.clone()).codes(codes);
    let mut client = client_of(endpoint(&server).connect_lazy(), layer);
    for code in [Code::ResourceExhausted, Code::Internal, Code::NotFound] {
        client.unary(status(code)).await.unwrap_err();
    }
    assert_eq!(verdicts(&breaker), (1, 1, 1));
}

#[tokio::test]
async fn a_stream_that_fails_after_a_thousand_messages_is_one_failure() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let mut client = client(&server, &breaker);
    for failures in 1..=3 {
        let ask = Ask { messages: 1_000, ..status(Code::Internal) };
        let mut stream = client.server_stream(ask).await.unwrap().into_inner();
        for _ in 0..1_000 {
            assert!(stream.message().await.unwrap().is_some());
        }
        assert_eq!(verdicts(&breaker), (0, failures - 1, 0), "not before its end");
        assert_eq!(stream.message().await.unwrap_err().code(), Code::Internal);
        assert_eq!(verdicts(&breaker), (0, failures, 0));
    }
    assert!(is_rejected(&client.unary(Ask::default()).await.unwrap_err()));
}

#[tokio::test]
async fn a_stream_that_the_server_resets_is_a_failure() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let mut client = client(&server, &breaker);
    let ask = Ask { messages: 5, reset: true, ..Ask::default() };
    let stream = client.server_stream(ask).await.unwrap().into_inner();
    assert!(soon(read(stream)).await.is_err());
    assert_eq!(verdicts(&breaker), (0, 1, 0));
    let ask = Ask { reset: true, ..Ask::default() };
    assert!(soon(client.unary(ask)).await.is_err());
    assert_eq!(verdicts(&breaker), (0, 2, 0));
}

#[tokio::test]
async fn a_stream_dropped_half_way_is_a_success() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let mut client = client(&server, &breaker);
    let mut stream = client.server_stream(ten_minutes()).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert_eq!(verdicts(&breaker), (0, 0, 0));
    drop(stream);
    assert_eq!(verdicts(&breaker), (1, 0, 0));
}

#[tokio::test]
async fn a_call_dropped_before_its_first_message_says_nothing() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let mut client = client(&server, &breaker);
    drop(client.server_stream(ten_minutes()).await.unwrap());
    assert_eq!(verdicts(&breaker), (0, 0, 1));
    for _ in 0..5 {
        let call = client.unary(crate::real::hang());
        assert!(tokio::time::timeout(Duration::from_millis(20), call).await.is_err());
    }
    assert_eq!(verdicts(&breaker), (0, 0, 6));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn a_call_that_its_caller_cancels_is_like_a_dropped_one() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let mut client = client(&server, &breaker);

    // Its request is still being sent, so it can be cancelled.
    let mut request = Request::new(tokio_stream::StreamExt::chain(
        tokio_stream::once(ten_minutes()),
        tokio_stream::pending(),
    ));
    let handle = request.cancellation_handle();
    let mut stream = client.bidi_stream(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    handle.cancel();
    assert_eq!(soon(stream.message()).await.unwrap_err().code(), Code::Cancelled);
    drop(stream);
    assert_eq!(verdicts(&breaker), (1, 0, 0), "after its first message");

    // More is asked for when the first message is on its way.
    let (under_way, began) = tokio::sync::oneshot::channel();
    let mut under_way = Some(under_way);
    let more = futures_util::stream::poll_fn(move |_| {
        under_way.take().map(|under_way| under_way.send(()));
        Poll::Pending
    });
    let mut request =
        Request::new(tokio_stream::StreamExt::chain(tokio_stream::once(crate::real::hang()), more));
    let handle = request.cancellation_handle();
    let call = tokio::spawn(async move { client.bidi_stream(request).await.map(|_| ()) });
    soon(began).await.unwrap();
    handle.cancel();
    assert_eq!(soon(call).await.unwrap().unwrap_err().code(), Code::Cancelled);
    assert_eq!(verdicts(&breaker), (1, 0, 1), "before it");
    assert_eq!(breaker.snapshot().totals.cancelled, 1);
}

#[tokio::test]
async fn a_message_too_large_to_send_is_the_callers_mistake() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let mut client = client(&server, &breaker).max_encoding_message_size(100);
    let large = Ask { message: "x".repeat(1_000), ..Ask::default() };
    for _ in 0..10 {
        assert!(client.unary(large.clone()).await.is_err());
    }
    assert_eq!(verdicts(&breaker), (0, 0, 10));
    assert_eq!(breaker.snapshot().totals.cancelled, 0);
    assert!(client.unary(Ask::default()).await.is_ok());
}

#[tokio::test]
async fn callers_mistakes_by_the_thousand_never_trip() {
    let server = GrpcServer::start().unwrap();
    let breaker = breaker();
    let client = client(&server, &breaker);
    let mistakes = [
        Code::InvalidArgument,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::Unauthenticated,
    ];
    for _ in 0..10 {
        let calls = (0..100).map(|number| {
            let ask = Ask { headers: number % 2 == 0, ..status(mistakes[number % mistakes.len()]) };
            let mut client = client.clone();
            async move { client.unary(ask).await.unwrap_err() }
        });
        let statuses = join_all(calls).await;
        assert!(!statuses.iter().any(is_rejected), "{statuses:?}");
    }
    assert_eq!(verdicts(&breaker), (1_000, 0, 0));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn half_open_with_only_ten_minute_streams_closes() {
    let server = GrpcServer::start().unwrap();
    let (breaker, time) = timed();
    let mut client = client(&server, &breaker);
    breaker.trip();
    assert!(is_rejected(&client.server_stream(ten_minutes()).await.unwrap_err()));
    time.advance(Duration::from_secs(20));
    let mut streams = Vec::new();
    for _ in 0..2 {
        assert_eq!(breaker.state(), State::HalfOpen);
        let mut stream = client.server_stream(ten_minutes()).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().is_some());
        streams.push(stream);
    }
    assert_eq!(breaker.state(), State::Closed, "while they are open");
    assert_eq!(verdicts(&breaker), (0, 0, 0));
}

#[tokio::test]
async fn a_probes_slot_is_free_with_its_first_message() {
    let server = GrpcServer::start().unwrap();
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { max_in_flight: 1, close_after: 1, ..HalfOpen::default() };
    let breaker = Breaker::builder("test")
        .trip(Trip::consecutive_failures(1))
        .half_open(half_open)
        .open_for(OpenFor::fixed(Duration::from_secs(1)))
        .clock(clock)
        .build()
        .unwrap();
    let mut client = client(&server, &breaker);
    breaker.trip();
    time.advance(Duration::from_secs(1));
    // The head is no answer: a server's router may send it before anybody has looked at the call.
    let ask = Ask { messages: 1, gap_ms: 600_000, ..Ask::default() };
    let mut waiting = client.server_stream(ask).await.unwrap().into_inner();
    assert_eq!(breaker.snapshot().half_open.unwrap().in_flight, 1);
    assert!(is_rejected(&client.unary(Ask::default()).await.unwrap_err()));
    assert!(waiting.message().await.unwrap().is_some());
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn each_method_has_a_breaker_of_its_own() {
    let server = GrpcServer::start().unwrap();
    let settings = mainstay_grpc::default_settings();
    let methods = Keyed::<MethodName>::builder("methods").settings(settings).build().unwrap();
    let channel = endpoint(&server).connect_lazy();
    let mut client = TestClient::new(GrpcLayer::client_per_method(methods.clone()).layer(channel));
    for _ in 0..3 {
        client.unary(status(Code::Unavailable)).await.unwrap_err();
    }
    let of = |name| methods.peek(&MethodName::new(name).unwrap()).unwrap();
    assert_eq!(of("/mainstay.testkit.v1.Test/Unary").state(), State::Open);
    let stream = client.server_stream(messages(3)).await.unwrap().into_inner();
    assert_eq!(read(stream).await.unwrap(), 3);
    assert_eq!(of("/mainstay.testkit.v1.Test/ServerStream").snapshot().totals.success, 1);
    assert_eq!(of("/mainstay.testkit.v1.Test/Unary").snapshot().totals.rejected, 0);
    client.unary(Ask::default()).await.unwrap_err();
    assert_eq!(of("/mainstay.testkit.v1.Test/Unary").snapshot().totals.rejected, 1);
    assert_eq!(methods.len(), 2);
}

#[tokio::test]
async fn a_status_tells_whose_rejection_it_is() {
    let server = GrpcServer::start().unwrap();
    let (breaker, _time) = timed();
    let mut client = client(&server, &breaker);
    breaker.trip();
    let status = client.unary(Ask::default()).await.unwrap_err();
    let rejected: &Rejected = mainstay_grpc::rejected(&status).unwrap();
    assert_eq!(rejected.name(), "test");
    assert_eq!(rejected.retry_after(), Some(Duration::from_secs(20)));
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "20000");
    // And the server's own UNAVAILABLE is none.
    breaker.reset();
    let status = client.unary(crate::real::status(Code::Unavailable)).await.unwrap_err();
    assert!(mainstay_grpc::rejected(&status).is_none());
}
