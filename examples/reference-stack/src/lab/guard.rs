//! The guard: the breakers between the gateway and what it depends on, what they take for a failure, and what callers are
//! told while one is open. This is the part to copy.

use std::time::Duration;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use mainstay::breaker::{Breaker, HalfOpen, OpenFor, Rejected, Trip, Window};
use mainstay::{ConfigError, Verdict};
use serde_json::json;

/// The breaker of a dependency. Its times are short so that a drill is; the defaults are made for production.
pub(crate) fn breaker(name: &str, timeout: Duration) -> Result<Breaker, ConfigError> {
    Breaker::builder(name)
        // Any of these trips it: a run of failures, for when little is going on, or a rate, for when much is.
        .trip(Trip::consecutive_failures(5))
        .trip(Trip::failure_rate(0.5).over(Window::time(Duration::from_secs(5))).min_calls(20))
        // A call that takes longer is dropped and counts as a failure. Were the time-out outside of the breaker,
        // the breaker would only see callers that went away, which says nothing about who hangs.
        .timeout(timeout)
        .open_for(OpenFor::exponential(Duration::from_millis(500), Duration::from_secs(1)).jitter(0.1))
        // One probe at a time: while it hangs, each probe is a caller that waits in vain.
        .half_open(HalfOpen { max_in_flight: 1, close_after: 2, reopen_after: 1, probe_timeout: timeout * 2 })
        .build()
}

/// What a result says about the upstream: no answer is a failure, and so is any 5xx. A 4xx is the caller's own.
pub(crate) fn verdict<B, E>(result: &Result<Response<B>, E>) -> Verdict {
    match result {
        Ok(response) if response.status().is_server_error() => Verdict::Failure,
        Ok(_) => Verdict::Success,
        Err(_) => Verdict::Failure,
    }
}

/// What a caller is told that the breaker turned away: that it may come again, when, and why.
pub(crate) fn turned_away(rejected: &Rejected) -> axum::response::Response {
    let problem = json!({
        "title": "A dependency is not available",
        "status": StatusCode::SERVICE_UNAVAILABLE.as_u16(),
        "detail": rejected.to_string(),
        "cause": rejected.cause().map(ToString::to_string),
    });
    // Whole seconds, rounded up: who comes back a moment too early is turned away again.
    let wait = rejected.retry_after().unwrap_or_default();
    let seconds = wait.as_nanos().div_ceil(1_000_000_000).max(1);
    let headers = [(CONTENT_TYPE, "application/problem+json".to_owned()), (RETRY_AFTER, seconds.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(problem)).into_response()
}
