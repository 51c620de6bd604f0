use mainstay_breaker::{Outlook, Verdict};
use redis::aio::ConnectionLike;
use redis::{RedisError, RedisResult, Value};
use tokio::runtime::Handle;

use crate::Guarded;
use crate::call::bounded;

impl<C, F> Guarded<C, F>
where
    C: ConnectionLike + Clone + Send + 'static,
    F: Fn(&RedisError) -> Verdict + Clone + Send + 'static,
{
    /// Whether to ask Redis now, for callers who can do without and should not be the ones who find out that it is still down.
    ///
    /// True while the breaker is closed or ramps up, or rejects nothing (it observes, or is forced closed); false while it is open. While it is half-open this is false too, and a `PING` is sent in
    /// the background, as one of its probes: as many as the breaker admits. So a breaker closes again although no caller is ever
    /// a probe. A `PING` that fails over a connection that was lost is sent once more, since a driver may tell the first command of an
    /// outage that is over. Outside of a tokio runtime nothing is sent; then let a health check ask.
    ///
    /// ```no_run
    /// # use mainstay_redis::{Guarded, redis::{self, AsyncCommands, aio::ConnectionManager}};
    /// # async fn example(mut redis: Guarded<ConnectionManager>) -> Option<u64> {
    /// if !redis.is_up() {
    ///     return None; // at once, and not after a deadline
    /// }
    /// redis.incr("visits", 1).await.ok()
    /// # }
    /// ```
    pub fn is_up(&self) -> bool {
        match self.breaker.outlook() {
            Outlook::Up => true,
            Outlook::Down => false,
            Outlook::InDoubt => {
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(self.clone().probe());
                }
                false
            }
        }
    }

    async fn probe(mut self) {
        let Ok(permit) = self.breaker.try_acquire() else { return };
        let connection = &mut self.connection;
        let asked = Box::pin(async {
            match ping(connection).await {
                Err(error) if error.is_unrecoverable_error() || error.is_io_error() => ping(connection).await,
                answer => answer,
            }
        });
        let answer = match self.deadline {
            None => Ok(asked.await),
            Some(deadline) => match bounded(deadline, asked) {
                Ok(bounded) => bounded.await,
                Err(_) => return permit.ignore(),
            },
        };
        permit.record(match answer {
            Ok(Ok(_)) => Verdict::Success,
            Ok(Err(error)) => (self.judge)(&error),
            Err(_) => Verdict::Failure,
        });
    }
}

async fn ping(connection: &mut impl ConnectionLike) -> RedisResult<Value> {
    connection.req_packed_command(&redis::cmd("PING")).await
}
