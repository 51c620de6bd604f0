//! Callers at a constant rate, whatever becomes of them; a latency counts from the moment at which a request was meant to be sent to the
//! answer's head, as it does for the judge: a stream is as long as its task.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::apart::{Answer, Asker};
use crate::rollout::balancer::SERVED_BY;

/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked for, by turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Chat,
    Stream,
    Submit,
    Get,
}

/// One request, as its caller saw it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// When it was meant to be sent.
    pub(crate) due: Instant,
    /// Until its answer began; until it was given up, if none did.
    pub(crate) latency: Duration,
    /// Which version answered it, if any did.
    pub(crate) by: Option<String>,
    /// What was wrong, if anything was.
    pub(crate) wrong: Option<String>,
}

/// Callers at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    calls: Arc<Mutex<Vec<Call>>>,
    sending: JoinHandle<anyhow::Result<()>>,
}

#[derive(Debug, Clone)]
struct Caller {
    asker: Asker,
    at: SocketAddr,
    /// The last task that was accepted.
    task: Arc<Mutex<Option<String>>>,
}

// === impl Load ===

impl Load {
    /// So many requests a second from now on.
    pub(crate) fn start(asker: Asker, at: SocketAddr, rate: u32) -> Self {
        let (stop, stopped) = watch::channel(false);
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let caller = Caller { asker, at, task: Arc::default() };
        let sending = tokio::spawn(send(caller, rate, stopped, calls.clone()));
        Self { stop, calls, sending }
    }

    /// Those that have ended until now, by when they were meant to be sent.
    pub(crate) fn since(&self, from: Instant) -> Vec<Call> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| call.due >= from).cloned().collect()
    }

    /// Sends nothing more, and waits for every answer.
    pub(crate) async fn end(self) -> anyhow::Result<Vec<Call>> {
        self.stop.send_replace(true);
        self.sending.await.context("the callers broke down")??;
        Ok(std::mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

async fn send(
    caller: Caller,
    rate: u32,
    stopped: watch::Receiver<bool>,
    calls: Arc<Mutex<Vec<Call>>>,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut under_way = JoinSet::new();
    for number in 0_u32.. {
        let due = begin + Duration::from_secs(1).mul_f64(f64::from(number) / f64::from(rate));
        sleep_until(due).await;
        if *stopped.borrow() {
            break;
        }
        let class = match number % 4 {
            0 => Class::Submit,
            1 => Class::Chat,
            2 => Class::Get,
            _ => Class::Stream,
        };
        let (caller, calls) = (caller.clone(), calls.clone());
        under_way.spawn(async move {
            let call = caller.call(class, number, due).await;
            calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
    Ok(())
}

// === impl Caller ===

impl Caller {
    async fn call(&self, class: Class, number: u32, due: Instant) -> Call {
        let late = due.elapsed();
        match self.ask(class, number).await {
            Ok((class, answer)) => {
                let by = answer.headers.get(SERVED_BY).and_then(|by| by.to_str().ok()).map(str::to_owned);
                Call { due, latency: late + answer.began_after, by, wrong: self.fault(class, &answer) }
            }
            // Which version it was the answer's head would have said. It is the drill that asks, so the error may be told.
            Err(error) => {
                let wrong = Some(format!("{class:?}: {error:#}"));
                Call { due, latency: due.elapsed(), by: None, wrong }
            }
        }
    }

    async fn ask(&self, class: Class, number: u32) -> anyhow::Result<(Class, Answer)> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = format!("What of the tides, the moon and the sea, {number}?");
        let messages = json!([{ "role": "user", "content": text }]);
        let (class, method, path, body) = match (class, task) {
            (Class::Chat, _) => {
                let body = json!({ "model": "reference", "messages": messages });
                (class, Method::POST, "/v1/chat/completions".to_owned(), Some(body))
            }
            (Class::Stream, _) => {
                let body = json!({ "model": "reference", "messages": messages, "stream": true });
                (class, Method::POST, "/v1/chat/completions".to_owned(), Some(body))
            }
            (Class::Get, Some(id)) => (class, Method::GET, format!("/api/v1/tasks/{id}"), None),
            // Nothing was accepted yet.
            (Class::Submit | Class::Get, _) => {
                let body = json!({ "input": text, "mode": "complex" });
                (Class::Submit, Method::POST, "/api/v1/tasks".to_owned(), Some(body))
            }
        };
        let url = format!("http://{}{path}", self.at);
        Ok((class, self.asker.ask(method, &url, &[], body.as_ref(), PATIENCE).await?))
    }

    /// What is wrong with an answer.
    fn fault(&self, class: Class, answer: &Answer) -> Option<String> {
        if let Some(cut) = &answer.cut {
            return Some(format!("{class:?}: broken off: {cut}"));
        }
        let expected = if class == Class::Submit { StatusCode::ACCEPTED } else { StatusCode::OK };
        if answer.status != expected {
            return Some(format!("{class:?}: {}", answer.status));
        }
        if class == Class::Stream {
            let is_whole = answer.body.trim_ascii().ends_with(b"data: [DONE]");
            return (!is_whole).then(|| "Stream: without its end".to_owned());
        }
        let json = answer.json().unwrap_or_default();
        let is_whole = match class {
            Class::Chat => json.pointer("/choices/0/message/content").is_some_and(Value::is_string),
            Class::Submit | Class::Get | Class::Stream => json.get("id").is_some_and(Value::is_string),
        };
        if class == Class::Submit
            && let Some(id) = json.get("id").and_then(Value::as_str)
        {
            *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
        }
        (!is_whole).then(|| format!("{class:?}: not what was asked for"))
    }
}
