use std::pin::pin;

use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::postgres::{PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Error, Execute, Executor, PgConnection, Postgres, SqlSafeStr, SqlStr};

use crate::alarm::Alarm;
use crate::call::{Call, Ledger};
use crate::lease::Lease;
use crate::steps::{Step, Steps};
use crate::{GuardedPool, GuardedTx};

/// A connection of the pool. Made by [`GuardedPool::acquire`].
///
/// `&mut GuardedConnection` is an [`Executor`]; each statement on it asks the breaker for admission and is judged by
/// itself. Dropped, the connection goes back to the pool, unless it broke or is in the middle of a statement that was cut
/// off: then it is closed. It is also closed when it is dropped outside the runtime. (With sqlx's `min_connections` set, sqlx
/// panics then, as it does for its own connections.)
#[derive(Debug)]
pub struct GuardedConnection {
    guard: GuardedPool,
    lease: Lease<GuardedPool>,
}

// === impl GuardedConnection ===

impl GuardedConnection {
    pub(crate) fn new(guard: GuardedPool, lease: Lease<GuardedPool>) -> Self {
        Self { guard, lease }
    }

    /// Begins a transaction: one call to the breaker, from here to its end.
    ///
    /// # Errors
    ///
    /// As for [`GuardedPool::begin`].
    pub async fn begin(&mut self) -> Result<GuardedTx<'_>, Error> {
        self.begin_by(None).await
    }

    /// The same with a statement in place of `BEGIN`.
    ///
    /// # Errors
    ///
    /// As for [`GuardedPool::begin_with`].
    pub async fn begin_with(&mut self, statement: impl SqlSafeStr) -> Result<GuardedTx<'_>, Error> {
        self.begin_by(Some(statement.into_sql_str())).await
    }

    async fn begin_by(&mut self, statement: Option<SqlStr>) -> Result<GuardedTx<'_>, Error> {
        self.lease.check()?;
        let mut ledger = Ledger::admit(&self.guard)?;
        match self.lease.begin(pin!(Alarm::new()), statement).await {
            Ok(()) => Ok(GuardedTx::begun_on(ledger, &mut self.lease)),
            Err(error) => {
                ledger.failed(&error);
                Err(error)
            }
        }
    }

    /// The driver's connection, for what the guard has no word for (`COPY`, advisory locks). What is done with it is not
    /// guarded: it needs no admission, has no deadline and counts for nothing.
    pub fn inner_mut(&mut self) -> &mut PgConnection {
        self.lease.conn_mut()
    }

    /// Has the connection closed instead of given back when it is dropped.
    pub fn close_on_drop(&mut self) {
        self.lease.close_on_drop();
    }
}

impl<'c> Executor<'c> for &'c mut GuardedConnection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(Steps::new(async move {
            self.lease.check()?;
            let mut call = Call::admit(&self.guard)?;
            let result = self.lease.run(pin!(Alarm::new()), query, || call.answered()).await;
            call.end(&result);
            result
        }))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            self.lease.check()?;
            let call = Call::admit(&self.guard)?;
            let result = self.lease.fetch_optional(pin!(Alarm::new()), query).await;
            call.end(&result);
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
            self.lease.check()?;
            let call = Call::admit(&self.guard)?;
            let result = self.lease.prepare(pin!(Alarm::new()), sql, parameters).await;
            call.end(&result);
            result
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            self.lease.check()?;
            let call = Call::admit(&self.guard)?;
            let result = self.lease.describe(pin!(Alarm::new()), sql).await;
            call.end(&result);
            result
        })
    }
}
