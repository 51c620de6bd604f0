use std::sync::Arc;

use serde_json::Error;

use crate::task::{Event, Task};

/// A task in two texts of JSON: the record and its events, which are only read where they are asked for.
pub(super) fn to_json(task: &Task) -> Result<(String, String), Error> {
    let events = serde_json::to_string(task.events.as_ref())?;
    let record = Task { events: Arc::default(), ..task.clone() };
    Ok((serde_json::to_string(&record)?, events))
}

pub(super) fn from_json(record: &str, events: Option<&str>) -> Result<Task, Error> {
    let mut task: Task = serde_json::from_str(record)?;
    if let Some(events) = events {
        task.events = serde_json::from_str::<Vec<Event>>(events)?.into();
    }
    Ok(task)
}
