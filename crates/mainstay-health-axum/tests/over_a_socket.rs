//! The router behind a real socket, asked by real clients.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use mainstay_health::{Check, CheckError, ErrorClass, HealthManager, Pushed, Status};
use mainstay_health_axum::{DetailsPolicy, Endpoint, Probes, router};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

/// Runs, with one check of a disk that is ours, and one of a shared dependency.
async fn health() -> (HealthManager, Pushed, Pushed) {
    let (disk, redis) = (Pushed::new(), Pushed::new());
    let health = HealthManager::builder("orders")
        .check(Check::exclusive("disk", &disk).critical())
        .check(Check::shared("redis", &redis).critical())
        .build()
        .unwrap();
    health.start().unwrap();
    disk.set(Status::Healthy);
    redis.set(Status::Healthy);
    until(&health, |health| health.is_ready()).await;
    (health, disk, redis)
}

async fn until(health: &HealthManager, condition: impl Fn(&HealthManager) -> bool) {
    let mut changes = health.subscribe();
    let reached = async {
        while !condition(health) {
            changes.changed().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
}

async fn send(addr: SocketAddr, method: Method, path: &str) -> (u16, HeaderMap, String) {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "orders");
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn ask(addr: SocketAddr, path: &str) -> (u16, String) {
    let (status, _, body) = send(addr, Method::GET, path).await;
    (status, body)
}

/// What comes back for some bytes, to the end of the connection.
async fn raw(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.to_lowercase()
}

#[tokio::test]
async fn every_endpoint_answers_get_and_head_alike() {
    let (health, ..) = health().await;
    let addr = serve(router(&health)).await;
    for endpoint in Endpoint::ALL {
        let (status, headers, body) = send(addr, Method::GET, endpoint.path()).await;
        assert_eq!((status, &headers["cache-control"]), (200, &"no-store".parse().unwrap()), "{endpoint:?}");
        let (also, head, nothing) = send(addr, Method::HEAD, endpoint.path()).await;
        assert_eq!((also, nothing.as_str()), (200, ""), "{endpoint:?}");
        assert_eq!(head["content-type"], headers["content-type"]);
        assert_eq!(head["content-length"], headers["content-length"]);
        assert_eq!(headers["content-length"], body.len().to_string());
        let (status, headers, _) = send(addr, Method::POST, endpoint.path()).await;
        assert_eq!((status, &headers["allow"]), (405, &"GET, HEAD".parse().unwrap()));
    }
}

#[tokio::test]
async fn a_prober_that_writes_its_requests_by_hand_is_answered() {
    let (health, ..) = health().await;
    let addr = serve(router(&health)).await;
    let get = raw(addr, "GET /readyz HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nConnection: close\r\n\r\n").await;
    assert!(get.starts_with("http/1.1 200 ok\r\n") && get.ends_with("\r\n\r\nok"), "{get}");
    let head = raw(addr, "HEAD /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(head.contains("content-length: 2\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let old = raw(addr, "GET /livez HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("http/1.0 200 ok\r\n") && old.ends_with("ok"), "{old}");
}

#[tokio::test]
async fn readiness_and_health_tell_a_shared_outage_from_one_of_our_own() {
    let (health, disk, redis) = health().await;
    let addr = serve(router(&health)).await;
    redis.set(Status::Unhealthy);
    until(&health, |health| health.report().status() == Status::Unhealthy).await;
    assert_eq!(ask(addr, "/readyz").await, (200, "ok".to_owned()));
    assert_eq!(ask(addr, "/healthz").await, (503, "unhealthy: check redis".to_owned()));
    disk.set(Status::Unhealthy);
    until(&health, |health| !health.is_ready()).await;
    assert_eq!(ask(addr, "/readyz").await, (503, "not ready: check disk".to_owned()));
    assert_eq!(ask(addr, "/readyz?exclude=disk").await, (200, "ok".to_owned()));
    assert_eq!(ask(addr, "/livez").await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn it_merges_into_an_application_with_a_state_and_nests_under_a_path() {
    let (health, ..) = health().await;
    let app = Router::new()
        .route("/", get(async |State(greeting): State<&'static str>| greeting))
        .merge(Probes::new(&health).only([Endpoint::Readyz]).router())
        .nest("/internal", router(&health))
        .fallback(async || "nobody is here")
        .with_state("hello");
    let addr = serve(app).await;
    assert_eq!(ask(addr, "/").await.1, "hello");
    assert_eq!(ask(addr, "/readyz").await.1, "ok");
    assert_eq!(ask(addr, "/livez").await.1, "nobody is here");
    assert_eq!(ask(addr, "/internal/livez").await.1, "ok");
    assert!(ask(addr, "/internal/readyz?verbose").await.1.ends_with("readyz check passed\n"));
    assert_eq!(ask(addr, "/internal/health/detailed").await.0, 200);
}

#[tokio::test]
async fn details_stay_inside_unless_their_port_is_allowed_them() {
    let (health, disk, _redis) = health().await;
    disk.set(
        mainstay_health::CheckOutcome::unhealthy("no")
            .error(CheckError::new(ErrorClass::NotFound, "/dev/secret")),
    );
    until(&health, |health| !health.is_ready()).await;
    let traffic = serve(router(&health)).await;
    let admin = serve(Probes::new(&health).details(DetailsPolicy::Always).router()).await;
    let (status, public) = ask(traffic, "/health/detailed").await;
    assert!(status == 503 && public.contains("not_found") && !public.contains("secret"), "{public}");
    let (status, private) = ask(admin, "/health/detailed").await;
    assert!(status == 503 && private.contains("/dev/secret"), "{private}");
}

#[tokio::test]
async fn a_prober_that_hangs_up_changes_nothing() {
    let (health, ..) = health().await;
    let addr = serve(router(&health)).await;
    let before = health.report();
    let requests = [
        "GET /rea",
        "GET /readyz HTTP/1.1\r\nHost: x\r\n",
        "GET /health/detailed HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /readyz?verbose HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf of a body",
    ];
    for request in requests {
        for linger in [true, false] {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            if !linger {
                // A reset in the middle of things, not an orderly end.
                stream.set_zero_linger().unwrap();
            }
            drop(stream);
        }
        assert_eq!(ask(addr, "/readyz").await, (200, "ok".to_owned()));
    }
    // One that has seen the head of its answer, and leaves.
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"GET /health/detailed HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 17];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK\r\n");
    drop(stream);

    assert_eq!(ask(addr, "/healthz").await, (200, "ok".to_owned()));
    let after = health.report();
    assert!(
        after
            .checks()
            .map(|check| (check.status, check.failures))
            .eq(before.checks().map(|check| (check.status, check.failures)))
    );
}
