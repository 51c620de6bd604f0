//! Who knows a task, and which of them is right.

use std::future::Future;
use std::time::Duration;

use mainstay::spool::Fault;
use tokio::time::timeout;
use tonic::Status as Refused;
use tracing::error;
use uuid::Uuid;

use crate::refusal::down;
use crate::runner::Runner;
use crate::store::Record;
use crate::task::Task;

/// How long whoever asks for a task waits for the disk. A disk that hangs holds up nobody for longer than callers are patient.
const READ_WITHIN: Duration = Duration::from_secs(3);
/// How many dead letters are read at once.
const AT_ONCE: usize = 100;

impl Runner {
    /// The newest that is known of a task: here while it runs, in the spool until the database has it, then there. What one of them
    /// has told, an older record of another does not take back.
    pub(crate) async fn find(&self, id: Uuid, user: &str) -> Result<Task, Refused> {
        let here = self.here(id).await?;
        if let Some(ended) = here.as_ref().filter(|task| task.has_ended() && !task.unchecked) {
            return own(ended.clone(), user);
        }
        match (here, self.store.get(id).await) {
            (Some(known), Ok(Some(stored))) => own(Task::newer(known, stored), user),
            (Some(task), _) => own(task, user),
            (None, Ok(Some(stored))) if stored.has_ended() => own(stored, user),
            // How it ended may be what the database refused.
            (None, Ok(stored)) => match (self.given_up(id).await?, stored) {
                (Some(given_up), Some(stored)) => own(Task::newer(given_up, stored), user),
                (Some(task), None) | (None, Some(task)) => own(task, user),
                (None, None) => Err(not_found()),
            },
            (None, Err(why)) => {
                Err(down("database", "the database cannot be asked for the task", why.retry_after))
            }
        }
    }

    /// What is known of a task without the database.
    pub(crate) async fn here(&self, id: Uuid) -> Result<Option<Task>, Refused> {
        match self.live.get(id).and_then(|live| live.now()) {
            Some(ended) if ended.has_ended() => Ok(Some(ended)),
            // That it has ended is on disk a moment before it is in memory.
            Some(live) => Ok(Some(match self.in_spool(id).await {
                Ok(Some(queued)) => Task::newer(queued, live),
                Ok(None) | Err(_) => live,
            })),
            None => self.in_spool(id).await,
        }
    }

    pub(crate) async fn in_spool(&self, id: Uuid) -> Result<Option<Task>, Refused> {
        match within(self.spool.newest_of(&id.to_string())).await? {
            Some(queued) => queued.item.and_then(Record::task).map(Some).ok_or_else(unreadable),
            None => Ok(None),
        }
    }

    /// The task of a record that the database refused for good.
    async fn given_up(&self, id: Uuid) -> Result<Option<Task>, Refused> {
        if self.spool.stats().dead_letters == 0 {
            return Ok(None);
        }
        let (key, mut last, mut newest) = (id.to_string(), None, None);
        loop {
            let letters = within(self.spool.dead_letters(last, AT_ONCE)).await?;
            let Some(letter) = letters.last() else { return Ok(newest) };
            last = Some(letter.id);
            for letter in letters.into_iter().filter(|letter| letter.key.as_deref() == Some(key.as_str())) {
                newest = Some(letter.item.and_then(Record::task).ok_or_else(unreadable)?);
            }
        }
    }
}

fn own(task: Task, user: &str) -> Result<Task, Refused> {
    if task.user == user { Ok(task) } else { Err(not_found()) }
}

fn not_found() -> Refused {
    Refused::not_found("there is no task of this id")
}

/// What the spool says, in time.
async fn within<T>(asked: impl Future<Output = Result<T, Fault>>) -> Result<T, Refused> {
    match timeout(READ_WITHIN, asked).await {
        Ok(Ok(said)) => return Ok(said),
        Ok(Err(fault)) => error!(%fault, "the spool cannot be read"),
        Err(_) => error!("the spool does not answer"),
    }
    Err(down("spool", "the spool cannot be read", None))
}

/// Somebody's task is there: that is not the same as none.
fn unreadable() -> Refused {
    error!("a record in the spool is none that this program can read");
    down("spool", "the task's record cannot be read", None)
}
