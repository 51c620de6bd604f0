use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mainstay_breaker::{Breaker, Verdict};
use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use tokio::time::{Timeout, timeout};

use crate::answer::Answer;
use crate::error::{late, no_timer};
use crate::request::Request;
use crate::{Guarded, WithDeadline};

/// What a request needs of its guard.
struct Guard<'a, F> {
    breaker: &'a Breaker,
    deadline: Option<Duration>,
    judge: &'a F,
}

// === impl Guard ===

impl<F> Guard<'_, F>
where
    F: Fn(&RedisError) -> Verdict,
{
    /// Makes a request if it is admitted, within the deadline, and records how it went. The driver is not asked before it
    /// is admitted: a rejected one costs it nothing.
    async fn call<'c, T>(
        self,
        request: Request<'_>,
        ask: impl FnOnce() -> RedisFuture<'c, T>,
    ) -> RedisResult<T>
    where
        T: Answer,
    {
        let admitted = request.admit(self.breaker)?;
        let result = match self.deadline {
            None => ask().await,
            Some(deadline) => {
                let bounded = match bounded(deadline, ask()) {
                    Ok(bounded) => bounded,
                    Err(error) => {
                        admitted.ignore();
                        return Err(error);
                    }
                };
                match bounded.await {
                    Ok(result) => result,
                    Err(_) => {
                        admitted.cut_off();
                        return Err(late(self.breaker.name(), deadline));
                    }
                }
            }
        };
        admitted.conclude(request, &result, self.judge);
        result
    }
}

/// Bounds a request. Tokio panics here, and only here, without a runtime whose timer is enabled.
pub(crate) fn bounded<T>(
    deadline: Duration,
    ask: RedisFuture<'_, T>,
) -> RedisResult<Timeout<RedisFuture<'_, T>>> {
    catch_unwind(AssertUnwindSafe(|| timeout(deadline, ask))).map_err(|_| no_timer())
}

// === impl Guarded ===

impl<C, F> Guarded<C, F> {
    fn split(&mut self, deadline: Option<Duration>) -> (&mut C, Guard<'_, F>) {
        let Self { connection, breaker, judge, .. } = self;
        (connection, Guard { breaker, deadline, judge })
    }

    fn request<'a>(&'a mut self, deadline: Option<Duration>, cmd: &'a Cmd) -> RedisFuture<'a, Value>
    where
        C: ConnectionLike + Send,
        F: Fn(&RedisError) -> Verdict + Sync,
    {
        let (connection, guard) = self.split(deadline);
        Box::pin(guard.call(Request::Command(cmd), move || connection.req_packed_command(cmd)))
    }

    fn requests<'a>(
        &'a mut self,
        deadline: Option<Duration>,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>>
    where
        C: ConnectionLike + Send,
        F: Fn(&RedisError) -> Verdict + Sync,
    {
        let (connection, guard) = self.split(deadline);
        Box::pin(guard.call(Request::Packed, move || connection.req_packed_commands(pipeline, offset, count)))
    }
}

impl<C, F> ConnectionLike for Guarded<C, F>
where
    C: ConnectionLike + Send,
    F: Fn(&RedisError) -> Verdict + Sync,
{
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        self.request(self.deadline, cmd)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.requests(self.deadline, pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

// === impl WithDeadline ===

impl<C, F> ConnectionLike for WithDeadline<'_, C, F>
where
    C: ConnectionLike + Send,
    F: Fn(&RedisError) -> Verdict + Sync,
{
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        self.guarded.request(self.deadline, cmd)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.guarded.requests(self.deadline, pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.guarded.connection.get_db()
    }
}
