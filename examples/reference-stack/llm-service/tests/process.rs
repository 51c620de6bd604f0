//! The language model as a process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

const SLOW: Duration = Duration::from_secs(60);

fn process() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-service"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env("LLM_SERVICE_LISTEN", "127.0.0.1:0").env("LLM_SERVICE_ADMIN_LISTEN", "127.0.0.1:0");
    command
}

#[tokio::test]
async fn says_where_it_listens_and_ends_gracefully_when_asked_to() {
    let secret = "sk-very-secret-indeed";
    let command = process()
        .env("LLM_SERVICE_DRAIN_DELAY", "0s")
        .env("LLM_API_KEY", secret)
        .env("RUST_LOG", "trace")
        .spawn();
    let mut child = command.expect("it runs");
    let mut stderr = child.stderr.take().expect("stderr");
    // Read all the time: a full pipe would hold the process up.
    let log = tokio::spawn(async move {
        let mut log = String::new();
        stderr.read_to_string(&mut log).await.map(|_| log)
    });
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let mut line =
        async || timeout(SLOW, lines.next_line()).await.expect("in time").expect("read").expect("a line");
    let url = line().await.strip_prefix("llm-service listens on ").expect("where").to_owned();
    let admin = line().await.strip_prefix("llm-service admin on ").expect("where").to_owned();
    let client = reqwest::Client::new();
    let models = client.get(format!("{url}/v1/models")).bearer_auth(secret).send().await.expect("sent");
    assert!(models.status().is_success());
    for path in ["/health", "/health/ready", "/health/live", "/health/detailed", "/faults", "/counts"] {
        let status = client.get(format!("{admin}{path}")).send().await.expect("sent").status();
        assert!(status.is_success(), "{path}: {status}");
    }
    let pid = Pid::from_raw(child.id().expect("it runs") as i32).expect("a pid");
    kill_process(pid, Signal::TERM).expect("signalled");
    let status = timeout(SLOW, child.wait()).await.expect("in time").expect("waited");
    assert!(status.success(), "{status}");
    let log = timeout(SLOW, log).await.expect("in time").expect("it ends").expect("read");
    assert!(log.contains("stopped") && !log.contains(secret), "{log}");
}

#[tokio::test]
async fn tells_all_that_is_wrong_with_its_settings_at_once_and_no_secret() {
    let wrong = [
        ("LLM_SERVICE_LISTEN", "nowhere"),
        ("LLM_API_KEY", "hush"),
        ("LLM_MODELS", "a,,b"),
        ("LLM_SERVICE_DRAIN_LIMIT", "50"),
    ];
    let output = timeout(SLOW, process().envs(wrong).output()).await.expect("in time").expect("it runs");
    assert_eq!(output.status.code(), Some(78));
    let report = String::from_utf8(output.stderr).expect("text");
    for (variable, _) in wrong {
        assert!(report.contains(variable), "{variable}: {report}");
    }
    assert!(!report.contains("hush"), "{report}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = process().env("LLM_SERVICE_LISTEN", &address).output();
    let output = timeout(SLOW, output).await.expect("in time").expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address));
}
