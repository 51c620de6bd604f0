//! The gateway itself: it forwards a request and returns the answer.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http_body_util::Empty;
use mainstay::Mainstay;
use mainstay::breaker::Breaker;
use mainstay::degrade::{Criticality, DecisionLayer, InExtensions, ObserveLayer, ShedLayer};
use mainstay::health::Check;
use mainstay_benches::call::Failure;
use mainstay_benches::peers::tower_resilience;
use mainstay_health_axum::Probes;
use mainstay_http::HttpLayer;
use metrics::{counter, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tower::timeout::Timeout;
use tower::util::Either;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::variant::Variant;

type BoxError = Box<dyn Error + Send + Sync>;

/// What goes out for each request that comes in.
pub(crate) type Outgoing = axum::http::Request<Empty<Bytes>>;

/// How long the upstream may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// How many requests the peers' limit lets through at once: more than there are connections.
const MOST_AT_ONCE: usize = 256;

/// What comes in is told by a header of the caller, as the reference stack has it.
static CRITICALITY: HeaderName = HeaderName::from_static("x-criticality");

struct App<S> {
    client: S,
    upstream: Uri,
}

/// Breakers, health and degradation, wired as a service wires them.
pub(crate) fn family() -> Result<Mainstay, Failure> {
    let mainstay = Mainstay::builder("gateway")
        .breaker("upstream", |breaker| breaker.settings(mainstay_http::default_settings()))
        .check(Check::shared("disk", || async {}).critical())
        .check(Check::shared("database", || async {}))
        .build()?;
    Ok(mainstay)
}

/// The routes, over a client.
pub(crate) fn router<S, B>(
    variant: Variant,
    mainstay: &Mainstay,
    client: S,
    upstream: Uri,
) -> Result<
    impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
    Failure,
>
where
    S: Service<Outgoing, Response = axum::http::Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Error + Send + Sync,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Error + Send + Sync,
{
    let handlers = if variant.guards() {
        let breaker: Breaker = mainstay.breaker("upstream").ok_or("there is no breaker for the upstream")?;
        handlers(HttpLayer::client(breaker).timeout(DEADLINE).layer(client), upstream)
    } else if variant == Variant::TimeOut {
        handlers(Timeout::new(client, DEADLINE), upstream)
    } else if variant == Variant::Peers {
        handlers(tower_resilience::around(Timeout::new(client, DEADLINE)), upstream)
    } else {
        handlers(client, upstream)
    };
    if variant == Variant::Peers {
        return Ok(Either::Right(Either::Left(by_others(handlers))));
    }
    if !variant.degrades() {
        return Ok(Either::Left(handlers));
    }
    let degradation = mainstay.degradation();
    // Around the whole router: `Router::layer` would put services and futures into boxes.
    let stack = ServiceBuilder::new()
        .layer(DecisionLayer::new(degradation))
        .layer(ShedLayer::new(degradation, criticality).assessed_by(InExtensions).reject_http())
        .map_response(|response: axum::http::Response<_>| response.map(Body::new))
        .layer(ObserveLayer::http(degradation.observer()));
    let whole = stack.service(handlers.merge(Probes::new(mainstay.health()).router()));
    Ok(Either::Right(Either::Right(whole)))
}

/// Where metrics go.
pub(crate) fn recorder() -> Result<PrometheusHandle, Failure> {
    Ok(PrometheusBuilder::new().set_buckets(&[0.001, 0.01, 0.1, 1.0])?.install_recorder()?)
}

/// What sheds and what measures, without Mainstay. It is judged by how many requests there are, not by what they matter.
fn by_others(
    handlers: Router,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static {
    let (took, answered) = (histogram!("took_seconds"), counter!("answered"));
    ServiceBuilder::new()
        .map_future(move |answer| {
            let (took, answered) = (took.clone(), answered.clone());
            async move {
                let begun = Instant::now();
                let answer = answer.await;
                took.record(begun.elapsed());
                answered.increment(1);
                answer
            }
        })
        .layer(HandleErrorLayer::new(async |_: BoxError| StatusCode::SERVICE_UNAVAILABLE))
        .load_shed()
        .concurrency_limit(MOST_AT_ONCE)
        .service(handlers)
}

fn handlers<S, B>(client: S, upstream: Uri) -> Router
where
    S: Service<Outgoing, Response = axum::http::Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Send,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Router::new().route("/work", get(forward::<S, B>)).with_state(Arc::new(App { client, upstream }))
}

async fn forward<S, B>(State(app): State<Arc<App<S>>>) -> Response
where
    S: Service<Outgoing, Response = axum::http::Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Send,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut request = axum::http::Request::new(Empty::new());
    app.upstream.clone_into(request.uri_mut());
    match app.client.clone().oneshot(request).await {
        Ok(answer) => answer.map(Body::new).into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

fn criticality(request: &Request) -> Criticality {
    let said = request.headers().get(&CRITICALITY).and_then(|said| said.to_str().ok());
    let classes = [Criticality::Critical, Criticality::SheddablePlus, Criticality::Sheddable];
    said.and_then(|said| classes.into_iter().find(|class| class.as_str() == said))
        .unwrap_or(Criticality::Critical)
}
