//! A task's events as the chunks of an answer.

use axum::http::StatusCode;
use axum::response::sse::Event as Sse;
use serde_json::json;
use stack_openai::{FinishReason, Reply, Usage};
use stack_protocol::v1::task_event::Event;
use stack_protocol::v1::{Task, TaskEvent};

use super::succeeded;
use crate::problem::Problem;
use crate::view::Degradation;

/// What of an answer has been told. A task that a crash interrupted runs again: what it says for the second time is not told again, and
/// if it says something else, what was told cannot be taken back.
pub(super) struct Telling {
    reply: Reply,
    told: String,
    run: u32,
    /// What a newer run has said so far, while that is less than was told.
    again: Option<String>,
}

impl Telling {
    pub(super) fn new(reply: Reply) -> Self {
        Self { reply, told: String::new(), run: 0, again: None }
    }

    /// The chunks of an event.
    pub(super) fn tell(&mut self, event: TaskEvent) -> Result<Vec<Sse>, Problem> {
        if self.run != event.run {
            self.run = event.run;
            self.again = (!self.told.is_empty()).then(String::new);
        }
        match event.event {
            Some(Event::Text(text)) => Ok(self.piece(&text)?.into_iter().collect()),
            Some(Event::Ended(task)) => self.end(&task),
            _ => Ok(Vec::new()),
        }
    }

    fn piece(&mut self, text: &str) -> Result<Option<Sse>, Problem> {
        let Some(mut again) = self.again.take() else {
            self.told.push_str(text);
            return Ok(Some(data(&self.reply.piece(text))));
        };
        again.push_str(text);
        if self.told.starts_with(&again) {
            self.again = Some(again);
            return Ok(None);
        }
        let rest = again.strip_prefix(&self.told).ok_or_else(changed)?;
        let chunk = data(&self.reply.piece(rest));
        self.told = again;
        Ok(Some(chunk))
    }

    /// The last chunks: what was not told in pieces, why it ends, what it took.
    fn end(&self, task: &Task) -> Result<Vec<Sse>, Problem> {
        let answer = succeeded(task)?;
        let mut chunks = Vec::new();
        match answer.strip_prefix(&self.told) {
            Some("") => {}
            Some(rest) => chunks.push(data(&self.reply.piece(rest))),
            None if self.again.is_some() => return Err(changed()),
            // The pieces are the better word: they were told.
            None => {}
        }
        let mut last = self.reply.last(FinishReason::Stop);
        for choice in &mut last.choices {
            choice.finish_reason = finish_reason(task);
        }
        let mut last = serde_json::to_value(last).unwrap_or_default();
        if let (Some(degradation), Some(last)) = (&task.degradation, last.as_object_mut()) {
            // The head of the response has gone long since; clients ignore fields that they do not know.
            last.insert("degradation".to_owned(), json!(Degradation::from(degradation.clone())));
        }
        chunks.push(data(&last));
        chunks.extend(usage(task).and_then(|usage| self.reply.usage(usage)).iter().map(data));
        chunks.push(Sse::default().data("[DONE]"));
        Ok(chunks)
    }
}

/// Why the language model stopped, if it said.
pub(super) fn finish_reason(task: &Task) -> Option<FinishReason> {
    let said = Some(&task.finish_reason).filter(|said| !said.is_empty())?;
    serde_json::from_value(json!(said)).ok()
}

/// What the answer took, if the language model said.
pub(super) fn usage(task: &Task) -> Option<Usage> {
    let (prompt_tokens, completion_tokens) =
        task.usage.map(|usage| (u64::from(usage.prompt_tokens), u64::from(usage.completion_tokens)))?;
    Some(Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens })
}

pub(super) fn data(chunk: &impl serde::Serialize) -> Sse {
    Sse::default().data(serde_json::to_string(chunk).unwrap_or_default())
}

fn changed() -> Problem {
    let detail = "The task was interrupted and came to another answer. Please ask again.";
    Problem::new(StatusCode::BAD_GATEWAY, detail)
}
