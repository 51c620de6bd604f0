//! What headers and trailers say about the end of a call. Nothing here allocates, and nothing trusts what it reads: tonic's own
//! way to a `Status` copies the headers, and panics on details that are not base64.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use http::{HeaderValue, StatusCode};
use mainstay_breaker::{Classified, Verdict};
use tonic::Code;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(crate) const RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// The longest wait that the protocol can tell: a signed number of 32 bits, in milliseconds.
const LONGEST_PUSHBACK: u64 = i32::MAX as u64;

/// The code in `grpc-status`, if it is there. What is not a number from 0 to 16 is `Unknown`, as for tonic.
pub(crate) fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get(GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// The code that stands for an HTTP status without a `grpc-status`, by the protocol's table.
pub(crate) fn code_of_http(status: StatusCode) -> Code {
    match status {
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// Whether the content type is one of gRPC's.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// A verdict, and how long the server asked to be left alone if it is a failure.
pub(crate) fn classify(verdict: Verdict, headers: &HeaderMap) -> Classified {
    match (verdict, pushback(headers)) {
        (Verdict::Failure, Some(after)) => Classified::failure().retry_after(after),
        _ => verdict.into(),
    }
}

/// How long the server asked to be left alone. A negative number asks not to retry at all, and so does one that cannot be read:
/// neither says for how long.
fn pushback(headers: &HeaderMap) -> Option<Duration> {
    let digits = headers.get(RETRY_PUSHBACK)?.as_bytes();
    if digits.is_empty() || digits.len() > 10 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let millis = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    (millis <= LONGEST_PUSHBACK).then(|| Duration::from_millis(millis))
}

/// The same as a header, rounded up.
pub(crate) fn pushback_value(after: Duration) -> HeaderValue {
    let millis = after.as_nanos().div_ceil(1_000_000);
    HeaderValue::from(u64::try_from(millis).unwrap_or(u64::MAX).min(LONGEST_PUSHBACK))
}
