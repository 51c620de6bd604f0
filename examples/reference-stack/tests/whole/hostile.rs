//! What nobody sends who means well, all at once: the gateway's memory stays as it is, and others are served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stack::{Apart, Stores, ask, client, question};
use crate::support::{PATIENCE, token};

/// For all bodies that have not been handed on.
const BODIES: u64 = 8 << 20;
/// What may come on top: connections, their buffers, and what an allocator keeps.
const BESIDE: u64 = 64 << 20;
/// At once, of each kind.
const MANY: usize = 100;

/// Sends bytes as they are, then waits for an answer or the end. Whether it was refused: 4xx, or no answer at all.
async fn is_refused(gateway: SocketAddr, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    // The gateway may close before it has read it all.
    let _ = stream.write_all(bytes).await;
    let mut head = vec![0; 64];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut head)).await.expect("an answer, or the end");
    let head = String::from_utf8_lossy(&head[..read.unwrap_or(0)]).into_owned();
    head.is_empty() || head.starts_with("HTTP/1.1 4") || head.starts_with("HTTP/1.1 503")
}

/// Bytes of memory.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    memory.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_hostile_requests_is_refused_within_bounded_memory() {
    let body_memory = BODIES.to_string();
    let more = [
        ("BODY_MEMORY", body_memory.as_str()),
        ("BODY_TIMEOUT", "2s"),
        ("HEADER_TIMEOUT", "2s"),
        ("RUST_LOG", "warn"),
    ];
    let mut stack = Apart::start_on(Stores::Embedded, 1, 1, &more).await;
    let (gateway, process) = (stack.gateways[0].address, stack.gateways[0].program.id());
    let good = || ask(Method::POST, gateway, "/v1/chat/completions").json(&question("Hello")).send();
    assert_eq!(good().await.unwrap().status(), 200);

    let (before, most) = (memory(process), Arc::new(AtomicU64::new(0)));
    let is_over = Arc::new(AtomicBool::new(false));
    let watched = tokio::spawn({
        let (most, is_over) = (most.clone(), is_over.clone());
        async move {
            while !is_over.load(Ordering::Relaxed) {
                most.fetch_max(memory(process), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });

    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n",
        token("ann", "max")
    );
    let too_large = format!("{head}content-length: 4000000\r\n\r\n{}", "x".repeat(4_000_000));
    let slow = format!("{head}content-length: 1000000\r\n\r\n{}", "x".repeat(900_000));
    let many_headers = format!("{head}{}\r\n", "x-header: 1\r\n".repeat(5_000));
    let long_header = format!("{head}x: {}\r\n\r\n", "x".repeat(1_000_000));
    let endless_head = format!("{head}x: 1");
    let kinds =
        [too_large, slow, many_headers, long_header, endless_head].map(String::into_bytes).map(Arc::new);
    let raw = kinds.iter().flat_map(|kind| (0..MANY).map(move |_| kind.clone()));
    let raw = join_all(raw.map(|bytes| tokio::spawn(async move { is_refused(gateway, &bytes).await })));
    let keys = join_all((0..MANY).map(|_| {
        let asked = ask(Method::POST, gateway, "/api/v1/tasks").header("idempotency-key", "k".repeat(10_000));
        asked.json(&json!({ "input": "x" })).send()
    }));
    let others = async {
        for _ in 0..10 {
            let answer = good().await.unwrap();
            let status = answer.status();
            // There may be no room for the body for a moment.
            assert!([StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(&status), "{answer:?}");
        }
    };
    let (raw, keys, ()) = tokio::join!(raw, keys, others);
    is_over.store(true, Ordering::Relaxed);
    watched.await.unwrap();

    assert!(raw.into_iter().all(Result::unwrap), "all are refused");
    for answer in keys {
        assert_eq!(answer.unwrap().status(), 400, "a key of 10 kB");
    }
    let most = most.load(Ordering::Relaxed);
    assert!(most < before + BODIES + BESIDE, "from {} MiB to {} MiB", before >> 20, most >> 20);
    let answer =
        client().get(format!("http://{gateway}/v1/models")).bearer_auth(token("ann", "max")).send().await;
    assert_eq!(answer.unwrap().status(), 200);
    stack.gateways[0].program.end();
}
