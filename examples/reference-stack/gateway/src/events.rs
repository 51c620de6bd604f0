//! Streams of events (SSE). Look at [`respond`]: keep-alive comments in between, and a clean end when the gateway has to go.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::json;
use stack_protocol::v1::TaskEvent;
use stack_protocol::v1::task_event::Event as Told;

use crate::App;
use crate::problem::Problem;
use crate::view::{Mode, Task};

/// After how long a client shall come back.
const RETRY: Duration = Duration::from_secs(1);

/// Where an event stands: `RUN.SEQUENCE`. A task that a crash interrupted runs again, and its events are others then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct EventId {
    /// Counted from 1; 0 is the newest.
    pub run: u32,
    /// Counted from 1; 0 is before the first.
    pub sequence: u64,
}

/// Not the id of an event.
#[derive(Debug, thiserror::Error)]
#[error("must be the id of an event")]
pub struct NoEventId;

/// A response that tells these events. When the gateway leaves, it ends with a word on when to come back.
pub fn respond(app: &App, events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let (events, leaving) = (Box::pin(events), Box::pin(app.leaving()));
    let events = unfold(Some((events, leaving)), |rest| async move {
        let (mut events, mut leaving) = rest?;
        tokio::select! {
            biased;
            event = events.next() => Some((event?, Some((events, leaving)))),
            () = &mut leaving => {
                let word = "this gateway leaves; please come back with Last-Event-ID";
                Some((Event::default().retry(RETRY).comment(word), None))
            }
        }
    });
    to_its_end(app, events)
}

/// The same for what cannot be gone on with elsewhere: the gateway waits for its end.
pub fn to_its_end(app: &App, events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let keep_alive = KeepAlive::new().interval(app.settings.times.keep_alive);
    let mut response = Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(keep_alive).into_response();
    // Or a proxy keeps what it has until there is more of it.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The events of a task, as the tasks API tells them.
pub fn of_task(events: impl Stream<Item = Result<TaskEvent, Problem>>) -> impl Stream<Item = Event> {
    events.map(|event| match event {
        Ok(event) => tell(event),
        Err(problem) => Event::default().event("error").data(problem.to_json()),
    })
}

fn tell(event: TaskEvent) -> Event {
    let id = EventId { run: event.run, sequence: event.sequence };
    let (name, data) = match event.event {
        Some(Told::Started(mode)) => {
            let mode = stack_protocol::v1::Mode::try_from(mode).unwrap_or_default();
            ("started", json!({ "mode": Mode::of(mode).unwrap_or_default() }))
        }
        Some(Told::Part(part)) => {
            ("part", json!({ "source": part.source, "success": part.success, "text": part.text }))
        }
        Some(Told::Text(text)) => ("text", json!({ "text": text })),
        Some(Told::Ended(task)) => ("ended", json!(Task::from(task))),
        // Of a newer protocol.
        None => ("other", json!({})),
    };
    Event::default().id(id.to_string()).event(name).data(data.to_string())
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.run {
            // Of an older orchestrator.
            0 => write!(f, "{}", self.sequence),
            run => write!(f, "{run}.{}", self.sequence),
        }
    }
}

impl FromStr for EventId {
    type Err = NoEventId;

    /// Reads it; a number alone is of the newest run.
    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let is_number = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let (run, sequence) = text.split_once('.').unwrap_or(("0", text));
        if !is_number(run, 9) || !is_number(sequence, 18) {
            return Err(NoEventId);
        }
        let (run, sequence) = (run.parse().map_err(|_| NoEventId)?, sequence.parse().map_err(|_| NoEventId)?);
        Ok(Self { run, sequence })
    }
}

impl TryFrom<String> for EventId {
    type Error = NoEventId;

    fn try_from(text: String) -> Result<Self, NoEventId> {
        text.parse()
    }
}
