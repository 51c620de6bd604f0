//! What the store has under a key.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Fingerprint, replayed};
use crate::degraded::say_again;
use crate::problem::Problem;
use crate::view::Degradation;

/// The largest body that is kept. Of a larger one the task is, under its id.
const LARGEST: usize = 1024 * 1024;
/// What of a response's head is kept.
static HEADERS: [HeaderName; 3] =
    [header::CONTENT_TYPE, header::LOCATION, HeaderName::from_static("x-task-id")];

/// A request that runs, or has run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    fingerprint: String,
    /// Tells this try from all others.
    owner: Uuid,
    /// How many tasks of this request have failed: each try after a failure is another task.
    #[serde(default)]
    pub(super) failed: u32,
    /// None while it runs.
    pub(super) answer: Option<Answer>,
}

/// What the response was.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Whole(Whole),
    Stream {
        task: Uuid,
    },
    /// The task failed: the next request is another try.
    Failed,
}

/// A response.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Whole {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    #[serde(default)]
    degradation: Option<Degradation>,
}

impl Record {
    pub(super) fn running(fingerprint: &Fingerprint) -> Self {
        Self { fingerprint: fingerprint.to_hex(), owner: Uuid::new_v4(), failed: 0, answer: None }
    }

    /// That the task of this try failed.
    pub(super) fn of_failed(&self) -> Self {
        Self {
            fingerprint: self.fingerprint.clone(),
            owner: self.owner,
            failed: self.failed,
            answer: Some(Answer::Failed),
        }
    }

    /// Another try of a request whose task failed.
    pub(super) fn again(self) -> Self {
        Self { owner: Uuid::new_v4(), failed: self.failed.saturating_add(1), answer: None, ..self }
    }

    pub(super) fn answered(self, answer: Answer) -> Self {
        Self { answer: Some(answer), ..self }
    }

    pub(super) fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == fingerprint.to_hex()
    }

    pub(super) fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Whole {
    /// What of a response is kept, if all of it can be; and the response.
    pub(super) async fn of(response: Response) -> (Option<Self>, Response) {
        let (head, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, usize::MAX).await else {
            let detail = "The answer broke off.";
            return (None, Problem::new(StatusCode::BAD_GATEWAY, detail).into_response());
        };
        let headers = HEADERS.iter().flat_map(|name| {
            let values = head.headers.get_all(name).iter();
            values.filter_map(|value| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        });
        let whole = |body: &str| Self {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: body.to_owned(),
            degradation: head.extensions.get::<Degradation>().cloned(),
        };
        let text = std::str::from_utf8(&bytes).ok().filter(|text| text.len() <= LARGEST);
        (text.map(whole), Response::from_parts(head, Body::from(bytes)))
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
                response.headers_mut().append(name, value);
            }
        }
        if let Some(degradation) = self.degradation {
            response = say_again(response, degradation);
        }
        replayed(response)
    }
}
