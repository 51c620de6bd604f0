//! Says of an answer that it is less than was asked for, under the names that the family's `DecisionLayer` uses.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use mainstay::degrade::headers::{DEGRADED, DEGRADED_ANSWER, DEGRADED_REASON};
use mainstay::degrade::{Degraded, InExtensions, Mark};
use stack_protocol::v1;

/// How bad it is, and why.
pub fn say(response: &mut Response, level: &str, reason: &str) {
    put(response, DEGRADED, if matches!(level, "" | "none") { "minor" } else { level });
    put(response, DEGRADED_REASON, reason);
}

/// What the orchestrator says of a task's answer.
pub fn say_of_task(mut response: Response, task: &v1::Task) -> Response {
    let Some(degradation) = &task.degradation else { return response };
    say(&mut response, &degradation.level, &degradation.reason);
    match degradation.answered_from.as_str() {
        "" => {}
        // How old it is the orchestrator does not tell, and a mark would have to.
        "cache" => put(&mut response, DEGRADED_ANSWER, "stale"),
        _ => response = InExtensions.mark(response, Degraded::Fallback),
    }
    if degradation.completeness < 1.0 {
        let completeness = degradation.completeness;
        response = InExtensions.mark(response, Degraded::Partial { completeness });
    }
    response
}

fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value)
        && !value.is_empty()
    {
        response.headers_mut().append(name, value);
    }
}
