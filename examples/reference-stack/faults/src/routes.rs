use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Counts, Faults, Mistake, Switches};

const LONGEST_BODY: usize = 16 * 1024;

impl Faults {
    /// The routes of the admin port. Nobody is asked who he is: such a port is for the drill alone.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/faults", get(show).put(turn).delete(off))
            .route("/counts", get(counts))
            .layer(DefaultBodyLimit::max(LONGEST_BODY))
            .with_state(self.clone())
    }
}

async fn show(State(faults): State<Faults>) -> Response {
    answer(StatusCode::OK, "application/json", &faults.switches().to_json())
}

async fn turn(State(faults): State<Faults>, body: Bytes) -> Response {
    match Switches::read(&body) {
        Ok(switches) => {
            faults.set(switches);
            show(State(faults)).await
        }
        Err(mistakes) => refused(&mistakes),
    }
}

async fn off(State(faults): State<Faults>) -> Response {
    faults.set(Switches::default());
    show(State(faults)).await
}

#[derive(Serialize)]
struct Held {
    #[serde(flatten)]
    counts: Counts,
    tokio_alive_tasks: usize,
}

/// With the tasks of the runtime: a call that is never forgotten would show there.
async fn counts(State(faults): State<Faults>) -> Response {
    let tokio_alive_tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let held = Held { counts: faults.counts(), tokio_alive_tasks };
    answer(StatusCode::OK, "application/json", &json!(held))
}

/// As RFC 9457 says.
fn refused(mistakes: &[Mistake]) -> Response {
    let status = StatusCode::BAD_REQUEST;
    let detail = mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; ");
    let problem = json!({
        "type": "about:blank", "title": "Bad Request", "status": status.as_u16(), "detail": detail, "errors": mistakes,
    });
    answer(status, "application/problem+json", &problem)
}

fn answer(status: StatusCode, kind: &'static str, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}
