//! A user's tasks, page by page: those of the database, and those that it may not know yet.
//!
//! What another orchestrator has in its spool is not in the list until the database has it.

use std::collections::HashMap;

use prost::Message;
use stack_protocol::v1::ListTasksReply;
use tonic::Status as Refused;
use uuid::Uuid;

use crate::refusal::{down, invalid};
use crate::runner::Runner;
use crate::store::Page;
use crate::task::{Status, Task};
use crate::waiting::Place;

/// The most bytes of a page; a longer one ends earlier. Half of what clients take by default.
const BYTES: usize = 2 * 1024 * 1024;

/// The tasks behind a place.
pub(crate) async fn page(
    runner: &Runner,
    user: &str,
    status: Option<Status>,
    mut before: Place,
    size: usize,
) -> Result<ListTasksReply, Refused> {
    loop {
        let (tasks, floor) = merged(runner, user, status, before, size.saturating_add(1)).await?;
        match floor {
            // All that were looked at are of another status by now.
            Some(floor) if tasks.is_empty() => before = floor,
            _ => return Ok(cut(&tasks, size, floor)),
        }
    }
}

/// The tasks behind a place as they are now, and down to which place these are all; to the end if there is none.
async fn merged(
    runner: &Runner,
    user: &str,
    status: Option<Status>,
    before: Place,
    most: usize,
) -> Result<(Vec<Task>, Option<Place>), Refused> {
    let mut tasks: HashMap<Uuid, Task> = HashMap::new();
    // Those on their way first: what arrives meanwhile is then in the database.
    let here = runner.waiting.of_user(user, before, most);
    for (created_ms, id) in &here {
        match runner.here(*id).await? {
            Some(task) => drop(tasks.insert(task.id, task)),
            None => runner.waiting.remove(user, (*created_ms, *id)),
        }
    }
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let stored = runner.store.list(Page { user: user.to_owned(), status, before, most: limit }).await;
    let stored =
        stored.map_err(|why| down("database", "the database cannot be asked for tasks", why.retry_after))?;

    // Below the last one of either, if there may be more of it, something may be missing.
    let last_here = here.get(most.saturating_sub(1)).copied();
    let floor = last_here.max(stored.last);
    for stored in stored.tasks {
        let newest = match tasks.remove(&stored.id) {
            Some(known) => Task::newer(known, stored),
            None => stored,
        };
        tasks.insert(newest.id, newest);
    }
    let fits = |task: &Task| status.is_none_or(|status| task.status == status);
    let is_above = |task: &Task| floor.is_none_or(|floor| place(task) >= floor);
    let mut tasks: Vec<_> = tasks.into_values().filter(|task| fits(task) && is_above(task)).collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(place(task)));
    Ok((tasks, floor))
}

/// As many as fit; at least one.
fn cut(tasks: &[Task], size: usize, floor: Option<Place>) -> ListTasksReply {
    let mut reply = ListTasksReply::default();
    let mut bytes = 0;
    for task in tasks.iter().take(size) {
        let task = task.to_proto();
        bytes += task.encoded_len();
        if bytes > BYTES && !reply.tasks.is_empty() {
            break;
        }
        reply.tasks.push(task);
    }
    let last = reply.tasks.len().checked_sub(1).and_then(|at| tasks.get(at)).map(place);
    let goes_on = if reply.tasks.len() < tasks.len() { last } else { floor };
    if let Some((created_ms, id)) = goes_on {
        reply.next_page_token = format!("{created_ms}.{}", id.simple());
    }
    reply
}

fn place(task: &Task) -> Place {
    (task.created_ms, task.id)
}

/// Where the page of a token begins; at the newest task without one.
pub(crate) fn read_token(token: &str) -> Result<Place, Refused> {
    if token.is_empty() {
        return Ok((i64::MAX, Uuid::max()));
    }
    let read = || {
        let (created, id) = token.split_once('.')?;
        Some((created.parse().ok()?, Uuid::try_parse(id).ok()?))
    };
    read().ok_or_else(|| invalid("page_token", "must be one of a reply"))
}
