//! Tasks as the tasks API shows them.

use serde::{Deserialize, Serialize};
use stack_protocol::v1;
use utoipa::ToSchema;

/// A task.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub status: Status,
    /// How thoroughly it was to be done.
    pub mode: Mode,
    /// How thoroughly it was done, once it has begun.
    pub ran_as: Option<Mode>,
    /// Its session.
    pub session: Option<String>,
    /// Its language model.
    pub model: Option<String>,
    /// The answer, once it succeeded.
    pub answer: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// In what the answer is less than was asked for.
    pub degradation: Option<Degradation>,
    /// What each of its parts came to.
    pub aggregate: Option<serde_json::Value>,
    /// What the answer took, if the language model said.
    pub usage: Option<Usage>,
    /// Why the language model stopped, if it said.
    pub finish_reason: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_ms: i64,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Tokens of the messages.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
}

/// A page of tasks.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskList {
    /// Newest first.
    pub tasks: Vec<Task>,
    /// For the next page, if there is one.
    pub next_page_token: Option<String>,
}

/// In what an answer is less than was asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Degradation {
    /// How bad things were: `none`, `minor`, `moderate`, `severe`.
    pub level: String,
    /// Why.
    pub reason: String,
    /// The mode that was asked for, if a cheaper one ran.
    pub downgraded_from: Option<Mode>,
    /// What was down.
    pub failed_dependencies: Vec<String>,
    /// `cache`, `fallback_provider` or `notice`, if it is not the language model's own answer.
    pub answered_from: Option<String>,
    /// The share of the parts that succeeded, from 0 to 1.
    pub completeness: f64,
}

/// How thoroughly a task is done; cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One call of the language model.
    Simple,
    /// One agent, then the language model.
    #[default]
    Standard,
    /// Up to five agents, then the language model.
    Complex,
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl Status {
    /// Whether nothing comes after it.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl Mode {
    /// What the protocol calls it; none if nothing is said.
    pub fn of(mode: v1::Mode) -> Option<Self> {
        match mode {
            v1::Mode::Unspecified => None,
            v1::Mode::Simple => Some(Self::Simple),
            v1::Mode::Standard => Some(Self::Standard),
            v1::Mode::Complex => Some(Self::Complex),
        }
    }
}

impl From<Mode> for v1::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Simple => Self::Simple,
            Mode::Standard => Self::Standard,
            Mode::Complex => Self::Complex,
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

impl From<v1::TaskStatus> for Status {
    fn from(status: v1::TaskStatus) -> Self {
        match status {
            v1::TaskStatus::Unspecified | v1::TaskStatus::Queued => Self::Queued,
            v1::TaskStatus::Running => Self::Running,
            v1::TaskStatus::Succeeded => Self::Succeeded,
            v1::TaskStatus::Failed => Self::Failed,
            v1::TaskStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<v1::Task> for Task {
    fn from(task: v1::Task) -> Self {
        let (status, mode, ran_as) = (task.status(), task.mode(), task.ran_as());
        Self {
            status: status.into(),
            mode: Mode::of(mode).unwrap_or_default(),
            ran_as: Mode::of(ran_as),
            id: task.id,
            session: said(task.session),
            model: said(task.model),
            answer: said(task.answer),
            error: said(task.error),
            degradation: task.degradation.map(Degradation::from),
            aggregate: serde_json::from_str(&task.aggregate).ok(),
            usage: task.usage.map(|usage| Usage {
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
            }),
            finish_reason: said(task.finish_reason),
            created_ms: task.created_ms,
            updated_ms: task.updated_ms,
        }
    }
}

impl From<v1::Degradation> for Degradation {
    fn from(degradation: v1::Degradation) -> Self {
        Self {
            downgraded_from: Mode::of(degradation.downgraded_from()),
            level: degradation.level,
            reason: degradation.reason,
            failed_dependencies: degradation.failed_dependencies,
            answered_from: said(degradation.answered_from),
            completeness: degradation.completeness,
        }
    }
}

impl From<v1::ListTasksReply> for TaskList {
    fn from(reply: v1::ListTasksReply) -> Self {
        let next_page_token = said(reply.next_page_token);
        Self { tasks: reply.tasks.into_iter().map(Task::from).collect(), next_page_token }
    }
}

/// The protocol has no other word for nothing.
fn said(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
