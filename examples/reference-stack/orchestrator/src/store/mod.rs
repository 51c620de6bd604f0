//! Where tasks and the audit log end: PostgreSQL, or an SQLite file where none is configured, both behind the breaker `database`.
//!
//! Nothing but the spool writes here. Look at the statement that writes tasks: it is why repeats and stragglers are harmless.

mod postgres;
mod row;
mod sqlite;

use std::time::Duration;

use mainstay::breaker::Breaker;
use mainstay::health::Probe;
use mainstay::spool::{Item, Outcome, Sink};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use self::postgres::Postgres;
pub(crate) use self::sqlite::Sqlite;
use crate::settings::Settings;
use crate::task::{Status, Task};
use crate::waiting::Place;

/// An item of the spool.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    Task(Box<Task>),
    /// As earlier orchestrators wrote it: by itself.
    Audit(Audit),
}

/// What came of a task when. It is written with the task's record, so that neither is there without the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Audit {
    pub(crate) at_ms: i64,
    pub(crate) task: Uuid,
    pub(crate) user: String,
    pub(crate) what: String,
}

/// A page of a user's tasks.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) user: String,
    pub(crate) status: Option<Status>,
    /// Older than this one.
    pub(crate) before: Place,
    pub(crate) most: i64,
}

/// What there is on a page.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) tasks: Vec<Task>,
    /// The place of the last one, if there may be more behind it.
    pub(crate) last: Option<Place>,
}

/// The store cannot be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Down {
    /// When it is worth another try, if anybody can tell.
    pub(crate) retry_after: Option<Duration>,
}

#[derive(Clone)]
pub(crate) enum Store {
    Postgres(Box<Postgres>),
    Sqlite(Sqlite),
}

impl Record {
    pub(crate) fn task(self) -> Option<Task> {
        match self {
            Self::Task(task) => Some(*task),
            Self::Audit(_) => None,
        }
    }

    /// What the audit log has of it: that a task was accepted, and how it ended.
    pub(crate) fn audit(&self) -> Option<Audit> {
        let task = match self {
            Self::Audit(audit) => return Some(audit.clone()),
            Self::Task(task) => task,
        };
        let what = match task.version {
            1 => "submitted",
            _ if task.has_ended() => task.status.as_str(),
            _ => return None,
        };
        Some(Audit { at_ms: task.updated_ms, task: task.id, user: task.user.clone(), what: what.to_owned() })
    }
}

// === impl Store ===

impl Store {
    /// The one that the settings ask for. It need not be up.
    pub(crate) fn open(settings: &Settings, breaker: Breaker) -> Result<Self, rusqlite::Error> {
        Ok(match &settings.database {
            Some(options) => Self::Postgres(Box::new(Postgres::start(options.clone(), breaker))),
            None => Self::Sqlite(Sqlite::open(&settings.data_dir.join("tasks.sqlite3"), breaker)?),
        })
    }

    pub(crate) fn check(&self) -> Probe {
        match self {
            Self::Postgres(postgres) => postgres.check(),
            Self::Sqlite(sqlite) => sqlite.check(),
        }
    }

    /// With its events.
    pub(crate) async fn get(&self, id: Uuid) -> Result<Option<Task>, Down> {
        match self {
            Self::Postgres(postgres) => postgres.get(id).await,
            Self::Sqlite(sqlite) => sqlite.get(id).await,
        }
    }

    /// Newest first, without their events.
    pub(crate) async fn list(&self, page: Page) -> Result<Listed, Down> {
        match self {
            Self::Postgres(postgres) => postgres.list(page).await,
            Self::Sqlite(sqlite) => sqlite.list(page).await,
        }
    }

    /// What an orchestrator has not ended of what it accepted before a time; without their events.
    pub(crate) async fn unfinished(&self, owner: &str, before_ms: i64) -> Result<Vec<Task>, Down> {
        match self {
            Self::Postgres(postgres) => postgres.unfinished(owner, before_ms).await,
            Self::Sqlite(sqlite) => sqlite.unfinished(owner, before_ms).await,
        }
    }

    /// Waits for what is under way, and closes the connections.
    pub(crate) async fn close(&self) {
        if let Self::Postgres(postgres) = self {
            postgres.close().await;
        }
    }
}

impl Sink<Record> for Store {
    async fn deliver(&self, batch: &[Item<Record>]) -> Vec<Outcome> {
        match self {
            Self::Postgres(postgres) => postgres.deliver(batch).await,
            Self::Sqlite(sqlite) => sqlite.deliver(batch).await,
        }
    }
}
