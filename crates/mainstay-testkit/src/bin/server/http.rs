use std::collections::HashMap;
use std::error::Error;
use std::future::pending;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::chunks::{Chunks, Recipe};

/// The number of requests so far.
type Count = Arc<AtomicU64>;

/// A request that cannot be understood.
struct Unclear(String);

type Answer = Result<Response, Unclear>;

/// How much of a large body is produced at once.
const PIECE: usize = 64 * 1024;

/// What a body that breaks off has promised beyond what it keeps.
const MISSING: u64 = 1000;

pub(super) async fn serve(listener: TcpListener) -> Result<(), Box<dyn Error>> {
    let count = Count::default();
    let router = Router::new()
        .route("/status/{code}", any(status))
        .route("/delay/{ms}", any(delay))
        .route("/hang", any(pending::<()>))
        .route("/bytes/{n}", any(bytes))
        .route("/stream", any(stream))
        .route("/broken", any(broken))
        .route("/broken-chunked", any(broken_chunked))
        .route("/echo", any(echo))
        .route("/redirect/{n}", any(redirect))
        .layer(from_fn_with_state(Arc::clone(&count), counted))
        // After the layer: it does not count itself.
        .route(
            "/count",
            any(async move |State(count): State<Count>| count.load(Ordering::Relaxed).to_string()),
        )
        .with_state(count);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

async fn counted(State(count): State<Count>, request: Request, next: Next) -> Response {
    count.fetch_add(1, Ordering::Relaxed);
    next.run(request).await
}

async fn status(Path(code): Path<u16>, query: Query<HashMap<String, String>>) -> Answer {
    let status = StatusCode::from_u16(code)
        .ok()
        // Lower ones are not answers, and higher ones nobody knows.
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| Unclear(format!("no status: {code}")))?;
    let mut response = status.into_response();
    if let Some(value) = query.get("retry_after") {
        let value = HeaderValue::from_str(value).map_err(|error| Unclear(format!("retry_after: {error}")))?;
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    Ok(response)
}

async fn delay(Path(ms): Path<u64>) {
    sleep(Duration::from_millis(ms)).await;
}

async fn bytes(Path(bytes): Path<u64>) -> Response {
    let body = Chunks::of(Recipe { bytes, piece: PIECE, gap: Duration::ZERO, breaks_off: false });
    ([(CONTENT_LENGTH, bytes)], Body::new(body)).into_response()
}

async fn stream(Query(query): Query<HashMap<String, String>>) -> Answer {
    let chunks: u64 = number(&query, "chunks")?.unwrap_or(1);
    let gap = Duration::from_millis(number(&query, "gap_ms")?.unwrap_or(0));
    let size: usize = number(&query, "size")?.unwrap_or(1).max(1);
    let bytes = chunks.saturating_mul(size as u64);
    let body = Chunks::of(Recipe { bytes, piece: size, gap, breaks_off: false });
    Ok(Body::new(body).into_response())
}

async fn broken(Query(query): Query<HashMap<String, String>>) -> Answer {
    let bytes: u64 = number(&query, "after")?.unwrap_or(0);
    let body = Chunks::of(Recipe { bytes, piece: PIECE, gap: Duration::ZERO, breaks_off: true });
    Ok(([(CONTENT_LENGTH, bytes.saturating_add(MISSING))], Body::new(body)).into_response())
}

async fn broken_chunked(Query(query): Query<HashMap<String, String>>) -> Answer {
    let bytes: u64 = number(&query, "after")?.unwrap_or(0);
    let body = Chunks::of(Recipe { bytes, piece: PIECE, gap: Duration::ZERO, breaks_off: true });
    Ok(Body::new(body).into_response())
}

async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut response = Response::new(body);
    if let Some(kind) = head.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    response
}

async fn redirect(Path(left): Path<u64>) -> Response {
    match left.checked_sub(1) {
        Some(next) => (StatusCode::FOUND, [(LOCATION, format!("/redirect/{next}"))]).into_response(),
        None => StatusCode::OK.into_response(),
    }
}

fn number<T: FromStr>(query: &HashMap<String, String>, name: &str) -> Result<Option<T>, Unclear> {
    let Some(text) = query.get(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Unclear(format!("no number: {name}={text}")))
}

// === impl Unclear ===

impl IntoResponse for Unclear {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.0).into_response()
    }
}
