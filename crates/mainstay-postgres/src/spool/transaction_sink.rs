use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use mainstay_spool::{Item, Outcome, Sink};
use sqlx::{AssertSqlSafe, Error};

use crate::spool::parts::{Failure, Judge, write_in_parts};
use crate::spool::table_sink::create;
use crate::spool::{Blame, Table, Write, WriteError};
use crate::{GuardedPool, GuardedTx};

/// A sink for statements of one's own. A batch is one transaction: it notes the items' ids in a table, runs a [`Write`] with those that
/// were not there, and commits both or neither. So whatever the statements do is done once for each item.
///
/// ```no_run
/// use mainstay_postgres::mainstay_spool::{Item, Spool, SpoolSettings};
/// use mainstay_postgres::spool::{TransactionSink, WriteError};
/// use mainstay_postgres::{GuardedPool, sqlx};
///
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// struct Credit { account: i64, amount: i64 }
///
/// # async fn example(db: GuardedPool) -> Result<(), Box<dyn std::error::Error>> {
/// let sink = TransactionSink::with(db, |tx, credits: &[&Item<Credit>]| {
///     Box::pin(async move {
///         for credit in credits {
///             let Credit { account, amount } = credit.value();
///             if *amount < 0 {
///                 return Err(WriteError::Poison("a negative credit".to_owned()));
///             }
///             sqlx::query("UPDATE accounts SET balance = balance + $2 WHERE id = $1")
///                 .bind(account)
///                 .bind(amount)
///                 .execute(&mut *tx)
///                 .await?;
///         }
///         Ok(())
///     })
/// });
/// sink.create_table().await?;
/// let spool: Spool<Credit> = Spool::open("/var/spool/credits", SpoolSettings::new(), sink)?;
/// # Ok(())
/// # }
/// ```
///
/// Beside what the writer does a batch costs four round trips: `BEGIN`, the ids, a look whether the transaction still stands, `COMMIT`.
/// The table of ids grows by a row for each item: see [`forget`](Self::forget).
#[derive(Clone)]
pub struct TransactionSink<W> {
    db: GuardedPool,
    writer: W,
    ids: Table,
    note: Arc<str>,
    count: Arc<str>,
    judge: Judge,
}

// === impl TransactionSink ===

impl<W> TransactionSink<W> {
    /// A sink that writes so. The ids are noted in `mainstay_spool_written`, which all sinks of a database may share.
    pub fn new(db: GuardedPool, writer: W) -> Self {
        Self::noting(db, writer, Table::of_ids(), Judge::default())
    }

    /// The same with a closure, which takes the transaction and the items.
    pub fn with<T>(db: GuardedPool, writer: W) -> Self
    where
        W: for<'a> Fn(&'a mut GuardedTx<'static>, &'a [&'a Item<T>]) -> BoxFuture<'a, Result<(), WriteError>>,
    {
        Self::new(db, writer)
    }

    fn noting(db: GuardedPool, writer: W, ids: Table, judge: Judge) -> Self {
        let (note, count) = (ids.note_ids_sql(), ids.count_ids_sql());
        Self { db, writer, ids, note, count, judge }
    }

    /// The table where ids are noted: of its columns the one of the ids, and `written`, the time. Default: `mainstay_spool_written`. It
    /// must be in the same database as what is written.
    #[must_use]
    pub fn ids(self, table: Table) -> Self {
        Self::noting(self.db, self.writer, table, self.judge)
    }

    /// Who decides whether an item is to blame. Default: [`blame`](crate::spool::blame()).
    #[must_use]
    pub fn blame(mut self, blame: fn(&Error) -> Blame) -> Self {
        self.judge.blame = blame;
        self
    }

    /// The words of errors in outcomes and dead letters. Default: [`describe`](crate::spool::describe()). The words of a
    /// [`WriteError`] are taken as they are.
    #[must_use]
    pub fn describe(mut self, describe: fn(&Error) -> String) -> Self {
        self.judge.describe = describe;
        self
    }

    /// The statement that makes the table of ids if it is not there, for migrations of one's own.
    pub fn create_sql(&self) -> String {
        self.ids.create_ids_sql()
    }

    /// Makes the table of ids if it is not there. Several programs may do this at once.
    ///
    /// # Errors
    ///
    /// As for a transaction on the pool.
    pub async fn create_table(&self) -> Result<(), Error> {
        create(&self.db, self.create_sql()).await
    }

    /// Forgets the ids that were noted longer ago than this, and returns how many. An item whose id is forgotten is written again if it
    /// comes again: keep them longer than a program that has crashed may stay down, with its spool on disk. A week is a good age.
    ///
    /// It reads the whole table, within the pool's statement deadline.
    ///
    /// # Errors
    ///
    /// As for a statement on the pool.
    pub async fn forget(&self, age: Duration) -> Result<u64, Error> {
        let sql = AssertSqlSafe(self.ids.forget_ids_sql());
        let result = sqlx::query(sql).bind(age.as_secs_f64()).execute(&self.db).await?;
        Ok(result.rows_affected())
    }

    async fn write<T>(&self, part: &[(String, &Item<T>)]) -> Result<(), Failure>
    where
        T: Sync,
        W: Write<T>,
    {
        let failure = |error: Error| self.judge.failure(&error);
        let mut tx = self.db.begin().await.map_err(failure)?;
        let ids: Vec<&str> = part.iter().map(|(id, _)| id.as_str()).collect();
        // Where another transaction notes the same id just now, this waits for its end.
        let note = sqlx::query_scalar(AssertSqlSafe(self.note.clone())).bind(&ids);
        let new: Vec<String> = note.fetch_all(&mut tx).await.map_err(failure)?;
        if new.is_empty() {
            return tx.rollback().await.map_err(failure);
        }
        let new: HashSet<String> = new.into_iter().collect();
        let items: Vec<&Item<T>> =
            part.iter().filter(|(id, _)| new.contains(id)).map(|(_, item)| *item).collect();
        let written = self.writer.write(&mut tx, &items).await;
        written.map_err(|error| self.judge.write_failure(error))?;
        // PostgreSQL answers the commit of a transaction that has failed by rolling it back, and that is no error.
        let count = sqlx::query_scalar(AssertSqlSafe(self.count.clone())).bind(&ids);
        let noted: i64 = count.fetch_one(&mut tx).await.map_err(failure)?;
        if usize::try_from(noted) != Ok(part.len()) {
            return Err(Judge::lost_transaction());
        }
        tx.commit().await.map_err(failure)
    }
}

impl<T, W> Sink<T> for TransactionSink<W>
where
    T: Send + Sync + 'static,
    W: Write<T>,
{
    async fn deliver(&self, batch: &[Item<T>]) -> Vec<Outcome> {
        let rows: Vec<_> = batch.iter().map(|item| (item.id().to_string(), item)).collect();
        write_in_parts(&self.db, &rows, |part| self.write(part)).await
    }
}

impl<W> fmt::Debug for TransactionSink<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionSink")
            .field("db", &self.db)
            .field("ids", &self.ids)
            .finish_non_exhaustive()
    }
}
