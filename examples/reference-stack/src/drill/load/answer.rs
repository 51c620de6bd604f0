//! Whether an answer is one: well-formed, whole, and about what was asked. Look at [`Turn::judge`].

use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use uuid::Uuid;

use super::mix::{Class, Turn};
use crate::apart::Answer;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A well-formed answer, and what it said of itself.
    Answered { degraded: bool, partial: bool },
    /// 503, with a time to come again and a reason.
    Refused,
    /// Anything else; also 429: the drill's users have room enough.
    Failed,
}

/// What an answer came to.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) outcome: Outcome,
    pub(super) accepted: Option<Uuid>,
    pub(super) task_ended: bool,
    pub(super) why_failed: Option<String>,
}

/// What a well-formed answer said.
#[derive(Debug, Default)]
struct Said {
    degraded: bool,
    partial: bool,
    task: Option<Uuid>,
    task_ended: bool,
}

// === impl Told ===

impl Told {
    pub(super) fn failed(why: &str) -> Self {
        let why_failed = Some(why.to_owned());
        Self { outcome: Outcome::Failed, accepted: None, task_ended: false, why_failed }
    }
}

// === impl Turn ===

impl Turn {
    pub(super) fn judge(&self, answer: &Answer) -> Told {
        let expected = match self.class {
            Class::Submit | Class::SubmitWithKey => StatusCode::ACCEPTED,
            _ => StatusCode::OK,
        };
        if answer.status != expected {
            return match is_clear_refusal(answer) {
                true => Told { outcome: Outcome::Refused, why_failed: None, ..Told::failed("") },
                false => Told::failed(&format!("{} {}", answer.status.as_u16(), detail(answer))),
            };
        }
        let said = match self.class {
            Class::Chat => chat(answer),
            Class::ChatStream => stream(answer),
            _ => task(answer),
        };
        match said {
            // Both ways it was accepted: the head comes when the task is kept, and what came of it afterwards is another matter.
            Ok(Said { task, .. }) if self.first_task.is_some_and(|first| task != Some(first)) => {
                Told { accepted: task, ..Told::failed("it is about another task") }
            }
            Ok(Said { degraded, partial, task, task_ended }) => {
                let degraded = degraded || answer.headers.contains_key("degraded");
                let partial = partial || is_partial(&answer.headers);
                let outcome = Outcome::Answered { degraded: degraded || partial, partial };
                Told { outcome, accepted: task, task_ended, why_failed: None }
            }
            Err(why) => Told { accepted: task_of(&answer.headers), ..Told::failed(why) },
        }
    }
}

/// The answer's own words, or what they are if they are nothing else.
fn detail(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let said = body.get("detail").or_else(|| body.pointer("/error/message")).and_then(Value::as_str);
    said.unwrap_or("without a reason").to_owned()
}

fn is_clear_refusal(answer: &Answer) -> bool {
    let retry_after = answer.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    answer.status == StatusCode::SERVICE_UNAVAILABLE
        && retry_after.is_some_and(|value| value.parse::<u64>().is_ok())
        && serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body.is_object())
}

fn is_partial(headers: &HeaderMap) -> bool {
    let share = headers.get("degraded-completeness").and_then(|value| value.to_str().ok());
    share.and_then(|value| value.parse::<f64>().ok()).is_some_and(|share| share < 1.0)
}

/// The task that the head is about.
fn task_of(headers: &HeaderMap) -> Option<Uuid> {
    headers.get("x-task-id")?.to_str().ok()?.parse().ok()
}

fn chat(answer: &Answer) -> Result<Said, &'static str> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| "an answer that is no JSON")?;
    let text = body.pointer("/choices/0/message/content").and_then(Value::as_str).unwrap_or_default();
    let has_reason = body.pointer("/choices/0/finish_reason").is_some();
    let is_one = body.get("object").and_then(Value::as_str) == Some("chat.completion");
    let task = task_of(&answer.headers);
    match is_one && has_reason && !text.is_empty() && task.is_some() {
        true => Ok(Said { task, ..Said::default() }),
        false => Err("an answer without what belongs to it"),
    }
}

fn stream(answer: &Answer) -> Result<Said, &'static str> {
    let text = std::str::from_utf8(&answer.body).map_err(|_| "a stream that is no text")?;
    let mut said = Said { task: task_of(&answer.headers), ..Said::default() };
    let (mut length, mut is_done) = (0, false);
    for data in text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim) {
        if is_done {
            return Err("a stream that goes on after its end");
        }
        if data == "[DONE]" {
            is_done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data).map_err(|_| "a chunk that is no JSON")?;
        if chunk.get("object").and_then(Value::as_str) != Some("chat.completion.chunk") {
            return Err("a stream with an error in it");
        }
        length += chunk.pointer("/choices/0/delta/content").and_then(Value::as_str).map_or(0, str::len);
        if let Some(degradation) = chunk.get("degradation") {
            said.degraded = true;
            said.partial |= completeness(degradation) < 1.0;
        }
    }
    match is_done && length > 0 && said.task.is_some() {
        true => Ok(said),
        false => Err("a stream that breaks off"),
    }
}

fn task(answer: &Answer) -> Result<Said, &'static str> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| "a task that is no JSON")?;
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    let id: Option<Uuid> = text("id").and_then(|id| id.parse().ok());
    let status = text("status").unwrap_or_default();
    let task_ended = matches!(status, "succeeded" | "failed" | "cancelled");
    if id.is_none() || !(task_ended || matches!(status, "queued" | "running")) {
        return Err("a task without what belongs to it");
    }
    let degradation = body.get("degradation").filter(|degradation| degradation.is_object());
    let partial = degradation.is_some_and(|degradation| completeness(degradation) < 1.0);
    Ok(Said { degraded: degradation.is_some(), partial, task: id, task_ended })
}

fn completeness(degradation: &Value) -> f64 {
    degradation.get("completeness").and_then(Value::as_f64).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::*;

    fn answer(status: StatusCode, header: (&'static str, &str), body: &'static str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(header.0, header.1.parse().unwrap());
        Answer {
            status,
            headers,
            body: Bytes::from_static(body.as_bytes()),
            began_after: std::time::Duration::ZERO,
            cut: None,
        }
    }

    #[test]
    fn a_stream_that_breaks_off_has_failed_and_its_task_was_accepted() {
        let task = Uuid::from_u128(7);
        let turn = Turn::new(Class::ChatStream, 1, 1);
        let chunk =
            "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
        let told = turn.judge(&answer(StatusCode::OK, ("x-task-id", &task.to_string()), chunk));
        assert_eq!((told.outcome, told.accepted), (Outcome::Failed, Some(task)));
        let refused = turn.judge(&answer(StatusCode::BAD_GATEWAY, ("x-task-id", &task.to_string()), ""));
        assert_eq!((refused.outcome, refused.accepted), (Outcome::Failed, None));
    }

    #[test]
    fn a_repeated_key_that_makes_another_task_has_failed_and_that_task_was_accepted() {
        let (first, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let task = crate::drill::load::Accepted { id: first, user: 0, at: tokio::time::Instant::now() };
        let turn = Turn::again(&crate::drill::load::Used { key: Uuid::from_u128(3), turn: 5, task });
        let body = r#"{"id": "00000000-0000-0000-0000-000000000002", "status": "queued"}"#;
        let told = turn.judge(&answer(StatusCode::ACCEPTED, ("x-task-id", &other.to_string()), body));
        assert_eq!((told.outcome, told.accepted), (Outcome::Failed, Some(other)));
    }

    #[test]
    fn only_a_503_with_a_time_to_come_again_is_a_clear_refusal() {
        let turn = Turn::new(Class::Submit, 1, 1);
        let outcome = |status, header| turn.judge(&answer(status, header, "{}")).outcome;
        assert_eq!(outcome(StatusCode::SERVICE_UNAVAILABLE, ("retry-after", "1")), Outcome::Refused);
        assert_eq!(outcome(StatusCode::SERVICE_UNAVAILABLE, ("x-nothing", "1")), Outcome::Failed);
        assert_eq!(outcome(StatusCode::TOO_MANY_REQUESTS, ("retry-after", "1")), Outcome::Failed);
    }
}
