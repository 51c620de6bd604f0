//! Pages of other origins: only those that `CORS_ORIGINS` names may ask from a browser.
//!
//! No cookie is taken anywhere, so a page can do nothing that its user did not give it a token for; any header may be sent.

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use mainstay::degrade::headers::{
    DEGRADED, DEGRADED_AGE, DEGRADED_ANSWER, DEGRADED_COMPLETENESS, DEGRADED_REASON,
};
use tower_http::cors::{AllowHeaders, CorsLayer};

use crate::limit::{LIMIT, REMAINING, RESET, SCOPE};

/// What a page may read of a response's head.
const EXPOSED: [HeaderName; 15] = [
    header::LOCATION,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("x-task-id"),
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("traceparent"),
    LIMIT,
    REMAINING,
    RESET,
    SCOPE,
    DEGRADED,
    DEGRADED_REASON,
    DEGRADED_ANSWER,
    DEGRADED_COMPLETENESS,
    DEGRADED_AGE,
];

/// Around all routes, if any origin is named.
pub(crate) fn layer(origins: &[HeaderValue]) -> Option<CorsLayer> {
    let layer = CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(std::time::Duration::from_secs(60 * 60));
    (!origins.is_empty()).then_some(layer)
}

/// Reads an origin: scheme and authority as a browser sends them, and nothing else.
pub(crate) fn origin(text: &str) -> Option<HeaderValue> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let is_origin = matches!(scheme, "http" | "https")
        && !authority.host().is_empty()
        && !authority.as_str().contains('@')
        && text == format!("{scheme}://{authority}")
        && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    HeaderValue::from_str(text).ok().filter(|_| is_origin)
}
