use crate::{Answered, ChatChunk, ChatCompletion, Choice, ChunkChoice, Delta, FinishReason, Usage};

/// What all parts of an answer have in common; makes the answer, whole or in chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// `chatcmpl-...`.
    pub id: String,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// The model that answers.
    pub model: String,
    /// Which build of the model answers.
    pub system_fingerprint: Option<String>,
    /// Whether the chunks have a field `usage`.
    pub include_usage: bool,
}

impl Reply {
    /// The whole answer.
    pub fn whole(
        &self,
        text: impl Into<String>,
        finish_reason: FinishReason,
        usage: Usage,
    ) -> ChatCompletion {
        let message = Answered { role: "assistant".to_owned(), content: Some(text.into()), refusal: None };
        ChatCompletion {
            id: self.id.clone(),
            object: "chat.completion".to_owned(),
            created: self.created,
            model: self.model.clone(),
            choices: vec![Choice { index: 0, message, logprobs: None, finish_reason: Some(finish_reason) }],
            usage: Some(usage),
            system_fingerprint: self.system_fingerprint.clone(),
        }
    }

    /// The first chunk: who speaks, and no text yet.
    pub fn first(&self) -> ChatChunk {
        self.chunk(Delta { role: Some("assistant".to_owned()), content: Some(String::new()) }, None)
    }

    /// A piece of text.
    pub fn piece(&self, text: impl Into<String>) -> ChatChunk {
        self.chunk(Delta { role: None, content: Some(text.into()) }, None)
    }

    /// The chunk with which the answer ends.
    pub fn last(&self, finish_reason: FinishReason) -> ChatChunk {
        self.chunk(Delta::default(), Some(finish_reason))
    }

    /// The chunk after the last one, if the usage was asked for.
    pub fn usage(&self, usage: Usage) -> Option<ChatChunk> {
        self.include_usage.then(|| ChatChunk {
            choices: Vec::new(),
            usage: Some(Some(usage)),
            ..self.last(FinishReason::Stop)
        })
    }

    fn chunk(&self, delta: Delta, finish_reason: Option<FinishReason>) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk".to_owned(),
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: self.system_fingerprint.clone(),
            choices: vec![ChunkChoice { index: 0, delta, logprobs: None, finish_reason }],
            usage: self.include_usage.then_some(None),
        }
    }
}
