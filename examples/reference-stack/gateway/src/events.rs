//! Streams of events (SSE). Look at [`respond`]: keep-alive comments in between, and a clean end when the gateway has to go.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use serde_json::json;
use stack_protocol::v1::TaskEvent;
use stack_protocol::v1::task_event::Event as Told;

use crate::App;
use crate::problem::Problem;
use crate::view::{Mode, Task};

/// After how long a client shall come back.
const RETRY: Duration = Duration::from_secs(1);

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
    Event::default().id(event.sequence.to_string()).event(name).data(data.to_string())
}
