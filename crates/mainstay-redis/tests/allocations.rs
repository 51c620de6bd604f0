//! How often the guard allocates, beyond what it guards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use mainstay_breaker::Breaker;
use mainstay_redis::redis::aio::ConnectionLike;
use mainstay_redis::redis::{self, Cmd, Pipeline, RedisFuture, RedisResult, Value};
use mainstay_redis::{Guarded, rejected};

/// Answers nil; the second time it is polled.
struct Nil;

async fn later<T>(answer: T) -> RedisResult<T> {
    tokio::task::yield_now().await;
    Ok(answer)
}

impl ConnectionLike for Nil {
    fn req_packed_command<'a>(&'a mut self, _: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(later(Value::Nil))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(later(Vec::new()))
    }

    fn get_db(&self) -> i64 {
        0
    }
}

impl redis::ConnectionLike for Nil {
    fn req_packed_command(&mut self, _: &[u8]) -> RedisResult<Value> {
        Ok(Value::Nil)
    }

    fn req_packed_commands(&mut self, _: &[u8], _: usize, _: usize) -> RedisResult<Vec<Value>> {
        Ok(Vec::new())
    }

    fn req_command(&mut self, _: &Cmd) -> RedisResult<Value> {
        Ok(Value::Nil)
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        true
    }

    fn is_open(&self) -> bool {
        true
    }
}

/// How often a hundred calls allocate, the first few left out.
fn hundred(mut call: impl FnMut()) -> u64 {
    (0..10).for_each(|_| call());
    measure(|| (0..100).for_each(|_| call())).count_total
}

fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}

#[test]
fn a_guarded_async_call_allocates_once_more_than_a_bare_one() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _context = runtime.enter();
    let (cmd, pipe) = (redis::cmd("GET"), redis::pipe());
    let bare = hundred(|| drop(finish(Nil.req_packed_command(&cmd)).unwrap()));
    let bare_pipe = hundred(|| drop(finish(Nil.req_packed_commands(&pipe, 0, 0)).unwrap()));
    assert_eq!((bare, bare_pipe), (100, 100));
    for deadline in [Some(mainstay_redis::DEFAULT_DEADLINE), None] {
        let mut redis = Guarded::new(Nil, Breaker::new("redis").unwrap()).deadline(deadline);
        assert_eq!(
            hundred(|| drop(finish(ConnectionLike::req_packed_command(&mut redis, &cmd)).unwrap())),
            bare + 100
        );
        let guarded =
            hundred(|| drop(finish(ConnectionLike::req_packed_commands(&mut redis, &pipe, 0, 0)).unwrap()));
        assert_eq!(guarded, bare_pipe + 100);
        let one_call = hundred(|| {
            finish(ConnectionLike::req_packed_command(&mut redis.with_deadline(deadline), &cmd)).unwrap();
        });
        assert_eq!(one_call, bare + 100);
    }
}

#[test]
fn a_rejected_async_call_allocates_four_times() {
    let mut redis = Guarded::new(Nil, Breaker::new("redis").unwrap());
    redis.breaker().trip();
    let cmd = redis::cmd("GET");
    let rejections = hundred(|| {
        let error = finish(ConnectionLike::req_packed_command(&mut redis, &cmd)).unwrap_err();
        assert!(rejected(&error).is_some());
    });
    assert_eq!(rejections, 400);
}

#[test]
fn a_guarded_blocking_call_does_not_allocate() {
    let mut redis = Guarded::new(Nil, Breaker::new("redis").unwrap());
    let cmd = redis::cmd("GET");
    assert_eq!(hundred(|| drop(redis::ConnectionLike::req_command(&mut redis, &cmd).unwrap())), 0);
    assert_eq!(hundred(|| drop(redis::ConnectionLike::req_packed_command(&mut redis, b"").unwrap())), 0);
    assert_eq!(hundred(|| assert!(redis::ConnectionLike::check_connection(&mut redis))), 0);
    redis.breaker().trip();
    let rejections = hundred(|| drop(redis::ConnectionLike::req_command(&mut redis, &cmd).unwrap_err()));
    assert_eq!(rejections, 300);
}

#[test]
fn looking_for_errors_in_an_answer_does_not_allocate() {
    struct Deep(Value);
    impl redis::ConnectionLike for Deep {
        fn req_packed_command(&mut self, _: &[u8]) -> RedisResult<Value> {
            Ok(std::mem::take(&mut self.0))
        }
        fn req_packed_commands(&mut self, _: &[u8], _: usize, _: usize) -> RedisResult<Vec<Value>> {
            Ok(Vec::new())
        }
        fn get_db(&self) -> i64 {
            0
        }
        fn check_connection(&mut self) -> bool {
            true
        }
        fn is_open(&self) -> bool {
            true
        }
    }
    let error =
        redis::parse_redis_value(b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    let mut value = Value::Array(vec![error.unwrap(), Value::Int(1)]);
    for _ in 0..50 {
        value = Value::Array(vec![Value::Int(1), Value::Map(vec![(Value::Nil, value)])]);
    }
    let mut redis = Guarded::new(Deep(value), Breaker::new("redis").unwrap());
    // The thread's stripe.
    redis.breaker().try_acquire().unwrap().success();
    let count = measure(|| {
        let value = redis::ConnectionLike::req_packed_command(&mut redis, b"").unwrap();
        redis.get_mut().0 = value;
    });
    assert_eq!(count.count_total, 0);
}
