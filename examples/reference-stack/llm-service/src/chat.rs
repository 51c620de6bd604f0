use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use stack_faults::{Call, Faults, Injected};
use stack_openai::{ApiError, ChatChunk, ChatRequest, Reply, sse};

use crate::Answer;

/// The most bytes of a request.
pub const MAX_BODY: usize = 1024 * 1024;
/// How long a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What the routes share.
#[derive(Clone)]
pub(crate) struct Llm {
    pub(crate) faults: Faults,
    pub(crate) models: Arc<[String]>,
    /// Seconds since the Unix epoch.
    pub(crate) started: u64,
    /// The number of the next answer. Begins with the time, so that it is another after a restart.
    next: Arc<AtomicU64>,
}

impl Llm {
    pub(crate) fn new(faults: Faults, models: Vec<String>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let next = u64::try_from(now.as_nanos()).unwrap_or_default();
        Self { faults, models: models.into(), started: now.as_secs(), next: Arc::new(next.into()) }
    }

    fn reply(&self, request: &ChatRequest, answer: &Answer) -> Reply {
        // Only distinct numbers are needed, so relaxed is enough.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Reply {
            id: format!("chatcmpl-{}{number:016x}", answer.digest.get(..12).unwrap_or_default()),
            created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            model: request.model.clone(),
            system_fingerprint: Some(concat!("fp_mainstay_", env!("CARGO_PKG_VERSION")).to_owned()),
            include_usage: request.includes_usage(),
        }
    }
}

/// `POST /v1/chat/completions`.
pub(crate) async fn complete(State(llm): State<Llm>, request: Request) -> Result<Response, ApiError> {
    let call = llm.faults.arrive().await;
    let call =
        call.map_err(|Injected| ApiError::server_error("The server had an error: a fault switch is on."))?;
    let request = ChatRequest::read(&body(request).await?)?;
    if !llm.models.contains(&request.model) {
        return Err(ApiError::no_model(&request.model));
    }
    let answer = Answer::to(&request);
    let reply = llm.reply(&request, &answer);
    tracing::debug!(id = reply.id, streamed = request.is_streamed(), "answers");
    let mut response = if request.is_streamed() {
        in_chunks(call, &reply, &answer)
    } else {
        whole(call, &reply, answer).await?
    };
    if let Ok(id) = reply.id.parse() {
        response.headers_mut().insert("x-request-id", id);
    }
    Ok(response)
}

async fn body(request: Request) -> Result<Bytes, ApiError> {
    let body = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await;
    let body = body.map_err(|_| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "invalid_request_error",
            "The request took too long to arrive.",
        )
    })?;
    body.map_err(|refused| match refused.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(MAX_BODY),
        _ => ApiError::bad_request("The body could not be read."),
    })
}

async fn whole(mut call: Call, reply: &Reply, answer: Answer) -> Result<Response, ApiError> {
    if call.piece().await {
        json(&reply.whole(answer.text, answer.finish_reason, answer.usage))
    } else {
        let broken = stream::once(async { Err::<Bytes, _>(broken_off().await) });
        Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(broken)).into_response())
    }
}

fn in_chunks(call: Call, reply: &Reply, answer: &Answer) -> Response {
    let mut chunks = vec![Some(reply.first())];
    chunks.extend(answer.pieces().map(|piece| Some(reply.piece(piece))));
    chunks.push(Some(reply.last(answer.finish_reason)));
    chunks.extend(reply.usage(answer.usage).map(Some));
    // For `[DONE]`.
    chunks.push(None);
    let events = stream::try_unfold((call, chunks.into_iter()), async |(mut call, mut chunks)| {
        let Some(chunk) = chunks.next() else { return Ok::<_, io::Error>(None) };
        Ok(Some((event(&mut call, chunk).await?, (call, chunks))))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(events)).into_response()
}

/// What is sent of a chunk. Only those with text are pieces of the answer, which the switches count.
async fn event(call: &mut Call, chunk: Option<ChatChunk>) -> Result<String, io::Error> {
    let Some(chunk) = chunk else { return Ok(sse::DONE.to_owned()) };
    let is_piece = chunk.text().is_some_and(|text| !text.is_empty());
    if is_piece && !call.piece().await {
        return Err(broken_off().await);
    }
    Ok(sse::encode(&chunk)?)
}

/// Ends a body in the middle: the connection is closed.
async fn broken_off() -> io::Error {
    // What was sent before goes out when the body has nothing to give for a moment, and would be lost if it failed at once.
    tokio::task::yield_now().await;
    io::Error::other("a fault switch is on")
}

/// A body of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<Response, ApiError> {
    let body =
        serde_json::to_string(value).map_err(|_| ApiError::server_error("The answer cannot be written."))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
