//! What cannot be connected to gives the driver's own errors, when the driver gives them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use crate::real::*;
use mainstay_breaker::State;
use mainstay_redis::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use mainstay_redis::redis::{AsyncCommands, Client, Commands, ErrorKind, Value};
use mainstay_redis::{Guarded, Verdict, rejected, timed_out, verdict};
use mainstay_testkit::RedisServer;

#[test]
fn a_malformed_url_is_refused_by_the_client() {
    for url in
        ["", "redis", "http://127.0.0.1/", "redis://", "redis://127.0.0.1:notaport/", "redis://h/notadb"]
    {
        let error = Client::open(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidClientConfig, "{url}");
        assert_eq!(verdict(&error), Verdict::Ignore);
    }
}

#[tokio::test]
async fn a_refused_first_connection_is_an_error_at_once() {
    let client = Client::open(format!("redis://127.0.0.1:{}/", DEAD_PORT)).unwrap();
    let start = Instant::now();
    let error = client.get_multiplexed_async_connection().await.unwrap_err();
    assert!(error.is_connection_refusal());
    assert_eq!(verdict(&error), Verdict::Failure);
    let error = client.get_connection().err().unwrap();
    assert!(error.is_connection_refusal());
    assert!(start.elapsed() < Duration::from_secs(5));
}

fn lazy(port: u16, config: ConnectionManagerConfig) -> ConnectionManager {
    let client = Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
    ConnectionManager::new_lazy_with_config(client, config).unwrap()
}

#[tokio::test]
async fn a_lazy_manager_is_refused_at_its_first_use_and_each_refusal_counts() {
    let manager = lazy(DEAD_PORT, ConnectionManagerConfig::new().set_number_of_retries(0));
    let breaker = breaker(3, LIMIT);
    let mut redis = Guarded::new(manager, breaker.clone()).deadline(LIMIT);
    for _ in 0..3 {
        let error = redis.get::<_, Value>("key").await.unwrap_err();
        assert!(error.is_connection_refusal(), "{error}");
    }
    assert_eq!(breaker.state(), State::Open);
    assert!(rejected(&redis.get::<_, Value>("key").await.unwrap_err()).is_some());
}

#[tokio::test]
async fn a_manager_that_retries_in_silence_is_cut_off_at_the_deadline() {
    let mut redis = Guarded::new(lazy(DEAD_PORT, ConnectionManagerConfig::new()), breaker(3, LIMIT));
    redis = redis.deadline(Duration::from_millis(50));
    let start = Instant::now();
    let error = redis.get::<_, Value>("key").await.unwrap_err();
    assert!(timed_out(&error).is_some(), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_lazy_manager_connects_when_the_server_comes() {
    let mut server = RedisServer::start().unwrap();
    server.kill().unwrap();
    let breaker = breaker(2, Duration::from_millis(20));
    let mut redis = Guarded::new(lazy(server.port(), manager_config()), breaker.clone());
    until("it opens", async || redis.ping::<String>().await.is_err_and(|error| rejected(&error).is_some()))
        .await;
    server.restart().unwrap();
    until("it closes", async || redis.ping::<String>().await.is_ok()).await;
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn a_refused_password_is_the_drivers_own_error_and_not_a_failure() {
    let server = RedisServer::start_with(&["--requirepass", "secret"]).unwrap();
    let url = format!("redis://:wrong@{}/", server.addr());
    let client = Client::open(url).unwrap();
    let error = client.get_multiplexed_async_connection().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthenticationFailed);

    let config = ConnectionManagerConfig::new().set_number_of_retries(0);
    let manager = ConnectionManager::new_lazy_with_config(client, config).unwrap();
    let mut redis = Guarded::new(manager, touchy()).deadline(LIMIT);
    let error = redis.get::<_, Value>("key").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthenticationFailed);
    assert_eq!(redis.breaker().snapshot().totals.ignored, 1);
}

#[test]
fn a_blocking_client_connects_for_every_call_and_recovers_by_itself() {
    let mut server = RedisServer::start().unwrap();
    server.kill().unwrap();
    let breaker = breaker(3, Duration::from_secs(1));
    let mut redis = Guarded::new(client(&server), breaker.clone());
    for _ in 0..3 {
        assert!(redis.get::<_, Value>("key").unwrap_err().is_connection_refusal());
    }
    assert!(rejected(&redis.get::<_, Value>("key").unwrap_err()).is_some());
    server.restart().unwrap();
    let start = Instant::now();
    while redis.get::<_, Value>("key").is_err() {
        assert!(start.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(breaker.state(), State::Closed);
}
