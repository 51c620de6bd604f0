//! `mainstay probe`, against real servers that are up, down, and hanging.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::time::Duration;

use crate::command::{Ended, run};
use mainstay_health::{Check, CheckOutcome, HealthManager, Pushed, Report};
use mainstay_health_grpc::HealthGrpc;
use mainstay_testkit::{Fault, FaultProxy, GrpcServer, HttpServer};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// For servers that answer.
const PATIENT: [&str; 2] = ["--timeout", "20s"];

fn http(url: &str, arguments: &[&str]) -> Ended {
    run(&[&["probe", "http", url], arguments].concat())
}

fn grpc(address: &str, arguments: &[&str]) -> Ended {
    run(&[&["probe", "grpc", address], arguments].concat())
}

/// Waits until the report is as it must be before long.
async fn until(health: &HealthManager, holds: impl Fn(&Report) -> bool) {
    let mut changes = health.subscribe();
    while !holds(&health.report()) {
        tokio::time::timeout(Duration::from_secs(20), changes.changed()).await.unwrap();
    }
}

/// Serves on a free port until the test is over.
async fn serve(health: &HealthManager) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = HealthGrpc::new(health);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
    address
}

#[test]
fn an_http_endpoint_that_serves_ends_with_0_and_one_that_does_not_with_4() {
    let server = HttpServer::start().unwrap();
    let url = server.url();
    assert_eq!(http(&format!("{url}/status/200"), &PATIENT), Ended::new(0, "200 OK\n", ""));
    let ended = http(&format!("{url}/status/503"), &PATIENT);
    assert_eq!(ended, Ended::new(4, "", "503 Service Unavailable\n"));
}

#[test]
fn an_http_endpoint_that_is_down_ends_with_2() {
    let mut server = HttpServer::start().unwrap();
    let url = format!("{}/status/200", server.url());
    server.kill().unwrap();
    assert_eq!(http(&url, &PATIENT), Ended::new(2, "", "no connection: connection_refused\n"));
}

#[test]
fn an_http_endpoint_that_hangs_or_breaks_off_ends_with_3() {
    let mut server = HttpServer::start().unwrap();
    let url = server.url();
    let soon = ["--timeout", "50ms", "--connect-timeout", "20s"];
    let silent = Ended::new(3, "", "no answer within 50ms\n");
    assert_eq!(http(&format!("{url}/hang"), &soon), silent);
    let broken = Ended::new(3, "", "the call failed: connection_lost\n");
    assert_eq!(http(&format!("{url}/broken?after=1"), &PATIENT), broken);
    server.stop().unwrap();
    assert_eq!(http(&format!("{url}/status/200"), &soon), silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_server_that_serves_ends_with_0_and_one_that_does_not_with_4() {
    let worker = Pushed::new();
    worker.set(());
    let health = HealthManager::builder("orders")
        .check(Check::internal("worker", &worker).critical())
        .build()
        .unwrap();
    health.start().unwrap();
    until(&health, Report::is_ready).await;
    let address = serve(&health).await.to_string();
    let serving = Ended::new(0, "status: SERVING\n", "");
    assert_eq!(grpc(&address, &PATIENT), serving);
    assert_eq!(
        grpc(&format!("http://{address}"), &[&PATIENT[..], &["--service", "worker"]].concat()),
        serving
    );
    let unknown = grpc(&address, &["--service", "nobody", "--timeout", "20s"]);
    assert_eq!(unknown, Ended::new(3, "", "the call failed: NotFound\n"));

    worker.set(CheckOutcome::unhealthy("it stands still"));
    until(&health, |report| !report.is_ready()).await;
    assert_eq!(grpc(&address, &PATIENT), Ended::new(4, "", "status: NOT_SERVING\n"));
}

#[test]
fn a_grpc_server_that_is_down_or_stands_still_ends_with_2_and_one_without_the_service_with_3() {
    let mut server = GrpcServer::start().unwrap();
    let address = server.addr().to_string();
    let ended = grpc(&address, &PATIENT);
    assert_eq!(ended, Ended::new(3, "", "the server does not implement grpc.health.v1\n"));

    let soon = ["--connect-timeout", "50ms"];
    let silent = Ended::new(2, "", "no connection within 50ms\n");
    let proxy = FaultProxy::start(server.addr()).unwrap();
    proxy.set(Fault::BlackHole);
    assert_eq!(grpc(&proxy.addr().to_string(), &soon), silent);
    server.stop().unwrap();
    assert_eq!(grpc(&address, &soon), silent);
    server.kill().unwrap();
    assert_eq!(grpc(&address, &PATIENT), Ended::new(2, "", "no connection: connection_refused\n"));
}

#[test]
fn a_probe_that_makes_no_sense_ends_with_1_and_never_with_2() {
    for words in [
        &["probe"][..],
        &["probe", "tcp", "127.0.0.1:1"],
        &["probe", "http"],
        &["probe", "http", "https://127.0.0.1/"],
        &["probe", "http", "http://a:hunter2@127.0.0.1/"],
        &["probe", "http", "http://127.0.0.1:1/", "--timeout", "0s"],
        &["probe", "http", "http://127.0.0.1:1/", "--timeout", "5"],
        &["probe", "http", "http://127.0.0.1:1/", "--service", "x"],
        &["probe", "http", "http://127.0.0.1:1/", "http://127.0.0.1:2/"],
        &["probe", "grpc", "127.0.0.1"],
        &["probe", "grpc", "127.0.0.1:1", "--connect-timeout", "soon"],
        &["--color", "never", "probe", "grpc"],
        &["--color", "pink", "probe", "http", "http://127.0.0.1:1/"],
        &["probe", "--nonsense"],
    ] {
        let ended = run(words);
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{words:?}: {}", ended.err);
        assert!(!ended.err.is_empty() && !ended.err.contains("hunter2"), "{}", ended.err);
    }
    let ended = run(&["probe", "http", "http://127.0.0.1:1/", "--timeout", "5"]);
    assert!(
        ended.err.contains("expected a duration with a unit, such as 500ms or 2s, longer than zero"),
        "{}",
        ended.err
    );
}

#[test]
fn whoever_asks_a_probe_for_help_gets_it_with_0() {
    for words in [&["probe", "--help"][..], &["probe", "http", "-h"], &["help", "probe"]] {
        assert_eq!(run(words).code, 0, "{words:?}");
    }
}
