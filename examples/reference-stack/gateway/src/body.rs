//! What a request brings: its body, in time and not too large; and the parts of its path and query.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use stack_protocol::v1::Mode;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use uuid::Uuid;

use crate::App;
use crate::problem::Problem;

/// The longest name of a session or a model.
pub const LONGEST_NAME: usize = 128;

/// A whole body of JSON, not yet read.
#[derive(Debug)]
pub struct JsonBytes(
    /// The bytes.
    pub Bytes,
    /// Their part of the memory for bodies: to be kept for as long as the bytes, or what was read from them.
    pub Room,
);

/// A part of the memory for bodies; it is given back when this is dropped.
#[derive(Debug)]
pub struct Room(OwnedSemaphorePermit);

impl Room {
    /// How many bytes.
    pub fn bytes(&self) -> u32 {
        u32::try_from(self.0.num_permits()).unwrap_or(u32::MAX)
    }
}

/// The id in a path.
#[derive(Debug, Clone, Copy)]
pub struct TaskId(pub Uuid);

/// A query whose refusal is a problem.
#[derive(Debug)]
pub struct Asked<T>(pub T);

impl FromRequest<App> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (limit, time) = (app.settings.body_limit, app.settings.times.body);
        is_json(request.headers())?;
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        // One that does not say how long it is may be as long as one may be.
        let room = u32::try_from(announced.unwrap_or(limit).max(1)).unwrap_or(u32::MAX);
        let Ok(Ok(room)) = timeout(time, app.bodies.clone().acquire_many_owned(room)).await else {
            // What callers send at once says nothing of what the gateway depends on.
            let problem = Problem::unavailable("Too much is being sent at the moment.", time);
            return Err(problem.without_asking());
        };
        let body = Limited::new(request.into_body(), limit).collect();
        match timeout(time, body).await {
            Ok(Ok(body)) => Ok(Self(body.to_bytes(), Room(room))),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
            Ok(Err(_)) => Err(Problem::bad_request("The body broke off.")),
            Err(_) => {
                let detail = "The body did not arrive in time.";
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
            }
        }
    }
}

impl JsonBytes {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// 400, naming the field.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let mut json = serde_json::Deserializer::from_slice(&self.0);
        let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let rule: String = error.inner().to_string().chars().take(300).collect();
            match path.as_str() {
                "." => Problem::bad_request(format!("The body is not as it should be: {rule}.")),
                path => Problem::field(path, &rule),
            }
        })?;
        json.end().map_err(|_| Problem::bad_request("There is something after the JSON of the body."))?;
        Ok(read)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TaskId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = id.and_then(|Path(id)| Uuid::try_parse(&id).ok());
        id.map(Self).ok_or_else(|| Problem::field("id", "must be a UUID"))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(refusal) => {
                let text: String = refusal.body_text().chars().take(300).collect();
                Err(Problem::bad_request(text))
            }
        }
    }
}

/// The header `X-Execution-Mode`.
///
/// # Errors
///
/// 400 for what is no mode.
pub fn mode(headers: &HeaderMap) -> Result<Mode, Problem> {
    match headers.get("x-execution-mode").map(HeaderValue::as_bytes) {
        None | Some(b"simple") => Ok(Mode::Simple),
        Some(b"standard") => Ok(Mode::Standard),
        Some(b"complex") => Ok(Mode::Complex),
        Some(_) => Err(Problem::field("X-Execution-Mode", "must be simple, standard or complex")),
    }
}

/// The header `X-Session-Id`; empty without one.
///
/// # Errors
///
/// 400 for what is no name.
pub fn session(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(session) = headers.get("x-session-id") else { return Ok(String::new()) };
    let session = session.to_str().ok().filter(|session| is_name(session));
    session
        .map(str::to_owned)
        .ok_or_else(|| Problem::field("X-Session-Id", "must be 1 to 128 visible ASCII characters"))
}

/// Whether it can be the name of a session or a model.
pub fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    match essence {
        None => Ok(()),
        Some(kind) if kind.eq_ignore_ascii_case("application/json") => Ok(()),
        Some(_) => {
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be application/json."))
        }
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {limit} bytes."))
}
