use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use mainstay_breaker::{Breaker, Outlook, Verdict};
use sqlx::postgres::{PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Error, Execute, Executor, PgPool, Postgres, SqlSafeStr, SqlStr};
use tokio::runtime::Handle;

use crate::acquire::acquire;
use crate::alarm::Alarm;
use crate::call::{Call, Ledger};
use crate::figures::Occupancy;
use crate::steps::{Step, Steps};
use crate::{GuardedConnection, GuardedTx, PoolFigures, verdict};

/// A pool of connections behind a breaker. Cheap to clone; all clones share the pool, the breaker and the figures, and
/// each has deadlines of its own.
///
/// `&GuardedPool` is an [`Executor`], so that whatever runs on a `&PgPool` runs on it:
///
/// ```no_run
/// use mainstay_breaker::Breaker;
/// use mainstay_postgres::{GuardedPool, default_settings, sqlx};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = sqlx::PgPool::connect_lazy("postgres://localhost/orders")?;
/// let db = GuardedPool::new(pool, Breaker::builder("orders").settings(default_settings()).build()?);
///
/// let total: i64 = sqlx::query_scalar("SELECT sum(price) FROM items WHERE placed > $1")
///     .bind(17)
///     .fetch_one(&db)
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// A statement asks the breaker for admission when its future is first polled, takes a connection within the
/// [acquire deadline](Self::acquire_deadline), runs within the [statement deadline](Self::statement_deadline), and is
/// judged once, by its error or its end. Nothing is repeated. The result of a stream counts at its end; a stream that is
/// dropped before is a success if anything had come, and is ignored if not.
///
/// It is not an [`Acquire`](sqlx::Acquire), whose connections and transactions are the driver's own and cannot be guarded.
/// What needs one (migrations, `PgListener`) gets [`pool()`](Self::pool), past the guard.
///
/// Needs a tokio runtime with its timer enabled, as sqlx with its feature `runtime-tokio` does.
#[derive(Clone)]
pub struct GuardedPool {
    shared: Arc<Shared>,
    deadlines: Deadlines,
    classify: fn(&Error) -> Verdict,
}

/// How long a guard lets calls wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlines {
    /// For a connection. See [`GuardedPool::acquire_deadline`].
    pub acquire: Duration,
    /// For each answer of the server. See [`GuardedPool::statement_deadline`].
    pub statement: Duration,
}

struct Shared {
    pool: PgPool,
    breaker: Breaker,
    occupancy: Occupancy,
    /// Whether a call asks why there are no connections.
    inquiring: AtomicBool,
}

// === impl GuardedPool ===

impl GuardedPool {
    /// Guards a pool. Each server wants a breaker of its own.
    pub fn new(pool: PgPool, breaker: Breaker) -> Self {
        let (occupancy, inquiring) = (Occupancy::default(), AtomicBool::new(false));
        Self {
            shared: Arc::new(Shared { pool, breaker, occupancy, inquiring }),
            deadlines: Deadlines { acquire: Duration::from_secs(2), statement: Duration::from_secs(5) },
            classify: verdict,
        }
    }

    /// How long a call may wait for a connection, whether the pool has none free, or one is being tested or opened. What
    /// takes longer is a [`DeadlineExpired`](crate::DeadlineExpired) and a failure. Default: 2 s. [`Duration::MAX`] is none.
    ///
    /// When half of it has passed, and the guard has not lent all connections that the pool may open, one connect of the
    /// guard's own (never two at once) asks the server why, for the [source](std::error::Error::source) of the error: sqlx
    /// tries again and again when it is refused, and does not tell.
    ///
    /// sqlx's own `acquire_timeout` (30 s unless told otherwise) holds too; whichever is shorter.
    #[must_use]
    pub fn acquire_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines.acquire = deadline;
        self
    }

    /// How long the server may keep a statement waiting: for its result, or, where rows are streamed or many are fetched,
    /// for each next one; and as long for a `BEGIN`, `COMMIT` or `ROLLBACK`. The clock runs only while the call waits for
    /// the server, from when it is first found silent until it says something: not while the caller is busy with a row.
    /// What takes longer is a [`DeadlineExpired`](crate::DeadlineExpired) and a failure, and the connection is closed.
    /// Default: 5 s. [`Duration::MAX`] is none.
    ///
    /// It also bounds the question whether all is well that sqlx asks on a connection's way back to the pool; there 5 s is the
    /// most.
    ///
    /// The server is not told, and may go on with the statement until it wants to send something. Let it have a limit of
    /// its own, `statement_timeout`, somewhat longer than this one.
    #[must_use]
    pub fn statement_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines.statement = deadline;
        self
    }

    /// Who decides what an error says about the server. Default: [`verdict`](crate::verdict()), to which such a function
    /// may leave what it does not want to decide. What is not an error is a success.
    #[must_use]
    pub fn classify(mut self, classify: fn(&Error) -> Verdict) -> Self {
        self.classify = classify;
        self
    }

    /// A connection, for statements that must run on the same one. Admission is asked for it, and then again for each
    /// statement.
    ///
    /// # Errors
    ///
    /// A [rejection](crate::rejected), a [deadline that passed](crate::timed_out), or the driver's own error.
    pub async fn acquire(&self) -> Result<GuardedConnection, Error> {
        let call = Call::admit(self)?;
        let alarm = pin!(Alarm::new());
        let result = acquire(self.clone(), alarm).await;
        call.end(&result);
        result.map(|lease| GuardedConnection::new(self.clone(), lease))
    }

    /// Begins a transaction: one call to the breaker, from here to its end.
    ///
    /// # Errors
    ///
    /// A [rejection](crate::rejected), a [deadline that passed](crate::timed_out), or the driver's own error.
    pub async fn begin(&self) -> Result<GuardedTx<'static>, Error> {
        self.begin_by(None).await
    }

    /// The same with a statement in place of `BEGIN`, such as `BEGIN ISOLATION LEVEL SERIALIZABLE`.
    ///
    /// # Errors
    ///
    /// Also [`Error::BeginFailed`] if the statement does not begin a transaction.
    pub async fn begin_with(&self, statement: impl SqlSafeStr) -> Result<GuardedTx<'static>, Error> {
        self.begin_by(Some(statement.into_sql_str())).await
    }

    async fn begin_by(&self, statement: Option<SqlStr>) -> Result<GuardedTx<'static>, Error> {
        let mut ledger = Ledger::admit(self)?;
        let mut alarm = pin!(Alarm::new());
        let result = match acquire(self.clone(), alarm.as_mut()).await {
            Ok(mut lease) => lease.begin(alarm, statement).await.map(|()| lease),
            Err(error) => Err(error),
        };
        match result {
            Ok(lease) => Ok(GuardedTx::begun(ledger, lease)),
            Err(error) => {
                ledger.failed(&error);
                Err(error)
            }
        }
    }

    /// The pool at this moment, for a health report.
    pub fn figures(&self) -> PoolFigures {
        let pool = self.pool();
        // One after the other: what changes in between must not make less than none. For a moment sqlx itself counts one
        // below none, which is a number beyond all others.
        let (size, idle) = (pool.size(), u32::try_from(pool.num_idle()).unwrap_or(0));
        let idle = idle.min(size);
        let max = pool.options().get_max_connections();
        let waiters = self.shared.occupancy.waiters();
        PoolFigures { size, idle, in_use: size - idle, max, waiters }
    }

    /// Whether to ask the server now, for callers who can do without and should not be the ones who find out that it is still down.
    ///
    /// True while the breaker is closed or ramps up, or rejects nothing (it observes, or is forced closed); false while it is open. While it is half-open this is false too, and a `SELECT 1` is
    /// made in the background, as one of its probes: as many as the breaker admits. So a breaker closes again although no
    /// caller is ever a probe. Outside of a tokio runtime nothing is asked; then let a health check ask.
    ///
    /// ```no_run
    /// # use mainstay_postgres::{GuardedPool, sqlx};
    /// # async fn example(db: GuardedPool) -> Option<i64> {
    /// if !db.is_up() {
    ///     return None; // at once, and not after a deadline
    /// }
    /// sqlx::query_scalar("SELECT count(*) FROM visits").fetch_one(&db).await.ok()
    /// # }
    /// ```
    pub fn is_up(&self) -> bool {
        match self.breaker().outlook() {
            Outlook::Up => true,
            Outlook::Down => false,
            Outlook::InDoubt => {
                if let Ok(runtime) = Handle::try_current() {
                    let db = self.clone();
                    runtime.spawn(async move {
                        let _ = sqlx::query("SELECT 1").execute(&db).await;
                    });
                }
                false
            }
        }
    }

    /// The pool itself. What is done with it is not guarded.
    pub fn pool(&self) -> &PgPool {
        &self.shared.pool
    }

    /// The breaker.
    pub fn breaker(&self) -> &Breaker {
        &self.shared.breaker
    }

    /// The deadlines of this guard.
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Closes the pool, as [`PgPool::close`] does: calls that wait for a connection, and all later ones, get
    /// [`Error::PoolClosed`]; the future is done when all connections are back and closed. It has no deadline: bound it
    /// yourself where the network may swallow the goodbyes.
    pub fn close(&self) -> impl Future<Output = ()> + '_ {
        self.pool().close()
    }

    pub(crate) fn classifier(&self) -> fn(&Error) -> Verdict {
        self.classify
    }

    pub(crate) fn occupancy(&self) -> &Occupancy {
        &self.shared.occupancy
    }

    /// How many connections the guard has lent.
    pub(crate) fn lent(&self) -> u32 {
        self.shared.occupancy.lent()
    }

    /// Whether it has lent all that the pool may open.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.lent() >= self.pool().options().get_max_connections()
    }

    pub(crate) fn inquiring(&self) -> &AtomicBool {
        &self.shared.inquiring
    }
}

impl fmt::Debug for GuardedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedPool")
            .field("breaker", self.breaker())
            .field("figures", &self.figures())
            .field("deadlines", &self.deadlines)
            .finish_non_exhaustive()
    }
}

/// As with `&PgPool`, what it returns does not borrow the pool.
impl<'p> Executor<'p> for &'_ GuardedPool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let guard = self.clone();
        Box::pin(Steps::new(async move {
            let mut call = Call::admit(&guard)?;
            let mut alarm = pin!(Alarm::new());
            let result = match acquire(&guard, alarm.as_mut()).await {
                Ok(mut lease) => lease.run(alarm, query, || call.answered()).await,
                Err(error) => Err(error),
            };
            call.end(&result);
            result
        }))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let guard = self.clone();
        Box::pin(async move {
            let call = Call::admit(&guard)?;
            let mut alarm = pin!(Alarm::new());
            let result = match acquire(&guard, alarm.as_mut()).await {
                Ok(mut lease) => lease.fetch_optional(alarm, query).await,
                Err(error) => Err(error),
            };
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
        'p: 'e,
    {
        let guard = self.clone();
        Box::pin(async move {
            let call = Call::admit(&guard)?;
            let mut alarm = pin!(Alarm::new());
            let result = match acquire(&guard, alarm.as_mut()).await {
                Ok(mut lease) => lease.prepare(alarm, sql, parameters).await,
                Err(error) => Err(error),
            };
            call.end(&result);
            result
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        let guard = self.clone();
        Box::pin(async move {
            let call = Call::admit(&guard)?;
            let mut alarm = pin!(Alarm::new());
            let result = match acquire(&guard, alarm.as_mut()).await {
                Ok(mut lease) => lease.describe(alarm, sql).await,
                Err(error) => Err(error),
            };
            call.end(&result);
            result
        })
    }
}
