//! A cluster, of one node, through a guard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use crate::real::*;
use mainstay_breaker::{Breaker, State};
use mainstay_redis::redis::cluster::ClusterClientBuilder;
use mainstay_redis::redis::cluster_async::ClusterConnection;
use mainstay_redis::redis::{self, AsyncCommands, Script, Value};
use mainstay_redis::{Guarded, rejected};
use mainstay_testkit::RedisServer;

/// A server that is a cluster by itself, and one that does not run and keeps a port for the cluster's bus.
async fn cluster() -> (RedisServer, RedisServer) {
    let mut bus = RedisServer::start().unwrap();
    bus.kill().unwrap();
    let port = bus.port().to_string();
    let server = RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-port", &port]).unwrap();
    slots(&server, "ADDSLOTSRANGE", 16383, "cluster_state:ok").await;
    (server, bus)
}

async fn slots(server: &RedisServer, what: &str, last: u32, state: &str) {
    let mut node = multiplexed(&server.url()).await;
    redis::cmd("CLUSTER").arg(what).arg(0).arg(last).exec_async(&mut node).await.unwrap();
    is(server, state).await;
}

async fn is(server: &RedisServer, state: &str) {
    let node = multiplexed(&server.url()).await;
    until(state, async || {
        let information: String =
            redis::cmd("CLUSTER").arg("INFO").query_async(&mut node.clone()).await.unwrap();
        information.contains(state)
    })
    .await;
}

async fn connect(server: &RedisServer, breaker: Breaker) -> Guarded<ClusterConnection> {
    let client = ClusterClientBuilder::new([server.url()])
        .retries(0)
        .response_timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    Guarded::new(client.get_async_connection().await.unwrap(), breaker).deadline(Duration::from_secs(2))
}

#[tokio::test]
async fn a_cluster_is_guarded_in_good_days_and_in_bad_ones() {
    let (server, _bus) = cluster().await;
    let breaker = breaker(3, Duration::from_millis(100));
    let mut redis = connect(&server, breaker.clone()).await;

    // Good days.
    redis.set::<_, _, ()>("{a}string", "value").await.unwrap();
    assert_eq!(redis.get::<_, String>("{a}string").await.unwrap(), "value");
    assert_eq!(redis.get::<_, Option<String>>("nobody").await.unwrap(), None);
    // Over many slots, and put together by the driver.
    redis.mset::<_, _, ()>(&[("a", 1), ("b", 2), ("c", 3)]).await.unwrap();
    assert_eq!(redis.mget::<_, Vec<i64>>(&["a", "b", "c"]).await.unwrap(), [1, 2, 3]);
    assert_eq!(redis.del::<_, u64>(&["a", "b", "c"]).await.unwrap(), 3);
    let (one, two): (i64, i64) =
        redis::pipe().incr("{a}n", 1).incr("{a}n", 1).query_async(&mut redis).await.unwrap();
    assert_eq!((one, two), (1, 2));
    let (three,): (i64,) = redis::pipe().atomic().incr("{a}n", 1).query_async(&mut redis).await.unwrap();
    assert_eq!(three, 3);
    let script = Script::new("return redis.call('INCR', KEYS[1])");
    assert_eq!(script.key("{a}n").invoke_async::<i64>(&mut redis).await.unwrap(), 4);
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.failure, totals.ignored, totals.rejected), (0, 0, 0));

    // Mistakes.
    for _ in 0..100 {
        assert_eq!(redis.hget::<_, _, Value>("{a}string", "f").await.unwrap_err().code(), Some("WRONGTYPE"));
        // Two slots: the driver does not even ask.
        redis::pipe().get("a").get("b").query_async::<Value>(&mut redis).await.unwrap_err();
    }
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.failure, totals.ignored), (0, 100));

    // Without some of its slots it serves none.
    slots(&server, "DELSLOTSRANGE", 100, "cluster_state:fail").await;
    for _ in 0..3 {
        assert_eq!(code(&redis.get::<_, Value>("{a}string").await.unwrap_err()), "CLUSTERDOWN");
    }
    assert_eq!(breaker.state(), State::Open);
    slots(&server, "ADDSLOTSRANGE", 100, "cluster_state:ok").await;
    until("it recovers", async || redis.get::<_, Value>("{a}string").await.is_ok()).await;
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn killed_and_restarted_it_recovers_by_traffic_alone() {
    let (mut server, _bus) = cluster().await;
    let breaker = breaker(3, Duration::from_millis(100));
    let mut redis = connect(&server, breaker.clone()).await;
    redis.set::<_, _, ()>("{a}string", "value").await.unwrap();
    server.kill().unwrap();
    until("it opens", async || {
        redis.get::<_, Value>("{a}string").await.is_err_and(|error| rejected(&error).is_some())
    })
    .await;
    server.restart().unwrap();
    until("it recovers", async || redis.get::<_, Value>("{a}string").await.is_ok()).await;
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(redis.get::<_, String>("{a}string").await.unwrap(), "value");
}

#[tokio::test]
async fn the_drivers_retries_in_a_cluster_are_one_call_with_one_deadline() {
    let (server, _bus) = cluster().await;
    let breaker = breaker(3, LIMIT);
    let client = ClusterClientBuilder::new([server.url()]).retries(16).build().unwrap();
    let connection = client.get_async_connection().await.unwrap();
    let mut redis = Guarded::new(connection, breaker.clone()).deadline(Duration::from_millis(100));
    slots(&server, "DELSLOTSRANGE", 100, "cluster_state:fail").await;
    for _ in 0..3 {
        let error = redis.get::<_, Value>("key").await.unwrap_err();
        assert!(mainstay_redis::timed_out(&error).is_some(), "{error}");
    }
    assert_eq!(breaker.snapshot().totals.failure, 3);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_plain_connection_to_a_cluster_is_a_mistake_of_the_caller() {
    let (server, _bus) = cluster().await;
    let node = multiplexed(&server.url()).await;
    let breaker = touchy();
    let mut redis = Guarded::new(node, breaker.clone()).deadline(LIMIT);
    let error = redis.mget::<_, Value>(&["a", "b"]).await.unwrap_err();
    assert_eq!(error.code(), Some("CROSSSLOT"));
    assert_eq!(breaker.state(), State::Closed);
}
