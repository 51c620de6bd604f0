//! Load for a long time: memory flat, no task left, files bounded.
//!
//! ```sh
//! SOAK_SECONDS=600 SOAK_RATE=500 cargo test --release -p reference-stack --test whole -- --ignored --nocapture soak
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use crate::sse::Events;
use crate::stack::{Apart, Service, client, files, question};
use crate::support::token;

/// Requests that may be under way at once: more means that the machine does not take the rate.
const MOST: usize = 2000;
/// How many measurements are taken in all.
const MEASUREMENTS: u32 = 40;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// KiB of memory.
    memory: u64,
    /// Open files and connections.
    open: usize,
    /// Tasks of the runtime.
    tasks: u64,
}

impl Held {
    async fn by(client: &Client, service: &Service) -> Self {
        let process = format!("/proc/{}", service.program.id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory = memory.trim().trim_end_matches(" kB").parse().unwrap();
        let open = std::fs::read_dir(format!("{process}/fd")).unwrap().count();
        Self { memory, open, tasks: tasks(client, service).await }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB, {} open, {} tasks", self.memory / 1024, self.open, self.tasks)
    }
}

/// What has `/metrics` tells it there, the others where they count their faults.
async fn tasks(client: &Client, service: &Service) -> u64 {
    let read = async |path| {
        let answer = client.get(format!("http://{}/{path}", service.admin)).send().await.unwrap();
        answer.text().await.unwrap()
    };
    let metrics = read("metrics").await;
    if let Some(tasks) = metrics.lines().find_map(|line| line.strip_prefix("tokio_alive_tasks ")) {
        return tasks.parse().unwrap();
    }
    let counts: Value = serde_json::from_str(&read("counts").await).unwrap();
    counts["tokio_alive_tasks"].as_u64().unwrap()
}

/// Ten kinds of requests in turn.
async fn one(client: Client, gateway: SocketAddr, token: Arc<str>, number: u64) -> Result<(), String> {
    let ask =
        |method, path: &str| client.request(method, format!("http://{gateway}{path}")).bearer_auth(&*token);
    let mut chat = question(&format!("What of the tides, {number}?"));
    let request = match number % 10 {
        0..=2 => ask(Method::GET, "/v1/models"),
        3 | 4 => ask(Method::POST, "/v1/chat/completions").header("x-execution-mode", "simple").json(&chat),
        5 => {
            let key = format!("key-{}", number / 20);
            let chat = question(&format!("What of the moon, {}?", number / 20));
            ask(Method::POST, "/v1/chat/completions").header("idempotency-key", key).json(&chat)
        }
        6 => {
            chat["stream"] = json!(true);
            ask(Method::POST, "/v1/chat/completions").json(&chat)
        }
        7 => ask(Method::POST, "/api/v1/tasks").json(&json!({ "input": format!("The sea, {number}") })),
        8 => ask(Method::GET, "/api/v1/tasks?page_size=5"),
        // A conversation that grows.
        _ => ask(Method::POST, "/v1/chat/completions").header("x-session-id", "long").json(&chat),
    };
    let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status().as_u16();
    // The second one with a key may wait too long.
    if ![200, 202, 409].contains(&status) {
        return Err(format!("{status} to kind {}: {}", number % 10, answer.text().await.unwrap_or_default()));
    }
    if number % 10 == 6 && status == 200 {
        let mut events = Events::of(answer);
        while events.next().await.map_err(|error| format!("{error:?}"))?.is_some() {}
        return Ok(());
    }
    answer.bytes().await.map(drop).map_err(|error| format!("{error:?}"))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// The mean of a quarter of the measurements.
fn quarter(which: usize, of: &[Held], what: impl Fn(&Held) -> f64) -> f64 {
    let length = of.len() / 4;
    of[which * length..(which + 1) * length].iter().map(what).sum::<f64>() / length as f64
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes SOAK_SECONDS (600), at SOAK_RATE (500) requests a second"]
async fn under_load_for_long_memory_and_files_stay_as_they_are() {
    let (seconds, rate) = (number("SOAK_SECONDS", 600), number("SOAK_RATE", 500));
    let stack = Apart::start(1, 1, &[("RUST_LOG", "warn"), ("MAX_RUNNING_TASKS", "2000")]).await;
    let (client, gateway) = (client(), stack.gateways[0].address);
    let tokens: Vec<Arc<str>> = (0..500).map(|user| token(&format!("user-{user}"), "max").into()).collect();
    let services = [&stack.gateways[0], &stack.orchestrators[0], &stack.agents, &stack.model];
    let names = ["gateway", "orchestrator", "agent-core", "llm-service"];
    let places = Arc::new(Semaphore::new(MOST));
    let (good, bad) = (Arc::new(AtomicU64::new(0)), Arc::new(std::sync::Mutex::new(Vec::new())));
    let mut held: [Vec<Held>; 4] = Default::default();
    let mut spools = Vec::new();

    let begin = Instant::now();
    let mut turns = interval(Duration::from_secs(1) / u32::try_from(rate).unwrap());
    turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let every = Duration::from_secs(seconds) / MEASUREMENTS;
    let mut measured = 0;
    for number in 0..seconds * rate {
        turns.tick().await;
        let place = places.clone().try_acquire_owned();
        let place = place.unwrap_or_else(|_| {
            panic!("{MOST} are under way after {number}: the machine is too slow for {rate} a second")
        });
        let token: Arc<str> = tokens[(number as usize / 20) % tokens.len()].clone();
        let (sender, good, bad) = (client.clone(), good.clone(), bad.clone());
        tokio::spawn(async move {
            match one(sender, gateway, token, number).await {
                Ok(()) => _ = good.fetch_add(1, Ordering::Relaxed),
                Err(error) => bad.lock().unwrap().push(error),
            }
            drop(place);
        });
        if begin.elapsed() >= every * measured {
            measured += 1;
            for (held, service) in held.iter_mut().zip(services) {
                held.push(Held::by(&client, service).await);
            }
            spools.push(files(&stack.data.path().join("orchestrator-0")));
        }
    }
    let took = begin.elapsed();
    let _all = places.acquire_many(MOST as u32).await.unwrap();

    println!(
        "{} good answers in {took:?}, {} others",
        good.load(Ordering::Relaxed),
        bad.lock().unwrap().len()
    );
    for (name, held) in names.iter().zip(&held) {
        let quarters: Vec<_> =
            (0..4).map(|which| quarter(which, held, |held| held.memory as f64) as u64 / 1024).collect();
        println!("{name}: MiB by quarters {quarters:?}; first {}, last {}", held[0], held.last().unwrap());
    }
    println!("spool: files and bytes {:?}", spools.iter().step_by(5).collect::<Vec<_>>());

    assert!(bad.lock().unwrap().is_empty(), "{:#?}", bad.lock().unwrap().iter().take(8).collect::<Vec<_>>());
    for (name, held) in names.iter().zip(&held) {
        let (second, last) =
            (quarter(1, held, |held| held.memory as f64), quarter(3, held, |held| held.memory as f64));
        // A tenth, and 8 MiB for what an allocator keeps.
        assert!(last < second * 1.1 + 8.0 * 1024.0, "{name}'s memory grows: {second} KiB, then {last} KiB");
        let most = held.iter().map(|held| held.open).max().unwrap();
        assert!(most < MOST + 200, "{name} has {most} files open");
        let (first, last) =
            (quarter(1, held, |held| held.tasks as f64), quarter(3, held, |held| held.tasks as f64));
        assert!(last < first * 1.5 + 100.0, "{name}'s tasks grow: {first}, then {last}");
    }
    let (most_files, most_bytes) =
        spools.iter().fold((0, 0), |most, spool| (most.0.max(spool.0), most.1.max(spool.1)));
    assert!(
        most_files < 50 && most_bytes < 512 << 20,
        "the spool has {most_files} files, {most_bytes} bytes"
    );
}
