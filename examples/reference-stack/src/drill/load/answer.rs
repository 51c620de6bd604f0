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
    /// 429 or 503, with a time to come again and a reason.
    Refused,
    /// Anything else.
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
            Ok(said) if self.first_task.is_some_and(|first| said.task != Some(first)) => {
                Told::failed("it is about another task")
            }
            Ok(Said { degraded, partial, task, task_ended }) => {
                let degraded = degraded || answer.headers.contains_key("degraded");
                let partial = partial || is_partial(&answer.headers);
                let outcome = Outcome::Answered { degraded: degraded || partial, partial };
                Told { outcome, accepted: task, task_ended, why_failed: None }
            }
            Err(why) => Told::failed(why),
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
    matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
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
