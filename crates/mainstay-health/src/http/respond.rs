use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::accept::HEALTH_JSON;
use super::endpoint::{Endpoint, Form};
use super::pages::{Page, Wish};
use super::query::Query;
use super::view::View;
use super::{DetailsPolicy, ProbeBody};
use crate::HealthManager;

/// What a content is.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Json,
    HealthJson,
}

/// The answer to a plain probe that passes. Its headers are a copy, which costs less than putting them together.
pub(crate) fn ok() -> Response<ProbeBody> {
    static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| headers(Kind::Text));
    let mut response = Response::new(ProbeBody::new(Bytes::from_static(b"ok")));
    *response.headers_mut() = HEADERS.clone();
    response
}

/// The answer to everything else on an endpoint.
pub(crate) fn respond(
    health: &HealthManager,
    details: &DetailsPolicy,
    endpoint: Endpoint,
    standard: bool,
    request: &Parts,
) -> Response<ProbeBody> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        let mut refusal = refusal(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", &request.method);
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let query = match endpoint.form() {
        Form::Text => Query::of(request.uri.query()),
        Form::Json | Form::Detailed => Query::default(),
    };
    let private = (standard || endpoint.form() == Form::Detailed) && details.allows(request);
    let page = Page::of(endpoint, Wish { verbose: query.verbose, standard, private });

    let report = health.report();
    // Read after the report, so that it cannot be older than it looks. `is_ready` and `is_live` compare the same.
    let view = View::new(&report, health.clock().coarse(), &query.excluded);
    let content = if view.is_lasting() { report.pages.get(page, &view) } else { page.render(&view) };
    let status =
        if view.passes(endpoint.aspect()) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let kind = match page {
        Page::Line(_) | Page::Verbose(_) => Kind::Text,
        Page::Json(_) | Page::Detailed { .. } => Kind::Json,
        Page::Standard { .. } => Kind::HealthJson,
    };
    for_method(&request.method, response(status, kind, content))
}

pub(crate) fn not_found(method: &Method) -> Response<ProbeBody> {
    refusal(StatusCode::NOT_FOUND, "not found", method)
}

fn refusal(status: StatusCode, text: &'static str, method: &Method) -> Response<ProbeBody> {
    for_method(method, response(status, Kind::Text, Bytes::from_static(text.as_bytes())))
}

fn response(status: StatusCode, kind: Kind, content: Bytes) -> Response<ProbeBody> {
    let mut response = Response::new(ProbeBody::new(content));
    *response.status_mut() = status;
    *response.headers_mut() = headers(kind);
    // Some of these answers repeat what was asked for: no browser shall take them for a page.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn headers(kind: Kind) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(CONTENT_TYPE, kind.value());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
}

impl Kind {
    fn value(self) -> HeaderValue {
        match self {
            Kind::Text => HeaderValue::from_static("text/plain; charset=utf-8"),
            Kind::Json => HeaderValue::from_static("application/json"),
            Kind::HealthJson => HeaderValue::from_static(HEALTH_JSON),
        }
    }
}

/// HEAD gets the head of what GET gets.
fn for_method(method: &Method, mut response: Response<ProbeBody>) -> Response<ProbeBody> {
    if method == Method::HEAD {
        let content = std::mem::take(response.body_mut());
        response.headers_mut().insert(CONTENT_LENGTH, content.as_bytes().len().into());
    }
    response
}
