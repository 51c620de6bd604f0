use std::ops::{Deref, DerefMut};
use std::pin::pin;

use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::postgres::{PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Error, Execute, Executor, PgConnection, Postgres, SqlStr};

use crate::GuardedPool;
use crate::alarm::Alarm;
use crate::call::Ledger;
use crate::lease::Lease;
use crate::statement::End;
use crate::steps::{Step, Steps};

/// A transaction, or a savepoint in one. Made by [`GuardedPool::begin`], [`GuardedConnection::begin`] and
/// [`GuardedTx::begin`].
///
/// To the breaker it is one call, with one permit from `BEGIN` to `COMMIT`, `ROLLBACK` or drop, savepoints and all. Its
/// statements are never rejected, not even when the breaker opens meanwhile: what is half done should be finished. The
/// worst verdict on any of them counts, once. While half-open, the answer to `BEGIN` is the answer to the probe, so that a
/// long transaction keeps nobody waiting.
///
/// `&mut GuardedTx` is an [`Executor`]. There is no `Deref` to the driver's connection, so that nothing gets past the
/// deadlines unseen; [`inner_mut`](Self::inner_mut) is the way past them.
///
/// Dropped without an end it is rolled back, when its connection goes back to the pool, or closed if it is in the middle
/// of a statement. Once a deadline has passed in it, or its connection has broken, it is over: everything else in it fails at
/// once with [`ConnectionGivenUp`](crate::ConnectionGivenUp), also its commit.
///
/// ```no_run
/// # use mainstay_postgres::{GuardedPool, sqlx};
/// # async fn pay(db: GuardedPool) -> Result<(), sqlx::Error> {
/// let mut tx = db.begin().await?;
/// sqlx::query("UPDATE accounts SET held = held - 10 WHERE id = $1").bind(1).execute(&mut tx).await?;
/// sqlx::query("UPDATE accounts SET held = held + 10 WHERE id = $1").bind(2).execute(&mut tx).await?;
/// tx.commit().await
/// # }
/// ```
///
/// [`GuardedConnection::begin`]: crate::GuardedConnection::begin
#[derive(Debug)]
pub struct GuardedTx<'t> {
    // Before the connection: it is judged, and then the connection is let go.
    ledger: Held<'t, Ledger>,
    lease: Held<'t, Lease<GuardedPool>>,
    depth: usize,
    open: bool,
}

/// Its own, or that of what is around it.
#[derive(Debug)]
enum Held<'t, T> {
    Own(T),
    Lent(&'t mut T),
}

// === impl GuardedTx ===

impl GuardedTx<'static> {
    pub(crate) fn begun(mut ledger: Ledger, lease: Lease<GuardedPool>) -> Self {
        ledger.begun();
        Self::new(Held::Own(ledger), Held::Own(lease))
    }
}

impl<'t> GuardedTx<'t> {
    pub(crate) fn begun_on(mut ledger: Ledger, lease: &'t mut Lease<GuardedPool>) -> Self {
        ledger.begun();
        Self::new(Held::Own(ledger), Held::Lent(lease))
    }

    fn new(ledger: Held<'t, Ledger>, lease: Held<'t, Lease<GuardedPool>>) -> Self {
        let depth = lease.depth();
        Self { ledger, lease, depth, open: true }
    }

    /// Sets a savepoint: a transaction in this one, which can be rolled back by itself. It is part of the same call.
    ///
    /// If it cannot be set the whole transaction is over.
    ///
    /// # Errors
    ///
    /// A [deadline that passed](crate::timed_out), or the driver's own error; never a rejection.
    pub async fn begin(&mut self) -> Result<GuardedTx<'_>, Error> {
        let result = self.lease.begin(pin!(Alarm::new()), None).await;
        self.ledger.note(&result);
        result?;
        Ok(GuardedTx::new(Held::Lent(&mut self.ledger), Held::Lent(&mut self.lease)))
    }

    /// Commits the transaction, or releases the savepoint.
    ///
    /// PostgreSQL answers the `COMMIT` of a transaction in which a statement failed by rolling it back, and to sqlx, which
    /// does not look, that is `Ok`. Do not commit after an error.
    ///
    /// # Errors
    ///
    /// A [deadline that passed](crate::timed_out), after which nobody knows whether it is committed; a
    /// [`ConnectionGivenUp`](crate::ConnectionGivenUp) if it was over before, and is not; or the driver's own error.
    pub async fn commit(self) -> Result<(), Error> {
        self.end(End::Commit).await
    }

    /// Rolls the transaction back, or the savepoint.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit). Nothing is committed then either: the server rolls it back when it notices that the
    /// connection is closed.
    pub async fn rollback(self) -> Result<(), Error> {
        self.end(End::Rollback).await
    }

    async fn end(mut self, end: End) -> Result<(), Error> {
        let result = self.lease.end(pin!(Alarm::new()), self.depth, end).await;
        self.ledger.note(&result);
        self.open = result.is_err();
        result
    }

    /// The driver's connection, for what the guard has no word for (`COPY`, advisory locks). What is done with it is not
    /// guarded: it has no deadline and counts for nothing. A transaction begun on it is a savepoint in this one.
    pub fn inner_mut(&mut self) -> &mut PgConnection {
        self.lease.conn_mut()
    }
}

impl Drop for GuardedTx<'_> {
    fn drop(&mut self) {
        if self.open {
            self.lease.roll_back_later(self.depth);
        }
    }
}

impl<'c> Executor<'c> for &'c mut GuardedTx<'_> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(Steps::new(async move {
            let result = self.lease.run(pin!(Alarm::new()), query, || ()).await;
            self.ledger.note(&result);
            result
        }))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let result = self.lease.fetch_optional(pin!(Alarm::new()), query).await;
            self.ledger.note(&result);
            result
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let result = self.lease.prepare(pin!(Alarm::new()), sql, parameters).await;
            self.ledger.note(&result);
            result
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let result = self.lease.describe(pin!(Alarm::new()), sql).await;
            self.ledger.note(&result);
            result
        })
    }
}

// === impl Held ===

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Own(own) => own,
            Self::Lent(lent) => lent,
        }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match self {
            Self::Own(own) => own,
            Self::Lent(lent) => lent,
        }
    }
}
