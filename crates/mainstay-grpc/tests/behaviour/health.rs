//! The ready-made check, against servers in every condition.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::real::{LONG, patient, soon, timed, verdicts};
use futures_util::Stream;
use mainstay_breaker::{Breaker, BreakerService, Control, State};
use mainstay_grpc::mainstay_health::{
    Check, CheckReport, ErrorClass, HealthManager, Probe, Pushed, Reason, Status,
};
use mainstay_grpc::tonic::transport::server::TcpIncoming;
use mainstay_grpc::tonic::transport::{self, Channel, Endpoint};
use mainstay_grpc::tonic::{self, Code, Request, Response};
use mainstay_grpc::{Calls, ConnectLayer, GrpcLayer, health};
use mainstay_health_grpc::HealthGrpc;
use mainstay_health_grpc::pb::health_server::{Health, HealthServer};
use mainstay_health_grpc::pb::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use mainstay_testkit::{Fault, FaultProxy, GrpcServer};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower::Layer;

/// What a server says that nobody else shall read.
const SECRET: &str = "password=hunter2";

/// A server that answers what the name says: a status to serve with, `code 7`, or nothing for `hang`.
struct Scripted;

#[tonic::async_trait]
impl Health for Scripted {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, tonic::Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, tonic::Status> {
        let service = request.into_inner().service;
        if service == "hang" {
            std::future::pending::<()>().await;
        }
        match service.strip_prefix("code ") {
            Some(code) => Err(tonic::Status::new(Code::from(code.parse::<i32>().unwrap()), SECRET)),
            None => Ok(Response::new(HealthCheckResponse { status: service.parse().unwrap() })),
        }
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented(""))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, tonic::Status> {
        Err(tonic::Status::unimplemented(""))
    }
}

async fn scripted() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = transport::Server::builder().add_service(HealthServer::new(Scripted));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    addr
}

fn channel(addr: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{addr}")).unwrap().connect_lazy()
}

/// The default way to reject: with a response.
fn guarded(
    channel: Channel,
    breaker: &Breaker,
) -> BreakerService<Channel, Calls, mainstay_grpc::Unavailable, mainstay_breaker::One> {
    GrpcLayer::client(breaker.clone()).layer(channel)
}

/// A manager that asks twice a second, and believes each answer.
fn asking(probe: Probe) -> HealthManager {
    let check = Check::shared("agent-core", probe)
        .critical()
        .interval(Duration::from_millis(500))
        .timeout(Duration::from_millis(400))
        .failure_threshold(1)
        .success_threshold(1);
    let health = HealthManager::builder("orchestrator").check(check).build().unwrap();
    health.start().unwrap();
    health
}

/// Waits for a status, and returns how it came about.
async fn becomes(health: &HealthManager, status: Status) -> Arc<CheckReport> {
    let mut changes = health.subscribe();
    let reached = async {
        loop {
            let report = health.report();
            match report.check("agent-core") {
                Some(check) if check.status == status => return check.clone(),
                _ => changes.changed().await,
            };
        }
    };
    let reached = tokio::time::timeout(LONG, reached).await;
    reached.unwrap_or_else(|_| panic!("not {status}: {:?}", health.report().check("agent-core")))
}

/// What one run finds.
async fn finds(probe: Probe) -> (Status, Option<ErrorClass>) {
    let check = Check::shared("agent-core", probe).timeout(Duration::from_secs(5)).failure_threshold(1);
    let health = HealthManager::builder("orchestrator").check(check).build().unwrap();
    health.start().unwrap();
    let report = soon(health.check_now("agent-core")).await.unwrap();
    let json = serde_json::to_string(&*health.report()).unwrap();
    assert!(!json.contains(SECRET), "{json}");
    (report.status, report.last.as_ref().and_then(|last| last.error.as_ref()).map(|error| error.class()))
}

#[tokio::test]
async fn each_answer_has_its_status_and_its_class() {
    let addr = scripted().await;
    let table = [
        ("1", Status::Healthy, None),
        ("0", Status::Unhealthy, None),
        ("2", Status::Unhealthy, None),
        ("3", Status::Unhealthy, None),
        ("99", Status::Unhealthy, None),
        ("code 14", Status::Unhealthy, Some(ErrorClass::Overloaded)),
        ("code 4", Status::Degraded, Some(ErrorClass::TimedOut)),
        ("code 1", Status::Degraded, Some(ErrorClass::TimedOut)),
        ("code 12", Status::Degraded, Some(ErrorClass::NotFound)),
        ("code 5", Status::Degraded, Some(ErrorClass::NotFound)),
        ("code 7", Status::Degraded, Some(ErrorClass::Unauthorized)),
        ("code 16", Status::Degraded, Some(ErrorClass::Unauthorized)),
        ("code 8", Status::Degraded, Some(ErrorClass::Overloaded)),
        ("code 2", Status::Degraded, Some(ErrorClass::BadAnswer)),
        ("code 13", Status::Degraded, Some(ErrorClass::BadAnswer)),
        ("code 3", Status::Degraded, Some(ErrorClass::BadAnswer)),
    ];
    for (service, status, class) in table {
        assert_eq!(finds(health::check(channel(addr), service)).await, (status, class), "{service}");
        let guarded = guarded(channel(addr), &patient());
        assert_eq!(finds(health::check(guarded, service)).await, (status, class), "{service}, guarded");
    }
}

#[tokio::test]
async fn the_text_of_an_error_is_kept_for_us() {
    let probe = health::check(channel(scripted().await), "code 13");
    let health = asking(probe);
    let check = becomes(&health, Status::Degraded).await;
    let error = check.last.as_ref().unwrap().error.clone().unwrap();
    assert!(error.text().contains(SECRET), "{}", error.text());
    assert!(!serde_json::to_string(&*health.report()).unwrap().contains("hunter2"));
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_degraded_and_counts_for_the_breaker() {
    let breaker = patient();
    let guarded = guarded(channel(scripted().await), &breaker);
    let probe = health::check_within(guarded, "hang", Duration::from_millis(100));
    assert_eq!(finds(probe).await, (Status::Degraded, Some(ErrorClass::TimedOut)));
    assert_eq!(verdicts(&breaker), (0, 1, 0));

    let layer = GrpcLayer::client(patient()).timeout(Duration::from_millis(100));
    let probe = health::check_within(layer.layer(channel(scripted().await)), "hang", Duration::MAX);
    assert_eq!(finds(probe).await, (Status::Degraded, Some(ErrorClass::TimedOut)));
}

#[tokio::test]
async fn an_open_breaker_is_unhealthy_and_the_server_is_not_asked() {
    let addr = scripted().await;
    let down = (Status::Unhealthy, Some(ErrorClass::CircuitOpen));
    let breaker = patient();
    breaker.set_control(Control::ForcedOpen);
    // Whichever way the rejection comes.
    let proxy = FaultProxy::start(addr).unwrap();
    assert_eq!(finds(health::check(guarded(channel(proxy.addr()), &breaker), "1")).await, down);
    let as_status = GrpcLayer::client(breaker.clone()).reject_with_status().layer(channel(proxy.addr()));
    assert_eq!(finds(health::check(as_status, "1")).await, down);
    let connector = tower::service_fn(|uri: http::Uri| {
        let mut connector = hyper_util::client::legacy::connect::HttpConnector::new();
        async move { tower::Service::call(&mut connector, uri).await }
    });
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.addr())).unwrap();
    let connecting =
        endpoint.connect_with_connector_lazy(ConnectLayer::new(breaker.clone()).layer(connector));
    assert_eq!(finds(health::check(connecting, "1")).await, down);
    assert_eq!(proxy.accepted(), 0);

    breaker.set_control(Control::Automatic);
    assert_eq!(finds(health::check(guarded(channel(proxy.addr()), &breaker), "1")).await.0, Status::Healthy);
}

#[tokio::test]
async fn the_check_itself_closes_the_breaker_again() {
    let mut server = GrpcServer::start().unwrap();
    let (breaker, time) = timed();
    let channel = crate::real::endpoint(&server).connect_lazy();
    let health = asking(health::check(guarded(channel, &breaker), ""));
    becomes(&health, Status::Degraded).await;
    server.kill().unwrap();
    becomes(&health, Status::Unhealthy).await;
    crate::real::until_state(&breaker, State::Open).await;
    server.restart().unwrap();
    time.advance(Duration::from_secs(60));
    // It is alone: no other call is made. The server does not know the health service, which is an answer all the same.
    becomes(&health, Status::Degraded).await;
}

#[tokio::test]
async fn a_server_that_is_killed_is_unhealthy_until_it_is_back() {
    let mut server = GrpcServer::start().unwrap();
    let health = asking(health::check_within(
        crate::real::endpoint(&server).connect_lazy(),
        "",
        Duration::from_millis(200),
    ));
    let class = |check: &CheckReport| check.last.as_ref().unwrap().error.as_ref().map(|error| error.class());
    let check = becomes(&health, Status::Degraded).await;
    assert_eq!(class(&check), Some(ErrorClass::NotFound), "it does not implement the health service");

    server.kill().unwrap();
    let check = becomes(&health, Status::Unhealthy).await;
    assert_eq!(check.reason, Reason::Error);
    assert!(
        matches!(class(&check), Some(ErrorClass::ConnectionRefused | ErrorClass::ConnectionLost)),
        "{check:?}"
    );
    server.restart().unwrap();
    becomes(&health, Status::Degraded).await;

    server.stop().unwrap();
    // A newer result of the same kind is no change of the report, but one of the check.
    let mut results = health.source("agent-core").unwrap().watch();
    while class(health.report().check("agent-core").unwrap()) != Some(ErrorClass::TimedOut) {
        soon(results.changed()).await;
    }
    server.resume().unwrap();
}

#[tokio::test]
async fn a_black_hole_that_heals_is_healthy_again() {
    let (_worker, remote) = remote().await;
    let (addr, _server) = Server::start("127.0.0.1:0".parse().unwrap(), &remote);
    let proxy = FaultProxy::start(addr).unwrap();
    // What was swallowed is lost to HTTP/2: pings find that out, and make the channel connect again.
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.addr()))
        .unwrap()
        .http2_keep_alive_interval(Duration::from_millis(200))
        .keep_alive_timeout(Duration::from_millis(200))
        .keep_alive_while_idle(true);
    let probe = health::check_within(endpoint.connect_lazy(), "worker", Duration::from_millis(200));
    let health = asking(probe);
    becomes(&health, Status::Healthy).await;
    proxy.set(Fault::BlackHole);
    becomes(&health, Status::Degraded).await;
    proxy.set(Fault::None);
    becomes(&health, Status::Healthy).await;
}

#[tokio::test]
async fn over_a_connection_of_its_own_a_black_hole_that_heals_is_over_within_two_runs() {
    let (_worker, remote) = remote().await;
    let (addr, _server) = Server::start("127.0.0.1:0".parse().unwrap(), &remote);
    let proxy = FaultProxy::start(addr).unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.addr())).unwrap();
    for breaker in [None, Some(patient())] {
        let check = Check::shared("agent-core", health::check_endpoint(endpoint.clone(), "worker", breaker));
        let check = check.interval(Duration::from_secs(2)).timeout(Duration::from_secs(1));
        let check = check.failure_threshold(1).success_threshold(2).critical();
        let health = HealthManager::builder("orchestrator").check(check).build().unwrap();
        health.start().unwrap();
        for _ in 0..2 {
            becomes(&health, Status::Healthy).await;
            proxy.set(Fault::BlackHole);
            let down = becomes(&health, Status::Unhealthy).await;
            assert_eq!(down.reason, Reason::TimedOut);
            proxy.set(Fault::None);
            let healed = becomes(&health, Status::Healthy).await;
            assert!(healed.runs <= down.runs + 2, "{} runs after {}", healed.runs, down.runs);
        }
    }
}

#[tokio::test]
async fn no_connection_outlives_the_run_that_made_it() {
    let proxy = FaultProxy::start(scripted().await).unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.addr())).unwrap();
    let none = || crate::real::until("all are closed", || proxy.connections() == 0);
    assert_eq!(finds(health::check_endpoint(endpoint.clone(), "1", None)).await.0, Status::Healthy);
    none().await;
    proxy.set(Fault::BlackHole);
    let health = asking(health::check_endpoint(endpoint, "1", None));
    becomes(&health, Status::Unhealthy).await;
    none().await;
    assert!(proxy.accepted() >= 2);
    drop(health);
}

#[tokio::test]
async fn over_a_connection_of_its_own_each_answer_has_the_same_status_and_class() {
    let addr = scripted().await;
    let endpoint = |addr| Endpoint::from_shared(format!("http://{addr}")).unwrap();
    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
    for (addr, service, status, class) in [
        (addr, "1", Status::Healthy, None),
        (addr, "2", Status::Unhealthy, None),
        (addr, "code 14", Status::Unhealthy, Some(ErrorClass::Overloaded)),
        (addr, "code 12", Status::Degraded, Some(ErrorClass::NotFound)),
        (addr, "hang", Status::Degraded, Some(ErrorClass::TimedOut)),
        (nobody, "1", Status::Unhealthy, Some(ErrorClass::ConnectionRefused)),
    ] {
        for breaker in [None, Some(patient())] {
            let probe = health::check_endpoint(endpoint(addr), service, breaker);
            assert_eq!(finds(probe).await, (status, class), "{service}");
        }
    }
    // It asks the breaker, and tells it.
    let breaker = patient();
    finds(health::check_endpoint(endpoint(addr), "1", breaker.clone())).await;
    finds(health::check_endpoint(endpoint(nobody), "1", breaker.clone())).await;
    assert_eq!(verdicts(&breaker), (1, 1, 0));
    breaker.set_control(Control::ForcedOpen);
    let proxy = FaultProxy::start(addr).unwrap();
    let found = finds(health::check_endpoint(endpoint(proxy.addr()), "1", breaker)).await;
    assert_eq!(found, (Status::Unhealthy, Some(ErrorClass::CircuitOpen)));
    assert_eq!(proxy.accepted(), 0);
}

#[tokio::test]
async fn a_remote_manager_is_healthy_while_it_serves() {
    let (worker, remote) = remote().await;
    let (addr, server) = Server::start("127.0.0.1:0".parse().unwrap(), &remote);
    let health = asking(health::check(channel(addr), ""));
    becomes(&health, Status::Healthy).await;
    worker.set(Status::Unhealthy);
    let check = becomes(&health, Status::Unhealthy).await;
    assert_eq!(check.last.as_ref().unwrap().message.as_deref(), Some("NOT_SERVING"));
    worker.set(());
    becomes(&health, Status::Healthy).await;
    drop(server);
    becomes(&health, Status::Unhealthy).await;
    let (_, _server) = Server::start(addr, &remote);
    becomes(&health, Status::Healthy).await;
}

/// A manager that is to be asked, and its only check.
async fn remote() -> (Pushed, HealthManager) {
    let worker = Pushed::new();
    worker.set(());
    let check = Check::internal("worker", &worker).critical();
    let remote = HealthManager::builder("agent").check(check).build().unwrap();
    remote.start().unwrap();
    let mut changes = remote.subscribe();
    soon(async {
        while !remote.is_ready() {
            changes.changed().await;
        }
    })
    .await;
    (worker, remote)
}

/// A server that dies with its connections when this is dropped.
struct Server(Option<Runtime>);

impl Server {
    fn start(addr: SocketAddr, remote: &HealthManager) -> (SocketAddr, Self) {
        let listener = std::net::TcpListener::bind(addr).unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let service = HealthGrpc::new(remote);
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
            transport::Server::builder().add_service(service).serve_with_incoming(incoming).await
        });
        (addr, Self(Some(runtime)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
