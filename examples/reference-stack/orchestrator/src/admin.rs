//! The port of those who look after it: health with its details, and `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mainstay::spool::Spool;
use mainstay::{Mainstay, Reloader};
use mainstay_health_axum::{DetailsPolicy, Probes};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::store::Record;

#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) mainstay: Mainstay,
    pub(crate) reloader: Reloader,
    pub(crate) spool: Spool<Record>,
    pub(crate) metrics: Option<PrometheusHandle>,
}

pub(crate) fn router(admin: Admin) -> Router {
    let health = Probes::new(admin.mainstay.health()).details(DetailsPolicy::Always).router();
    Router::new().route("/metrics", get(metrics)).with_state(admin).merge(health)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let Some(metrics) = &admin.metrics else {
        return (StatusCode::NOT_FOUND, "no recorder is installed\n").into_response();
    };
    // What the managers know becomes metrics now.
    admin.mainstay.publish();
    admin.reloader.publish();
    admin.spool.publish();
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    metrics::gauge!("tokio_alive_tasks").set(tasks as f64);
    metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
}
