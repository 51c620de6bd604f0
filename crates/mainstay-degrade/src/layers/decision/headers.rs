//! The headers that a [`DecisionLayer`](crate::DecisionLayer) puts on responses. Over gRPC they are metadata.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Assessment, Degraded, Level, Marks};

/// The level, if something is wrong: `minor`, `moderate`, `severe`.
pub const DEGRADED: HeaderName = HeaderName::from_static("degraded");

/// The thresholds that were reached, the worst first: `breakers_open, error_rate`.
pub const DEGRADED_REASON: HeaderName = HeaderName::from_static("degraded-reason");

/// In what way this answer is less than a full one: `fallback`, `stale`, `partial`, or several of them: `fallback, stale`. A full one
/// has no such header.
pub const DEGRADED_ANSWER: HeaderName = HeaderName::from_static("degraded-answer");

/// How much of a partial answer is there: `0.00` to `1.00`, rounded down.
pub const DEGRADED_COMPLETENESS: HeaderName = HeaderName::from_static("degraded-completeness");

/// How old a stale answer is, in whole seconds, rounded up.
pub const DEGRADED_AGE: HeaderName = HeaderName::from_static("degraded-age");

/// Says it all in headers. What an upstream said under the same names stays beside it.
pub(super) fn write(headers: &mut HeaderMap, assessment: &Assessment, marks: Marks, names: bool) {
    if assessment.level != Level::None {
        headers.append(DEGRADED, HeaderValue::from_static(assessment.level.as_str()));
        // A name may hold what a header cannot.
        if !(names && put(headers, DEGRADED_REASON, &reason(assessment, true))) {
            put(headers, DEGRADED_REASON, &reason(assessment, false));
        }
    }
    if marks == Marks::default() {
        return;
    }
    let ways: Vec<_> = marks.ways().map(Degraded::as_str).collect();
    put(headers, DEGRADED_ANSWER, &ways.join(", "));
    if let Some(age) = marks.age {
        let seconds = age.as_secs().saturating_add(u64::from(age.subsec_nanos() > 0));
        headers.append(DEGRADED_AGE, HeaderValue::from(seconds));
    }
    if let Some(completeness) = marks.completeness {
        let hundredths = (completeness.clamp(0.0, 1.0) * 100.0 + 1e-9).floor() / 100.0;
        if hundredths.is_finite() {
            put(headers, DEGRADED_COMPLETENESS, &format!("{hundredths:.2}"));
        }
    }
}

/// How many names are told of a cause: a proxy between here and the caller may refuse headers that are too long.
const MOST_NAMES: usize = 4;

/// No figures, and names only where they are wanted: a response may leave the house.
fn reason(assessment: &Assessment, names: bool) -> String {
    let mut reason = String::new();
    let mut told = Vec::new();
    for cause in &assessment.causes {
        // What is reached and what is held of the same figure is one word without its names.
        if !names && told.contains(&cause.what) {
            continue;
        }
        told.push(cause.what);
        if !reason.is_empty() {
            reason.push_str(", ");
        }
        reason.push_str(cause.what.as_str());
        if names {
            for name in cause.by.iter().take(MOST_NAMES) {
                let _ = write!(reason, " {name}");
            }
            let more = cause.by.len().saturating_sub(MOST_NAMES);
            if more > 0 {
                let _ = write!(reason, " +{more}");
            }
        }
    }
    reason
}

/// Whether it could be said.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) -> bool {
    match HeaderValue::from_str(value) {
        Ok(value) if !value.is_empty() => {
            headers.append(name, value);
            true
        }
        _ => false,
    }
}
