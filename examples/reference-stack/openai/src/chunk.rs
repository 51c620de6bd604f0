use serde::{Deserialize, Serialize};

use crate::{FinishReason, Usage};

/// A piece of an answer: an object `chat.completion.chunk`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatChunk {
    /// `chatcmpl-...`, the same in all chunks of an answer.
    #[serde(default)]
    pub id: String,
    /// `chat.completion.chunk`.
    #[serde(default)]
    pub object: String,
    /// Seconds since the Unix epoch, the same in all chunks of an answer.
    #[serde(default)]
    pub created: u64,
    /// The model that answers.
    #[serde(default)]
    pub model: String,
    /// Which build of the model answers.
    #[serde(default)]
    pub system_fingerprint: Option<String>,
    /// One, or none in the chunk with the usage.
    #[serde(default)]
    pub choices: Vec<ChunkChoice>,
    /// Absent unless asked for; then null in all chunks but the last. When read, null is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<Usage>>,
}

impl ChatChunk {
    /// The piece of text in it, if there is one.
    pub fn text(&self) -> Option<&str> {
        self.choices.first()?.delta.content.as_deref()
    }

    /// Why the answer ends, in the chunk with which it does.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.choices.first()?.finish_reason
    }

    /// What the answer cost, in the chunk that tells it.
    pub fn counted(&self) -> Option<Usage> {
        self.usage.flatten()
    }
}

/// A piece of one answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkChoice {
    /// From 0.
    #[serde(default)]
    pub index: u32,
    /// What comes to the answer.
    #[serde(default)]
    pub delta: Delta,
    /// Always null here.
    #[serde(default)]
    pub logprobs: Option<serde_json::Value>,
    /// Why it ends; null until it does.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
}

/// What comes to an answer. Empty in the chunk with which it ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delta {
    /// `assistant`, in the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// A piece of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}
