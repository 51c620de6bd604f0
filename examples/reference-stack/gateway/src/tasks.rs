//! The tasks API: hand in, ask, list, cancel, watch.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use stack_protocol::v1::{self, ListTasksRequest, SubmitTaskRequest};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::auth::Caller;
use crate::body::{Asked, JsonBytes, TaskId, is_name, session};
use crate::chat::known_model;
use crate::degraded::{self, say_of_task};
use crate::events::{self, EventId};
use crate::idempotency::{Fingerprint, Keyed, Turn};
use crate::openapi::{Resumed, Retried, StreamEvent};
use crate::orchestrators::Found;
use crate::problem::{Problem, ProblemBody};
use crate::trace::Trace;
use crate::view::{Mode, Status, Task, TaskList};

/// A task to be done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// What is asked.
    #[schema(min_length = 1)]
    pub input: String,
    /// What was said before.
    #[serde(default)]
    #[schema(max_items = 255)]
    pub messages: Vec<Message>,
    /// How thoroughly. Default: standard.
    #[serde(default)]
    pub mode: Mode,
    /// The session whose history is put before.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)]
    pub session: Option<String>,
    /// The language model. Default: the service's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)]
    pub model: Option<String>,
}

/// One message of a conversation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    #[schema(min_length = 1)]
    pub content: String,
}

/// Who says a message.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// Which tasks are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// 1 to 100. Default: 20.
    #[param(minimum = 1, maximum = 100)]
    #[serde(default)]
    pub page_size: Option<u32>,
    /// From the page before.
    #[serde(default)]
    pub page_token: Option<String>,
    /// Only these.
    #[serde(default)]
    pub status: Option<Status>,
}

/// From where a stream goes on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// As the header `Last-Event-ID`, for clients that cannot send it.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^([0-9]{1,9}\\.)?[0-9]{1,18}$")]
    pub last_event_id: Option<EventId>,
    /// A bearer token, for clients that cannot send headers. Only this route takes it here.
    #[serde(default, rename = "access_token")]
    #[allow(dead_code, reason = "read before the route is")]
    _access_token: Option<String>,
}

/// Hands a task in.
#[utoipa::path(
    post, path = "/api/v1/tasks", tag = "tasks", request_body = NewTask,
    params(Retried),
    responses(
        (status = 202, description = "Accepted; the task is on disk", body = Task,
            headers(("Location" = String, description = "Where the task is"))),
        (status = 404, description = "There is no such model", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The first request with this key is still running", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The key was used for another request", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn submit(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(trace): Extension<Trace>,
    Keyed(key): Keyed,
    headers: HeaderMap,
    body: JsonBytes,
) -> Result<Response, Problem> {
    let new = body.read::<NewTask>()?;
    if let Some(model) = &new.model {
        known_model(&app, model)?;
    }
    let request = new.request(&caller, &headers)?;
    let JsonBytes(bytes, room) = body;
    let parts = [b"POST /api/v1/tasks".as_slice(), request.session.as_bytes(), &bytes];
    let fingerprint = Fingerprint::of(parts);
    drop(bytes);
    // The response is that the task was accepted, whatever becomes of it.
    let has_failed = |_| std::future::ready(false);
    match app.idempotency.begin(&caller, key.as_ref(), fingerprint, &room, has_failed).await? {
        Turn::Stored(response) => Ok(*response),
        // Not from this route.
        Turn::Stream(_) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "The key is another route's.")),
        Turn::First(first) => {
            let request = trace.follow(SubmitTaskRequest { id: first.task().to_string(), ..request });
            let response = match app.orchestrators.submit(request).await {
                Ok(task) => accepted(&task),
                Err(problem) => problem.into_response(),
            };
            drop(room);
            Ok(first.keep(response).await)
        }
    }
}

/// Lists the caller's tasks, newest first.
#[utoipa::path(
    get, path = "/api/v1/tasks", tag = "tasks", params(Page),
    responses((status = 200, description = "A page of tasks", body = TaskList)),
)]
pub async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Asked(page): Asked<Page>,
) -> Result<Response, Problem> {
    if page.page_size.is_some_and(|size| !(1..=100).contains(&size)) {
        return Err(Problem::field("page_size", "must be from 1 to 100"));
    }
    let request = ListTasksRequest {
        user: caller.user,
        page_size: page.page_size.unwrap_or_default(),
        page_token: page.page_token.unwrap_or_default(),
        status: page.status.map_or(0, |status| v1::TaskStatus::from(status).into()),
    };
    let page = app.orchestrators.list(request).await?;
    Ok(Json(TaskList::from(page)).into_response())
}

/// A task.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", tag = "tasks",
    params(("id" = uuid::Uuid, Path, description = "The task's id")),
    responses(
        (status = 200, description = "The task. With `Degraded-Reason: may_be_older` it goes on, and one that may know more of it could not be asked", body = Task),
        (status = 404, description = "There is no such task", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn get(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    TaskId(id): TaskId,
) -> Result<Response, Problem> {
    let Found { task, may_be_older } = app.orchestrators.get(&caller.user, &id.to_string()).await?;
    let mut response = say_of_task(Json(Task::from(task.clone())).into_response(), &task);
    if may_be_older {
        degraded::say(&mut response, "minor", "may_be_older");
    }
    Ok(response)
}

/// Cancels a task that has not ended; one that has stays as it is.
#[utoipa::path(
    delete, path = "/api/v1/tasks/{id}", tag = "tasks",
    params(("id" = uuid::Uuid, Path, description = "The task's id")),
    responses(
        (status = 200, description = "The task as it is now", body = Task),
        (status = 404, description = "There is no such task", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn cancel(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    TaskId(id): TaskId,
) -> Result<Response, Problem> {
    let task = app.orchestrators.cancel(&caller.user, &id.to_string()).await?;
    Ok(Json(Task::from(task)).into_response())
}

/// A task's events as they happen, with ids to go on from.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/stream", tag = "tasks",
    params(
        ("id" = uuid::Uuid, Path, description = "The task's id"),
        Resumed,
        From,
    ),
    responses(
        (status = 200, description = "Events `started`, `part`, `text`, `ended`", body = StreamEvent, content_type = "text/event-stream"),
        (status = 204, description = "The caller has the last event already"),
        (status = 404, description = "There is no such task", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn stream(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    TaskId(id): TaskId,
    Asked(from): Asked<From>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = last_event_id(&headers)?.or(from.last_event_id).unwrap_or_default();
    let id = id.to_string();
    let mut stream = app.orchestrators.stream(&caller.user, &id, after).await?;
    // A browser connects again when a stream has ended; 204 tells it not to.
    let mut first = None;
    if after.sequence > 0
        && Status::from(app.orchestrators.get(&caller.user, &id).await?.task.status()).is_last()
    {
        first = stream.next().await;
        if first.is_none() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    let events = futures_util::stream::iter(first).chain(stream.into_stream());
    Ok(events::respond(&app, events::of_task(events)))
}

impl NewTask {
    fn request(self, caller: &Caller, headers: &HeaderMap) -> Result<SubmitTaskRequest, Problem> {
        let of_header = session(headers)?;
        let input = v1::Message { role: "user".to_owned(), content: self.input };
        let messages: Vec<_> = self.messages.into_iter().map(v1::Message::from).chain([input]).collect();
        if messages.iter().any(|message| message.content.is_empty()) {
            return Err(Problem::field("input", "neither it nor a message may be empty"));
        }
        for (field, name) in [("session", &self.session), ("model", &self.model)] {
            if name.as_ref().is_some_and(|name| !is_name(name)) {
                return Err(Problem::field(field, "must be 1 to 128 visible ASCII characters"));
            }
        }
        Ok(SubmitTaskRequest {
            user: caller.user.clone(),
            session: self.session.unwrap_or(of_header),
            mode: v1::Mode::from(self.mode).into(),
            model: self.model.unwrap_or_default(),
            messages,
            ..SubmitTaskRequest::default()
        })
    }
}

impl std::convert::From<Message> for v1::Message {
    fn from(message: Message) -> Self {
        let role = match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        Self { role: role.to_owned(), content: message.content }
    }
}

fn accepted(task: &v1::Task) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(Task::from(task.clone()))).into_response();
    let headers = response.headers_mut();
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/tasks/{}", task.id)) {
        headers.insert(header::LOCATION, place);
    }
    if let Ok(id) = HeaderValue::from_str(&task.id) {
        headers.insert("x-task-id", id);
    }
    response
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<EventId>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let id = id.to_str().ok().and_then(|id| id.parse().ok());
    id.map(Some).ok_or_else(|| Problem::field("Last-Event-ID", "must be the id of an event"))
}
