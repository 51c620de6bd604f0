//! W3C trace context: the caller's trace goes on, or a new one begins; it is in the log, in the response, and in what is asked of others.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use mainstay::health::InFlight;
use stack_protocol::v1::SubmitTaskRequest;
use tracing::Instrument;
use uuid::Uuid;

use crate::App;

/// The longest `tracestate` that is passed on.
const LONGEST_STATE: usize = 512;

/// Where a request stands in its trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    trace: u128,
    span: u64,
    sampled: bool,
    state: Option<Arc<str>>,
}

impl Trace {
    /// A child of what the header says, if it says so by the book; else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all("traceparent").iter();
        let parent = values.next().filter(|_| values.next().is_none());
        let parent = parent.and_then(|parent| parse(parent.to_str().ok()?));
        // What is said of no trace, or of another one, is dropped.
        let state = parent.and_then(|_| state(headers));
        let (trace, sampled) = parent.unwrap_or_else(|| (Uuid::new_v4().as_u128(), true));
        Self { trace, span: span(), sampled, state }
    }

    /// The task is of this trace. What others say of it, `tracestate`, goes on as it is.
    pub fn follow(&self, request: SubmitTaskRequest) -> SubmitTaskRequest {
        let tracestate = self.state.as_deref().unwrap_or_default().to_owned();
        SubmitTaskRequest { traceparent: self.to_string(), tracestate, ..request }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// Around every request: its trace, its line in the log, its count, and that the end of the process waits for it.
pub async fn follow(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let trace = Trace::of(request.headers());
    request.extensions_mut().insert(trace.clone());
    let work = app.mainstay.health().begin_work();
    let method = known(request.method());
    // Never the path itself: it is the caller's, and may hold a token in its query.
    let path = request.extensions().get::<MatchedPath>();
    let route = path.map_or("none".to_owned(), |path| path.as_str().to_owned());
    let span =
        tracing::info_span!("request", trace_id = %format_args!("{:032x}", trace.trace), method, route);
    let began = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    let seconds = began.elapsed().as_secs_f64();
    span.in_scope(|| tracing::info!(status, seconds, "answered"));
    metrics::counter!(
        "gateway_requests_total",
        "method" => method, "route" => route.clone(), "status" => status.to_string()
    )
    .increment(1);
    metrics::histogram!("gateway_request_duration_seconds", "route" => route).record(seconds);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&trace.to_string()) {
        headers.insert("traceparent", value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // All of it is somebody's own.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if app.is_leaving() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    // Streams are under way until their last byte.
    response.map(|body| Body::new(UnderWay { body, _work: work }))
}

/// A body that the end of the process waits for.
struct UnderWay {
    body: Body,
    _work: InFlight,
}

impl http_body::Body for UnderWay {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A label: what others make up is one of them.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Version 00, or what of a later one is the same.
fn parse(text: &str) -> Option<(u128, bool)> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let well_formed = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    if !well_formed || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
    u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
    Some((trace, u8::from_str_radix(flags, 16).ok()? & 1 == 1))
}

/// All of it, or nothing.
fn state(headers: &HeaderMap) -> Option<Arc<str>> {
    let values = headers.get_all("tracestate").iter().map(HeaderValue::to_str);
    let state = values.collect::<Result<Vec<_>, _>>().ok()?.join(",");
    (1..=LONGEST_STATE).contains(&state.len()).then(|| state.into())
}

/// Never zero: a version 4 UUID has fixed bits that are set.
fn span() -> u64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    (high ^ low.rotate_left(32)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_callers_trace_goes_on_under_a_span_of_our_own() {
        let headers =
            HeaderMap::from_iter([("traceparent".parse().unwrap(), HeaderValue::from_static(PARENT))]);
        let child = Trace::of(&headers).to_string();
        assert!(child.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert!(child.ends_with("-01") && child.len() == PARENT.len() && child != PARENT);
    }

    #[test]
    fn what_is_not_by_the_book_begins_a_new_trace() {
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let upper = PARENT.to_uppercase();
        for wrong in [
            "",
            "00",
            "nonsense",
            zero,
            upper.as_str(),
            &format!("{PARENT}-00"),
            &PARENT.replace("00-4", "ff-4"),
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert!(parse(&PARENT.replace("00-4b", "01-4b")).is_some(), "a later version");
    }
}
