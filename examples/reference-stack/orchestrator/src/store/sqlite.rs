//! An SQLite file, for an orchestrator that is told of no PostgreSQL. The same breaker stands before it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay::breaker::{Breaker, BreakerError};
use mainstay::health::{CheckOutcome, IntoProbe, Probe};
use mainstay::spool::{Item, Outcome, Sink};
use rusqlite::{Connection, Error, OptionalExtension, Row, params};
use tokio::task::spawn_blocking;
use tracing::warn;
use uuid::Uuid;

use super::{Down, Listed, Page, Record, row};
use crate::task::Task;

/// The longest time of an operation.
const WITHIN: Duration = Duration::from_secs(5);
/// In their order; the file says how many it has.
const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/sqlite/0001_tasks.sql")];

#[derive(Clone)]
pub(crate) struct Sqlite {
    file: Arc<Mutex<Connection>>,
    breaker: Breaker,
}

impl Sqlite {
    pub(super) fn open(path: &Path, breaker: Breaker) -> Result<Self, Error> {
        let mut file = Connection::open(path)?;
        file.busy_timeout(WITHIN)?;
        file.pragma_update(None, "journal_mode", "wal")?;
        // The spool forgets what is written here, so it must be synced.
        file.pragma_update(None, "synchronous", "full")?;
        migrate(&mut file)?;
        Ok(Self { file: Arc::new(Mutex::new(file)), breaker })
    }

    pub(super) fn check(&self) -> Probe {
        let sqlite = self.clone();
        let probe = move || {
            let sqlite = sqlite.clone();
            async move {
                match sqlite.run(|file| file.query_row("SELECT 1", [], |_| Ok(()))).await {
                    Ok(()) => CheckOutcome::healthy(),
                    Err(_) => CheckOutcome::unhealthy("the file cannot be read"),
                }
            }
        };
        probe.into_probe()
    }

    pub(super) async fn get(&self, id: Uuid) -> Result<Option<Task>, Down> {
        let get = move |file: &mut Connection| {
            let mut get = file.prepare_cached("SELECT record, events FROM tasks WHERE id = ?1")?;
            let record = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            get.query_row([id.as_bytes()], record).optional()
        };
        let found: Option<(String, String)> = self.run(get).await?;
        found.map(|(record, events)| row::read(&record, Some(&events))).transpose()
    }

    pub(super) async fn list(&self, page: Page) -> Result<Listed, Down> {
        let most = page.most;
        let list = move |file: &mut Connection| {
            let mut list = file.prepare_cached(
                "SELECT created_ms, id, record FROM tasks
                 WHERE user_id = ?1 AND (?2 IS NULL OR status = ?2) AND (created_ms, id) < (?3, ?4)
                 ORDER BY created_ms DESC, id DESC LIMIT ?5",
            )?;
            let Page { user, status, before: (before_ms, before_id), most } = &page;
            let status = status.map(|status| status.as_str());
            let place = |row: &Row<'_>| Ok(((row.get(0)?, Uuid::from_bytes(row.get(1)?)), row.get(2)?));
            list.query_map(params![user, status, before_ms, before_id.as_bytes(), most], place)?
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(row::page(&self.run(list).await?, most))
    }

    pub(super) async fn unfinished(&self, owner: &str, before_ms: i64) -> Result<Vec<Task>, Down> {
        let owner = owner.to_owned();
        let list = move |file: &mut Connection| {
            let mut list = file.prepare_cached(
                "SELECT record FROM tasks
                 WHERE owner = ?1 AND status IN ('queued', 'running') AND updated_ms < ?2 ORDER BY created_ms",
            )?;
            let record = |row: &Row<'_>| row.get::<_, String>(0);
            list.query_map(params![owner, before_ms], record)?.collect::<Result<Vec<_>, _>>()
        };
        Ok(row::readable(&self.run(list).await?))
    }

    /// Works with the file on a thread that may block, if the breaker admits it.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Down> {
        let file = self.file.clone();
        let work = async move {
            let work = spawn_blocking(move || work(&mut file.lock().unwrap_or_else(PoisonError::into_inner)));
            work.await.unwrap_or(Err(Error::UnwindingPanic))
        };
        self.breaker.run_timeout(WITHIN, work).await.map_err(|error| {
            warn!(error = kind(&error), "the tasks' file cannot be used");
            Down { retry_after: error.rejected().and_then(|rejected| rejected.retry_after()) }
        })
    }
}

impl Sink<Record> for Sqlite {
    async fn deliver(&self, batch: &[Item<Record>]) -> Vec<Outcome> {
        let items = batch.to_vec();
        let count = items.len();
        let written = self.run(move |file| {
            let tx = file.transaction()?;
            for item in &items {
                write(&tx, item)?;
            }
            tx.commit()
        });
        match written.await {
            Ok(()) => vec![Outcome::Done; count],
            Err(Down { retry_after }) => {
                let error = "the tasks' file cannot be written".to_owned();
                vec![Outcome::Unavailable { after: retry_after, error }; count]
            }
        }
    }
}

fn write(tx: &Connection, item: &Item<Record>) -> Result<(), Error> {
    if let Record::Task(task) = item.value() {
        let (record, events) =
            row::to_json(task).map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
        let mut upsert = tx.prepare_cached(
            "INSERT INTO tasks (id, user_id, status, owner, version, created_ms, updated_ms, record, events)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (id) DO UPDATE SET
                     status = excluded.status, owner = excluded.owner, version = excluded.version,
                     updated_ms = excluded.updated_ms, record = excluded.record, events = excluded.events
                 WHERE tasks.version < excluded.version AND tasks.status IN ('queued', 'running')",
        )?;
        upsert.execute(params![
            task.id.as_bytes(),
            task.user,
            task.status.as_str(),
            task.owner,
            task.version,
            task.created_ms,
            task.updated_ms,
            record,
            events
        ])?;
    }
    if let Some(audit) = item.value().audit() {
        let mut insert = tx.prepare_cached(
            "INSERT INTO audit_log (id, at_ms, task_id, user_id, what) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO NOTHING",
        )?;
        let id = item.id().as_u128().to_be_bytes();
        insert.execute(params![id, audit.at_ms, audit.task.as_bytes(), audit.user, audit.what])?;
    }
    Ok(())
}

fn migrate(file: &mut Connection) -> Result<(), Error> {
    let done: u32 = file.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (number, migration) in (1..).zip(MIGRATIONS).skip_while(|(number, _)| *number <= done) {
        let tx = file.transaction()?;
        tx.execute_batch(migration)?;
        tx.pragma_update(None, "user_version", number)?;
        tx.commit()?;
    }
    Ok(())
}

/// Without the driver's words.
fn kind(error: &BreakerError<Error>) -> String {
    match error {
        BreakerError::Inner(Error::SqliteFailure(failure, _)) => format!("{:?}", failure.code),
        BreakerError::Inner(_) => "the driver failed".to_owned(),
        other => other.to_string(),
    }
}
