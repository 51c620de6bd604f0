//! Two gateways behind the balancer, restarted one after the other under load: not one request is lost.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Uri;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use support::Program;

fn start(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-stack"));
    command.args(arguments);
    Program::start(command, [])
}

/// The address in the line that begins like this.
fn place(program: &mut Program, beginning: &str) -> SocketAddr {
    let line = program.says(beginning);
    let address = line.trim_start_matches("http://");
    address.split('/').next().expect("an address").parse().expect("an address")
}

struct Gateway {
    program: Program,
    traffic: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    fn start(upstream: SocketAddr, traffic: &str, admin: &str) -> Self {
        let upstream = format!("http://{upstream}");
        let mut program = start(&[
            "lab",
            "gateway",
            "--upstream",
            &upstream,
            "--listen",
            traffic,
            "--admin",
            admin,
            "--drain-delay-ms",
            "2000",
        ]);
        let traffic = place(&mut program, "through the breaker:");
        let admin = place(&mut program, "whether it is ready:");
        Self { program, traffic, admin }
    }

    /// Ends it as a platform would, and starts it again where it was.
    fn restart(&mut self, upstream: SocketAddr) {
        self.program.end();
        *self = Self::start(upstream, &self.traffic.to_string(), &self.admin.to_string());
    }
}

type Http = Client<HttpConnector, Body>;

async fn get(client: &Http, url: &str) -> Result<(u16, Vec<u8>), String> {
    let url: Uri = url.parse().expect("a URL");
    let response = client.get(url).await.map_err(|error| format!("{error:?}"))?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|error| format!("{error:?}"))?;
    Ok((status, body.to_bytes().to_vec()))
}

/// Waits until the balancer sees as many gateways ready as there should be.
async fn ready(client: &Http, balancer: SocketAddr, expected: usize) -> Vec<u64> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "the gateways did not become ready");
        let (_, body) =
            get(client, &format!("http://{balancer}/balancer")).await.expect("the balancer answers");
        let backends: Vec<Value> = serde_json::from_slice(&body).expect("JSON");
        if backends.iter().filter(|backend| backend["ready"] == true).count() == expected {
            return backends.iter().map(|backend| backend["forwarded"].as_u64().expect("a count")).collect();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_loses_not_one_request() {
    let mut worker = start(&["lab", "upstream", "--listen", "127.0.0.1:0"]);
    let upstream = place(&mut worker, "listening on ");
    let mut gateways = [0, 1].map(|_| Gateway::start(upstream, "127.0.0.1:0", "127.0.0.1:0"));
    let backends: Vec<String> = gateways
        .iter()
        .map(|gateway| format!("http://{},http://{}/readyz", gateway.traffic, gateway.admin))
        .collect();
    let mut balancer = start(&[
        "lab",
        "balancer",
        "--listen",
        "127.0.0.1:0",
        "--backend",
        &backends[0],
        "--backend",
        &backends[1],
    ]);
    let address = place(&mut balancer, "listening on ");
    let client: Http = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
    ready(&client, address, 2).await;

    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (client, over, answered) = (client.clone(), over.clone(), answered.clone());
            tokio::spawn(async move {
                let url = format!("http://{address}/guarded/work");
                // 800 requests a second in all: load, and not a siege.
                let mut turns = tokio::time::interval(Duration::from_millis(10));
                while !over.load(Ordering::Relaxed) {
                    turns.tick().await;
                    match get(&client, &url).await {
                        Ok((200, _)) => answered.fetch_add(1, Ordering::Relaxed),
                        lost => panic!("after {} answers: {lost:?}", answered.load(Ordering::Relaxed)),
                    };
                }
            })
        })
        .collect();

    for turn in 0..gateways.len() {
        let before = ready(&client, address, 2).await;
        let gateway = &mut gateways[turn];
        tokio::task::block_in_place(|| gateway.restart(upstream));
        let after = ready(&client, address, 2).await;
        let other = 1 - turn;
        assert!(after[other] > before[other] + 20, "the other one went on: {before:?}, {after:?}");
        // The restarted one is given work again.
        let deadline = Instant::now() + Duration::from_secs(60);
        while ready(&client, address, 2).await[turn] <= after[turn] + 20 {
            assert!(Instant::now() < deadline, "the restarted gateway gets no work");
        }
    }
    over.store(true, Ordering::Relaxed);
    for task in load {
        task.await.expect("no request was lost");
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > 200, "that was no load: {answered}");
    println!("{answered} requests, all of them answered with 200");
}
