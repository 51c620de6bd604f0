//! What an orchestrator that starts finds in its spool.

use std::collections::HashMap;

use mainstay::spool::{Fault, Spool};
use uuid::Uuid;

use crate::store::Record;
use crate::task::Task;

/// How much of the spool is read at once.
const AT_ONCE: usize = 500;

/// The newest records of the tasks that have not ended, oldest first. It reads the whole backlog, but keeps only these.
pub(crate) async fn unfinished(spool: &Spool<Record>) -> Result<Vec<Task>, Fault> {
    let mut unfinished: HashMap<Uuid, Task> = HashMap::new();
    let mut last = None;
    loop {
        let queued = spool.queued(last.as_ref(), AT_ONCE).await?;
        for task in queued.iter().filter_map(|queued| queued.item.clone()?.task()) {
            // Those of one task are in the order of their versions.
            match task.has_ended() {
                true => unfinished.remove(&task.id),
                false => unfinished.insert(task.id, task),
            };
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
