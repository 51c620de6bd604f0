use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mainstay_spool::{Item, Outcome, Sink};
use serde::Serialize;
use sqlx::{AssertSqlSafe, Error};

use crate::GuardedPool;
use crate::spool::parts::{Failure, Judge, write_in_parts};
use crate::spool::{Blame, Table};

/// A sink that puts each item into a table, once: a batch is one `INSERT … ON CONFLICT (id) DO NOTHING`.
///
/// Items become JSON as `serde` has it. What PostgreSQL's `jsonb` cannot hold (a NUL character in a text) is poison.
#[derive(Clone, Debug)]
pub struct TableSink {
    db: GuardedPool,
    table: Table,
    insert: Arc<str>,
    judge: Judge,
}

struct Row {
    id: String,
    key: Option<String>,
    payload: String,
    accepted: i64,
}

/// Whoever makes a table locks this first: two that do it at once get in each other's way, `IF NOT EXISTS` or not.
const MAKING: i64 = 0x6d61_696e_7374_6179;

// === impl TableSink ===

impl TableSink {
    /// A sink for this table.
    pub fn new(db: GuardedPool, table: Table) -> Self {
        let insert = table.insert_sql();
        Self { db, table, insert, judge: Judge::default() }
    }

    /// Who decides whether an item is to blame. Default: [`blame`](crate::spool::blame()).
    #[must_use]
    pub fn blame(mut self, blame: fn(&Error) -> Blame) -> Self {
        self.judge.blame = blame;
        self
    }

    /// The words of errors in outcomes and dead letters. Default: [`describe`](crate::spool::describe()).
    #[must_use]
    pub fn describe(mut self, describe: fn(&Error) -> String) -> Self {
        self.judge.describe = describe;
        self
    }

    /// Makes the table if it is not there. One that is there is left as it is. Several programs may do this at once.
    ///
    /// # Errors
    ///
    /// As for a transaction on the pool.
    pub async fn create_table(&self) -> Result<(), Error> {
        create(&self.db, self.table.create_sql()).await
    }

    async fn insert(&self, rows: &[Row]) -> Result<(), Failure> {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let keys: Vec<Option<&str>> = rows.iter().map(|row| row.key.as_deref()).collect();
        let payloads: Vec<&str> = rows.iter().map(|row| row.payload.as_str()).collect();
        let accepted: Vec<i64> = rows.iter().map(|row| row.accepted).collect();
        sqlx::query(AssertSqlSafe(self.insert.clone()))
            .bind(ids)
            .bind(keys)
            .bind(payloads)
            .bind(accepted)
            .execute(&self.db)
            .await
            .map(drop)
            .map_err(|error| self.judge.failure(&error))
    }
}

impl<T: Serialize + Sync> Sink<T> for TableSink {
    async fn deliver(&self, batch: &[Item<T>]) -> Vec<Outcome> {
        let rows: Vec<Option<Row>> = batch.iter().map(Row::of).collect();
        let sound: Vec<bool> = rows.iter().map(Option::is_some).collect();
        let rows: Vec<Row> = rows.into_iter().flatten().collect();
        let mut outcomes = write_in_parts(&self.db, &rows, |part| self.insert(part)).await.into_iter();
        let written = sound.into_iter().map(|sound| match sound {
            true => outcomes.next().unwrap_or_else(|| Outcome::retry("not written")),
            false => Outcome::poison("it cannot be made JSON"),
        });
        written.collect()
    }
}

pub(super) async fn create(db: &GuardedPool, sql: String) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MAKING).execute(&mut tx).await?;
    sqlx::query(AssertSqlSafe(sql)).execute(&mut tx).await?;
    tx.commit().await
}

// === impl Row ===

impl Row {
    fn of<T: Serialize>(item: &Item<T>) -> Option<Self> {
        Some(Self {
            id: item.id().to_string(),
            key: item.key().map(str::to_owned),
            payload: serde_json::to_string(item.value()).ok()?,
            accepted: micros(item.accepted()),
        })
    }
}

/// Since 1970; what is before is negative.
fn micros(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    }
}
