use mainstay_breaker::Verdict;
use redis::{Cmd, ConnectionLike, RedisError, RedisResult, Value};

use crate::Guarded;
use crate::answer::Answer;
use crate::request::Request;

// === impl Guarded ===

impl<C, F> Guarded<C, F>
where
    F: Fn(&RedisError) -> Verdict,
{
    fn call<T>(&mut self, request: Request<'_>, ask: impl FnOnce(&mut C) -> RedisResult<T>) -> RedisResult<T>
    where
        T: Answer,
    {
        let admitted = request.admit(&self.breaker)?;
        let result = ask(&mut self.connection);
        admitted.conclude(request, &result, &self.judge);
        result
    }
}

impl<C, F> ConnectionLike for Guarded<C, F>
where
    C: ConnectionLike,
    F: Fn(&RedisError) -> Verdict,
{
    fn req_packed_command(&mut self, cmd: &[u8]) -> RedisResult<Value> {
        self.call(Request::Packed, |connection| connection.req_packed_command(cmd))
    }

    fn req_packed_commands(&mut self, cmd: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        self.call(Request::Packed, |connection| connection.req_packed_commands(cmd, offset, count))
    }

    fn req_command(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        self.call(Request::Command(cmd), |connection| connection.req_command(cmd))
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }

    fn supports_pipelining(&self) -> bool {
        self.connection.supports_pipelining()
    }

    /// A `PING` like any other request: false without asking Redis while the breaker rejects, and a failure when it is in
    /// vain.
    fn check_connection(&mut self) -> bool {
        let Ok(permit) = self.breaker.try_acquire() else { return false };
        let works = self.connection.check_connection();
        permit.record(if works { Verdict::Success } else { Verdict::Failure });
        works
    }

    fn is_open(&self) -> bool {
        self.connection.is_open()
    }
}
