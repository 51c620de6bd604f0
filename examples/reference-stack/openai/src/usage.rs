use serde::{Deserialize, Serialize};

use crate::ChatMessage;

/// What an answer cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the messages.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Both together.
    #[serde(default)]
    pub total_tokens: u64,
}

impl Usage {
    /// By the stack's own rule: the [`tokens`] of each message and 4 more for its frame, and the [`tokens`] of the answer.
    pub fn of(messages: &[ChatMessage], answer: &str) -> Self {
        let prompt_tokens = messages.iter().map(|message| tokens(&message.text()) + 4).sum();
        let completion_tokens = tokens(answer);
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

/// How many tokens a text has by the stack's own rule: each word one.
///
/// No model's own count is meant to be met; this one can be checked by eye.
pub fn tokens(text: &str) -> u64 {
    text.split_whitespace().map(|_| 1).sum()
}
