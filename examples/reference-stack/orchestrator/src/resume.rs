//! What an orchestrator that starts finds in its spool.

use std::collections::HashMap;

use mainstay::spool::{Fault, Spool};
use tracing::warn;
use uuid::Uuid;

use crate::store::Record;
use crate::task::Task;
use crate::waiting::Waiting;

/// How much of the spool is read at once.
const AT_ONCE: usize = 500;

/// The newest records of the tasks that have not ended, oldest first. It reads the whole backlog, but keeps only these; of those that
/// have ended it notes that they wait.
pub(crate) async fn unfinished(spool: &Spool<Record>, waiting: &Waiting) -> Result<Vec<Task>, Fault> {
    let mut unfinished: HashMap<Uuid, Task> = HashMap::new();
    let mut last = None;
    loop {
        let queued = spool.queued(last.as_ref(), AT_ONCE).await?;
        for queued in &queued {
            let Some(record) = queued.item.clone() else {
                warn!(id = %queued.id, "a record in the spool is none that this program can read");
                continue;
            };
            let Some(task) = record.task() else { continue };
            // Those of one task are in the order of their versions.
            if task.has_ended() {
                waiting.add(&task);
                unfinished.remove(&task.id);
            } else {
                unfinished.insert(task.id, task);
            }
        }
        match queued.into_iter().next_back() {
            Some(queued) => last = Some(queued),
            None => break,
        }
    }
    let mut unfinished: Vec<_> = unfinished.into_values().collect();
    unfinished.sort_by_key(|task| task.created_ms);
    Ok(unfinished)
}
