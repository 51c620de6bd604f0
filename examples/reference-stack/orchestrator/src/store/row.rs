use std::sync::Arc;

use serde_json::Error;
use tracing::warn;

use super::{Down, Listed};
use crate::task::{Event, Task};
use crate::waiting::Place;

/// A task in two texts of JSON: the record and its events, which are only read where they are asked for.
pub(super) fn to_json(task: &Task) -> Result<(String, String), Error> {
    let events = serde_json::to_string(task.events.as_ref())?;
    let record = Task { events: Arc::default(), ..task.clone() };
    Ok((serde_json::to_string(&record)?, events))
}

/// Of a task that is there but cannot be read nothing is known: that is not the same as none.
pub(super) fn read(record: &str, events: Option<&str>) -> Result<Task, Down> {
    from_json(record, events).map_err(|error| {
        warn!(%error, "a task in the database cannot be read");
        Down { retry_after: None }
    })
}

/// Those that can be read: one that cannot does not keep the others from whoever asks.
pub(super) fn readable<'a>(records: impl IntoIterator<Item = &'a String>) -> Vec<Task> {
    records.into_iter().filter_map(|record| read(record, None).ok()).collect()
}

/// A page of at most so many rows.
pub(super) fn page(rows: &[(Place, String)], most: i64) -> Listed {
    let is_full = i64::try_from(rows.len()).is_ok_and(|rows| rows >= most);
    let last = rows.last().filter(|_| is_full).map(|(place, _)| *place);
    Listed { tasks: readable(rows.iter().map(|(_, record)| record)), last }
}

fn from_json(record: &str, events: Option<&str>) -> Result<Task, Error> {
    let mut task: Task = serde_json::from_str(record)?;
    if let Some(events) = events {
        task.events = serde_json::from_str::<Vec<Event>>(events)?.into();
    }
    Ok(task)
}
