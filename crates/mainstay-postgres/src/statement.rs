//! What is done on a lent connection, each wait within the statement deadline.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::pin::Pin;

use sqlx::postgres::{PgRow, PgStatement, PgTransactionManager, PgTypeInfo};
use sqlx::{Describe, Error, Execute, Executor, Postgres, SqlStr};
use sqlx_core::transaction::TransactionManager;

use crate::alarm::{Alarm, Expired};
use crate::lease::Lease;
use crate::steps::hand_over;
use crate::{DeadlineExpired, GuardedPool};

/// How a transaction, or a savepoint, ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Commit,
    Rollback,
}

impl<H: Borrow<GuardedPool>> Lease<H> {
    /// Executes, and hands each step of the answer over to the stream around the calling future. The deadline is for
    /// each of them.
    pub(crate) async fn run<'q, E>(
        &mut self,
        mut alarm: Pin<&mut Alarm>,
        query: E,
        mut heard: impl FnMut(),
    ) -> Result<(), Error>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let limit = self.guard().deadlines().statement;
        let mut steps = self.start()?.fetch_many(query);
        let result = loop {
            let next = poll_fn(|cx| steps.as_mut().poll_next(cx));
            match alarm.as_mut().within(limit, next).await {
                Ok(Some(Ok(step))) => {
                    heard();
                    hand_over(step).await;
                }
                Ok(Some(Err(error))) => break Ok(Err(error)),
                Ok(None) => break Ok(Ok(())),
                Err(Expired) => break Err(Expired),
            }
        };
        drop(steps);
        self.settle(result)
    }

    /// Executes, and gives the first row, once the server has told all.
    pub(crate) async fn fetch_optional<'q, E>(
        &mut self,
        alarm: Pin<&mut Alarm>,
        query: E,
    ) -> Result<Option<PgRow>, Error>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let limit = self.guard().deadlines().statement;
        let work = self.start()?.fetch_optional(query);
        let result = alarm.within(limit, work).await;
        self.settle(result)
    }

    pub(crate) async fn prepare(
        &mut self,
        alarm: Pin<&mut Alarm>,
        sql: SqlStr,
        parameters: &[PgTypeInfo],
    ) -> Result<PgStatement, Error> {
        let limit = self.guard().deadlines().statement;
        let work = self.start()?.prepare_with(sql, parameters);
        let result = alarm.within(limit, work).await;
        self.settle(result)
    }

    pub(crate) async fn describe(
        &mut self,
        alarm: Pin<&mut Alarm>,
        sql: SqlStr,
    ) -> Result<Describe<Postgres>, Error> {
        let limit = self.guard().deadlines().statement;
        let work = self.start()?.describe(sql);
        let result = alarm.within(limit, work).await;
        self.settle(result)
    }

    /// Begins a transaction, or sets a savepoint in one. If that fails or is cut off the connection is given up: sqlx does
    /// not know then whether it is in a transaction, or rolls back the one around the savepoint.
    pub(crate) async fn begin(
        &mut self,
        alarm: Pin<&mut Alarm>,
        statement: Option<SqlStr>,
    ) -> Result<(), Error> {
        let limit = self.guard().deadlines().statement;
        let work = PgTransactionManager::begin(self.start_or_give_up()?, statement);
        let result = alarm.within(limit, work).await;
        let result = self.settle(result);
        if result.is_err() {
            self.give_up();
        }
        result
    }

    /// Ends the transaction, or the savepoint, that was begun at a depth. If that is cut off the connection is given up.
    pub(crate) async fn end(&mut self, alarm: Pin<&mut Alarm>, depth: usize, end: End) -> Result<(), Error> {
        let limit = self.guard().deadlines().statement;
        if self.depth() != depth {
            // It was ended, or another was begun and left open, past the guard: sqlx would end another one than was meant,
            // or none, and say that all is well.
            self.give_up();
        }
        let conn = self.start_or_give_up()?;
        let result = match end {
            End::Commit => alarm.within(limit, PgTransactionManager::commit(conn)).await,
            End::Rollback => alarm.within(limit, PgTransactionManager::rollback(conn)).await,
        };
        self.settle(result)
    }

    /// Has the transaction, or the savepoint, rolled back by whatever is done next on the connection.
    pub(crate) fn roll_back_later(&mut self, depth: usize) {
        if self.check().is_ok() && self.depth() == depth {
            PgTransactionManager::start_rollback(self.conn_mut());
        } else {
            self.give_up();
        }
    }

    /// How deep in transactions and savepoints the connection is.
    pub(crate) fn depth(&self) -> usize {
        PgTransactionManager::get_transaction_depth(self.conn())
    }

    fn settle<T>(&mut self, result: Result<Result<T, Error>, Expired>) -> Result<T, Error> {
        let result = result.unwrap_or_else(|Expired| Err(DeadlineExpired::no_answer(self.guard())));
        self.finish(&result);
        result
    }
}
