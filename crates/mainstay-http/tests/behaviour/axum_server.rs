//! An axum application behind the layer, served over real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::scripted::{OPEN, breaker, totals};
use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mainstay_breaker::{Breaker, State};
use mainstay_http::HttpLayer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

/// A body whose trailers say how it went.
async fn with_trailers() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("42"));
    let frames =
        [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"hello"))), Ok(Frame::trailers(trailers))];
    let body = Body::new(StreamBody::new(stream::iter(frames)));
    Response::builder().header(TRAILER, "x-checksum").body(body).unwrap()
}

/// A body without an end.
async fn endless() -> Body {
    let pieces = stream::unfold((), async |()| {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Some((Ok::<_, Infallible>("tick"), ()))
    });
    Body::from_stream(pieces.boxed())
}

async fn breaks_off() -> Body {
    Body::from_stream(stream::iter([Ok("hel"), Err(std::io::Error::other("disk"))]))
}

/// Changes the protocol, and then answers four bytes with the same.
async fn upgrade(mut request: Request<Body>) -> Response<Body> {
    tokio::spawn(async move {
        let mut io = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
        let mut bytes = [0; 4];
        io.read_exact(&mut bytes).await.unwrap();
        io.write_all(&bytes).await.unwrap();
    });
    let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    response.header(CONNECTION, "upgrade").header(UPGRADE, "echo").body(Body::empty()).unwrap()
}

async fn serve(breaker: &Breaker) -> SocketAddr {
    let app = Router::new()
        .route("/", get(async || "hello"))
        .route("/echo", post(async |body: Bytes| body))
        .route("/fail", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route("/trailers", get(with_trailers))
        .route("/endless", get(endless))
        .route("/breaks-off", get(breaks_off))
        .route("/upgrade", get(upgrade))
        .layer(HttpLayer::server(breaker.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}

async fn send(method: Method, addr: SocketAddr, path: &str, content: &'static str) -> Response<Incoming> {
    let request = Request::builder().method(method).uri(format!("http://{addr}{path}"));
    let request = request.header(TE, "trailers").body(Full::new(Bytes::from(content))).unwrap();
    Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap()
}

async fn ask(addr: SocketAddr, path: &str) -> Response<Incoming> {
    send(Method::GET, addr, path, "").await
}

/// Hyper ends a response a moment after its client has it.
async fn totals_become(breaker: &Breaker, expected: [u64; 4]) {
    let limit = Instant::now() + Duration::from_secs(20);
    while totals(breaker) != expected {
        assert!(Instant::now() < limit, "not within 20 s: {expected:?}, but {:?}", totals(breaker));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn lengths_and_trailers_go_over_the_wire_as_without_the_layer() {
    let (breaker, _) = breaker(1);
    let addr = serve(&breaker).await;

    let response = ask(addr, "/").await;
    assert_eq!(response.headers()[CONTENT_LENGTH], "5");
    assert!(!response.headers().contains_key(TRANSFER_ENCODING));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");

    let head = send(Method::HEAD, addr, "/", "").await;
    assert_eq!(head.headers()[CONTENT_LENGTH], "5");
    assert_eq!(head.into_body().collect().await.unwrap().to_bytes(), "");

    let echoed = send(Method::POST, addr, "/echo", "ping").await;
    assert_eq!(echoed.into_body().collect().await.unwrap().to_bytes(), "ping");

    let collected = ask(addr, "/trailers").await.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()[HeaderName::from_static("x-checksum")], "42");
    assert_eq!(collected.to_bytes(), "hello");
    totals_become(&breaker, [4, 0, 0, 0]).await;
}

#[tokio::test]
async fn an_open_breaker_answers_with_a_problem_at_once() {
    let (breaker, time) = breaker(3);
    let addr = serve(&breaker).await;
    for _ in 0..3 {
        assert_eq!(ask(addr, "/fail").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    let response = ask(addr, "/").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[RETRY_AFTER], OPEN.as_secs().to_string());
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let told = format!("{:?}", response.headers());
    let length = response.headers()[CONTENT_LENGTH].to_str().unwrap().parse::<usize>().unwrap();
    let content = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(content.len(), length);
    assert!(!told.contains("secret") && !String::from_utf8_lossy(&content).contains("secret"));

    time.advance(OPEN);
    for _ in 0..2 {
        assert_eq!(ask(addr, "/").await.status(), StatusCode::OK);
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn a_body_that_the_handler_breaks_off_is_a_failure() {
    let (breaker, _) = breaker(9);
    let addr = serve(&breaker).await;
    // Whether the head gets out before the body breaks off is hyper's affair.
    let request = Request::get(format!("http://{addr}/breaks-off")).body(Full::new(Bytes::new())).unwrap();
    if let Ok(response) = Client::builder(TokioExecutor::new()).build_http().request(request).await {
        response.into_body().collect().await.unwrap_err();
    }
    totals_become(&breaker, [0, 1, 0, 0]).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_body_is_nobodys_failure() {
    let (breaker, _) = breaker(1);
    let addr = serve(&breaker).await;
    let mut response = ask(addr, "/endless").await;
    assert_eq!(response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "tick");
    assert_eq!(totals(&breaker), [0, 0, 0, 0]);
    drop(response);
    totals_become(&breaker, [1, 0, 0, 0]).await;
}

#[tokio::test]
async fn an_upgrade_is_judged_by_its_head_and_goes_through_on_both_sides() {
    let (server_side, _) = breaker(1);
    let (client_side, _) = breaker(1);
    let addr = serve(&server_side).await;
    let hyper = Client::builder(TokioExecutor::new()).build_http();
    let client = HttpLayer::client(client_side.clone()).layer(hyper);

    let request = Request::get(format!("http://{addr}/upgrade")).header(CONNECTION, "upgrade");
    let request = request.header(UPGRADE, "echo").body(Full::new(Bytes::new())).unwrap();
    let response = client.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(totals(&client_side), [1, 0, 0, 0]);

    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    io.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    io.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
    assert_eq!((totals(&server_side), totals(&client_side)), ([1, 0, 0, 0], [1, 0, 0, 0]));
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn an_upgrade_goes_through_reqwest_too() {
    use mainstay_http::{GuardedClient, reqwest};

    let (server_side, _) = breaker(1);
    let (client_side, _) = breaker(1);
    let addr = serve(&server_side).await;
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    let client = GuardedClient::new(plain, client_side.clone());
    let request = client.get_ref().get(format!("http://{addr}/upgrade"));
    let response = client.send(request.header(CONNECTION, "upgrade").header(UPGRADE, "echo")).await.unwrap();
    assert_eq!(totals(&client_side), [1, 0, 0, 0]);

    let mut io = response.upgrade().await.unwrap();
    io.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    io.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
}
