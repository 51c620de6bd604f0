//! Two gateways and two orchestrators, restarted one after the other under load; then maintenance.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::balance::Balance;
use crate::sse::{Event, Events};
use crate::stack::{ADMIN_TOKEN, Apart, Service, client, faults, question};
use crate::support::{token, until};

/// What the callers have seen.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    answered: AtomicU64,
    /// Streams that went on with their last id.
    resumed: AtomicU64,
    /// With what was done meanwhile.
    lost: Mutex<Vec<String>>,
    meanwhile: Mutex<String>,
}

struct Caller {
    balance: Arc<Balance>,
    client: Client,
    token: String,
    seen: Arc<Seen>,
}

type Told<T> = Result<T, String>;

fn told(error: reqwest::Error) -> String {
    format!("{error:?}")
}

impl Caller {
    async fn send(&self, method: Method, path: &str, last: &str, body: Option<&Value>) -> Told<Response> {
        let gateway: SocketAddr = self.balance.pick().await;
        let mut request =
            self.client.request(method.clone(), format!("http://{gateway}{path}")).bearer_auth(&self.token);
        if !last.is_empty() {
            request = request.header("last-event-id", last);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(told)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        Err(format!("{method} {path} at {gateway}: {status}: {}", answer.text().await.unwrap_or_default()))
    }

    async fn chat(&self, text: &str) -> Told<()> {
        let answer = self.send(Method::POST, "/v1/chat/completions", "", Some(&question(text))).await?;
        let answer: Value = answer.json().await.map_err(told)?;
        match answer["choices"][0]["message"]["content"].as_str() {
            Some(content) if content.contains("Messages read: 1") => Ok(()),
            _ => Err(format!("an answer that is none: {answer}")),
        }
    }

    async fn streamed_chat(&self, text: &str) -> Told<()> {
        let mut question = question(text);
        question["stream"] = json!(true);
        let mut events =
            Events::of(self.send(Method::POST, "/v1/chat/completions", "", Some(&question)).await?);
        let mut last = String::new();
        while let Some(event) = events.next().await.map_err(told)? {
            last = event.data;
        }
        if last == "[DONE]" { Ok(()) } else { Err(format!("a stream that ends with {last}")) }
    }

    /// A task and its stream, which is gone on with as often as a gateway ends it.
    async fn task(&self, text: &str) -> Told<()> {
        let task = json!({ "input": text, "mode": "standard" });
        let task = self.send(Method::POST, "/api/v1/tasks", "", Some(&task)).await?;
        let task: Value = task.json().await.map_err(told)?;
        let place = format!("/api/v1/tasks/{}", task["id"].as_str().unwrap_or_default());
        let mut events: Vec<Event> = Vec::new();
        while events.last().is_none_or(|event| event.name != "ended") {
            let last = events.last().map(|event| event.id.clone()).unwrap_or_default();
            if !last.is_empty() {
                self.seen.resumed.fetch_add(1, Ordering::Relaxed);
            }
            let mut more = Events::of(self.send(Method::GET, &format!("{place}/stream"), &last, None).await?);
            while let Some(event) = more.next().await.map_err(told)? {
                events.push(event);
            }
        }
        let sequences: Vec<u64> =
            events.iter().filter_map(|event| event.id.rsplit('.').next()?.parse().ok()).collect();
        if sequences != (1..=events.len() as u64).collect::<Vec<_>>() {
            return Err(format!("not every event once, in order: {events:?}"));
        }
        let task = self.send(Method::GET, &place, "", None).await?;
        let task: Value = task.json().await.map_err(told)?;
        if task["status"] == "succeeded" {
            Ok(())
        } else {
            Err(format!("a task that has told its end, and is not as it told: {task}"))
        }
    }

    /// One thing after the other until it is over.
    async fn work(self, number: usize) {
        for turn in 0_u64.. {
            if self.seen.over.load(Ordering::Relaxed) {
                return;
            }
            let text = format!("What of the tides, the moon and the sea, {number} and {turn}?");
            let done = match number % 3 {
                0 => self.chat(&text).await,
                1 => self.streamed_chat(&text).await,
                _ => self.task(&text).await,
            };
            match done {
                Ok(()) => _ = self.seen.answered.fetch_add(1, Ordering::Relaxed),
                Err(lost) => {
                    let meanwhile = self.seen.meanwhile.lock().unwrap().clone();
                    self.seen.lost.lock().unwrap().push(format!("{meanwhile}: {lost}"));
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

async fn restart(service: &mut Service) {
    tokio::task::block_in_place(|| {
        service.program.end();
        service.start_again();
    });
    service.ready().await;
}

async fn maintenance(client: &Client, method: Method, gateway: SocketAddr) -> Value {
    let url = format!("http://{gateway}/admin/maintenance");
    let mut request = client.request(method.clone(), url).bearer_auth(ADMIN_TOKEN);
    if method == Method::POST {
        request = request.json(&json!({ "reason": "a test" }));
    }
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_no_request_and_maintenance_drains_to_nothing() {
    let mut stack = Apart::start(2, 2, &[]).await;
    // An answer takes longer than a gateway that is told to go: streams are ended in the middle.
    faults(stack.model.admin, &json!({ "pace": "300ms" })).await;
    let balance = Balance::over(&stack.gateways);
    let seen = Arc::new(Seen::default());
    let callers: Vec<_> = (0..12)
        .map(|number| {
            let caller = Caller {
                balance: balance.clone(),
                client: client(),
                token: token(&format!("user-{number}"), "max"),
                seen: seen.clone(),
            };
            tokio::spawn(caller.work(number))
        })
        .collect();

    let answered = || seen.answered.load(Ordering::Relaxed);
    let more = async |count: u64| {
        let before = answered();
        until("the load goes on", || async { answered() >= before + count }).await;
    };
    more(12).await;
    let now = |what: String| *seen.meanwhile.lock().unwrap() = what;
    for (number, service) in stack.gateways.iter_mut().chain(&mut stack.orchestrators).enumerate() {
        now(format!("restart {number}, of {}", service.address));
        restart(service).await;
        now(format!("after restart {number}"));
        more(12).await;
    }
    // Whose stream is at which gateway is chance.
    for _ in 0..5 {
        if seen.resumed.load(Ordering::Relaxed) == 0 {
            restart(&mut stack.gateways[0]).await;
            more(12).await;
        }
    }

    now("maintenance".to_owned());
    let operator = client();
    let gateway = stack.gateways[0].admin;
    assert_eq!(maintenance(&operator, Method::POST, gateway).await["maintenance"], true);
    until("nothing is under way", || async {
        maintenance(&operator, Method::GET, gateway).await["in_flight"] == 0
    })
    .await;
    more(12).await;
    assert_eq!(maintenance(&operator, Method::GET, gateway).await["in_flight"], 0);
    assert_eq!(maintenance(&operator, Method::DELETE, gateway).await["maintenance"], false);
    stack.gateways[0].ready().await;
    more(12).await;

    seen.over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let lost = seen.lost.lock().unwrap();
    let shown: Vec<_> = lost.iter().take(8).collect();
    assert!(lost.is_empty(), "{} of {} were lost: {shown:#?}", lost.len(), answered());
    assert!(seen.resumed.load(Ordering::Relaxed) > 0, "no stream was ended by a gateway");
}
