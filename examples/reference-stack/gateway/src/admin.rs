//! The operators' port: health with details, metrics, maintenance.

use std::sync::OnceLock;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mainstay_health_axum::{DetailsPolicy, Probes};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::App;
use crate::body::JsonBytes;
use crate::problem::Problem;

/// The recorder is the process's; so is what renders it.
static METRICS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Why maintenance begins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    reason: String,
}

/// How it stands with maintenance.
#[derive(Debug, Serialize)]
struct Maintenance {
    maintenance: bool,
    reason: Option<String>,
    /// Requests and streams that have not ended.
    in_flight: u64,
}

/// Installs the recorder of the process, unless it has one: what renders it, for the other services of the process. `None` if the recorder
/// is somebody else's.
pub fn record_metrics() -> Option<PrometheusHandle> {
    let metrics = METRICS.get_or_init(|| {
        let durations = Matcher::Suffix("_duration_seconds".to_owned());
        let buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let builder = PrometheusBuilder::new().set_buckets_for_metric(durations, &buckets).ok()?;
        builder.install_recorder().ok()
    });
    metrics.clone()
}

/// Tidies up: samples are kept until then, also if nobody ever asks for them.
pub(crate) async fn tidy_metrics() {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        if let Some(Some(handle)) = METRICS.get() {
            handle.run_upkeep();
        }
    }
}

/// The routes of the port.
pub(crate) fn router(app: App) -> Router {
    let maintenance = get(show).post(begin).delete(end);
    let guarded = Router::new()
        .route("/admin/maintenance", maintenance)
        .layer(from_fn_with_state(app.clone(), only_operators));
    Router::new()
        .merge(guarded)
        .route("/metrics", get(render))
        .merge(Probes::new(app.mainstay.health()).details(DetailsPolicy::Always).router())
        .fallback(async || Problem::not_found("There is nothing here."))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Not with this method.")
        })
        .with_state(app)
}

async fn only_operators(State(app): State<App>, request: Request, next: Next) -> Response {
    match is_operator(&app, request.headers()) {
        true => next.run(request).await,
        false => Problem::unauthorized("The token of the operators is needed.", None).into_response(),
    }
}

/// Takes as long for a wrong token as for a right one.
fn is_operator(app: &App, headers: &HeaderMap) -> bool {
    let Some(token) = &app.settings.admin_token else { return false };
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
    given.ct_eq(token.expose().as_bytes()).into()
}

/// Balancers stop sending; who comes all the same is served, and told to close the connection.
async fn begin(State(app): State<App>, body: JsonBytes) -> Result<Response, Problem> {
    let Begin { reason } = body.read()?;
    if reason.trim().is_empty() || reason.len() > 200 || reason.chars().any(char::is_control) {
        return Err(Problem::field("reason", "must be 1 to 200 bytes of text"));
    }
    tracing::info!(reason, "maintenance begins");
    app.mainstay.health().begin_maintenance(&reason);
    app.set_maintenance(Some(reason));
    Ok((StatusCode::ACCEPTED, Json(look(&app))).into_response())
}

async fn end(State(app): State<App>) -> Json<Maintenance> {
    tracing::info!("maintenance ends");
    app.mainstay.health().end_maintenance();
    app.set_maintenance(None);
    Json(look(&app))
}

async fn show(State(app): State<App>) -> Json<Maintenance> {
    Json(look(&app))
}

fn look(app: &App) -> Maintenance {
    let reason = app.maintenance();
    Maintenance { maintenance: reason.is_some(), reason, in_flight: app.mainstay.health().in_flight() }
}

/// What the managers decided is told to the recorder only when somebody asks.
async fn render(State(app): State<App>) -> Result<Response, Problem> {
    app.mainstay.publish();
    app.reloader.publish();
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    metrics::gauge!("tokio_alive_tasks").set(tasks as f64);
    let Some(Some(handle)) = METRICS.get() else {
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The process has another recorder."));
    };
    handle.run_upkeep();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, handle.render()).into_response())
}
