//! The gateway's own description, at `/openapi.json`. What belongs to every route (401, 429, 503, ...) is added in one place.

use serde::Serialize;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder, Schema};
use utoipa::{IntoParams, Modify, OpenApi, ToSchema};

/// What the gateway does.
#[derive(OpenApi)]
#[openapi(
    info(title = "Reference gateway", description = "OpenAI's chat completions, and tasks that are never lost."),
    paths(
        crate::chat::complete,
        crate::chat::models,
        crate::tasks::submit,
        crate::tasks::list,
        crate::tasks::get,
        crate::tasks::cancel,
        crate::tasks::stream,
    ),
    components(schemas(crate::problem::ProblemBody, OpenAiError)),
    security(("bearer" = []), ("api_key" = [])),
    modifiers(&OfAllRoutes),
)]
#[derive(Debug)]
pub struct Description;

/// The description of a gateway that has these models.
pub fn describe(models: &[String]) -> Document {
    let mut document = Description::openapi();
    let schemas = document.components.iter_mut().flat_map(|components| components.schemas.values_mut());
    for schema in schemas {
        if let RefOr::T(Schema::Object(object)) = schema
            && let Some(RefOr::T(Schema::Object(model))) = object.properties.get_mut("model")
            // Questions have a rule for it, answers have not.
            && model.max_length.is_some()
        {
            model.enum_values = Some(models.iter().map(|model| model.as_str().into()).collect());
        }
    }
    document
}

/// OpenAI's question, as far as it is understood; other fields are accepted and ignored.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "OpenAI's own words")]
pub struct ChatQuestion {
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub model: String,
    #[schema(min_items = 1, max_items = 256)]
    pub messages: Vec<ChatQuestionMessage>,
    #[schema(minimum = 1, maximum = 4_294_967_295_u64)]
    pub max_tokens: Option<u64>,
    #[schema(minimum = 1, maximum = 4_294_967_295_u64)]
    pub max_completion_tokens: Option<u64>,
    #[schema(minimum = 0, maximum = 2)]
    pub temperature: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    pub top_p: Option<f64>,
    /// Texts at which the answer ends; one alone may stand without the array.
    #[schema(max_items = 4)]
    pub stop: Option<Vec<String>>,
    #[schema(minimum = 1, maximum = 1)]
    pub n: Option<u32>,
    pub stream: Option<bool>,
    pub user: Option<String>,
}

/// One message.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "OpenAI's own words")]
pub struct ChatQuestionMessage {
    pub role: ChatRole,
    /// A string, or parts of type `text`.
    #[schema(min_length = 1)]
    pub content: String,
    pub name: Option<String>,
}

/// Who says it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum ChatRole {
    System,
    Developer,
    User,
    Assistant,
}

/// OpenAI's answer.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "OpenAI's own words")]
pub struct ChatAnswer {
    pub id: String,
    pub object: String,
    pub created: u64,
    pub model: String,
    pub choices: Vec<serde_json::Value>,
    pub usage: Option<serde_json::Value>,
}

/// A request that may come twice.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "for the description alone")]
pub struct Retried {
    /// The same key again is the same request: it runs once.
    #[param(
        rename = "Idempotency-Key",
        required = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$"
    )]
    key: String,
    /// The session whose history is put before.
    #[param(
        rename = "X-Session-Id",
        required = false,
        min_length = 1,
        max_length = 128,
        pattern = "^[!-~]+$"
    )]
    session: String,
}

/// How thoroughly a chat is answered.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "for the description alone")]
pub struct Thorough {
    /// Default: simple.
    #[param(rename = "X-Execution-Mode", required = false, inline)]
    mode: crate::view::Mode,
}

/// A stream that goes on.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "for the description alone")]
pub struct Resumed {
    /// The id of the last event that the caller has.
    #[param(rename = "Last-Event-ID", required = false, pattern = "^([0-9]{1,9}\\.)?[0-9]{1,18}$")]
    last: String,
}

/// One event of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamEvent {
    /// Where to go on from.
    pub id: Option<String>,
    /// What happened.
    pub event: Option<String>,
    /// JSON.
    pub data: Option<String>,
}

/// OpenAI's list of models.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "OpenAI's own words")]
pub struct Models {
    pub object: String,
    pub data: Vec<serde_json::Value>,
}

/// OpenAI's refusal.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "OpenAI's own words")]
pub struct OpenAiError {
    pub error: OpenAiErrorDetail,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "OpenAI's own words")]
pub struct OpenAiErrorDetail {
    pub message: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub param: Option<String>,
    pub code: Option<String>,
}

/// Who may ask, and what any route may answer.
struct OfAllRoutes;

const ANY_ROUTE: [(&str, &str); 8] = [
    ("400", "The request is not as it should be"),
    ("401", "Nobody says who asks, or wrongly"),
    ("408", "The body did not arrive in time"),
    ("413", "The body is too large"),
    ("415", "The body is not JSON"),
    ("429", "More requests than the tier allows; Retry-After says when to come back"),
    ("503", "Not now; Retry-After says when to come back"),
    ("504", "There was no answer in time"),
];

impl Modify for OfAllRoutes {
    fn modify(&self, document: &mut Document) {
        if let Some(components) = &mut document.components {
            let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
            components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
            let key = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
            components.add_security_scheme("api_key", SecurityScheme::ApiKey(key));
        }
        for (path, item) in &mut document.paths.paths {
            let is_openais = path.starts_with("/v1/");
            let operations = [&mut item.get, &mut item.post, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                for (status, description) in ANY_ROUTE {
                    let responses = &mut operation.responses.responses;
                    responses.entry(status.to_owned()).or_insert_with(|| refusal(description, is_openais));
                }
            }
        }
    }
}

fn refusal(description: &str, is_openais: bool) -> RefOr<Response> {
    let (kind, schema) = match is_openais {
        true => ("application/json", "OpenAiError"),
        false => ("application/problem+json", "Problem"),
    };
    let content = Content::new(Some(Ref::from_schema_name(schema)));
    RefOr::T(ResponseBuilder::new().description(description).content(kind, content).build())
}
