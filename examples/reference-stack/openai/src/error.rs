use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer, Serialize};

/// The most characters of a message.
const MAX_MESSAGE: usize = 500;

/// A refusal in OpenAI's shape, with its status. Can be returned from a handler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {}", .body.error.message)]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: ErrorBody,
    /// After how many seconds asking again makes sense, for the header `Retry-After`.
    pub retry_after_s: Option<u64>,
}

/// The body of a refusal; also sent in a stream that breaks off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: ErrorDetail,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// For people.
    #[serde(default)]
    pub message: String,
    /// `invalid_request_error`, `server_error`, ...
    #[serde(rename = "type", default, deserialize_with = "text_of_any")]
    pub kind: Option<String>,
    /// The parameter that is wrong.
    #[serde(default, deserialize_with = "text_of_any")]
    pub param: Option<String>,
    /// `invalid_api_key`, `model_not_found`, ...
    #[serde(default, deserialize_with = "text_of_any")]
    pub code: Option<String>,
}

/// Some providers put numbers where OpenAI has texts.
fn text_of_any<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(value)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    })
}

impl ErrorBody {
    /// One of this type, without a parameter or code.
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self {
            error: ErrorDetail {
                message: message.into(),
                kind: Some(kind.to_owned()),
                param: None,
                code: None,
            },
        }
    }
}

impl ApiError {
    /// One of this status and type, without a parameter or code.
    pub fn new(status: StatusCode, kind: &str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        // What the caller sent may be quoted in it, at any length.
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        Self { status, body: ErrorBody::new(kind, message), retry_after_s: None }
    }

    /// 400 without a parameter.
    pub fn bad_request(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// 400 for a parameter that breaks a rule.
    pub fn invalid(param: &str, rule: &str) -> Self {
        Self::bad_request(&format!("Invalid '{param}': {rule}.")).param(param).code("invalid_value")
    }

    /// 400 for a parameter that is not there.
    pub fn missing(param: &str) -> Self {
        Self::bad_request(&format!("Missing required parameter: '{param}'."))
            .param(param)
            .code("missing_required_parameter")
    }

    /// 401 for a key that is missing or wrong.
    pub fn unauthorized() -> Self {
        let message = "Incorrect API key provided, or none: send it as 'Authorization: Bearer KEY'.";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message).code("invalid_api_key")
    }

    /// 404 for a model that there is not.
    pub fn no_model(model: &str) -> Self {
        let message = format!("The model '{model}' does not exist or you do not have access to it.");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
            .param("model")
            .code("model_not_found")
    }

    /// 413 for a body of more bytes than this.
    pub fn too_large(most: usize) -> Self {
        let message = format!("The body is larger than {most} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
    }

    /// 429: later.
    pub fn rate_limited(message: &str, retry_after_s: u64) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", message).code("rate_limit_exceeded");
        Self { retry_after_s: Some(retry_after_s), ..error }
    }

    /// 500.
    pub fn server_error(message: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// 503: later.
    pub fn unavailable(message: &str, retry_after_s: u64) -> Self {
        let error =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).code("service_unavailable");
        Self { retry_after_s: Some(retry_after_s), ..error }
    }

    /// With this parameter.
    #[must_use]
    pub fn param(mut self, param: &str) -> Self {
        self.body.error.param = Some(param.to_owned());
        self
    }

    /// With this code.
    #[must_use]
    pub fn code(mut self, code: &str) -> Self {
        self.body.error.code = Some(code.to_owned());
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self.body).unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
