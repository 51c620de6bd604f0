//! Redis answers, but does not do its part; or it does, and it is the caller who is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use crate::real::*;
use mainstay_breaker::{Breaker, State};
use mainstay_redis::redis::aio::{ConnectionLike, MultiplexedConnection};
use mainstay_redis::redis::{self, AsyncCommands, RedisError, Script, Value};
use mainstay_redis::{Guarded, rejected, verdict};
use mainstay_testkit::RedisServer;

async fn config(server: &RedisServer, name: &str, value: &str) {
    let mut bare = multiplexed(&server.url()).await;
    redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec_async(&mut bare).await.unwrap();
}

/// The call fails with this code, and it trips.
async fn assert_trips(
    redis: &mut Guarded<MultiplexedConnection>,
    expected: &str,
    call: impl AsyncFn(&mut Guarded<MultiplexedConnection>) -> Result<(), RedisError>,
) {
    let breaker = redis.breaker().clone();
    breaker.reset();
    for _ in 0..breaker.settings().rules().len() {
        let error = call(redis).await.unwrap_err();
        assert_eq!(code(&error), expected, "{error}");
    }
    assert_eq!(breaker.state(), State::Open, "after {expected}");
    assert!(rejected(&call(redis).await.unwrap_err()).is_some());
    breaker.reset();
}

#[tokio::test]
async fn a_full_server_trips_it_for_writes() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]).unwrap();
    let mut redis = guarded(&server, touchy()).await;
    redis.set::<_, _, ()>("key", "value").await.unwrap();
    // So that the script is known.
    let script = Script::new("return redis.call('SET', KEYS[1], 'value')");
    script.key("key").invoke_async::<()>(&mut redis).await.unwrap();

    config(&server, "maxmemory", "1").await;
    // Reads go on.
    assert_eq!(redis.get::<_, String>("key").await.unwrap(), "value");
    assert_eq!(redis.breaker().state(), State::Closed);

    assert_trips(&mut redis, "OOM", async |redis| redis.set("key", "value").await).await;
    assert_trips(&mut redis, "OOM", async |redis| script.key("key").invoke_async(redis).await).await;
    // The code is that of one of its errors.
    assert_trips(&mut redis, "Extension", async |redis| {
        redis::pipe().get("key").set("key", "value").get("key").exec_async(redis).await
    })
    .await;
    // The driver says that the transaction was aborted, and why.
    assert_trips(&mut redis, "EXECABORT", async |redis| {
        redis::pipe().atomic().get("key").set("key", "value").exec_async(redis).await
    })
    .await;
    // An error in the midst of an array.
    assert_trips(&mut redis, "OOM", async |redis| {
        let script = "return {1, {redis.pcall('SET', KEYS[1], 'value')}}";
        redis::cmd("EVAL").arg(script).arg(1).arg("key").exec_async(redis).await
    })
    .await;

    let results: Vec<Result<Value, RedisError>> =
        redis::pipe().get("key").set("key", "value").ignore_errors().query_async(&mut redis).await.unwrap();
    assert!(results[0].is_ok() && results[1].is_err());
    assert_eq!(redis.breaker().state(), State::Open);
}

#[tokio::test]
async fn a_server_that_is_full_when_the_transaction_is_to_be_executed_trips_it() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]).unwrap();
    let mut redis = guarded(&server, touchy()).await;
    redis::cmd("MULTI").exec_async(&mut redis).await.unwrap();
    redis.set::<_, _, ()>("key", "value").await.unwrap();
    config(&server, "maxmemory", "1").await;
    let error = redis::cmd("EXEC").exec_async(&mut redis).await.unwrap_err();
    assert_eq!(error.code(), Some("EXECABORT"));
    assert!(error.detail().unwrap().contains("because of: OOM"), "{error}");
    assert_eq!(redis.breaker().state(), State::Open);
}

#[tokio::test]
async fn a_transaction_aborted_by_a_mistake_does_not_trip_it() {
    let server = RedisServer::start().unwrap();
    let mut redis = guarded(&server, touchy()).await;
    let error = redis::pipe().atomic().cmd("NOSUCH").get("key").exec_async(&mut redis).await.unwrap_err();
    assert_eq!(error.code(), Some("EXECABORT"));
    redis::cmd("MULTI").exec_async(&mut redis).await.unwrap();
    redis::cmd("NOSUCH").exec_async(&mut redis).await.unwrap_err();
    let error = redis::cmd("EXEC").exec_async(&mut redis).await.unwrap_err();
    assert_eq!(error.code(), Some("EXECABORT"));
    assert_eq!(redis.breaker().state(), State::Closed);
}

#[tokio::test]
async fn a_replica_trips_it_for_writes_and_without_its_master_for_reads() {
    let server = RedisServer::start().unwrap();
    let mut redis = guarded(&server, touchy()).await;
    redis.set::<_, _, ()>("key", "value").await.unwrap();
    let mut bare = multiplexed(&server.url()).await;
    redis::cmd("REPLICAOF").arg("127.0.0.1").arg(DEAD_PORT).exec_async(&mut bare).await.unwrap();
    assert_eq!(redis.get::<_, String>("key").await.unwrap(), "value");
    assert_trips(&mut redis, "READONLY", async |redis| redis.set("key", "value").await).await;

    config(&server, "replica-serve-stale-data", "no").await;
    assert_trips(&mut redis, "MASTERDOWN", async |redis| redis.get::<_, Value>("key").await.map(drop)).await;
}

#[tokio::test]
async fn a_master_without_its_replicas_trips_it() {
    let server = RedisServer::start().unwrap();
    let mut redis = guarded(&server, touchy()).await;
    config(&server, "min-replicas-to-write", "1").await;
    assert_trips(&mut redis, "NOREPLICAS", async |redis| redis.set("key", "value").await).await;
}

#[tokio::test]
async fn a_server_that_cannot_save_trips_it() {
    let server = RedisServer::start_with(&["--enable-protected-configs", "yes"]).unwrap();
    let mut redis = guarded(&server, touchy()).await;
    // It is to save into a directory that is gone.
    let mut bare = multiplexed(&server.url()).await;
    let gone = std::env::temp_dir().join(format!("gone-{}-{}", std::process::id(), server.port()));
    std::fs::create_dir(&gone).unwrap();
    config(&server, "dir", gone.to_str().unwrap()).await;
    std::fs::remove_dir(&gone).unwrap();
    config(&server, "save", "3600 1").await;
    let _ = redis::cmd("BGSAVE").exec_async(&mut bare).await;
    until("it could not save", async || {
        let mut bare = bare.clone();
        let information: String = redis::cmd("INFO").arg("persistence").query_async(&mut bare).await.unwrap();
        information.contains("rdb_last_bgsave_status:err")
    })
    .await;
    assert_trips(&mut redis, "MISCONF", async |redis| redis.set("key", "value").await).await;
}

#[tokio::test]
async fn an_endless_script_trips_it() {
    let server = RedisServer::start_with(&["--lua-time-limit", "1"]).unwrap();
    let mut redis = guarded(&server, breaker(1, Duration::from_millis(50))).await;
    let mut other = multiplexed(&server.url()).await;
    let endless = tokio::spawn(async move {
        redis::cmd("EVAL").arg("while true do end").arg(0).exec_async(&mut other).await
    });
    // Until the server has noticed it does not answer at all.
    until("it is busy", async || {
        let result = redis.get::<_, Value>("key").await;
        result.is_err_and(|error| error.code() == Some("BUSY"))
    })
    .await;
    assert!(redis.breaker().snapshot().totals.failure > 0);
    assert_ne!(redis.breaker().state(), State::Closed);

    let mut third = multiplexed(&server.url()).await;
    redis::cmd("SCRIPT").arg("KILL").exec_async(&mut third).await.unwrap();
    endless.await.unwrap().unwrap_err();
    until("it recovers", async || redis.get::<_, Value>("key").await.is_ok()).await;
}

#[tokio::test]
async fn a_loading_server_trips_it() {
    let addr = parrot("-LOADING Redis is loading the dataset in memory\r\n", false).await;
    let mut redis = Guarded::new(multiplexed(&format!("redis://{addr}/")).await, touchy()).deadline(LIMIT);
    assert_trips(&mut redis, "LOADING", async |redis| redis.get::<_, Value>("key").await.map(drop)).await;
    assert_trips(&mut redis, "LOADING", async |redis| {
        redis::pipe().get("a").get("b").exec_async(redis).await
    })
    .await;
}

#[tokio::test]
async fn a_server_with_too_many_clients_trips_it() {
    let addr = parrot("-ERR max number of clients reached\r\n", true).await;
    let mut redis = Guarded::new(multiplexed(&format!("redis://{addr}/")).await, touchy()).deadline(LIMIT);
    assert_trips(&mut redis, "ERR", async |redis| redis.get::<_, Value>("key").await.map(drop)).await;
}

#[tokio::test]
async fn what_is_not_the_protocol_trips_it() {
    let addr = parrot("HTTP/1.1 400 Bad Request\r\n\r\n", false).await;
    let mut redis = Guarded::new(multiplexed(&format!("redis://{addr}/")).await, touchy()).deadline(LIMIT);
    assert_trips(&mut redis, "Parse", async |redis| {
        let result = redis.get::<_, Value>("key").await;
        if result.is_err() {
            // The driver gives up the connection.
            *redis.get_mut() = multiplexed(&format!("redis://{addr}/")).await;
        }
        result.map(drop)
    })
    .await;
}

/// The same mistake a thousand times, alone and in pipelines.
async fn assert_forgiven<C: ConnectionLike + Send + Sync + Clone>(
    redis: &mut Guarded<C>,
    mistake: &redis::Cmd,
    expected: Option<&str>,
) {
    for _ in 0..1000 {
        let result = mistake.query_async::<Value>(redis).await;
        assert_eq!(result.as_ref().err().and_then(RedisError::code), expected, "{result:?}");
    }
    let mut pipe = redis::pipe();
    for _ in 0..1000 {
        pipe.add_command(mistake.clone());
    }
    let _ = pipe.query_async::<Value>(redis).await;
    let _ = pipe.atomic().query_async::<Value>(redis).await;
}

fn assert_never_failed(breaker: &Breaker) {
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.failure, totals.ignored, totals.rejected), (0, 0, 0));
    assert!(totals.success > 1000);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn a_thousand_mistakes_of_the_caller_never_trip_it() {
    let server = RedisServer::start().unwrap();
    let breaker = touchy();
    let mut redis = guarded(&server, breaker.clone()).await;
    redis.set::<_, _, ()>("string", "text").await.unwrap();
    let nothing = redis::cmd("GET").arg("nobody").take();
    assert_forgiven(&mut redis, &nothing, None).await;
    let wrong_type = redis::cmd("LPUSH").arg("string").arg(1).take();
    assert_forgiven(&mut redis, &wrong_type, Some("WRONGTYPE")).await;
    let not_a_number = redis::cmd("INCR").arg("string").take();
    assert_forgiven(&mut redis, &not_a_number, Some("ERR")).await;
    assert_never_failed(&breaker);
}

#[tokio::test]
async fn a_thousand_commands_that_do_not_exist_never_trip_it() {
    let server = RedisServer::start().unwrap();
    let breaker = touchy();
    let mut redis = guarded(&server, breaker.clone()).await;
    let no_script = redis::cmd("EVALSHA").arg("0".repeat(40)).arg(0).take();
    assert_forgiven(&mut redis, &no_script, Some("NOSCRIPT")).await;
    assert_forgiven(&mut redis, &redis::cmd("NOSUCH"), Some("ERR")).await;
    assert_forgiven(&mut redis, &redis::cmd("GET"), Some("ERR")).await;
    assert_never_failed(&breaker);
}

#[tokio::test]
async fn a_thousand_calls_without_a_password_never_trip_it() {
    let server = RedisServer::start_with(&["--requirepass", "secret"]).unwrap();
    let breaker = touchy();
    let mut redis = guarded(&server, breaker.clone()).await;
    for _ in 0..1000 {
        let error = redis.get::<_, Value>("key").await.unwrap_err();
        assert_eq!(error.code(), Some("NOAUTH"));
    }
    assert_eq!(breaker.snapshot().totals.success, 1000);

    // Who wants it counted says so.
    let mut redis = redis.classify(|error: &RedisError| match error.code() {
        Some("NOAUTH") => mainstay_redis::Verdict::Failure,
        _ => verdict(error),
    });
    redis.get::<_, Value>("key").await.unwrap_err();
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn what_the_driver_refuses_by_itself_counts_for_nothing() {
    let server = RedisServer::start().unwrap();
    let breaker = touchy();
    let mut redis = guarded(&server, breaker.clone()).await;
    for _ in 0..100 {
        let error = redis::Cmd::new().exec_async(&mut redis).await.unwrap_err();
        assert_eq!(error.kind(), redis::ErrorKind::Client);
    }
    assert_eq!(breaker.snapshot().totals.ignored, 100);
    // A value that does not convert is found out after the guard, and was a good answer.
    redis.set::<_, _, ()>("string", "text").await.unwrap();
    redis.get::<_, u32>("string").await.unwrap_err();
    assert_eq!(breaker.snapshot().totals.success, 2);
}
