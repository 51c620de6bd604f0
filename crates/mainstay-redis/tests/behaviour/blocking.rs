//! The blocking API of the driver, through a guard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::real::*;
use mainstay_breaker::State;
use mainstay_redis::redis::{self, Commands, Connection, ConnectionLike, Script, Value};
use mainstay_redis::{Guarded, rejected, timed_out};
use mainstay_testkit::RedisServer;

fn connect(server: &RedisServer) -> Connection {
    let connection = client(server).get_connection().unwrap();
    connection.set_read_timeout(Some(LIMIT)).unwrap();
    connection
}

#[test]
fn everything_works_on_a_blocking_connection() {
    let server = RedisServer::start().unwrap();
    let breaker = touchy();
    let mut redis = Guarded::new(connect(&server), breaker.clone());

    redis.set::<_, _, ()>("string", "value").unwrap();
    assert_eq!(redis.get::<_, Option<String>>("string").unwrap().as_deref(), Some("value"));
    assert_eq!(redis.get::<_, Option<String>>("nobody").unwrap(), None);
    assert_eq!(redis.hget::<_, _, Value>("string", "field").unwrap_err().code(), Some("WRONGTYPE"));
    redis.sadd::<_, _, ()>("set", (0..100).collect::<Vec<u32>>()).unwrap();
    let found: BTreeSet<u32> = redis.sscan::<_, u32>("set").unwrap().map(Result::unwrap).collect();
    assert_eq!(found.len(), 100);

    let (one, two): (i64, i64) =
        redis::pipe().incr("counter", 1).incr("counter", 1).query(&mut redis).unwrap();
    assert_eq!((one, two), (1, 2));
    let (three,): (i64,) = redis::pipe().atomic().incr("counter", 1).query(&mut redis).unwrap();
    assert_eq!(three, 3);
    let (four,): (i64,) = redis::transaction(&mut redis, &["counter"], |redis, pipe| {
        let old: i64 = redis.get("counter")?;
        pipe.set("counter", old + 1).ignore().get("counter").query(redis)
    })
    .unwrap();
    assert_eq!(four, 4);
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    assert_eq!(script.key("counter").arg(6).invoke::<i64>(&mut redis).unwrap(), 10);
    assert!(redis.check_connection() && redis.is_open() && redis.supports_pipelining());
    assert_eq!(redis.get_db(), 0);
    redis.get_mut().set_write_timeout(Some(LIMIT)).unwrap();

    let totals = breaker.snapshot().totals;
    assert_eq!((totals.failure, totals.ignored, totals.rejected), (0, 0, 0));
}

#[test]
fn killed_it_trips_and_only_a_new_connection_helps() {
    let mut server = RedisServer::start().unwrap();
    let breaker = breaker(3, Duration::from_millis(20));
    let mut redis = Guarded::new(connect(&server), breaker.clone());
    redis.set::<_, _, ()>("key", "value").unwrap();
    server.kill().unwrap();
    for _ in 0..3 {
        assert!(rejected(&redis.get::<_, String>("key").unwrap_err()).is_none());
    }
    assert!(!redis.is_open());
    assert!(!redis.check_connection());

    server.restart().unwrap();
    let failures = breaker.snapshot().totals.failure;
    let start = Instant::now();
    while breaker.snapshot().totals.failure < failures + 3 {
        redis.get::<_, String>("key").unwrap_err();
        assert!(start.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(5));
    }
    *redis.get_mut() = connect(&server);
    while breaker.state() != State::Closed {
        let _ = redis.get::<_, String>("key");
        assert!(start.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(redis.get::<_, String>("key").unwrap(), "value");
}

#[test]
fn stopped_it_is_the_connections_read_time_out_that_trips_it() {
    let mut server = RedisServer::start().unwrap();
    let breaker = breaker(3, LIMIT);
    let connection = connect(&server);
    connection.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut redis = Guarded::new(connection, breaker.clone());
    server.stop().unwrap();
    for _ in 0..3 {
        let error = redis.get::<_, Value>("key").unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(timed_out(&error), None);
    }
    assert_eq!(breaker.state(), State::Open);
    assert!(rejected(&redis.get::<_, Value>("key").unwrap_err()).is_some());
}

#[test]
fn errors_inside_answers_are_found_here_too() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]).unwrap();
    let breaker = touchy();
    let mut redis = Guarded::new(connect(&server), breaker.clone());
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").exec(&mut redis).unwrap();
    for atomic in [false, true] {
        let mut pipe = redis::pipe();
        pipe.get("key").set("key", "value");
        if atomic {
            pipe.atomic();
        }
        pipe.query::<Value>(&mut redis).unwrap_err();
        assert_eq!(breaker.state(), State::Open);
        breaker.reset();
    }
}
