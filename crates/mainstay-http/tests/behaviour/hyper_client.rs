//! hyper-util's client behind the layer, against a real server.
#![cfg(feature = "hyper")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use crate::scripted::{OPEN, breaker, totals};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mainstay_breaker::{Breaker, BreakerError, BreakerService, Keyed, Settings, State, Trip};
use mainstay_http::{Exchanges, GuardedBody, Host, HttpLayer};
use mainstay_testkit::{Fault, FaultProxy, HttpServer};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};

type Content = UnsyncBoxBody<Bytes, BoxError>;
type Hyper = Client<HttpConnector, Content>;
type Guarded = BreakerService<Hyper, Exchanges>;
type Answer = Response<GuardedBody<Incoming>>;
type Failed = BreakerError<hyper_util::client::legacy::Error>;

fn hyper() -> Hyper {
    Client::builder(TokioExecutor::new()).build_http()
}

fn guarded(breaker: &Breaker) -> Guarded {
    ServiceBuilder::new().layer(HttpLayer::client(breaker.clone())).service(hyper())
}

fn none() -> Content {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn bytes(content: impl Into<Bytes>) -> Content {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

fn request(method: Method, uri: String, content: Content) -> Request<Content> {
    Request::builder().method(method).uri(uri).body(content).unwrap()
}

async fn send(client: &mut Guarded, request: Request<Content>) -> Result<Answer, Failed> {
    client.ready().await?.call(request).await
}

async fn get(client: &mut Guarded, uri: String) -> Result<Answer, Failed> {
    send(client, request(Method::GET, uri, none())).await
}

async fn read(answer: Answer) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn every_kind_of_request_works_through_the_layer() {
    let server = HttpServer::start().unwrap();
    let url = server.url();
    let (breaker, _) = breaker(1);
    let client = &mut guarded(&breaker);

    for status in [200, 201, 204, 206, 301, 304] {
        let answer = get(client, format!("{url}/status/{status}")).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert!(read(answer).await.is_empty());
    }

    let answer = get(client, format!("{url}/bytes/5000000")).await.unwrap();
    assert_eq!(answer.headers()[CONTENT_LENGTH], "5000000");
    assert_eq!(http_body::Body::size_hint(answer.body()).exact(), Some(5_000_000));
    assert_eq!(read(answer).await.len(), 5_000_000);

    let head = send(client, request(Method::HEAD, format!("{url}/bytes/5000"), none())).await.unwrap();
    assert_eq!(head.headers()[CONTENT_LENGTH], "5000");
    assert!(http_body::Body::is_end_stream(head.body()));
    assert!(read(head).await.is_empty());

    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let mut post = request(method, format!("{url}/echo"), bytes("ping"));
        post.headers_mut().insert(CONTENT_TYPE, "text/plain".parse().unwrap());
        let answer = send(client, post).await.unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain");
        assert_eq!(read(answer).await, "ping");
    }
    send(client, request(Method::DELETE, format!("{url}/status/204"), none())).await.unwrap();

    let moved = get(client, format!("{url}/redirect/1")).await.unwrap();
    assert_eq!(
        (moved.status(), moved.headers()[LOCATION].as_bytes()),
        (StatusCode::FOUND, &b"/redirect/0"[..])
    );

    let totals = totals(&breaker);
    assert_eq!((totals[1..].to_vec(), breaker.state()), (vec![0, 0, 0], State::Closed));
    assert_eq!(totals[0], 13);
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1);
    let client = &mut guarded(&breaker);

    let pieces = stream::iter(0..200).map(|n| Ok(Frame::data(Bytes::from(vec![n as u8; 1000]))));
    let up = StreamBody::new(pieces).boxed_unsync();
    let answer = send(client, request(Method::POST, format!("{}/echo", server.url()), up)).await.unwrap();
    assert_eq!(totals(&breaker), [0, 0, 0, 0]);
    let echoed = read(answer).await;
    assert!((0..200).all(|n| echoed[n * 1000..(n + 1) * 1000].iter().all(|byte| *byte == n as u8)));
    assert_eq!(totals(&breaker), [1, 0, 0, 0]);

    let uri = format!("{}/stream?chunks=50&gap_ms=1&size=100", server.url());
    let mut down = get(client, uri).await.unwrap().into_body();
    let mut received = 0;
    while let Some(frame) = down.frame().await {
        received += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(received, 5000);
    assert_eq!(totals(&breaker), [2, 0, 0, 0]);
}

#[tokio::test]
async fn a_server_error_reaches_the_caller_and_three_of_them_trip() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(3);
    let client = &mut guarded(&breaker);
    for status in [500, 502, 503] {
        let answer = get(client, format!("{}/status/{status}", server.url())).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
    }
    let error = get(client, format!("{}/status/200", server.url())).await.unwrap_err();
    assert_eq!(error.rejected().unwrap().retry_after(), Some(OPEN));
}

#[tokio::test]
async fn a_body_that_the_server_breaks_off_is_a_failure_though_the_status_was_200() {
    let server = HttpServer::start().unwrap();
    for path in [
        "broken?after=0",
        "broken?after=1000",
        "broken?after=200000",
        "broken-chunked?after=0",
        "broken-chunked?after=200000",
    ] {
        let (breaker, _) = breaker(1);
        let answer = get(&mut guarded(&breaker), format!("{}/{path}", server.url())).await.unwrap();
        assert_eq!((answer.status(), totals(&breaker)), (StatusCode::OK, [0, 0, 0, 0]), "{path}");
        answer.into_body().collect().await.unwrap_err();
        assert_eq!((totals(&breaker), breaker.state()), ([0, 1, 0, 0], State::Open), "{path}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_a_body_is_a_failure() {
    let server = HttpServer::start().unwrap();
    for fault in [Fault::CutAfter { bytes: 1000 }, Fault::Reset] {
        let proxy = FaultProxy::start(server.addr()).unwrap();
        let (breaker, _) = breaker(1);
        let uri = format!("{}/stream?chunks=100000&gap_ms=5&size=100", server.url_at(proxy.addr()));
        let answer = get(&mut guarded(&breaker), uri).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        proxy.set(fault);
        answer.into_body().collect().await.unwrap_err();
        assert_eq!(breaker.state(), State::Open, "{fault:?}");
    }
}

#[tokio::test]
async fn a_body_dropped_half_way_is_a_success() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1);
    let client = &mut guarded(&breaker);
    for calls in 1..=20 {
        let uri = format!("{}/stream?chunks=100000&gap_ms=1&size=100", server.url());
        let mut body = get(client, uri).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(totals(&breaker), [calls, 0, 0, 0]);
    }
}

#[tokio::test]
async fn half_open_with_only_unread_bodies_closes() {
    let server = HttpServer::start().unwrap();
    let (breaker, time) = breaker(1);
    let client = &mut guarded(&breaker);
    breaker.trip();
    time.advance(OPEN);
    assert_eq!(breaker.state(), State::HalfOpen);

    let mut unread = Vec::new();
    for _ in 0..10 {
        let uri = format!("{}/stream?chunks=100000&gap_ms=1000&size=100", server.url());
        unread.push(get(client, uri).await.unwrap());
    }
    assert_eq!(breaker.state(), State::Closed);
    // The two probes have been counted with their heads; the others are still open.
    assert_eq!(totals(&breaker), [0, 0, 0, 0]);
    drop(unread);
    assert_eq!(totals(&breaker), [10, 0, 0, 0]);
}

#[tokio::test]
async fn a_wait_that_the_server_asks_for_is_kept() {
    let server = HttpServer::start().unwrap();
    let date = "Thu,%2001%20Jan%201970%2000:01:00%20GMT";
    for (status, wait) in [(503, "60"), (429, "60"), (503, date), (429, date)] {
        let (breaker, time) = breaker(1);
        let client = &mut guarded(&breaker);
        let uri = format!("{}/status/{status}?retry_after={wait}", server.url());
        let answer = get(client, uri).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);

        let ok = || format!("{}/status/200", server.url());
        let error = get(client, ok()).await.unwrap_err();
        assert_eq!(error.rejected().unwrap().retry_after(), Some(Duration::from_secs(60)));
        time.advance(Duration::from_secs(59));
        get(client, ok()).await.unwrap_err();
        time.advance(Duration::from_secs(1));
        get(client, ok()).await.unwrap();
    }
}

#[tokio::test]
async fn a_callers_mistakes_by_the_thousand_never_trip() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1);
    let client = &mut guarded(&breaker);
    for status in [400, 401, 403, 404, 422, 429] {
        for _ in 0..200 {
            get(client, format!("{}/status/{status}", server.url())).await.unwrap();
        }
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(totals(&breaker), [1000, 0, 200, 0]);
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_is_the_callers_mistake() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1);
    let client = &mut guarded(&breaker);
    for _ in 0..300 {
        // No host, no way to reach it, no such method in HTTP/1.0.
        get(client, "/status/200".into()).await.unwrap_err();
        get(client, "ftp://127.0.0.1/file".into()).await.unwrap_err();
        let mut old = request(Method::CONNECT, server.url(), none());
        *old.version_mut() = http::Version::HTTP_10;
        send(client, old).await.unwrap_err();
    }
    for _ in 0..100 {
        // Its own body fails.
        let pieces = [Ok(Frame::data(Bytes::from_static(b"pi"))), Err(BoxError::from("disk"))];
        let content = StreamBody::new(stream::iter(pieces)).boxed_unsync();
        send(client, request(Method::POST, format!("{}/echo", server.url()), content)).await.unwrap_err();
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(totals(&breaker), [0, 0, 1000, 0]);
}

#[tokio::test]
async fn the_callers_mistake_is_known_in_a_box_too_and_an_outage_is_none() {
    let mut server = HttpServer::start().unwrap();
    server.kill().unwrap();
    let (breaker, _) = breaker(9);
    let boxed = ServiceBuilder::new().map_err(BoxError::from).service(hyper());
    let mut client = ServiceBuilder::new().layer(HttpLayer::client(breaker.clone())).service(boxed);
    for uri in ["/status/200".to_owned(), server.url()] {
        client.ready().await.unwrap().call(request(Method::GET, uri, none())).await.unwrap_err();
    }
    assert_eq!(totals(&breaker), [0, 1, 1, 0]);
}

#[tokio::test]
async fn a_refused_connection_is_the_drivers_own_error_and_a_failure() {
    let mut server = HttpServer::start().unwrap();
    server.kill().unwrap();
    let (breaker, _) = breaker(3);
    let client = &mut guarded(&breaker);
    for _ in 0..3 {
        match get(client, server.url()).await.unwrap_err() {
            BreakerError::Inner(error) => assert!(error.is_connect(), "{error}"),
            other => panic!("{other}"),
        }
    }
    assert_eq!((totals(&breaker), breaker.state()), ([0, 3, 0, 0], State::Open));
}

#[tokio::test]
async fn a_black_hole_is_a_failure_when_the_deadline_has_passed() {
    let server = HttpServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    proxy.set(Fault::BlackHole);
    let breaker = Breaker::builder("hole").trip(Trip::consecutive_failures(2)).build().unwrap();
    let layer = HttpLayer::client(breaker.clone()).timeout(Duration::from_millis(100));
    let client = &mut layer.layer(hyper());
    for _ in 0..2 {
        let error = get(client, server.url_at(proxy.addr())).await.unwrap_err();
        assert!(matches!(error, BreakerError::TimedOut(_)), "{error}");
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn hosts_are_separate() {
    let (here, mut there) = (HttpServer::start().unwrap(), HttpServer::start().unwrap());
    there.kill().unwrap();
    let settings = Settings::new().trip(Trip::consecutive_failures(3));
    let hosts = Keyed::<Host>::builder("upstreams").settings(settings).build().unwrap();
    let mut client = ServiceBuilder::new().layer(HttpLayer::keyed_by_host(hosts.clone())).service(hyper());

    for round in 0..6 {
        let request = |uri: String| request(Method::GET, uri, none());
        let ok = client.ready().await.unwrap().call(request(format!("{}/echo", here.url()))).await;
        assert_eq!(ok.unwrap().status(), StatusCode::OK);
        let error = client.ready().await.unwrap().call(request(there.url())).await.unwrap_err();
        assert_eq!(error.rejected().is_some(), round >= 3, "{round}: {error}");
    }
    let state = |server: &HttpServer| hosts.peek(server.addr().to_string().as_str()).unwrap().state();
    assert_eq!((state(&here), state(&there)), (State::Closed, State::Open));
    assert_eq!(hosts.len(), 2);
}

#[tokio::test]
async fn a_malformed_url_is_an_error_before_there_is_a_request() {
    assert!("http://[::1/".parse::<Uri>().is_err());
}
