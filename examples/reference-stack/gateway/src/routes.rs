//! The way of a request: its trace, then who asks, how much he may, whether it is shed, and the handler. Look at [`router`].

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use mainstay::degrade::{Criticality, DecisionLayer, InExtensions, ObserveLayer, Shed, ShedLayer};
use mainstay_health_axum::{Endpoint, Probes};
use tokio::time::timeout;

use crate::openapi::describe;
use crate::problem::{Problem, in_openais_shape};
use crate::{App, auth, chat, cors, limit, tasks, trace};

/// The routes of the clients' port. Of layers the last one is the outermost.
pub fn router(app: App) -> Router {
    let degradation = app.mainstay.degradation();
    let description = Arc::new(describe(&app.settings.models));
    let guarded = Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/models", get(chat::models))
        .route("/api/v1/tasks", get(tasks::list).post(tasks::submit))
        .route("/api/v1/tasks/{id}", get(tasks::get).delete(tasks::cancel))
        .route("/api/v1/tasks/{id}/stream", get(tasks::stream))
        // Inside of what sheds: what the level sheds is no evidence for the level.
        .layer(ObserveLayer::http(degradation.observer()))
        .layer(
            ShedLayer::new(degradation, criticality)
                .assessed_by(InExtensions)
                .reject_with(|shed: Shed| refuse(shed)),
        )
        .layer(from_fn_with_state(app.clone(), limit::limit))
        .layer(from_fn_with_state(app.clone(), auth::authenticate));
    let probes = [Endpoint::Health, Endpoint::Readiness, Endpoint::Readyz, Endpoint::Livez];
    let open = Router::new()
        .merge(guarded)
        .route("/openapi.json", get(async move || Json(description.clone()).into_response()))
        .merge(Probes::new(app.mainstay.health()).only(probes).router())
        .fallback(async || Problem::not_found("There is nothing here."))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Not with this method.")
        })
        .layer(from_fn_with_state(app.clone(), in_time))
        .layer(DecisionLayer::new(degradation))
        .layer(from_fn(of_openai));
    let open = match cors::layer(&app.settings.cors_origins) {
        Some(cors) => open.layer(cors),
        None => open,
    };
    open.layer(from_fn_with_state(app.clone(), trace::follow)).with_state(app)
}

/// How much a request matters, as the caller has it in the header `X-Criticality`. Without it users wait for what is posted and
/// for single tasks; lists can wait.
fn criticality(request: &Request) -> Criticality {
    let said = request.headers().get("x-criticality").and_then(|said| said.to_str().ok());
    // Nobody outside is more than critical.
    let said = said.and_then(|said| {
        let classes = [Criticality::Critical, Criticality::SheddablePlus, Criticality::Sheddable];
        classes.into_iter().find(|class| class.as_str() == said)
    });
    let lists = request.method() == axum::http::Method::GET && request.uri().path() == "/api/v1/tasks";
    said.unwrap_or(if lists { Criticality::SheddablePlus } else { Criticality::Critical })
}

fn refuse(shed: Shed) -> Response {
    let detail = "The service is too busy for this request now. Please try again later.";
    let problem = Problem::unavailable(detail, Duration::from_secs(30)).without_asking();
    let mut response = problem.into_response();
    response.extensions_mut().insert(shed);
    response
}

/// No caller waits for ever for the head of an answer.
async fn in_time(State(app): State<App>, request: Request, next: Next) -> Response {
    match timeout(app.settings.times.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, "There was no answer in time.");
            problem.retry_after(Duration::from_secs(1)).into_response()
        }
    }
}

async fn of_openai(request: Request, next: Next) -> Response {
    match request.uri().path().starts_with("/v1/") {
        true => in_openais_shape(request, next).await,
        false => next.run(request).await,
    }
}
