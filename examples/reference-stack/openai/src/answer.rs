use serde::{Deserialize, Serialize};

use crate::Usage;

/// A whole answer: an object `chat.completion`.
///
/// Fields that some providers leave out are not needed to read one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatCompletion {
    /// `chatcmpl-...`.
    #[serde(default)]
    pub id: String,
    /// `chat.completion`.
    #[serde(default)]
    pub object: String,
    /// Seconds since the Unix epoch.
    #[serde(default)]
    pub created: u64,
    /// The model that answered.
    #[serde(default)]
    pub model: String,
    /// The answers; one.
    pub choices: Vec<Choice>,
    /// What it cost.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// Which build of the model answered.
    #[serde(default)]
    pub system_fingerprint: Option<String>,
}

impl ChatCompletion {
    /// The text of the first answer, if there is one.
    pub fn text(&self) -> Option<&str> {
        self.choices.first()?.message.content.as_deref()
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// From 0.
    #[serde(default)]
    pub index: u32,
    /// What the model says.
    pub message: Answered,
    /// Always null here.
    #[serde(default)]
    pub logprobs: Option<serde_json::Value>,
    /// Why it ends.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
}

/// What the model says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// `assistant`.
    #[serde(default)]
    pub role: String,
    /// The text.
    #[serde(default)]
    pub content: Option<String>,
    /// Why the model does not want to answer; null if it does.
    #[serde(default)]
    pub refusal: Option<String>,
}

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It is complete, or came to a text of `stop`.
    Stop,
    /// It has the most tokens that were allowed.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// The model calls a function.
    FunctionCall,
    /// Something was left out.
    ContentFilter,
    /// Another provider's own reason.
    #[serde(other)]
    Other,
}

impl FinishReason {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::FunctionCall => "function_call",
            Self::ContentFilter => "content_filter",
            Self::Other => "other",
        }
    }
}
