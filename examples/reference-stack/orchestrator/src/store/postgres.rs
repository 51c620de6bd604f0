//! PostgreSQL. It need not be up when the orchestrator starts: the tables are made as soon as it is, and until then it cannot be asked.

use std::time::Duration;

use mainstay::breaker::{Breaker, State};
use mainstay::health::Probe;
use mainstay::spool::{Item, Outcome, Sink};
use mainstay_postgres::spool::{TransactionSink, Write, WriteError, describe};
use mainstay_postgres::{GuardedPool, GuardedTx, health, rejected};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use super::{Down, Listed, Page, Record, row};
use crate::task::Task;

/// How long a reader waits for a connection, and then for an answer.
const CONNECTED_WITHIN: Duration = Duration::from_millis(500);
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// When to ask again for what cannot be known because it is down.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long it may take to say goodbye.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);
/// How often it is tried to make the tables, and how long that may take.
const MIGRATE_EVERY: Duration = Duration::from_millis(500);
const MIGRATE_WITHIN: Duration = Duration::from_secs(30);
/// How long the ids of what was written are kept; a spool that is older than this would be written again, which changes nothing.
const KEEP_IDS: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Clone)]
pub(crate) struct Postgres {
    db: GuardedPool,
    sink: TransactionSink<Upserts>,
    migrated: watch::Receiver<bool>,
}

/// What is written for a batch.
#[derive(Clone)]
struct Upserts;

impl Postgres {
    pub(super) fn start(options: PgConnectOptions, breaker: Breaker) -> Self {
        let options = options
            .application_name("orchestrator")
            // Somewhat longer than the guard's own deadline.
            .options([("statement_timeout", "10s")]);
        let pool = PgPoolOptions::new()
            .max_connections(25)
            .min_connections(5)
            .max_lifetime(Duration::from_secs(5 * 60))
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options);
        let db = GuardedPool::new(pool, breaker);
        let sink = TransactionSink::new(db.clone(), Upserts);
        let (done, migrated) = watch::channel(false);
        tokio::spawn(prepare(db.clone(), sink.clone(), done));
        Self { db, sink, migrated }
    }

    pub(super) fn check(&self) -> Probe {
        health::check(self.db.clone())
    }

    pub(super) async fn get(&self, id: Uuid) -> Result<Option<Task>, Down> {
        let db = self.ready()?;
        let found: Option<(String, String)> =
            sqlx::query_as("SELECT record::text, events::text FROM tasks WHERE id = $1")
                .bind(id)
                .fetch_optional(&db)
                .await
                .map_err(|error| down(&error))?;
        found.map(|(record, events)| row::read(&record, Some(&events))).transpose()
    }

    pub(super) async fn list(&self, page: Page) -> Result<Listed, Down> {
        let Page { user, status, before: (before_ms, before_id), most } = page;
        let found: Vec<(i64, Uuid, String)> = sqlx::query_as(
            "SELECT created_ms, id, record::text FROM tasks
             WHERE user_id = $1 AND ($2::text IS NULL OR status = $2) AND (created_ms, id) < ($3, $4)
             ORDER BY created_ms DESC, id DESC LIMIT $5",
        )
        .bind(user)
        .bind(status.map(|status| status.as_str()))
        .bind(before_ms)
        .bind(before_id)
        .bind(most)
        .fetch_all(&self.ready()?)
        .await
        .map_err(|error| down(&error))?;
        let rows: Vec<_> = found.into_iter().map(|(made, id, record)| ((made, id), record)).collect();
        Ok(row::page(&rows, most))
    }

    pub(super) async fn unfinished(&self, owner: &str, before_ms: i64) -> Result<Vec<Task>, Down> {
        let found: Vec<(String,)> = sqlx::query_as(
            "SELECT record::text FROM tasks
             WHERE owner = $1 AND status IN ('queued', 'running') AND updated_ms < $2 ORDER BY created_ms",
        )
        .bind(owner)
        .bind(before_ms)
        .fetch_all(&self.ready()?)
        .await
        .map_err(|error| down(&error))?;
        Ok(row::readable(found.iter().map(|(record,)| record)))
    }

    pub(super) async fn close(&self) {
        let _ = timeout(CLOSED_WITHIN, self.db.close()).await;
    }

    /// The database as readers ask it, once it has its tables. While it is down nobody waits to find out that it is.
    fn ready(&self) -> Result<GuardedPool, Down> {
        if !self.db.is_up() {
            return Err(Down { retry_after: Some(ASK_AGAIN) });
        }
        if !*self.migrated.borrow() {
            return Err(Down { retry_after: Some(MIGRATE_EVERY) });
        }
        Ok(self.db.clone().acquire_deadline(CONNECTED_WITHIN).statement_deadline(ANSWERED_WITHIN))
    }
}

impl Sink<Record> for Postgres {
    async fn deliver(&self, batch: &[Item<Record>]) -> Vec<Outcome> {
        if !*self.migrated.borrow() {
            let unavailable = Outcome::unavailable_for(MIGRATE_EVERY, "the database has no tables yet");
            return vec![unavailable; batch.len()];
        }
        self.sink.deliver(batch).await
    }
}

impl Write<Record> for Upserts {
    async fn write(&self, tx: &mut GuardedTx<'static>, items: &[&Item<Record>]) -> Result<(), WriteError> {
        let mut tasks = Vec::new();
        let mut audits = Vec::new();
        for item in items {
            if let Record::Task(task) = item.value() {
                tasks.push(task.as_ref());
            }
            let id = Uuid::from_u128(item.id().as_u128());
            audits.extend(item.value().audit().map(|audit| (id, audit)));
        }
        if !tasks.is_empty() {
            let json = tasks.iter().map(|task| row::to_json(task)).collect::<Result<Vec<_>, _>>();
            let json = json.map_err(|error| WriteError::Poison(error.to_string()))?;
            let (records, events): (Vec<_>, Vec<_>) = json.into_iter().unzip();
            sqlx::query(
                "INSERT INTO tasks (id, user_id, status, owner, version, created_ms, updated_ms, record, events)
                 SELECT id, user_id, status, owner, version, created_ms, updated_ms, record::json, events::json
                 FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::int8[], $8::text[], $9::text[])
                      AS t (id, user_id, status, owner, version, created_ms, updated_ms, record, events)
                 ON CONFLICT (id) DO UPDATE SET
                     status = excluded.status, owner = excluded.owner, version = excluded.version,
                     updated_ms = excluded.updated_ms, record = excluded.record, events = excluded.events
                 WHERE tasks.version < excluded.version AND tasks.status IN ('queued', 'running')",
            )
            .bind(tasks.iter().map(|task| task.id).collect::<Vec<_>>())
            .bind(tasks.iter().map(|task| task.user.clone()).collect::<Vec<_>>())
            .bind(tasks.iter().map(|task| task.status.as_str()).collect::<Vec<_>>())
            .bind(tasks.iter().map(|task| task.owner.clone()).collect::<Vec<_>>())
            .bind(tasks.iter().map(|task| task.version).collect::<Vec<_>>())
            .bind(tasks.iter().map(|task| task.created_ms).collect::<Vec<_>>())
            .bind(tasks.iter().map(|task| task.updated_ms).collect::<Vec<_>>())
            .bind(records)
            .bind(events)
            .execute(&mut *tx)
            .await?;
        }
        if !audits.is_empty() {
            sqlx::query(
                "INSERT INTO audit_log (id, at_ms, task_id, user_id, what)
                 SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::uuid[], $4::text[], $5::text[])
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(audits.iter().map(|(id, _)| *id).collect::<Vec<_>>())
            .bind(audits.iter().map(|(_, audit)| audit.at_ms).collect::<Vec<_>>())
            .bind(audits.iter().map(|(_, audit)| audit.task).collect::<Vec<_>>())
            .bind(audits.iter().map(|(_, audit)| audit.user.clone()).collect::<Vec<_>>())
            .bind(audits.iter().map(|(_, audit)| audit.what.clone()).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }
}

/// Makes the tables as soon as the database is there; then forgets old ids now and then.
async fn prepare(db: GuardedPool, sink: TransactionSink<Upserts>, done: watch::Sender<bool>) {
    let mut said = String::new();
    loop {
        // What is done past the guard asks the guard first, at least.
        if db.breaker().state() != State::Open {
            let error = match timeout(MIGRATE_WITHIN, migrate(&db, &sink)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => described(&error),
                Err(_) => "no answer".to_owned(),
            };
            // Each reason once, not twice a second.
            if error != said {
                warn!(error, "the database has no tables yet");
                said = error;
            }
        }
        sleep(MIGRATE_EVERY).await;
        if done.is_closed() {
            return;
        }
    }
    info!("the database has its tables");
    done.send_replace(true);
    while !done.is_closed() {
        tokio::select! {
            () = sleep(Duration::from_secs(3600)) => {}
            () = done.closed() => return,
        }
        if let Err(error) = sink.forget(KEEP_IDS).await {
            warn!(error = describe(&error), "old ids are kept for now");
        }
    }
}

async fn migrate(db: &GuardedPool, sink: &TransactionSink<Upserts>) -> Result<(), MigrateError> {
    static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");
    // Other services may have tables, and a list of migrations, in the same database.
    let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
    migrator.dangerous_set_table_name("orchestrator_migrations");
    migrator.run(db.pool()).await?;
    sink.create_table().await?;
    Ok(())
}

/// Without the server's words, which may hold what nobody should read.
fn described(error: &MigrateError) -> String {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => describe(error),
        _ => "a migration does not fit the database".to_owned(),
    }
}

fn down(error: &sqlx::Error) -> Down {
    warn!(error = describe(error), "the database cannot be asked");
    Down { retry_after: rejected(error).and_then(|rejected| rejected.retry_after()) }
}
