//! A small load balancer that asks each gateway whether it is ready, and sends it nothing while it is not. It repeats no
//! request, so that what a gateway loses shows.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use clap::Args;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::lab::upstream::LISTENING;

/// How often a gateway is asked whether it is ready. Its drain delay must be longer than this and the patience together.
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// How long it may take to answer.
const PROBE_PATIENCE: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A gateway, as an http URL, and after a comma where to ask whether it is ready; without that it is asked at `/readyz`
    #[arg(long = "backend", required = true, value_name = "URL[,READINESS-URL]")]
    backends: Vec<Backend>,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
}

/// One of those that requests are sent to.
#[derive(Clone)]
struct Backend {
    authority: Authority,
    readiness: Uri,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    ready: AtomicBool,
    forwarded: AtomicU64,
}

#[derive(Clone)]
struct Balancer {
    backends: Arc<[Backend]>,
    next: Arc<AtomicUsize>,
    client: Client<HttpConnector, Body>,
}

/// Serves until the process ends.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    // The client would send a request again that a connection lost before it was answered.
    let client = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
    for backend in &options.backends {
        tokio::spawn(backend.clone().watch());
    }
    let balancer = Balancer { backends: options.backends.into(), next: Arc::default(), client };
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("the balancer cannot listen on {}", options.listen))?;
    println!("{LISTENING}{}", listener.local_addr()?);
    let app = Router::new().route("/balancer", get(show)).fallback(forward).with_state(balancer);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn show(State(balancer): State<Balancer>) -> Json<Value> {
    let backends = balancer.backends.iter().map(|backend| {
        json!({
            "backend": backend.authority.as_str(),
            "ready": backend.seen.ready.load(Ordering::Relaxed),
            "forwarded": backend.seen.forwarded.load(Ordering::Relaxed),
        })
    });
    Json(backends.collect())
}

async fn forward(State(balancer): State<Balancer>, mut request: Request) -> Response {
    let Some(backend) = balancer.pick() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "no gateway is ready\n")
            .into_response();
    };
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(backend.authority.clone()).path_and_query(path);
    match uri.build() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
    // These belong to the connection that the request came by.
    for name in [header::HOST, header::CONNECTION, header::UPGRADE, header::TE] {
        request.headers_mut().remove(name);
    }
    backend.seen.forwarded.fetch_add(1, Ordering::Relaxed);
    match balancer.client.request(request).await {
        Ok(response) => response.into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{}: {error}\n", backend.authority)).into_response(),
    }
}

// === impl Balancer ===

impl Balancer {
    /// The next of those that are ready, in turn.
    fn pick(&self) -> Option<&Backend> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.backends.len();
        let in_turn = (0..count).filter_map(|step| self.backends.get(turn.wrapping_add(step) % count));
        in_turn.into_iter().find(|backend| backend.seen.ready.load(Ordering::Relaxed))
    }
}

// === impl Backend ===

impl Backend {
    /// Asks again and again whether it is ready.
    async fn watch(self) {
        // A client of its own, with a new connection for each question: one that was kept would say nothing about new ones.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http::<Body>();
        let mut turns = interval(PROBE_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let answer = timeout(PROBE_PATIENCE, client.get(self.readiness.clone())).await;
            let ready = matches!(answer, Ok(Ok(response)) if response.status().is_success());
            self.seen.ready.store(ready, Ordering::Relaxed);
        }
    }
}

impl FromStr for Backend {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (traffic, readiness) = match text.split_once(',') {
            Some((traffic, readiness)) => (traffic, readiness.to_owned()),
            None => (text, format!("{}/readyz", text.trim_end_matches('/'))),
        };
        let [traffic, readiness] = [traffic, readiness.as_str()].map(|url| {
            let url: Uri = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
            ensure!(url.scheme() == Some(&Scheme::HTTP), "{url} is not an http URL");
            anyhow::Ok(url)
        });
        let (traffic, readiness) = (traffic?, readiness?);
        let Some(authority) = traffic.authority().cloned() else { bail!("{traffic} names no host") };
        Ok(Self { authority, readiness, seen: Arc::default() })
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("authority", &self.authority)
            .field("readiness", &self.readiness)
            .finish()
    }
}
