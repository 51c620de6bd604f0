//! A user's tasks, page by page: those of the database, and those that run here, whose records may still be on their way.
//!
//! What another orchestrator has in its spool is not in the list until the database has it.

use std::collections::HashMap;

use prost::Message;
use stack_protocol::v1::ListTasksReply;
use tonic::Status as Refused;
use uuid::Uuid;

use crate::refusal::{invalid, unavailable};
use crate::runner::Runner;
use crate::store::Page;
use crate::task::{Status, Task};

/// The most bytes of a page; a longer one ends earlier. Half of what clients take by default.
const BYTES: usize = 2 * 1024 * 1024;

/// Where a page begins: behind the task that was made then, and has this id.
pub(crate) type Before = (i64, Uuid);

pub(crate) async fn page(
    runner: &Runner,
    user: String,
    status: Option<Status>,
    before: Before,
    size: usize,
) -> Result<ListTasksReply, Refused> {
    // Those that run here first: what ends meanwhile is then in the spool or in the database.
    let here = runner.live.of_user(&user);
    let most = i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1);
    let stored = runner.store.list(Page { user, status, before, most }).await;
    let stored =
        stored.map_err(|down| unavailable("the database cannot be asked for tasks", down.retry_after))?;
    let mut tasks: HashMap<Uuid, Task> = HashMap::new();
    for task in here.into_iter().chain(stored) {
        let task = newest(runner, task).await?;
        let newer = tasks.get(&task.id).is_none_or(|known| known.version < task.version);
        if newer && (task.created_ms, task.id) < before {
            tasks.insert(task.id, task);
        }
    }
    let fits = |task: &Task| status.is_none_or(|status| task.status == status);
    let mut tasks: Vec<_> = tasks.into_values().filter(fits).collect();
    tasks.sort_by_key(|task| std::cmp::Reverse((task.created_ms, task.id)));
    Ok(cut(&tasks, size))
}

/// The record of its end, if that is still on its way.
async fn newest(runner: &Runner, task: Task) -> Result<Task, Refused> {
    if task.has_ended() || task.owner != runner.id {
        return Ok(task);
    }
    let newer = runner.in_spool(task.id).await?.filter(|newer| newer.version > task.version);
    Ok(newer.unwrap_or(task))
}

/// As many as fit; at least one.
fn cut(tasks: &[Task], size: usize) -> ListTasksReply {
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
    let last = reply.tasks.len().checked_sub(1).and_then(|at| tasks.get(at));
    if let Some(last) = last.filter(|_| reply.tasks.len() < tasks.len()) {
        reply.next_page_token = format!("{}.{}", last.created_ms, last.id.simple());
    }
    reply
}

/// Where the page of a token begins; at the newest task without one.
pub(crate) fn read_token(token: &str) -> Result<Before, Refused> {
    if token.is_empty() {
        return Ok((i64::MAX, Uuid::max()));
    }
    let read = || {
        let (created, id) = token.split_once('.')?;
        Some((created.parse().ok()?, Uuid::try_parse(id).ok()?))
    };
    read().ok_or_else(|| invalid("page_token", "must be one of a reply"))
}
