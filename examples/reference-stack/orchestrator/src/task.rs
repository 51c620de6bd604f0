//! A task as it is kept: in the spool, in the database, and in memory while it runs. Each state of it is a record with a version that
//! grows, so that writing an older one again changes nothing.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mainstay::degrade::ExecutionMode;
use serde::{Deserialize, Serialize};
use stack_openai::{ChatMessage, Role, Usage};
use stack_protocol::v1;
use uuid::Uuid;

/// The finish reason of a task whose request the language model refused: the caller's fault, and nobody else's.
pub(crate) const INVALID_REQUEST: &str = "invalid_request";

/// What is written for a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: Uuid,
    pub(crate) user: String,
    pub(crate) session: String,
    /// 1 when it is accepted; each later record has a higher one.
    pub(crate) version: i64,
    /// The orchestrator that runs it.
    pub(crate) owner: String,
    /// Counted from 1: one more each time it goes on after a crash.
    #[serde(default = "first_run")]
    pub(crate) run: u32,
    /// It was accepted while the database could not be asked whether it has it already.
    #[serde(default)]
    pub(crate) unchecked: bool,
    pub(crate) mode: ExecutionMode,
    pub(crate) status: Status,
    /// The one that was asked for; the one that answered, once it did.
    pub(crate) model: String,
    /// How it runs, and why so. It stays so when the task runs again after a crash.
    #[serde(default)]
    pub(crate) decided: Option<Decided>,
    /// What is needed to run it; nothing once it has ended.
    #[serde(default)]
    pub(crate) work: Option<Arc<Work>>,
    #[serde(default)]
    pub(crate) answer: String,
    #[serde(default)]
    pub(crate) error: String,
    /// Why the language model stopped, or [`INVALID_REQUEST`]; empty if nobody said.
    #[serde(default)]
    pub(crate) finish_reason: String,
    #[serde(default)]
    pub(crate) usage: Option<Usage>,
    #[serde(default)]
    pub(crate) degradation: Option<Degradation>,
    #[serde(default)]
    pub(crate) aggregate: String,
    /// What happened, without the end; kept once it has ended.
    #[serde(default)]
    pub(crate) events: Arc<Vec<Event>>,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

/// What the level made of the mode that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decided {
    pub(crate) mode: ExecutionMode,
    pub(crate) level: String,
    /// The number of the assessment that it was decided by.
    pub(crate) assessment: u64,
    /// Why it is not the mode that was asked for.
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) messages: Vec<ChatMessage>,
    pub(crate) traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tracestate: Option<String>,
    #[serde(default)]
    pub(crate) sampling: Sampling,
}

/// How the language model is to choose: passed on as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sampling {
    pub(crate) max_tokens: Option<u32>,
    pub(crate) max_completion_tokens: Option<u32>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) stop: Vec<String>,
}

/// In what the answer is less than was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Degradation {
    pub(crate) level: String,
    pub(crate) downgraded_from: Option<ExecutionMode>,
    pub(crate) reason: String,
    pub(crate) failed: Vec<String>,
    pub(crate) answered_from: String,
    pub(crate) completeness: f64,
}

/// What happened. Its place among the others is its sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    Started(ExecutionMode),
    Part { source: String, success: bool, text: String },
    Text(String),
}

// === impl Task ===

impl Task {
    /// The next record of it.
    pub(crate) fn next(&self, status: Status) -> Self {
        Self { status, version: self.version + 1, updated_ms: now_ms(), ..self.clone() }
    }

    pub(crate) fn has_ended(&self) -> bool {
        !matches!(self.status, Status::Queued | Status::Running)
    }

    pub(crate) fn to_proto(&self) -> v1::Task {
        v1::Task {
            id: self.id.to_string(),
            user: self.user.clone(),
            session: self.session.clone(),
            mode: mode_to_proto(self.mode).into(),
            ran_as: self
                .decided
                .as_ref()
                .map_or(v1::Mode::Unspecified, |decided| mode_to_proto(decided.mode))
                .into(),
            status: v1::TaskStatus::from(self.status).into(),
            model: self.model.clone(),
            answer: self.answer.clone(),
            error: self.error.clone(),
            degradation: self.degradation.as_ref().map(Degradation::to_proto),
            aggregate: self.aggregate.clone(),
            created_ms: self.created_ms,
            updated_ms: self.updated_ms,
            usage: self.usage.map(usage_to_proto),
            finish_reason: self.finish_reason.clone(),
        }
    }

    /// The event after all others.
    pub(crate) fn end_event(&self, sequence: usize) -> v1::TaskEvent {
        let event = v1::task_event::Event::Ended(self.to_proto());
        v1::TaskEvent { sequence: sequence as u64, event: Some(event), run: self.run }
    }

    /// The newer one of what is known here and what the database has. A task that has ended there has ended.
    pub(crate) fn newer(known: Self, stored: Self) -> Self {
        let known_is_newer = known.has_ended() || known.version > stored.version;
        if !stored.has_ended() && known_is_newer { known } else { stored }
    }
}

impl Degradation {
    fn to_proto(&self) -> v1::Degradation {
        v1::Degradation {
            level: self.level.clone(),
            downgraded_from: self.downgraded_from.map_or(v1::Mode::Unspecified, mode_to_proto).into(),
            reason: self.reason.clone(),
            failed_dependencies: self.failed.clone(),
            answered_from: self.answered_from.clone(),
            completeness: self.completeness,
        }
    }
}

impl Event {
    pub(crate) fn to_proto(&self, run: u32, sequence: usize) -> v1::TaskEvent {
        use v1::task_event::Event as Proto;
        let event = match self {
            Self::Started(mode) => Proto::Started(mode_to_proto(*mode).into()),
            Self::Part { source, success, text } => {
                Proto::Part(v1::Part { source: source.clone(), success: *success, text: text.clone() })
            }
            Self::Text(text) => Proto::Text(text.clone()),
        };
        v1::TaskEvent { sequence: sequence as u64, event: Some(event), run }
    }
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<Status> for v1::TaskStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Queued,
            Status::Running => Self::Running,
            Status::Succeeded => Self::Succeeded,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

/// None for what is unspecified.
pub(crate) fn status_of_proto(status: v1::TaskStatus) -> Option<Status> {
    match status {
        v1::TaskStatus::Unspecified => None,
        v1::TaskStatus::Queued => Some(Status::Queued),
        v1::TaskStatus::Running => Some(Status::Running),
        v1::TaskStatus::Succeeded => Some(Status::Succeeded),
        v1::TaskStatus::Failed => Some(Status::Failed),
        v1::TaskStatus::Cancelled => Some(Status::Cancelled),
    }
}

pub(crate) fn mode_of_proto(mode: v1::Mode) -> ExecutionMode {
    match mode {
        v1::Mode::Simple => ExecutionMode::Simple,
        v1::Mode::Unspecified | v1::Mode::Standard => ExecutionMode::Standard,
        v1::Mode::Complex => ExecutionMode::Complex,
    }
}

fn mode_to_proto(mode: ExecutionMode) -> v1::Mode {
    match mode {
        ExecutionMode::Simple => v1::Mode::Simple,
        ExecutionMode::Standard => v1::Mode::Standard,
        ExecutionMode::Complex => v1::Mode::Complex,
    }
}

fn usage_to_proto(usage: Usage) -> v1::Usage {
    let count = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
    v1::Usage { prompt_tokens: count(usage.prompt_tokens), completion_tokens: count(usage.completion_tokens) }
}

fn first_run() -> u32 {
    1
}

/// None for a role that there is not.
pub(crate) fn message_of_proto(message: v1::Message) -> Option<ChatMessage> {
    let role = match message.role.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return None,
    };
    Some(ChatMessage::new(role, message.content))
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
