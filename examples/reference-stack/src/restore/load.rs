//! Tasks that are handed in at a constant rate, and which of them were accepted, and when.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::apart::Asker;

/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of a request.
#[derive(Debug, Clone)]
pub(crate) struct Handed {
    /// When it was sent.
    pub(crate) sent: Instant,
    /// When its answer came.
    pub(crate) at: Instant,
    /// Whether it had an idempotency key.
    pub(crate) keyed: bool,
    pub(crate) became: Became,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Became {
    /// 202, under this id.
    Accepted(String),
    /// 503 with `Retry-After`.
    Refused,
    /// Anything else.
    Failed(String),
}

/// From when on something is away, and when it begins to come back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Away {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

/// Callers at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    handed: Arc<Mutex<Vec<Handed>>>,
    sending: JoinHandle<anyhow::Result<()>>,
}

// === impl Load ===

impl Load {
    /// So many tasks a second from now on; each fourth has an idempotency key.
    pub(crate) fn start(asker: &Asker, gateway: SocketAddr, rate: u32) -> Self {
        let (stop, stopped) = watch::channel(false);
        let handed = Arc::<Mutex<Vec<Handed>>>::default();
        let sending = tokio::spawn(send(asker.clone(), gateway, rate, stopped, handed.clone()));
        Self { stop, handed, sending }
    }

    /// Hands nothing more in, and waits for every answer.
    pub(crate) async fn end(self) -> anyhow::Result<Vec<Handed>> {
        self.stop.send_replace(true);
        self.sending.await.context("the callers broke down")??;
        Ok(std::mem::take(&mut self.handed.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

// === impl Handed ===

impl Handed {
    pub(crate) fn id(&self) -> Option<&str> {
        match &self.became {
            Became::Accepted(id) => Some(id),
            Became::Refused | Became::Failed(_) => None,
        }
    }
}

// === impl Away ===

impl Away {
    /// Those that were accepted meanwhile, from the question to the answer.
    pub(crate) fn accepted<'h>(self, handed: impl Iterator<Item = &'h Handed>) -> usize {
        handed.filter(|one| one.id().is_some() && one.sent >= self.from && one.at < self.to).count()
    }

    /// Those that were refused, although they may have been sent before it or answered after it.
    pub(crate) fn refused<'h>(self, handed: impl Iterator<Item = &'h Handed>) -> usize {
        let meanwhile = |one: &&Handed| one.at >= self.from && one.sent < self.to;
        handed.filter(meanwhile).filter(|one| one.became == Became::Refused).count()
    }
}

async fn send(
    asker: Asker,
    gateway: SocketAddr,
    rate: u32,
    stopped: watch::Receiver<bool>,
    handed: Arc<Mutex<Vec<Handed>>>,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut under_way = JoinSet::new();
    for number in 0_u32.. {
        sleep_until(begin + Duration::from_secs(1).mul_f64(f64::from(number) / f64::from(rate))).await;
        if *stopped.borrow() {
            break;
        }
        let (asker, handed) = (asker.clone(), handed.clone());
        let keyed = number % 4 == 3;
        under_way.spawn(async move {
            let sent = Instant::now();
            let became = submit(&asker, gateway, number, keyed).await;
            let handed_in = Handed { sent, at: Instant::now(), keyed, became };
            handed.lock().unwrap_or_else(PoisonError::into_inner).push(handed_in);
        });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
    Ok(())
}

/// Hands one task in.
pub(crate) async fn submit(asker: &Asker, gateway: SocketAddr, number: u32, keyed: bool) -> Became {
    let url = format!("http://{gateway}/api/v1/tasks");
    let task = json!({ "input": format!("Plan the trip {number}."), "mode": "standard", "session": format!("s{}", number % 20) });
    let key = Uuid::new_v4().to_string();
    let more = [("idempotency-key", key.as_str())];
    let more = if keyed { more.as_slice() } else { &[] };
    match asker.ask(Method::POST, &url, more, Some(&task), PATIENCE).await {
        Err(error) => Became::Failed(format!("{error:#}")),
        Ok(answer) if answer.status == StatusCode::ACCEPTED => {
            let json = answer.json().unwrap_or_default();
            match json.get("id").and_then(Value::as_str) {
                Some(id) => Became::Accepted(id.to_owned()),
                None => Became::Failed("202 without an id".to_owned()),
            }
        }
        Ok(answer)
            if answer.status == StatusCode::SERVICE_UNAVAILABLE
                && answer.headers.contains_key("retry-after") =>
        {
            Became::Refused
        }
        Ok(answer) => Became::Failed(answer.status.to_string()),
    }
}
