//! What is asked, by turns that are the same in each drill.

use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Accepted, Used};

/// So many turns in a row belong to one session of each user that they are of.
const SESSION: u32 = 256;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// A conversation, answered whole.
    Chat,
    /// A conversation, answered as a stream.
    ChatStream,
    /// A task that is handed in.
    Submit,
    /// The same with an idempotency key; each key is used twice.
    SubmitWithKey,
    /// A question for a task that was accepted a while ago.
    Get,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) class: Class,
    pub(super) number: u32,
    pub(super) user: usize,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    pub(super) key: Option<Uuid>,
    /// The task that the answer must be about, where that is known.
    pub(super) first_task: Option<Uuid>,
}

use Class::{Chat, ChatStream, Get, Submit, SubmitWithKey};

/// 20 turns: 6 chats, 4 chats as streams, 5 submits, 2 with a key, 3 questions.
const MIX: [Class; 20] = [
    Chat,
    Submit,
    ChatStream,
    Get,
    Chat,
    SubmitWithKey,
    Submit,
    Chat,
    ChatStream,
    Submit,
    Chat,
    Get,
    ChatStream,
    Submit,
    Chat,
    SubmitWithKey,
    ChatStream,
    Get,
    Chat,
    Submit,
];

// === impl Class ===

impl Class {
    pub(crate) const ALL: [Self; 5] = [Chat, ChatStream, Submit, SubmitWithKey, Get];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Chat => "chat",
            ChatStream => "chat stream",
            Submit => "submit",
            SubmitWithKey => "submit with key",
            Get => "get",
        }
    }

    pub(super) fn at(turn: u32) -> Self {
        let at = usize::try_from(turn).unwrap_or(0) % MIX.len();
        MIX.get(at).copied().unwrap_or(Chat)
    }

    pub(crate) const fn is_submitted(self) -> bool {
        matches!(self, Submit | SubmitWithKey)
    }
}

// === impl Turn ===

impl Turn {
    pub(super) fn new(class: Class, number: u32, user: usize) -> Self {
        let topic = number % 97;
        let chat = |stream: bool| {
            json!({ "model": "reference", "stream": stream,
                "messages": [{ "role": "user", "content": format!("What is known about topic {topic}?") }] })
        };
        let (path, body) = match class {
            Chat => ("/v1/chat/completions", chat(false)),
            ChatStream => ("/v1/chat/completions", chat(true)),
            _ => (
                "/api/v1/tasks",
                json!({ "input": format!("Find out about topic {topic}."), "mode": "complex" }),
            ),
        };
        let key = (class == SubmitWithKey).then(Uuid::new_v4);
        let mut headers = Vec::new();
        if matches!(class, Chat | ChatStream) {
            headers.push(("x-execution-mode", "standard".to_owned()));
            headers.push(("x-session-id", format!("session-{}", number / SESSION)));
        }
        headers.extend(key.map(|key| ("idempotency-key", key.to_string())));
        Self {
            class,
            number,
            user,
            method: Method::POST,
            path: path.to_owned(),
            headers,
            body: Some(body),
            key,
            first_task: None,
        }
    }

    /// The same key for the same once more: it must be the same task.
    pub(super) fn again(used: &Used) -> Self {
        let first = Self::new(SubmitWithKey, used.turn, used.task.user);
        let headers = vec![("idempotency-key", used.key.to_string())];
        Self { headers, key: Some(used.key), first_task: Some(used.task.id), ..first }
    }

    pub(super) fn get(task: Accepted) -> Self {
        Self {
            class: Get,
            number: 0,
            user: task.user,
            method: Method::GET,
            path: format!("/api/v1/tasks/{}", task.id),
            headers: Vec::new(),
            body: None,
            key: None,
            first_task: Some(task.id),
        }
    }
}
