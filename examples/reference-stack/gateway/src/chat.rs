//! OpenAI's chat completions: each is a task, whole or as a stream. Look at [`complete`], and for streams at `telling.rs`.

mod telling;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use stack_openai::{ApiError, ChatRequest, FinishReason, ModelList, Reply, Role, Usage};
use stack_protocol::v1::task_event::Event;
use stack_protocol::v1::{self, Sampling, SubmitTaskRequest, Task, TaskStatus};
use uuid::Uuid;

use self::telling::{Telling, data, finish_reason, usage};
use crate::App;
use crate::auth::Caller;
use crate::body::{JsonBytes, mode, session};
use crate::degraded::say_of_task;
use crate::events::{EventId, to_its_end};
use crate::idempotency::{Fingerprint, Keyed, Turn, replayed};
use crate::openapi::{ChatAnswer, ChatQuestion, Models, OpenAiError, Retried, StreamEvent, Thorough};
use crate::orchestrators::Found;
use crate::problem::{Problem, is_callers_mistake};
use crate::trace::Trace;

/// Answers a conversation, whole or in chunks.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "openai", request_body = ChatQuestion,
    params(Retried, Thorough),
    responses(
        (status = 200, description = "The answer; with `stream`, its chunks as `text/event-stream`", content(
            (ChatAnswer = "application/json"), (StreamEvent = "text/event-stream")),
            headers(("X-Task-Id" = String, description = "The task"))),
        (status = 404, description = "There is no such model", body = OpenAiError),
        (status = 409, description = "The first request with this key is still running", body = OpenAiError),
        (status = 422, description = "The key was used for another request", body = OpenAiError),
        (status = 502, description = "The task failed", body = OpenAiError),
        (status = 504, description = "There was no answer in time", body = OpenAiError),
    ),
)]
pub async fn complete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(trace): Extension<Trace>,
    Keyed(key): Keyed,
    headers: HeaderMap,
    body: JsonBytes,
) -> Result<Response, Problem> {
    let JsonBytes(bytes, room) = body;
    let chat = ChatRequest::read(&bytes)?;
    known_model(&app, &chat.model)?;
    let request = submit_of(&chat, &caller, &headers)?;
    let mode = [u8::try_from(request.mode).unwrap_or_default()];
    let parts = [b"POST /v1/chat/completions".as_slice(), request.session.as_bytes(), &mode, &bytes];
    let fingerprint = Fingerprint::of(parts);
    drop(bytes);
    let (model, include_usage, is_streamed) = (chat.model.clone(), chat.includes_usage(), chat.is_streamed());
    drop(chat);
    let reply = |task: Uuid| Reply {
        id: format!("chatcmpl-{}", task.simple()),
        created: now(),
        model,
        system_fingerprint: None,
        include_usage,
    };
    let failed = |task| has_failed(&app, &caller.user, task);
    match app.idempotency.begin(&caller, key.as_ref(), fingerprint, &room, failed).await? {
        Turn::Stored(response) => Ok(*response),
        Turn::Stream(task) => {
            // An answer may take long; others need the room.
            drop((request, room));
            Ok(replayed(chunks(&app, &caller.user, task, reply(task)).await?))
        }
        Turn::First(first) => {
            let task = first.task();
            let request = trace.follow(SubmitTaskRequest { id: task.to_string(), ..request });
            let submitted = app.orchestrators.submit(request).await;
            drop(room);
            let answered = match submitted {
                Ok(_) if is_streamed => chunks(&app, &caller.user, task, reply(task)).await,
                Ok(_) => whole(&app, &caller.user, task, reply(task)).await,
                Err(problem) => Err(problem),
            };
            match answered {
                Ok(response) if is_streamed => Ok(first.keep_stream(response).await),
                answered => {
                    let response = answered.unwrap_or_else(|problem| problem.into_response());
                    Ok(first.keep(with_task(response, task)).await)
                }
            }
        }
    }
}

/// The models that may be asked for.
#[utoipa::path(
    get, path = "/v1/models", tag = "openai",
    responses((status = 200, description = "The models", body = Models)),
)]
pub async fn models(State(app): State<App>) -> Json<ModelList> {
    Json(ModelList::new(app.settings.models.iter().cloned(), "mainstay", app.started))
}

/// Waits for the task's end.
async fn whole(app: &App, user: &str, task: Uuid, reply: Reply) -> Result<Response, Problem> {
    let mut events = app.orchestrators.stream(user, &task.to_string(), EventId::default()).await?;
    while let Some(event) = events.next().await {
        let Some(Event::Ended(task)) = event?.event else { continue };
        let mut answer = reply.whole(succeeded(&task)?, FinishReason::Stop, Usage::default());
        answer.usage = usage(&task);
        for choice in &mut answer.choices {
            choice.finish_reason = finish_reason(&task);
        }
        return Ok(say_of_task(Json(answer).into_response(), &task));
    }
    Err(Problem::new(StatusCode::BAD_GATEWAY, "The task's events ended before the task.")
        .retry_after(Duration::from_secs(1)))
}

/// Tells the answer as it comes.
async fn chunks(app: &App, user: &str, task: Uuid, reply: Reply) -> Result<Response, Problem> {
    let events = app.orchestrators.stream(user, &task.to_string(), EventId::default()).await?;
    let first = futures_util::stream::iter([data(&reply.first())]);
    let rest = unfold(Some((events, Telling::new(reply))), |state| async move {
        let (mut events, mut telling) = state?;
        let event = events.next().await?;
        Some(match event.and_then(|event| telling.tell(event)) {
            Ok(chunks) => (chunks, Some((events, telling))),
            Err(problem) => (vec![data(&problem.to_openai().body)], None),
        })
    });
    Ok(with_task(to_its_end(app, first.chain(rest.flat_map(futures_util::stream::iter))), task))
}

/// Whether the task of an earlier response has failed, so that it may be tried again.
async fn has_failed(app: &App, user: &str, task: Uuid) -> bool {
    let task = app.orchestrators.get(user, &task.to_string()).await;
    task.is_ok_and(|Found { task, .. }| task.status() == TaskStatus::Failed && !is_callers_mistake(&task))
}

fn succeeded(task: &Task) -> Result<&str, Problem> {
    match task.status() {
        TaskStatus::Succeeded => Ok(&task.answer),
        TaskStatus::Cancelled => Err(Problem::new(StatusCode::CONFLICT, "The task was cancelled.")),
        _ => Err(Problem::of_failed_task(task)),
    }
}

fn submit_of(chat: &ChatRequest, caller: &Caller, headers: &HeaderMap) -> Result<SubmitTaskRequest, Problem> {
    let messages = chat.messages.iter().enumerate().map(|(at, message)| {
        let role = match message.role {
            Role::System | Role::Developer => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool | Role::Function => {
                return Err(Problem::field(&format!("messages[{at}].role"), "tools are not supported"));
            }
        };
        let content = message.text().into_owned();
        if content.is_empty() {
            return Err(Problem::field(&format!("messages[{at}].content"), "must not be empty"));
        }
        Ok(v1::Message { role: role.to_owned(), content })
    });
    Ok(SubmitTaskRequest {
        user: caller.user.clone(),
        session: session(headers)?,
        mode: mode(headers)?.into(),
        model: chat.model.clone(),
        messages: messages.collect::<Result<_, _>>()?,
        sampling: sampling(chat),
        ..SubmitTaskRequest::default()
    })
}

/// How the language model is to choose, if anything is said of it.
fn sampling(chat: &ChatRequest) -> Option<Sampling> {
    let sampling = Sampling {
        // The newer name goes before the older one; no provider takes both.
        max_tokens: chat.max_tokens.filter(|_| chat.max_completion_tokens.is_none()),
        max_completion_tokens: chat.max_completion_tokens,
        temperature: chat.temperature,
        top_p: chat.top_p,
        stop: chat.stops().to_vec(),
    };
    (sampling != Sampling::default()).then_some(sampling)
}

/// Only those that are listed are asked for.
pub(crate) fn known_model(app: &App, model: &str) -> Result<(), Problem> {
    match app.settings.models.iter().any(|known| known == model) {
        true => Ok(()),
        false => Err(ApiError::no_model(model).into()),
    }
}

fn with_task(mut response: Response, task: Uuid) -> Response {
    if let Ok(id) = HeaderValue::from_str(&task.to_string()) {
        response.headers_mut().insert("x-task-id", id);
    }
    response
}

/// Seconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
