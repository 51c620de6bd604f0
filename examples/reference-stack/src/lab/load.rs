//! The load: calls at a constant rate on both routes alike, whatever becomes of them.
//!
//! It is an open loop: a slow answer holds back no later call, and a call's latency counts from the moment it was
//! meant to be sent. A closed loop would send less while the upstream hangs, and so hide most of the damage.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::lab::counts::PHASE;
use crate::lab::phase::{Phase, Route};

/// How long a caller waits for the gateway, which should have given up long before.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a caller got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Error,
    /// An error that came at once: the breaker turned the call away.
    Rejected,
}

/// One call, as its caller saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) route: Route,
    pub(crate) phase: Phase,
    /// When it was meant to be sent, since the drill began.
    pub(crate) at: Duration,
    pub(crate) latency: Duration,
    pub(crate) outcome: Outcome,
}

/// Callers of one gateway.
#[derive(Debug)]
pub(crate) struct Load {
    client: Client<HttpConnector, Body>,
    gateway: SocketAddr,
    path: &'static str,
    rate: u32,
    zero: Instant,
    in_flight: JoinSet<Call>,
    done: Vec<Call>,
}

// === impl Load ===

impl Load {
    /// `rate` calls a second for a path on each route of the gateway; times count from now.
    pub(crate) fn new(gateway: SocketAddr, path: &'static str, rate: u32) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            gateway,
            path,
            rate,
            zero: Instant::now(),
            in_flight: JoinSet::new(),
            done: Vec::new(),
        }
    }

    /// The time since the drill began.
    pub(crate) fn now(&self) -> Duration {
        self.zero.elapsed()
    }

    /// Sends the calls of one phase. Those that are not answered when it ends stay in flight.
    pub(crate) async fn run(&mut self, phase: Phase, seconds: u32) -> anyhow::Result<()> {
        let begin = Instant::now();
        for call in 0..self.rate * seconds {
            let due = begin + Duration::from_secs(1) * call / self.rate;
            sleep_until(due).await;
            for route in Route::ALL {
                let uri = format!("http://{}/{}{}", self.gateway, route.name(), self.path);
                let request = Request::get(uri).header(PHASE, phase.name()).body(Body::empty())?;
                self.send(route, phase, due, request);
            }
        }
        sleep_until(begin + Duration::from_secs(1) * seconds).await;
        while let Some(call) = self.in_flight.try_join_next() {
            self.done.push(call.context("a caller panicked")?);
        }
        Ok(())
    }

    /// Waits until every call is answered or given up.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<()> {
        while let Some(call) = self.in_flight.join_next().await {
            self.done.push(call.context("a caller panicked")?);
        }
        Ok(())
    }

    /// The calls that came to an end.
    pub(crate) fn calls(&self) -> &[Call] {
        &self.done
    }

    fn send(&mut self, route: Route, phase: Phase, due: Instant, request: Request<Body>) {
        let (client, at) = (self.client.clone(), due - self.zero);
        self.in_flight.spawn(async move {
            let outcome = timeout(PATIENCE, outcome(client, request)).await.unwrap_or(Outcome::Error);
            Call { route, phase, at, latency: due.elapsed(), outcome }
        });
    }
}

async fn outcome(client: Client<HttpConnector, Body>, request: Request<Body>) -> Outcome {
    let Ok(response) = client.request(request).await else {
        return Outcome::Error;
    };
    let (head, body) = response.into_parts();
    if Limited::new(body, 1 << 16).collect().await.is_err() {
        return Outcome::Error;
    }
    match head.status {
        StatusCode::OK => Outcome::Success,
        // The upstream's own 503 says nothing of when to come again; the breaker's does.
        StatusCode::SERVICE_UNAVAILABLE if head.headers.contains_key(header::RETRY_AFTER) => {
            Outcome::Rejected
        }
        _ => Outcome::Error,
    }
}
