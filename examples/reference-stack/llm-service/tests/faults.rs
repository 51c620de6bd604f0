//! Each fault, met by a client, whole and in chunks.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{question, read, settings, started, streamed, text, until};

fn both() -> [Value; 2] {
    [question("alpha beta gamma"), streamed(question("alpha beta gamma"))]
}

#[tokio::test]
async fn each_second_call_fails_whole_and_in_chunks() {
    let llm = started().await;
    for question in both() {
        llm.switch(json!({"error_rate": 0.5})).await;
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(llm.ask(&question).await.expect("sent").status().as_u16());
        }
        assert_eq!(statuses, [200, 500, 200, 500]);
    }
    llm.switch(json!({"error_rate": 1})).await;
    let error: Value = llm.ask(&question("hi")).await.expect("sent").json().await.expect("json");
    assert_eq!(error["error"]["type"], "server_error");
    // Health is not part of a drill.
    let health = llm.client.get(llm.url("/health")).send().await.expect("sent");
    assert_eq!(health.status(), StatusCode::OK);
    let counts: Value =
        llm.client.get(llm.admin("/counts")).send().await.expect("sent").json().await.expect("json");
    assert_eq!((&counts["arrived"], &counts["failed"]), (&json!(9), &json!(5)));
}

#[tokio::test]
async fn calls_are_delayed_whole_and_in_chunks() {
    let llm = started().await;
    llm.switch(json!({"delay": "80ms"})).await;
    for question in both() {
        let begin = Instant::now();
        assert_eq!(llm.ask(&question).await.expect("sent").status(), StatusCode::OK);
        assert!(begin.elapsed() >= Duration::from_millis(80));
    }
    assert_eq!(llm.running.faults().counts().delayed, 2);
}

#[tokio::test]
async fn calls_hang_until_switched_off_or_until_the_caller_goes_whole_and_in_chunks() {
    let llm = started().await;
    for question in both() {
        llm.switch(json!({"hang": true})).await;
        let gone = llm.client.post(llm.url("/v1/chat/completions")).json(&question);
        let error = gone.timeout(Duration::from_millis(300)).send().await.expect_err("no answer");
        assert!(error.is_timeout());
        until(|| llm.running.faults().counts().under_way == 0).await;
        let (answer, ()) = tokio::join!(llm.ask(&question), async {
            until(|| llm.running.faults().counts().under_way == 1).await;
            llm.switch(json!({})).await;
        });
        assert_eq!(answer.expect("answered").status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_stream_breaks_off_after_exactly_so_many_pieces() {
    let llm = started().await;
    let (all, done) = read(llm.ask(&streamed(question("alpha beta gamma"))).await.expect("sent")).await;
    assert!(done);
    for pieces in [0, 1, 3] {
        llm.switch(json!({"break_after": pieces})).await;
        let (chunks, done) =
            read(llm.ask(&streamed(question("alpha beta gamma"))).await.expect("sent")).await;
        assert!(!done);
        // The first chunk has no text.
        assert_eq!(chunks.len(), pieces + 1);
        assert_eq!(text(&chunks), text(&all[..=pieces]));
    }
    llm.switch(json!({"break_after": 1000})).await;
    let (chunks, done) = read(llm.ask(&streamed(question("alpha beta gamma"))).await.expect("sent")).await;
    assert!(done);
    assert_eq!(chunks.len(), all.len());
    assert_eq!(llm.running.faults().counts().broken, 3);
}

#[tokio::test]
async fn a_whole_answer_breaks_off_as_well() {
    let llm = started().await;
    llm.switch(json!({"break_after": 0})).await;
    let response = llm.ask(&question("hi")).await.expect("sent");
    assert_eq!(response.status(), StatusCode::OK);
    response.bytes().await.expect_err("it breaks off");
    llm.switch(json!({"break_after": 1})).await;
    llm.ask(&question("hi")).await.expect("sent").bytes().await.expect("it is one piece");
}

#[tokio::test]
async fn a_graceful_stop_lets_a_slow_stream_end() {
    let llm = started().await;
    llm.switch(json!({"pace": "30ms"})).await;
    let response = llm.ask(&streamed(question("alpha beta gamma"))).await.expect("sent");
    let address = llm.running.address();
    let ((_, done), ()) = tokio::join!(read(response), llm.running.stop());
    assert!(done);
    tokio::net::TcpStream::connect(address).await.expect_err("nobody listens");
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_its_limit_for_a_call_that_hangs() {
    let running =
        llm_service::start(settings(&[("LLM_SERVICE_DRAIN_LIMIT", "200ms")])).await.expect("it starts");
    let llm = support::Llm::over(running);
    llm.switch(json!({"hang": true})).await;
    let (client, url, faults) =
        (llm.client.clone(), llm.url("/v1/chat/completions"), llm.running.faults().clone());
    let call = tokio::spawn(async move { client.post(url).json(&question("hi")).send().await });
    until(|| faults.counts().hung == 1).await;
    tokio::time::timeout(Duration::from_secs(30), llm.running.stop()).await.expect("it stops");
    call.abort();
}
