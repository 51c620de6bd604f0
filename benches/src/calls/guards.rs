//! What a guarded client puts around its driver: calls on connections that do nothing.

use mainstay_breaker::Breaker;
use mainstay_redis::redis::aio::ConnectionLike;
use mainstay_redis::redis::{Cmd, Pipeline, RedisFuture, Value};
use mainstay_redis::{Guarded, default_settings};

use crate::call::{Call, Failure, Loop, again};
use crate::pending::{Once, by_hand};

/// A command of Redis, without the guard and with it.
pub const CALLS: [Call; 2] = [
    Call { name: "redis, bare", make: || command(Nil) },
    Call { name: "redis, guarded", make: || command(guarded()?) },
];

/// A connection that answers nil, at the second poll.
pub struct Nil;

impl ConnectionLike for Nil {
    fn req_packed_command<'a>(&'a mut self, _: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async {
            Once::default().await;
            Ok(Value::Nil)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move { Ok(vec![Value::Nil; count]) })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// The same with a guard that has its defaults, and no deadline, which would need a runtime.
fn guarded() -> Result<Guarded<Nil>, Failure> {
    let breaker = Breaker::builder("bench").settings(default_settings()).build()?;
    Ok(Guarded::new(Nil, breaker).deadline(None))
}

fn command(mut connection: impl ConnectionLike + 'static) -> Result<Loop, Failure> {
    let get = mainstay_redis::redis::cmd("GET").arg("key").take();
    again(move || by_hand(connection.req_packed_command(&get)))
}
