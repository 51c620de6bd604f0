//! Each fault, met by a client.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::time::{Duration, Instant};

use mainstay_health_grpc::{ProbeTimeouts, probe};
use serde_json::json;
use support::{request, started, until};
use tonic::{Code, Request};

#[tokio::test]
async fn each_fourth_call_fails() {
    let agents = started(&[]).await;
    agents.switch(json!({"error_rate": 0.25})).await;
    let mut codes = Vec::new();
    for _ in 0..8 {
        codes.push(agents.ask("writer", "hi").await.err().map_or(Code::Ok, |status| status.code()));
    }
    let four = [Code::Ok, Code::Ok, Code::Ok, Code::Unavailable];
    assert_eq!(codes, [four, four].concat());
    let counts = agents.running.faults().counts();
    assert_eq!((counts.arrived, counts.failed, counts.under_way), (8, 2, 0));
    agents.switch(json!({"error_rate": 1.0})).await;
    // Health is not part of a drill.
    assert_eq!(probe(&agents.url(), "", ProbeTimeouts::default()).await.exit.code(), 0);
}

#[tokio::test]
async fn calls_are_delayed() {
    let agents = started(&[]).await;
    agents.switch(json!({"delay": "80ms"})).await;
    let begin = Instant::now();
    agents.ask("writer", "hi").await.expect("a reply");
    assert!(begin.elapsed() >= Duration::from_millis(80));
    assert_eq!(agents.running.faults().counts().delayed, 1);
}

#[tokio::test]
async fn calls_hang_until_switched_off_or_until_the_caller_goes() {
    let agents = started(&[]).await;
    agents.switch(json!({"hang": true})).await;
    let counts = || agents.running.faults().counts();
    tokio::select! {
        reply = agents.ask("writer", "hi") => panic!("{reply:?}"),
        () = until(|| counts().hung == 1) => {}
    }
    until(|| counts().under_way == 0).await;
    let mut limited = Request::new(request("writer", "hi"));
    limited.set_timeout(Duration::from_millis(200));
    agents.execute(limited).await.expect_err("no reply in time");
    until(|| counts().under_way == 0).await;
    let (reply, ()) = tokio::join!(agents.ask("writer", "hi"), async {
        until(|| counts().under_way == 1).await;
        agents.switch(json!({})).await;
    });
    reply.expect("a reply");
}

#[tokio::test]
async fn an_answer_breaks_off() {
    let agents = started(&[]).await;
    agents.switch(json!({"break_after": 0})).await;
    assert_eq!(agents.ask("writer", "hi").await.expect_err("no reply").code(), Code::Internal);
    agents.switch(json!({"break_after": 1})).await;
    agents.ask("writer", "hi").await.expect("a reply is one piece");
    assert_eq!(agents.running.faults().counts().broken, 1);
}

#[tokio::test]
async fn a_graceful_stop_lets_a_call_end() {
    let agents = started(&[]).await;
    agents.switch(json!({"hang": true})).await;
    let mut client = agents.client.clone();
    let call = tokio::spawn(async move { client.execute(request("writer", "hi")).await });
    let faults = agents.running.faults().clone();
    until(|| faults.counts().hung == 1).await;
    let address = agents.running.address();
    let stop = tokio::spawn(agents.running.stop());
    let deadline = Instant::now() + Duration::from_secs(60);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < deadline, "still accepting after 60 s");
    }
    assert!(!stop.is_finished());
    faults.set(stack_faults::Switches::default());
    call.await.expect("it ends").expect("a reply");
    stop.await.expect("it stops");
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_its_limit_for_a_call_that_hangs() {
    let agents = started(&[("AGENT_CORE_DRAIN_LIMIT", "200ms")]).await;
    agents.switch(json!({"hang": true})).await;
    let (mut client, faults) = (agents.client.clone(), agents.running.faults().clone());
    let call = tokio::spawn(async move { client.execute(request("writer", "hi")).await });
    until(|| faults.counts().hung == 1).await;
    tokio::time::timeout(Duration::from_secs(30), agents.running.stop()).await.expect("it stops");
    call.abort();
}
