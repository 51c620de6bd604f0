//! The gateway: two routes to one upstream, `/guarded` through the breaker and `/unguarded` past it, with the same
//! client and the same time-out; and the same two to what is cached in a Redis.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Args;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use mainstay::breaker::{Breaker, BreakerError, BreakerLayer};
use mainstay::health::Shutdown;
use tokio::net::TcpListener;
use tower::timeout::error::Elapsed;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder, ServiceExt};

use crate::lab::cache::Cache;
use crate::lab::counts::{Counts, ROUTE};
use crate::lab::phase::Route;
use crate::lab::timeline::Timeline;
use crate::lab::{guard, health};

/// How long the gateway waits for what it depends on, on both routes.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(750);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The upstream, as an http URL
    #[arg(long, default_value = "http://127.0.0.1:8081")]
    upstream: Uri,
    /// A Redis, as a redis URL; without it there are no routes to it
    #[arg(long)]
    redis: Option<String>,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The address to answer probes on: `/readyz`, `/livez`, `/startupz`, `/health`; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8082")]
    admin: SocketAddr,
    /// How many milliseconds balancers get to notice that this gateway is about to end
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    drain_delay_ms: u64,
}

#[derive(Clone)]
struct Gateway {
    upstream: Authority,
    guarded: BoxCloneSyncService<Request, Response, BreakerError<Error>>,
    unguarded: BoxCloneSyncService<Request, Response, BoxError>,
    cache: Option<Cache>,
    sent: Sent,
}

/// What the gateway sent to each of its dependencies, or tried to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) upstream: Counts,
    pub(crate) redis: Counts,
}

/// Serves until SIGTERM, and then until what is under way has ended; tells what the breakers do.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let http = options.upstream.scheme() == Some(&Scheme::HTTP);
    ensure!(http, "the upstream is not an http URL: {}", options.upstream);
    let upstream = options.upstream.authority().cloned().context("the upstream's URL names no host")?;

    let breaker = guard::breaker("upstream", TIMEOUT)?;
    Timeline::follow(&breaker);
    let (cache, redis) = match &options.redis {
        Some(url) => {
            let breaker = guard::breaker("redis", TIMEOUT)?;
            Timeline::follow(&breaker);
            (Some(Cache::connect(url, breaker.clone()).await?), Some(breaker))
        }
        None => (None, None),
    };
    let health = health::manager(&breaker, redis.as_ref(), Duration::from_millis(options.drain_delay_ms))?;
    health.start()?;
    let shutdown = Shutdown::on_signals(&health)?;

    let probes = listen(options.admin).await?;
    let listener = listen(options.listen).await?;
    let (address, admin) = (listener.local_addr()?, probes.local_addr()?);
    // Until the very end: a gateway that drains must be able to say so.
    tokio::spawn(axum::serve(probes, mainstay_health_axum::router(&health)).into_future());
    println!("through the breaker:  http://{address}/guarded/work");
    println!("past the breaker:     http://{address}/unguarded/work");
    if cache.is_some() {
        println!(
            "the same for Redis:   http://{address}/guarded/cached and http://{address}/unguarded/cached"
        );
    }
    println!("whether it is ready:  http://{admin}/readyz");
    let app = router(upstream, breaker, cache, Sent::default());
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.stop_accepting());
    let ended = shutdown.run(server).await;
    ended.output.context("the gateway did not end in time, and was cut off")??;
    println!("the gateway has ended, and took {:.1} s for it", ended.took.as_secs_f64());
    Ok(())
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("the gateway cannot listen on {address}"))
}

/// The gateway's routes. What it sends is counted in `sent`.
pub(crate) fn router(upstream: Authority, breaker: Breaker, cache: Option<Cache>, sent: Sent) -> Router {
    // A client for each route, so that the one's connections are of no use to the other.
    let client = || {
        let sent = sent.upstream.clone();
        ServiceBuilder::new()
            .map_request(move |request: Request| {
                sent.forwarded(request.headers());
                request
            })
            .service(Client::builder(TokioExecutor::new()).build_http::<Body>())
    };
    let guarded = ServiceBuilder::new()
        .map_response(IntoResponse::into_response)
        .layer(BreakerLayer::new(breaker).classify(guard::verdict))
        .service(client());
    let unguarded =
        ServiceBuilder::new().map_response(IntoResponse::into_response).timeout(TIMEOUT).service(client());

    let gateway = Gateway {
        upstream,
        guarded: BoxCloneSyncService::new(guarded),
        unguarded: BoxCloneSyncService::new(unguarded),
        cache,
        sent,
    };
    let guarded = Router::new().route("/cached", get(cached_by_guarded)).fallback(by_guarded);
    let unguarded = Router::new().route("/cached", get(cached_by_unguarded)).fallback(by_unguarded);
    Router::new().nest("/guarded", guarded).nest("/unguarded", unguarded).with_state(gateway)
}

async fn cached_by_guarded(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    gateway.cached(Route::Guarded, &headers).await
}

async fn cached_by_unguarded(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    gateway.cached(Route::Unguarded, &headers).await
}

async fn by_guarded(State(gateway): State<Gateway>, request: Request) -> Response {
    let request = match gateway.forward(Route::Guarded, request) {
        Ok(request) => request,
        Err(error) => return failed(StatusCode::BAD_REQUEST, &error),
    };
    match gateway.guarded.oneshot(request).await {
        Ok(response) => response,
        Err(BreakerError::Rejected(rejected)) => guard::turned_away(&rejected),
        Err(BreakerError::TimedOut(late)) => failed(StatusCode::GATEWAY_TIMEOUT, &late),
        Err(error) => failed(StatusCode::BAD_GATEWAY, &error),
    }
}

async fn by_unguarded(State(gateway): State<Gateway>, request: Request) -> Response {
    let request = match gateway.forward(Route::Unguarded, request) {
        Ok(request) => request,
        Err(error) => return failed(StatusCode::BAD_REQUEST, &error),
    };
    match gateway.unguarded.oneshot(request).await {
        Ok(response) => response,
        Err(error) if error.is::<Elapsed>() => failed(StatusCode::GATEWAY_TIMEOUT, &error),
        Err(error) => failed(StatusCode::BAD_GATEWAY, &error),
    }
}

fn failed(status: StatusCode, error: &dyn std::fmt::Display) -> Response {
    (status, format!("{error}\n")).into_response()
}

// === impl Gateway ===

impl Gateway {
    /// What Redis has.
    async fn cached(&self, route: Route, headers: &HeaderMap) -> Response {
        let Some(cache) = &self.cache else {
            return failed(StatusCode::NOT_FOUND, &"no Redis is configured");
        };
        let answer = cache.get(route).await;
        if answer.sent {
            self.sent.redis.call(route, headers);
        }
        answer.response
    }

    /// The request as it goes to the upstream.
    fn forward(&self, route: Route, mut request: Request) -> Result<Request, axum::http::Error> {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.upstream.clone())
            .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
            .build()?;
        // These belong to the connection that the request came by.
        let headers = request.headers_mut();
        for name in [header::HOST, header::CONNECTION, header::UPGRADE, header::TE] {
            headers.remove(name);
        }
        headers.insert(ROUTE, HeaderValue::from_static(route.name()));
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tokio::net::TcpSocket;

    #[tokio::test]
    async fn a_caller_that_is_turned_away_learns_when_to_come_again_and_why() {
        // Bound but not listening: every connection is refused.
        let port = TcpSocket::new_v4().unwrap();
        port.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let upstream = port.local_addr().unwrap().to_string().parse().unwrap();
        let gateway = router(upstream, guard::breaker("upstream", TIMEOUT).unwrap(), None, Sent::default());
        let get = || gateway.clone().oneshot(Request::get("/guarded/work").body(Body::empty()).unwrap());

        for _ in 0..5 {
            assert_eq!(get().await.unwrap().status(), StatusCode::BAD_GATEWAY);
        }
        let answer = get().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["status"], 503);
        assert!(problem["cause"].is_string(), "{problem}");
    }
}
