//! The switches, turned over HTTP and met by calls.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use stack_faults::{Faults, Injected, Switches};
use tokio::net::TcpListener;

/// The URL of an admin port.
async fn admin(faults: &Faults) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let router = faults.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 30 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn failures(faults: &Faults, calls: usize) -> Vec<usize> {
    let mut failures = Vec::new();
    for n in 1..=calls {
        if matches!(faults.arrive().await, Err(Injected)) {
            failures.push(n);
        }
    }
    failures
}

#[tokio::test]
async fn the_calls_that_fail_are_the_same_at_each_run() {
    let faults = Faults::new();
    for (error_rate, expected) in [
        (0.0, vec![]),
        (0.25, vec![4, 8]),
        (0.4, vec![3, 5, 8, 10]),
        (1.0, (1..=10).collect()),
        (0.1, vec![10]),
    ] {
        for _ in 0..2 {
            faults.set(Switches { error_rate, ..Switches::default() });
            assert_eq!(failures(&faults, 10).await, expected, "{error_rate}");
        }
    }
    faults.set(Switches { error_rate: 1.0 / 3.0, ..Switches::default() });
    assert_eq!(failures(&faults, 30_000).await.len(), 9_999);
    assert_eq!(faults.counts().under_way, 0);
}

#[tokio::test]
async fn a_call_hangs_until_it_is_switched_off_or_the_caller_goes() {
    let faults = Faults::new();
    faults.set(Switches { hang: true, ..Switches::default() });
    let [stays, goes] = std::array::from_fn(|_| {
        let faults = faults.clone();
        tokio::spawn(async move { faults.arrive().await.is_ok() })
    });
    until(|| faults.counts().hung == 2).await;
    goes.abort();
    until(|| faults.counts().under_way == 1).await;
    faults.set(Switches::default());
    assert!(stays.await.expect("it ends"));
    assert_eq!(faults.counts().under_way, 0);
}

#[tokio::test]
async fn a_call_is_delayed_and_its_answer_breaks_off_after_some_pieces() {
    let faults = Faults::new();
    let delay = Duration::from_millis(50);
    faults.set(Switches { delay, pace: delay, break_after: Some(2), ..Switches::default() });
    let begin = Instant::now();
    let mut call = faults.arrive().await.expect("it passes");
    assert!(begin.elapsed() >= delay);
    let mut passed = Vec::new();
    for _ in 0..3 {
        passed.push(call.piece().await);
    }
    assert_eq!(passed, [true, true, false]);
    assert!(begin.elapsed() >= 3 * delay);
    let counts = faults.counts();
    assert_eq!((counts.arrived, counts.delayed, counts.broken, counts.under_way), (1, 1, 1, 1));
}

#[tokio::test]
async fn switches_are_turned_shown_and_cleared_over_http() {
    let faults = Faults::new();
    let (client, url) = (Client::new(), admin(&faults).await);
    let off = json!({"error_rate": 0.0, "delay": "0s", "pace": "0s", "hang": false, "break_after": null});
    let on = json!({"error_rate": 0.5, "delay": "250ms", "pace": "1s 5ms", "hang": true, "break_after": 3});
    let show = async || {
        client.get(format!("{url}/faults")).send().await.expect("sent").json::<Value>().await.expect("json")
    };
    assert_eq!(show().await, off);
    let put = client.put(format!("{url}/faults")).json(&on).send().await.expect("sent");
    assert_eq!((put.status(), put.json::<Value>().await.expect("json")), (StatusCode::OK, on.clone()));
    assert_eq!(show().await, on);
    let expected = Switches {
        error_rate: 0.5,
        delay: Duration::from_millis(250),
        pace: Duration::from_millis(1005),
        hang: true,
        break_after: Some(3),
    };
    assert_eq!(faults.switches(), expected);
    client.delete(format!("{url}/faults")).send().await.expect("sent");
    assert_eq!(show().await, off);

    drop(faults.arrive().await.expect("it passes"));
    let mut counts =
        client.get(format!("{url}/counts")).send().await.expect("sent").json::<Value>().await.expect("json");
    let tasks =
        counts.as_object_mut().and_then(|counts| counts.remove("tokio_alive_tasks")).expect("a number");
    assert!(tasks.as_u64() > Some(0), "who answers is a task: {tasks}");
    assert_eq!(
        counts,
        json!({"arrived": 1, "under_way": 0, "failed": 0, "delayed": 0, "hung": 0, "broken": 0})
    );
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_as_a_whole_with_field_value_and_rule() {
    let faults = Faults::new();
    let (client, url) = (Client::new(), admin(&faults).await);
    for (body, fields) in [
        (r#"{"error_rate": 1.5}"#, vec!["error_rate"]),
        (r#"{"error_rate": -0.1}"#, vec!["error_rate"]),
        (r#"{"error_rate": "1"}"#, vec!["error_rate"]),
        (r#"{"delay": 250}"#, vec!["delay"]),
        (r#"{"delay": "250"}"#, vec!["delay"]),
        (r#"{"delay": "11m"}"#, vec!["delay"]),
        (r#"{"pace": "-1s"}"#, vec!["pace"]),
        (r#"{"hang": 1, "break_after": -1, "hung": true}"#, vec!["break_after", "hang", "hung"]),
        (r#"{"break_after": 1.5}"#, vec!["break_after"]),
        ("[]", vec!["body"]),
        ("{", vec!["body"]),
        ("", vec!["body"]),
        ("null", vec!["body"]),
    ] {
        let refused = client.put(format!("{url}/faults")).body(body).send().await.expect("sent");
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        let problem: Value = refused.json().await.expect("json");
        let errors = problem["errors"].as_array().expect("a list");
        assert_eq!(
            errors.iter().map(|error| error["field"].as_str().expect("text")).collect::<Vec<_>>(),
            fields
        );
        assert!(
            errors.iter().all(|error| error["value"].is_string() && error["rule"].is_string()),
            "{problem}"
        );
    }
    assert_eq!(faults.switches(), Switches::default());
    let long = client.put(format!("{url}/faults")).body("x".repeat(100_000)).send().await.expect("sent");
    assert_eq!(long.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
