use std::fmt;
use std::future::Future;

use futures_core::future::BoxFuture;
use mainstay_spool::Item;
use sqlx::Error;

use crate::GuardedTx;

/// Statements of one's own for the items of a batch, in a transaction that [`TransactionSink`](crate::spool::TransactionSink) begins and
/// ends. Functions that return a boxed future are this too; for closures there is
/// [`TransactionSink::with`](crate::spool::TransactionSink::with).
pub trait Write<T>: Send + Sync + 'static {
    /// Writes items, oldest first, no two of the same key. None of them has been written before.
    ///
    /// It is called again with parts of the batch when it fails, each time in a new transaction: whatever it does outside of that is
    /// done as often as it is called. An error of a statement must be returned, or the statement be in a savepoint
    /// ([`GuardedTx::begin`]); after one that is kept back nothing is committed, and the items are tried again.
    fn write(
        &self,
        tx: &mut GuardedTx<'static>,
        items: &[&Item<T>],
    ) -> impl Future<Output = Result<(), WriteError>> + Send;
}

/// Why items were not written.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// An error of the database: the sink's judge says whom it blames.
    Database(Error),
    /// One of the items can never be written, and why. It is found, and becomes a dead letter.
    Poison(String),
    /// One of the items cannot be written now, and why. It is found, and tried again.
    Retry(String),
}

impl<T, F> Write<T> for F
where
    T: Sync,
    F: Send + Sync + 'static,
    F: for<'a> Fn(&'a mut GuardedTx<'static>, &'a [&'a Item<T>]) -> BoxFuture<'a, Result<(), WriteError>>,
{
    async fn write(&self, tx: &mut GuardedTx<'static>, items: &[&Item<T>]) -> Result<(), WriteError> {
        self(tx, items).await
    }
}

// === impl WriteError ===

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Poison(error) | Self::Retry(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => std::error::Error::source(error),
            Self::Poison(_) | Self::Retry(_) => None,
        }
    }
}
