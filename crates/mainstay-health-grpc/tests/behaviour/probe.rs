//! The probe from outside, against servers in every condition.
#![cfg(feature = "probe")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::served::{ready, serve, serve_at, soon, until};
use futures_util::Stream;
use mainstay_health::{CheckOutcome, ProbeExit, ProbeReply, Report};
use mainstay_health_grpc::pb::health_server::{Health, HealthServer};
use mainstay_health_grpc::pb::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use mainstay_health_grpc::tonic::transport::Server;
use mainstay_health_grpc::tonic::transport::server::TcpIncoming;
use mainstay_health_grpc::tonic::{self, Request, Response, Status};
use mainstay_health_grpc::{HealthGrpc, ProbeTimeouts, probe};
use mainstay_testkit::{Fault, FaultProxy, GrpcServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// For servers that answer.
const PATIENT: ProbeTimeouts =
    ProbeTimeouts { connect: Duration::from_secs(10), call: Duration::from_secs(10) };
/// For servers that do not.
const SHORT: Duration = Duration::from_millis(300);

async fn ask(addr: SocketAddr, service: &str) -> ProbeReply {
    soon(probe(&format!("http://{addr}"), service, PATIENT)).await
}

/// A server that answers with this number, or not at all.
struct Scripted(Option<i32>);

#[tonic::async_trait]
impl Health for Scripted {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match self.0 {
            Some(status) => Ok(Response::new(HealthCheckResponse { status })),
            None => pending().await,
        }
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn scripted(answer: Option<i32>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Server::builder().add_service(HealthServer::new(Scripted(answer)));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    addr
}

#[tokio::test]
async fn a_server_that_serves_is_healthy_and_one_that_does_not_is_not() {
    let (health, worker, _) = ready().await;
    let (addr, _) = serve(HealthGrpc::new(&health)).await;
    for service in ["", "worker", "liveness"] {
        let reply = ask(addr, service).await;
        assert_eq!((reply.exit, reply.text.as_str()), (ProbeExit::Healthy, "status: SERVING"));
    }
    assert_eq!(
        soon(probe(&addr.to_string(), "", PATIENT)).await.exit.code(),
        0,
        "the scheme may be left out"
    );
    worker.set(CheckOutcome::unhealthy("it stands still"));
    until(&health, |report| !report.is_ready()).await;
    let reply = ask(addr, "").await;
    assert_eq!((reply.exit.code(), reply.text.as_str()), (4, "status: NOT_SERVING"));
}

#[tokio::test]
async fn whatever_is_not_serving_is_unhealthy() {
    for (status, text) in [(0, "status: UNKNOWN"), (3, "status: SERVICE_UNKNOWN"), (77, "status: UNKNOWN")] {
        let reply = ask(scripted(Some(status)).await, "").await;
        assert_eq!((reply.exit, reply.text.as_str()), (ProbeExit::Unhealthy, text));
    }
}

#[tokio::test]
async fn a_service_that_the_server_does_not_know_is_a_failed_call() {
    let (health, ..) = ready().await;
    let (addr, _) = serve(HealthGrpc::new(&health)).await;
    let reply = ask(addr, "nobody").await;
    assert_eq!((reply.exit.code(), reply.text.as_str()), (3, "the call failed: NotFound"));
}

#[tokio::test]
async fn a_server_without_the_health_service_is_a_failed_call() {
    let server = GrpcServer::start().unwrap();
    let reply = ask(server.addr(), "").await;
    assert_eq!(reply.exit, ProbeExit::CallFailed);
    assert_eq!(reply.text, "the server does not implement grpc.health.v1");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_failed_call() {
    let addr = scripted(None).await;
    let began = Instant::now();
    let timeouts = ProbeTimeouts { call: SHORT, ..PATIENT };
    let reply = soon(probe(&format!("http://{addr}"), "", timeouts)).await;
    assert_eq!((reply.exit, reply.text.as_str()), (ProbeExit::CallFailed, "no answer within 300ms"));
    assert!(began.elapsed() >= SHORT);
}

#[tokio::test]
async fn where_nobody_listens_there_is_no_connection() {
    let mut server = GrpcServer::start().unwrap();
    server.kill().unwrap();
    let reply = ask(server.addr(), "").await;
    assert_eq!(reply.exit, ProbeExit::ConnectionFailed);
    assert_eq!(reply.text, "no connection: connection_refused");
    let reply = soon(probe("http://nobody.invalid:50051", "", PATIENT)).await;
    assert_eq!(reply.exit, ProbeExit::ConnectionFailed);
}

#[tokio::test]
async fn a_server_that_stands_still_has_no_connection() {
    let timeouts = ProbeTimeouts { connect: SHORT, ..PATIENT };
    let mut server = GrpcServer::start().unwrap();
    server.stop().unwrap();
    let reply = soon(probe(&server.url(), "", timeouts)).await;
    assert_eq!(reply.exit, ProbeExit::ConnectionFailed);
    assert_eq!(reply.text, "no connection within 300ms");
    server.resume().unwrap();
    assert_eq!(ask(server.addr(), "").await.exit, ProbeExit::CallFailed);

    let proxy = FaultProxy::start(server.addr()).unwrap();
    proxy.set(Fault::BlackHole);
    let reply = soon(probe(&server.url_at(proxy.addr()), "", timeouts)).await;
    assert_eq!(reply.exit, ProbeExit::ConnectionFailed);
}

#[tokio::test]
async fn what_does_not_speak_http_2_is_no_connection() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH", ""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        assert_eq!(ask(addr, "").await.text, "no connection: bad_answer", "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_healthy_again() {
    let (health, ..) = ready().await;
    let (addr, server) = serve(HealthGrpc::new(&health)).await;
    assert_eq!(ask(addr, "").await.exit, ProbeExit::Healthy);
    server.abort();
    let _ = server.await;
    assert_eq!(ask(addr, "").await.exit, ProbeExit::ConnectionFailed);
    let _server = serve_at(addr, HealthGrpc::new(&health)).await;
    assert_eq!(ask(addr, "").await.exit, ProbeExit::Healthy);
    health.stop();
    until(&health, |report: &Report| !report.is_ready()).await;
    assert_eq!(ask(addr, "").await.exit, ProbeExit::Unhealthy);
}

#[tokio::test]
async fn what_cannot_be_asked_is_not_asked() {
    for url in [
        "",
        "http://",
        "http://127.0.0.1",
        "127.0.0.1",
        "127.0.0.1:http",
        "http://127.0.0.1:99999",
        "https://127.0.0.1:50051",
        "unix:///run/health.sock",
        "http://user:secret@127.0.0.1:50051",
        "http://127.0.0.1:50051/health",
        "http://127.0.0.1:50051?verbose",
        "http://[::1:50051",
        "not a url",
        "\u{0}",
        "http://\u{1f600}:1",
    ] {
        let reply = soon(probe(url, "", PATIENT)).await;
        assert_eq!(reply.exit.code(), 1, "{url:?}: {reply}");
        assert!(!reply.text.contains("secret"));
    }
    for timeouts in [
        ProbeTimeouts { connect: Duration::ZERO, ..PATIENT },
        ProbeTimeouts { call: Duration::ZERO, ..PATIENT },
    ] {
        assert_eq!(soon(probe("http://127.0.0.1:1", "", timeouts)).await.exit, ProbeExit::InvalidArguments);
    }
    let longest = ProbeTimeouts { connect: Duration::MAX, call: Duration::MAX };
    assert_eq!(soon(probe("http://127.0.0.1:1", "", longest)).await.exit, ProbeExit::ConnectionFailed);
}

#[tokio::test]
async fn a_name_of_any_length_and_kind_can_be_asked_for() {
    let (health, ..) = ready().await;
    let (addr, _) = serve(HealthGrpc::new(&health)).await;
    let longest = ProbeTimeouts { connect: Duration::MAX, call: Duration::MAX };
    for service in ["\u{0}", "\u{1f600}", &"x".repeat(1 << 20)] {
        let reply = soon(probe(&format!("http://{addr}"), service, longest)).await;
        assert_eq!(reply.exit, ProbeExit::CallFailed, "{reply}");
    }
}

#[test]
fn without_a_runtime_or_what_it_needs_of_one_there_is_no_connection() {
    let mut asking = std::pin::pin!(probe("http://127.0.0.1:1", "", PATIENT));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(reply) = asking.as_mut().poll(&mut cx) else { panic!("it waits") };
    let failed = ProbeExit::ConnectionFailed;
    assert_eq!((reply.exit, reply.text.as_str()), (failed, "no connection: there is no tokio runtime here"));

    let mut builder = tokio::runtime::Builder::new_current_thread();
    let bare = builder.build().unwrap();
    let without_io = builder.enable_time().build().unwrap();
    for runtime in [bare, without_io] {
        let reply = runtime.block_on(probe("http://127.0.0.1:1", "", PATIENT));
        let text = "no connection: the tokio runtime here lacks I/O or time";
        assert_eq!((reply.exit, reply.text.as_str()), (failed, text));
    }
}
