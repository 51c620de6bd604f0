//! The service on a real socket, over a manager whose checks are set by hand.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use mainstay_health::{Check, Clock, HealthManager, HealthManagerBuilder, ManualClock, Pushed, Report};
use mainstay_health_grpc::HealthGrpc;
use mainstay_health_grpc::tonic::transport::server::TcpIncoming;
use mainstay_health_grpc::tonic::transport::{Channel, Endpoint, Server};
use mainstay_health_grpc::tonic::{Code, Status, Streaming};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

#[allow(unused_imports, reason = "each test takes what it needs")]
pub(crate) use ServingStatus::{NotServing, ServiceUnknown, Serving};

/// Tonic's own client.
pub(crate) type Client = HealthClient<Channel>;

/// Longer than anything takes here, also on a machine that does much else.
const LONG: Duration = Duration::from_secs(20);

/// A manager with time by hand.
pub(crate) fn manager() -> (HealthManagerBuilder, ManualClock) {
    let (clock, time) = Clock::manual();
    (HealthManager::builder("orders").clock(clock), time)
}

/// A running manager with one critical check of its insides, which passes.
pub(crate) async fn ready() -> (HealthManager, Pushed, ManualClock) {
    let worker = Pushed::new();
    worker.set(());
    let (builder, time) = manager();
    let health = builder.check(Check::internal("worker", &worker).critical()).build().unwrap();
    health.start().unwrap();
    until(&health, Report::is_ready).await;
    (health, worker, time)
}

/// Serves on a free port until the task is aborted.
pub(crate) async fn serve(service: HealthGrpc) -> (SocketAddr, JoinHandle<()>) {
    serve_at(SocketAddr::from(([127, 0, 0, 1], 0)), service).await
}

pub(crate) async fn serve_at(addr: SocketAddr, service: HealthGrpc) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(addr).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener));
    (addr, tokio::spawn(async move { server.await.unwrap() }))
}

pub(crate) fn channel(addr: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{addr}")).unwrap().connect_lazy()
}

/// Serves, and connects tonic's own client.
pub(crate) async fn client(service: HealthGrpc) -> Client {
    let (addr, _) = serve(service).await;
    HealthClient::new(channel(addr))
}

pub(crate) async fn check(client: &mut Client, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    soon(client.check(request))
        .await
        .map(|answer| answer.into_inner().status())
        .map_err(|status| status.code())
}

pub(crate) async fn watch(client: &mut Client, service: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: service.to_owned() };
    soon(client.watch(request)).await.unwrap().into_inner()
}

/// The next status of a stream.
pub(crate) async fn next(stream: &mut Streaming<HealthCheckResponse>) -> Result<ServingStatus, Status> {
    Ok(soon(stream.message()).await?.expect("the stream goes on").status())
}

/// Waits until the report is as it must be before long.
pub(crate) async fn until(health: &HealthManager, mut holds: impl FnMut(&Report) -> bool) {
    let mut changes = health.subscribe();
    while !holds(&health.report()) {
        soon(changes.changed()).await;
    }
}

/// What must not hang.
pub(crate) async fn soon<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(LONG, work).await.expect("it hangs")
}
