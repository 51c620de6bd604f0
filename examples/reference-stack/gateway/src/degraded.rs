//! Says of an answer that it is less than was asked for, under the names that the family's `DecisionLayer` uses.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use mainstay::degrade::headers::{DEGRADED, DEGRADED_ANSWER, DEGRADED_REASON};
use mainstay::degrade::{Degraded, InExtensions, Mark};
use stack_protocol::v1;

use crate::view::Degradation;

/// How bad it is, and why.
pub fn say(response: &mut Response, level: &str, reason: &str) {
    put(response, DEGRADED, if matches!(level, "" | "none") { "minor" } else { level });
    put(response, DEGRADED_REASON, reason);
}

/// What the orchestrator says of a task's answer. It stays among the response's extensions, for whoever keeps the response.
pub fn say_of_task(response: Response, task: &v1::Task) -> Response {
    match &task.degradation {
        Some(degradation) => say_again(response, Degradation::from(degradation.clone())),
        None => response,
    }
}

/// What was said of an answer is said of it whenever it is given.
pub fn say_again(mut response: Response, degradation: Degradation) -> Response {
    say(&mut response, &degradation.level, &degradation.reason);
    match degradation.answered_from.as_deref() {
        None => {}
        // How old it is the orchestrator does not tell, and a mark would have to.
        Some("cache") => put(&mut response, DEGRADED_ANSWER, "stale"),
        Some(_) => response = InExtensions.mark(response, Degraded::Fallback),
    }
    if degradation.completeness < 1.0 {
        let completeness = degradation.completeness;
        response = InExtensions.mark(response, Degraded::Partial { completeness });
    }
    response.extensions_mut().insert(degradation);
    response
}

fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value)
        && !value.is_empty()
    {
        response.headers_mut().append(name, value);
    }
}
