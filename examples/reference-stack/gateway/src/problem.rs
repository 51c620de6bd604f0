//! What a refusal looks like: `application/problem+json` (RFC 9457), and OpenAI's own shape below `/v1`.
//!
//! A [`Problem`] stays among the response's extensions, so that [`in_openais_shape`] can say the same facts in the other words.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mainstay::breaker::Breaker;
use mainstay::degrade::NotAsked;
use serde::Serialize;
use stack_openai::ApiError;
use stack_protocol::v1;
use tonic::{Code, Status};
use utoipa::ToSchema;

/// What an orchestrator says of an answer that it could not give because of another.
pub const FAILED_DEPENDENCY: &str = "failed-dependency";

/// What a failed task needed has likely not recovered before.
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

/// A refusal.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    /// OpenAI's `param`: which field is wrong.
    param: Option<Box<str>>,
    /// OpenAI's `code`.
    code: Option<Box<str>>,
    /// What is down, if another's failing is the reason.
    dependency: Option<Box<str>>,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
    /// The task was done, and failed: another try is another task.
    failed_task: bool,
    /// Nobody was asked: no evidence for the level.
    not_asked: bool,
}

/// As it is written.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'p> {
    /// Always `about:blank`: the status says it all.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'p str,
    /// The status.
    status: u16,
    /// What is wrong this time.
    detail: &'p str,
    /// Which field is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'p str>,
    /// What is down, if another's failing is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_dependency: Option<&'p str>,
    /// After how many seconds it makes sense to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl Problem {
    /// Of any status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            param: None,
            code: None,
            dependency: None,
            retry_after: None,
            challenge: None,
            failed_task: false,
            not_asked: false,
        }
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 400 for a field.
    pub fn field(field: &str, rule: &str) -> Self {
        let mut problem = Self::bad_request(format!("{field}: {rule}"));
        problem.param = Some(field.into());
        problem
    }

    /// 401 with a challenge; `invalid_token` if there was one.
    pub fn unauthorized(detail: impl Into<String>, error: Option<&'static str>) -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, detail).code("invalid_api_key");
        problem.challenge = Some(match error {
            None => r#"Bearer realm="gateway""#,
            Some(_) => r#"Bearer realm="gateway", error="invalid_token""#,
        });
        problem
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 503: later. Nobody was asked, or nobody answered.
    pub fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(retry_after);
        problem.code("service_unavailable")
    }

    /// Why a task failed: 400 if the language model refused the request itself, else 502, and another try is another task.
    pub fn of_failed_task(task: &v1::Task) -> Self {
        let why = short(&task.error);
        match is_callers_mistake(task) {
            true => Self::bad_request(format!("The language model refuses the request: {why}")),
            false => {
                let problem = Self::new(StatusCode::BAD_GATEWAY, format!("The task failed: {why}"));
                Self { failed_task: true, ..problem.retry_after(AFTER_A_FAILURE) }
            }
        }
    }

    /// Whether it is that a task failed, and not by the caller's mistake.
    pub fn is_of_failed_task(&self) -> bool {
        self.failed_task
    }

    /// With a time after which it makes sense to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// With OpenAI's code.
    #[must_use]
    pub fn code(mut self, code: &str) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Said by the gateway itself without asking anybody: no evidence for the level.
    #[must_use]
    pub fn without_asking(mut self) -> Self {
        self.not_asked = true;
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What an orchestrator's status means to the caller. What it says is passed on only where it is about the request.
    pub fn of_status(status: &Status) -> Self {
        let wait = pushback(status).unwrap_or(Duration::from_secs(1));
        match status.code() {
            Code::InvalidArgument => Self::bad_request(short(status.message())),
            Code::NotFound => Self::not_found("There is no such task."),
            Code::OutOfRange => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large for a task.")
            }
            Code::FailedPrecondition => {
                let detail = "The task runs where it cannot be reached, or not yet. Please try again later.";
                Self::unavailable(detail, wait)
            }
            Code::ResourceExhausted => {
                Self::unavailable("The service is too busy for another task. Please try again later.", wait)
            }
            Code::DeadlineExceeded => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "The task's service did not answer in time.")
                    .retry_after(wait)
            }
            Code::Unavailable if let Some(name) = failed_dependency(status) => {
                let detail = format!("The service cannot reach its {name}. Please try again later.");
                Self { dependency: Some(name.into()), ..Self::unavailable(detail, wait) }
            }
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Aborted => {
                Self::unavailable("The task's service cannot be reached. Please try again later.", wait)
            }
            _ => Self::new(StatusCode::BAD_GATEWAY, "The task's service failed.").retry_after(wait),
        }
    }

    /// The same in OpenAI's shape.
    pub fn to_openai(&self) -> ApiError {
        let kind = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "requests",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let mut error = ApiError::new(self.status, kind, self.detail.clone());
        error.body.error.param = self.param.as_deref().map(str::to_owned);
        error.body.error.code = self.code.as_deref().map(str::to_owned);
        error
    }

    /// As JSON, for the event in which a stream breaks off.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.body()).unwrap_or_default()
    }

    fn body(&self) -> ProblemBody<'_> {
        ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.param.as_deref(),
            failed_dependency: self.dependency.as_deref(),
            retry_after: self.retry_after.map(seconds),
        }
    }

    fn write_headers(&self, headers: &mut HeaderMap) {
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(after)));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, json, self.to_json()).into_response();
        self.write_headers(response.headers_mut());
        if self.not_asked {
            response.extensions_mut().insert(NotAsked);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        let detail = error.body.error;
        let (param, code) = (detail.param.map(Box::from), detail.code.map(Box::from));
        Self { param, code, ..Self::new(error.status, detail.message) }
    }
}

/// Whether a task failed because of what was asked: it would fail again.
pub fn is_callers_mistake(task: &v1::Task) -> bool {
    task.finish_reason == "invalid_request"
}

/// Below `/v1` refusals have OpenAI's shape, with the same status and headers.
pub async fn in_openais_shape(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let told = problem.to_openai().into_response();
    let (mut head, _) = response.into_parts();
    let (told_head, body) = told.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    if let Some(kind) = told_head.headers.get(header::CONTENT_TYPE) {
        head.headers.insert(header::CONTENT_TYPE, kind.clone());
    }
    Response::from_parts(head, body)
}

/// How long until a breaker lets calls in again; a second if it does.
pub fn wait_for(breaker: &Breaker) -> Duration {
    breaker.snapshot().retry_after.unwrap_or(Duration::from_secs(1))
}

/// The name of what was down, if it is a plain one.
fn failed_dependency(status: &Status) -> Option<String> {
    let name = status.metadata().get(FAILED_DEPENDENCY)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    ((1..=64).contains(&name.len()) && name.bytes().all(is_plain)).then(|| name.to_owned())
}

/// What `grpc-retry-pushback-ms` asks for.
fn pushback(status: &Status) -> Option<Duration> {
    let value = status.metadata().get("grpc-retry-pushback-ms")?.to_str().ok()?;
    Some(Duration::from_millis(value.parse::<u64>().ok()?.min(5 * 60 * 1000)))
}

/// Rounded up, at least 1.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// What the orchestrator says of a request may quote it.
fn short(message: &str) -> String {
    message.chars().take(500).collect()
}
