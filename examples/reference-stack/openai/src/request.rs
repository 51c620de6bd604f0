use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ApiError, ChatMessage, Content, Role};

/// What `POST /v1/chat/completions` is asked. Fields that are not known here are accepted and ignored, as OpenAI's own are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(expecting = "expected an object")]
pub struct ChatRequest {
    /// The model.
    #[serde(default)]
    pub model: String,
    /// The conversation so far; at least one message.
    #[serde(default)]
    pub messages: Vec<ChatMessage>,
    /// The most tokens of the answer, as older clients say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The most tokens of the answer; goes before `max_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    /// From 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// From 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Where the answer ends; at most four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// How many answers; only one is given here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// The end user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether the answer comes in chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// How it comes in chunks; only with `stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
}

/// One text at which the answer ends, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
pub enum Stop {
    /// One.
    One(String),
    /// At most four.
    Any(Vec<String>),
}

/// How an answer comes in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(expecting = "expected an object")]
pub struct StreamOptions {
    /// Whether a chunk with the usage, and without choices, comes last.
    #[serde(default)]
    pub include_usage: bool,
}

impl ChatRequest {
    /// A request of these messages to this model, for a whole answer.
    pub fn new(model: impl Into<String>, messages: Vec<ChatMessage>) -> Self {
        Self { model: model.into(), messages, ..Self::default() }
    }

    /// The same, for an answer in chunks with the usage at the end.
    #[must_use]
    pub fn streamed(self) -> Self {
        Self { stream: Some(true), stream_options: Some(StreamOptions { include_usage: true }), ..self }
    }

    /// Reads a body and checks it.
    ///
    /// # Errors
    ///
    /// 400 in OpenAI's shape, naming the parameter.
    pub fn read(body: &[u8]) -> Result<Self, ApiError> {
        let json: Value = serde_json::from_slice(body).map_err(|error| {
            ApiError::bad_request(&format!("We could not parse the JSON body of your request: {error}."))
        })?;
        check_objects(&json)?;
        let request: Self = serde_path_to_error::deserialize(json)
            .map_err(|error| ApiError::invalid(&error.path().to_string(), &error.inner().to_string()))?;
        request.check()?;
        Ok(request)
    }

    /// Checks what its types do not say.
    ///
    /// # Errors
    ///
    /// 400 in OpenAI's shape, naming the parameter.
    pub fn check(&self) -> Result<(), ApiError> {
        if self.model.is_empty() {
            return Err(ApiError::missing("model"));
        }
        if self.messages.is_empty() {
            return Err(ApiError::missing("messages"));
        }
        for (at, message) in self.messages.iter().enumerate() {
            check_message(at, message)?;
        }
        for (param, most) in
            [("max_tokens", self.max_tokens), ("max_completion_tokens", self.max_completion_tokens)]
        {
            if most == Some(0) {
                return Err(ApiError::invalid(param, "expected a value of at least 1, but got 0"));
            }
        }
        for (param, value, most) in [("temperature", self.temperature, 2.0), ("top_p", self.top_p, 1.0)] {
            if let Some(value) = value
                && !(0.0..=most).contains(&value)
            {
                let rule = format!("expected a value from 0 to {most}, but got {value}");
                return Err(ApiError::invalid(param, &rule));
            }
        }
        if let Some(n) = self.n
            && n != 1
        {
            return Err(ApiError::invalid("n", &format!("only 1 is supported, but got {n}")));
        }
        let stops = self.stops();
        if stops.len() > 4 {
            return Err(ApiError::invalid(
                "stop",
                &format!("expected at most 4 texts, but got {}", stops.len()),
            ));
        }
        if stops.iter().any(|stop| stop.is_empty()) {
            return Err(ApiError::invalid("stop", "expected texts that are not empty"));
        }
        if self.stream_options.is_some() && !self.is_streamed() {
            return Err(ApiError::invalid("stream_options", "only allowed when 'stream' is true"));
        }
        Ok(())
    }

    /// Whether the answer comes in chunks.
    pub fn is_streamed(&self) -> bool {
        self.stream == Some(true)
    }

    /// Whether a chunk with the usage comes last.
    pub fn includes_usage(&self) -> bool {
        self.is_streamed() && self.stream_options.is_some_and(|options| options.include_usage)
    }

    /// The most tokens of the answer, by whichever name it was said.
    pub fn most_tokens(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// The texts at which the answer ends.
    pub fn stops(&self) -> &[String] {
        match &self.stop {
            None => &[],
            Some(Stop::One(stop)) => std::slice::from_ref(stop),
            Some(Stop::Any(stops)) => stops,
        }
    }
}

fn check_message(at: usize, message: &ChatMessage) -> Result<(), ApiError> {
    match &message.content {
        Some(Content::Text(_)) => Ok(()),
        None if message.role == Role::Assistant => Ok(()),
        None => Err(ApiError::missing(&format!("messages[{at}].content"))),
        Some(Content::Parts(parts)) => {
            for (part_at, part) in parts.iter().enumerate() {
                let param = format!("messages[{at}].content[{part_at}]");
                if part.kind != "text" {
                    return Err(ApiError::invalid(&format!("{param}.type"), "only 'text' is supported"));
                }
                if part.text.is_none() {
                    return Err(ApiError::missing(&format!("{param}.text")));
                }
            }
            Ok(())
        }
    }
}

/// serde takes an array for an object, its elements for the fields in their order; OpenAI does not.
fn check_objects(request: &Value) -> Result<(), ApiError> {
    if !request.is_object() {
        return Err(ApiError::bad_request("Invalid request body: expected an object."));
    }
    if request.get("stream_options").is_some_and(Value::is_array) {
        return Err(ApiError::invalid("stream_options", "expected an object"));
    }
    for (at, message) in elements(request.get("messages")) {
        if message.is_array() {
            return Err(ApiError::invalid(&format!("messages[{at}]"), "expected an object"));
        }
        if let Some((part_at, _)) = elements(message.get("content")).find(|(_, part)| part.is_array()) {
            return Err(ApiError::invalid(
                &format!("messages[{at}].content[{part_at}]"),
                "expected an object",
            ));
        }
    }
    Ok(())
}

fn elements(array: Option<&Value>) -> impl Iterator<Item = (usize, &Value)> {
    array.and_then(Value::as_array).into_iter().flatten().enumerate()
}
