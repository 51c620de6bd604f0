//! OpenAI's chat completions: each is a task, whole or as a stream. Look at [`complete`].

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::sse::Event as Sse;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use stack_openai::{ApiError, ChatMessage, ChatRequest, FinishReason, ModelList, Reply, Role, Usage};
use stack_protocol::v1::task_event::Event;
use stack_protocol::v1::{self, SubmitTaskRequest, Task, TaskEvent, TaskStatus};
use uuid::Uuid;

use crate::App;
use crate::auth::Caller;
use crate::body::{JsonBytes, mode, session};
use crate::degraded::say_of_task;
use crate::events::to_its_end;
use crate::idempotency::{Fingerprint, IdempotencyKey, Turn, replayed};
use crate::openapi::{ChatAnswer, ChatQuestion, Models, OpenAiError, Retried, StreamEvent, Thorough};
use crate::problem::Problem;
use crate::trace::Trace;

/// What a reply needs to know of its question.
struct Question {
    reply: Reply,
    messages: Vec<ChatMessage>,
}

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
    headers: HeaderMap,
    body: JsonBytes,
) -> Result<Response, Problem> {
    let key = IdempotencyKey::of(&headers)?;
    let chat = ChatRequest::read(&body.0)?;
    known_model(&app, &chat.model)?;
    let request = submit_of(&chat, &caller, &headers)?;
    let mode = [u8::try_from(request.mode).unwrap_or_default()];
    let parts = [b"POST /v1/chat/completions".as_slice(), request.session.as_bytes(), &mode, &body.0];
    let question = |task: Uuid| Question {
        reply: Reply {
            id: format!("chatcmpl-{}", task.simple()),
            created: now(),
            model: chat.model.clone(),
            system_fingerprint: None,
            include_usage: chat.includes_usage(),
        },
        messages: chat.messages.clone(),
    };
    let fingerprint = Fingerprint::of(parts);
    // An answer may take long; others need the room.
    drop(body);
    match app.idempotency.begin(&caller, key.as_ref(), fingerprint).await? {
        Turn::Stored(response) => Ok(*response),
        Turn::Stream(task) => Ok(replayed(chunks(&app, &caller.user, task, question(task)).await?)),
        Turn::First(first) => {
            let task = first.task();
            let request =
                SubmitTaskRequest { id: task.to_string(), traceparent: trace.to_string(), ..request };
            let submitted = app.orchestrators.submit(request).await;
            let is_streamed = chat.is_streamed();
            let answered = match submitted {
                Ok(_) if is_streamed => chunks(&app, &caller.user, task, question(task)).await,
                Ok(_) => whole(&app, &caller.user, task, question(task)).await,
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
async fn whole(app: &App, user: &str, task: Uuid, question: Question) -> Result<Response, Problem> {
    let mut events = app.orchestrators.stream(user, &task.to_string(), 0).await?;
    while let Some(event) = events.next().await {
        let Some(Event::Ended(task)) = event?.event else { continue };
        let answer = succeeded(&task)?;
        let usage = Usage::of(&question.messages, answer);
        let answer = question.reply.whole(answer, FinishReason::Stop, usage);
        return Ok(say_of_task(Json(answer).into_response(), &task));
    }
    Err(Problem::new(StatusCode::BAD_GATEWAY, "The task's events ended before the task."))
}

/// Tells the answer as it comes.
async fn chunks(app: &App, user: &str, task: Uuid, question: Question) -> Result<Response, Problem> {
    let events = app.orchestrators.stream(user, &task.to_string(), 0).await?;
    let chunks = futures_util::stream::iter([data(&question.reply.first())]);
    let chunks = chunks.chain(pieces(events.into_stream(), question));
    Ok(with_task(to_its_end(app, chunks), task))
}

fn pieces(
    events: impl Stream<Item = Result<TaskEvent, Problem>> + Send,
    question: Question,
) -> impl Stream<Item = Sse> + Send {
    let mut told = false;
    let pieces = events.map(move |event| {
        let event = match event {
            Ok(event) => event.event,
            Err(problem) => return vec![data(&problem.to_openai().body)],
        };
        match event {
            Some(Event::Text(text)) => {
                told = true;
                vec![data(&question.reply.piece(text))]
            }
            Some(Event::Ended(task)) => end(&question, &task, told),
            _ => Vec::new(),
        }
    });
    pieces.flat_map(futures_util::stream::iter)
}

/// The last chunks: what was not told in pieces, why it ends, what it cost.
fn end(question: &Question, task: &Task, told: bool) -> Vec<Sse> {
    let answer = match succeeded(task) {
        Ok(answer) => answer,
        Err(problem) => return vec![data(&problem.to_openai().body)],
    };
    let mut chunks = Vec::new();
    if !told && !answer.is_empty() {
        chunks.push(data(&question.reply.piece(answer)));
    }
    let mut last = serde_json::to_value(question.reply.last(FinishReason::Stop)).unwrap_or_default();
    if let (Some(degradation), Some(last)) = (&task.degradation, last.as_object_mut()) {
        // The head of the response has gone long since; clients ignore fields that they do not know.
        let degradation = crate::view::Degradation::from(degradation.clone());
        last.insert("degradation".to_owned(), serde_json::json!(degradation));
    }
    chunks.push(data(&last));
    chunks.extend(question.reply.usage(Usage::of(&question.messages, answer)).iter().map(data));
    chunks.push(Sse::default().data("[DONE]"));
    chunks
}

fn succeeded(task: &Task) -> Result<&str, Problem> {
    match task.status() {
        TaskStatus::Succeeded => Ok(&task.answer),
        TaskStatus::Cancelled => Err(Problem::new(StatusCode::CONFLICT, "The task was cancelled.")),
        _ => {
            let why: String = task.error.chars().take(300).collect();
            Err(Problem::new(StatusCode::BAD_GATEWAY, format!("The task failed: {why}")))
        }
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
        ..SubmitTaskRequest::default()
    })
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

fn data(chunk: &impl serde::Serialize) -> Sse {
    Sse::default().data(serde_json::to_string(chunk).unwrap_or_default())
}

/// Seconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
