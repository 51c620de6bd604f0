use std::fmt;
use std::time::Duration;

use mainstay_breaker::{Breaker, Verdict};
use redis::RedisError;

/// The deadline of a guard that was given none: 1 s.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(1);

/// What an error says about Redis.
pub type Judge = fn(&RedisError) -> Verdict;

/// A Redis connection behind a breaker. It is a connection itself: of the async kind if `C` is
/// ([`redis::aio::ConnectionLike`]), of the blocking kind if `C` is ([`redis::ConnectionLike`]).
///
/// Every request (one command, or one pipeline) asks the breaker for admission, an async one when its future is first
/// polled, and tells it how it went: see [`verdict`](crate::verdict). A pipeline counts once, by its worst answer: one failure
/// among them is a failure. A request whose future is dropped unfinished counts as cancelled. A command that expects no
/// answer (`set_no_response`) proves nothing when it is sent, and is ignored unless sending fails.
///
/// A request that is not admitted fails at once with a [`RedisError`] from which [`rejected`](crate::rejected) finds the
/// breaker's reason. Nothing in the driver takes it for a lost connection, and its
/// [`retry_method`](RedisError::retry_method) is `NoRetry`. Three commands are never rejected, but made without the breaker
/// when it does not admit them: `EXEC`, `DISCARD` and `UNWATCH` end a transaction, and without them the connection would
/// stay in the midst of it.
///
/// Clones share the breaker, and the connection if its clones do. With a client or a pool that hands out connections,
/// guard each of them with a clone of one breaker.
///
/// ```
/// use mainstay_redis::{Breaker, Guarded, default_settings, rejected, redis};
///
/// # struct NoServer;
/// # impl redis::aio::ConnectionLike for NoServer {
/// #     fn req_packed_command<'a>(&'a mut self, _: &'a redis::Cmd) -> redis::RedisFuture<'a, redis::Value> {
/// #         Box::pin(async { Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()) })
/// #     }
/// #     fn req_packed_commands<'a>(&'a mut self, _: &'a redis::Pipeline, _: usize, _: usize) -> redis::RedisFuture<'a, Vec<redis::Value>> {
/// #         Box::pin(async { Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()) })
/// #     }
/// #     fn get_db(&self) -> i64 { 0 }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let connection = NoServer;
/// use redis::AsyncCommands;
///
/// let breaker = Breaker::builder("redis").settings(default_settings()).build()?;
/// let mut redis = Guarded::new(connection, breaker);
/// for _ in 0..3 {
///     let refused = redis.get::<_, String>("key").await.unwrap_err();
///     assert!(refused.is_connection_refusal());
/// }
/// let error = redis.get::<_, String>("key").await.unwrap_err();
/// let rejected = rejected(&error).expect("three failures in a row have opened the breaker");
/// assert_eq!(rejected.cause().unwrap().to_string(), "3 failures in a row (limit 3)");
/// # Ok(())
/// # }
/// ```
///
/// # Allocations
///
/// One per async request beyond the driver's own: the box that its trait demands. A blocking request allocates nothing.
/// Each error that the guard makes (a rejection, a deadline) takes three more.
///
/// # Runtime
///
/// An async request with a deadline needs a tokio runtime with its timer enabled. Polled elsewhere it fails with an error
/// of [`ErrorKind::Client`](redis::ErrorKind::Client), and is ignored. (Tokio has no other way to tell than to panic, which
/// is caught; the panic hook sees it.) Without a deadline it needs neither.
#[derive(Clone)]
pub struct Guarded<C, F = Judge> {
    pub(crate) connection: C,
    pub(crate) breaker: Breaker,
    pub(crate) deadline: Option<Duration>,
    pub(crate) judge: F,
}

/// A guarded connection with another deadline, for one call. Made by [`Guarded::with_deadline`].
#[derive(Debug)]
pub struct WithDeadline<'a, C, F = Judge> {
    pub(crate) guarded: &'a mut Guarded<C, F>,
    pub(crate) deadline: Option<Duration>,
}

// === impl Guarded ===

impl<C> Guarded<C> {
    /// Puts a connection behind a breaker, with a deadline of [`DEFAULT_DEADLINE`] for each async request.
    ///
    /// The breaker's own `timeout` has no part in it: that one is for [`Breaker::run`] and the tower layer.
    pub fn new(connection: C, breaker: Breaker) -> Self {
        Self { connection, breaker, deadline: Some(DEFAULT_DEADLINE), judge: crate::verdict }
    }
}

impl<C, F> Guarded<C, F> {
    /// After how long an async request is dropped and counts as a failure, from its admission on; `None` for never.
    /// Default: [`DEFAULT_DEADLINE`].
    ///
    /// With a deadline of zero every request fails that is not answered without waiting, and so every real one.
    ///
    /// A blocking request cannot be cut off: set `redis::Connection::set_read_timeout` and `set_write_timeout`.
    #[must_use]
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// The same connection with another deadline (`None` for none), for one call: for commands that block on purpose.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use mainstay_redis::{Guarded, redis::{self, AsyncCommands}};
    /// # async fn example(mut redis: Guarded<redis::aio::MultiplexedConnection>) -> redis::RedisResult<()> {
    /// let job: Option<(String, String)> = redis.with_deadline(Duration::from_secs(6)).blpop("jobs", 5.0).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_deadline(&mut self, deadline: impl Into<Option<Duration>>) -> WithDeadline<'_, C, F> {
        WithDeadline { guarded: self, deadline: deadline.into() }
    }

    /// Judges errors by another function than [`verdict`](crate::verdict), which is a good one to fall back to.
    ///
    /// It is asked for every error that a request ends with, and for every error in an answer, at any depth; an answer
    /// without errors is a success. It is not asked about rejections, nor about the guard's own deadline, which is a
    /// failure.
    ///
    /// ```
    /// use mainstay_redis::{Guarded, Verdict, verdict};
    /// use mainstay_redis::redis::RedisError;
    ///
    /// # fn example<C>(guarded: Guarded<C>) {
    /// // Our credentials come from a service that may fail.
    /// let guarded = guarded.classify(|error: &RedisError| match error.code() {
    ///     Some("NOAUTH" | "WRONGPASS") => Verdict::Failure,
    ///     _ => verdict(error),
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn classify<G>(self, judge: G) -> Guarded<C, G>
    where
        G: Fn(&RedisError) -> Verdict,
    {
        let Self { connection, breaker, deadline, .. } = self;
        Guarded { connection, breaker, deadline, judge }
    }

    /// The breaker.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// The connection.
    pub fn get_ref(&self) -> &C {
        &self.connection
    }

    /// The connection, past the breaker: for what is not a request (subscriptions), or to put a new one in its place.
    pub fn get_mut(&mut self) -> &mut C {
        &mut self.connection
    }

    /// Gives the connection back.
    pub fn into_inner(self) -> C {
        self.connection
    }
}

impl<C, F> fmt::Debug for Guarded<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("breaker", &self.breaker)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
