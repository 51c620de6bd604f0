//! Redis is killed, stopped, cut off and started again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::real::*;
use mainstay_breaker::{Breaker, Clock, OpenFor, State, Trip};
use mainstay_redis::redis::aio::{ConnectionLike, ConnectionManager};
use mainstay_redis::redis::{AsyncCommands, Client, RedisResult};
use mainstay_redis::{Guarded, rejected, timed_out};
use mainstay_testkit::{Fault, FaultProxy, RedisServer};

const TASKS: u64 = 32;
/// Failures that open the breaker.
const K: u32 = 5;
const AGES: Duration = Duration::from_secs(600);

/// Opens at the k-th failure, whatever comes between: answers that were on their way when the outage began may be recorded
/// after the first failures, and would end a run.
fn counting_breaker() -> Breaker {
    Breaker::builder("redis").trip(Trip::failures(K)).open_for(OpenFor::fixed(AGES)).build().unwrap()
}

/// What the callers saw.
#[derive(Default)]
struct Seen {
    successes: AtomicU64,
    failures: AtomicU64,
    rejections: AtomicU64,
}

/// So many tasks call until they are rejected; the last to end says how it went.
async fn load<C>(redis: &Guarded<C>, deadline: Duration, outage: impl AsyncFnOnce()) -> Arc<Seen>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    let seen = Arc::<Seen>::default();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (mut redis, seen) = (redis.clone(), seen.clone());
            tokio::spawn(async move {
                loop {
                    let start = Instant::now();
                    let result: RedisResult<Option<String>> = redis.get("key").await;
                    let took = start.elapsed();
                    assert!(took < deadline + Duration::from_secs(5), "a call hung for {took:?}");
                    let counter = match &result {
                        Ok(_) => &seen.successes,
                        Err(error) if rejected(error).is_some() => &seen.rejections,
                        Err(_) => &seen.failures,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    if result.is_err_and(|error| rejected(&error).is_some()) {
                        return;
                    }
                }
            })
        })
        .collect();
    until("the load runs", async || seen.successes.load(Ordering::Relaxed) > 10 * TASKS).await;
    outage().await;
    let over = Instant::now();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(
        over.elapsed() < 2 * deadline + Duration::from_secs(5),
        "the tasks hung for {:?}",
        over.elapsed()
    );
    seen
}

/// The breaker has counted what the callers saw, and tripped in time.
fn assert_tripped_in_time(breaker: &Breaker, seen: &Seen) {
    let totals = breaker.snapshot().totals;
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(totals.success, seen.successes.load(Ordering::Relaxed));
    assert_eq!(totals.failure, seen.failures.load(Ordering::Relaxed));
    assert_eq!(totals.rejected, seen.rejections.load(Ordering::Relaxed));
    assert_eq!((totals.ignored, totals.cancelled), (0, 0));
    // The k-th failure opens it; the other tasks may have had a call under way then.
    let k = u64::from(K);
    assert!((k..k + TASKS).contains(&totals.failure), "{} failures", totals.failure);
}

async fn assert_rejections_are_quick<C: ConnectionLike + Send + Sync>(redis: &mut Guarded<C>) {
    let mut took: Vec<Duration> = Vec::with_capacity(1000);
    for _ in 0..1000 {
        let start = Instant::now();
        let error = redis.get::<_, Option<String>>("key").await.unwrap_err();
        took.push(start.elapsed());
        assert!(rejected(&error).is_some());
    }
    took.sort();
    assert!(took[500] < Duration::from_micros(100), "{:?}", took[500]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_trips_within_its_count_on_a_multiplexed_connection() {
    let mut server = RedisServer::start().unwrap();
    let breaker = counting_breaker();
    let mut redis = guarded(&server, breaker.clone()).await.deadline(Duration::from_secs(1));
    let seen = load(&redis, Duration::from_secs(1), async || server.kill().unwrap()).await;
    assert_tripped_in_time(&breaker, &seen);
    assert_rejections_are_quick(&mut redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_trips_within_its_count_on_a_connection_manager() {
    let mut server = RedisServer::start().unwrap();
    let breaker = counting_breaker();
    // As it comes: the manager waits for seconds while it reconnects, the guard's deadline is all there is.
    let manager = client(&server).get_connection_manager().await.unwrap();
    let mut redis = Guarded::new(manager, breaker.clone()).deadline(Duration::from_secs(1));
    let seen = load(&redis, Duration::from_secs(1), async || server.kill().unwrap()).await;
    assert_tripped_in_time(&breaker, &seen);
    assert_rejections_are_quick(&mut redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_under_load_deadlines_trip_it_and_resumed_it_recovers() {
    let mut server = RedisServer::start().unwrap();
    let breaker = breaker(K, Duration::from_millis(100));
    let deadline = Duration::from_millis(400);
    let mut redis = Guarded::new(manager(&server.url()).await, breaker.clone()).deadline(deadline);
    redis.set::<_, _, ()>("key", "value").await.unwrap();
    // Half-open lets a few in and opens again, so these counts are not exact.
    load(&redis, deadline, async || server.stop().unwrap()).await;
    assert!(breaker.snapshot().totals.failure >= u64::from(K));

    until("a deadline strikes", async || {
        redis.get::<_, String>("key").await.is_err_and(|error| timed_out(&error).is_some())
    })
    .await;
    server.resume().unwrap();
    until("it has recovered", async || redis.get::<_, String>("key").await.is_ok()).await;
    assert_eq!(breaker.state(), State::Closed);
    let mut redis = redis.deadline(LIMIT);
    for number in 0..200 {
        redis.set::<_, _, ()>("number", number).await.unwrap();
        assert_eq!(redis.get::<_, u32>("number").await.unwrap(), number);
        assert_eq!(redis.get::<_, String>("key").await.unwrap(), "value");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_under_load_it_trips_within_its_count() {
    let mut server = RedisServer::start().unwrap();
    let breaker = counting_breaker();
    let deadline = Duration::from_millis(400);
    let redis = guarded(&server, breaker.clone()).await.deadline(deadline);
    let seen = load(&redis, deadline, async || server.stop().unwrap()).await;
    assert_tripped_in_time(&breaker, &seen);
}

#[tokio::test]
async fn the_drivers_own_time_outs_trip_it_too() {
    let mut server = RedisServer::start().unwrap();
    let breaker = breaker(3, AGES);
    let connection = client(&server).get_multiplexed_async_connection().await.unwrap();
    let mut redis = Guarded::new(connection, breaker.clone()).deadline(LIMIT);
    server.stop().unwrap();
    for _ in 0..3 {
        let error = redis.get::<_, String>("key").await.unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(timed_out(&error), None);
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure() {
    let server = RedisServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let breaker = breaker(2, Duration::from_millis(50));
    let url = server.url_at(proxy.addr());
    let mut redis = Guarded::new(manager(&url).await, breaker.clone()).deadline(LIMIT);
    let big = "x".repeat(1 << 20);
    redis.set::<_, _, ()>("big", &big).await.unwrap();

    proxy.set(Fault::CutAfter { bytes: 1000 });
    let error = redis.get::<_, String>("big").await.unwrap_err();
    // In the midst of an answer the driver speaks of the protocol, and has given up the connection.
    assert!(error.is_unrecoverable_error(), "{error}");
    assert_eq!(breaker.snapshot().totals.failure, 1);

    proxy.set(Fault::None);
    until("the whole answer comes", async || {
        redis.get::<_, String>("big").await.is_ok_and(|value| value == big)
    })
    .await;
}

#[tokio::test]
async fn connections_reset_and_refused_are_failures_and_it_recovers() {
    let server = RedisServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let breaker = breaker(3, Duration::from_millis(50));
    let url = server.url_at(proxy.addr());
    let mut redis = Guarded::new(manager(&url).await, breaker.clone()).deadline(Duration::from_secs(2));
    redis.set::<_, _, ()>("key", "value").await.unwrap();
    for fault in [Fault::Reset, Fault::Refuse] {
        proxy.set(Fault::Reset);
        proxy.set(fault);
        until("it opens", async || {
            redis.get::<_, String>("key").await.is_err_and(|error| rejected(&error).is_some())
        })
        .await;
        proxy.set(Fault::None);
        until("it closes", async || redis.get::<_, String>("key").await.is_ok()).await;
        assert_eq!(breaker.state(), State::Closed);
    }
}

#[tokio::test]
async fn a_black_hole_trips_it_and_a_new_connection_ends_it() {
    let server = RedisServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let breaker = breaker(3, Duration::from_millis(50));
    let url = server.url_at(proxy.addr());
    let mut redis =
        Guarded::new(multiplexed(&url).await, breaker.clone()).deadline(Duration::from_millis(100));
    proxy.set(Fault::BlackHole);
    for _ in 0..3 {
        assert!(timed_out(&redis.get::<_, Option<String>>("key").await.unwrap_err()).is_some());
    }
    assert_ne!(breaker.state(), State::Closed);
    proxy.set(Fault::None);
    *redis.get_mut() = multiplexed(&url).await;
    until("it closes", async || redis.get::<_, Option<String>>("key").await.is_ok()).await;
}

#[tokio::test]
async fn restarted_it_recovers_by_traffic_alone() {
    let mut server = RedisServer::start().unwrap();
    let breaker = breaker(3, Duration::from_millis(100));
    let mut redis =
        Guarded::new(manager(&server.url()).await, breaker.clone()).deadline(Duration::from_secs(1));
    redis.set::<_, _, ()>("key", "value").await.unwrap();
    for _ in 0..3 {
        server.kill().unwrap();
        until("it opens", async || {
            redis.get::<_, String>("key").await.is_err_and(|error| rejected(&error).is_some())
        })
        .await;
        server.restart().unwrap();
        until("it recovers", async || {
            redis.get::<_, String>("key").await.is_ok_and(|value| value == "value")
        })
        .await;
        assert_eq!(breaker.state(), State::Closed);
        let failures = breaker.snapshot().totals.failure;
        for _ in 0..100 {
            assert_eq!(redis.get::<_, String>("key").await.unwrap(), "value");
        }
        assert_eq!(breaker.snapshot().totals.failure, failures);
    }
}

async fn assert_broken_once_at_most(server: &mut RedisServer, manager: ConnectionManager) {
    let breaker = breaker(3, AGES);
    let mut redis = Guarded::new(manager, breaker.clone()).deadline(LIMIT);
    redis.set::<_, _, ()>("key", "value").await.unwrap();
    for round in 1..=5 {
        server.restart().unwrap();
        for _ in 0..20 {
            let _ = redis.get::<_, String>("key").await;
        }
        let failures = breaker.snapshot().totals.failure;
        assert!(failures <= round, "{failures} calls got one of {round} broken connections");
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn a_connection_of_the_old_server_is_handed_out_broken_once_at_most() {
    let mut server = RedisServer::start().unwrap();
    let manager = manager(&server.url()).await;
    assert_broken_once_at_most(&mut server, manager).await;
}

#[tokio::test]
async fn the_same_with_the_newer_protocol() {
    let mut server = RedisServer::start().unwrap();
    let manager = manager(&format!("{}?protocol=resp3", server.url())).await;
    assert_broken_once_at_most(&mut server, manager).await;
}

#[tokio::test]
async fn a_plain_multiplexed_connection_never_recovers_until_it_is_replaced() {
    let mut server = RedisServer::start().unwrap();
    let breaker = breaker(3, Duration::from_millis(20));
    let mut redis = guarded(&server, breaker.clone()).await;
    server.restart().unwrap();
    until("it has failed twenty times", async || {
        assert!(redis.get::<_, Option<String>>("key").await.is_err());
        breaker.snapshot().totals.failure >= 20
    })
    .await;
    assert_ne!(breaker.state(), State::Closed);

    *redis.get_mut() = multiplexed(&server.url()).await;
    until("it closes", async || redis.get::<_, Option<String>>("key").await.is_ok()).await;
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn one_breaker_over_many_connections_opens_for_all() {
    let mut server = RedisServer::start().unwrap();
    let breaker = breaker(2, AGES);
    let mut first = guarded(&server, breaker.clone()).await;
    let mut second = guarded(&server, breaker.clone()).await;
    server.kill().unwrap();
    for redis in [&mut first, &mut second] {
        assert!(rejected(&redis.get::<_, Option<String>>("key").await.unwrap_err()).is_none());
    }
    for redis in [&mut first, &mut second] {
        assert!(rejected(&redis.get::<_, Option<String>>("key").await.unwrap_err()).is_some());
    }
}

#[tokio::test]
async fn a_rejected_call_does_not_make_the_manager_reconnect() {
    let server = RedisServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let client = Client::open(server.url_at(proxy.addr())).unwrap();
    let manager = client.get_connection_manager_with_config(manager_config()).await.unwrap();
    let breaker = touchy();
    let mut redis = Guarded::new(manager, breaker.clone()).deadline(LIMIT);
    redis.ping::<String>().await.unwrap();
    breaker.trip();
    for _ in 0..100 {
        assert!(rejected(&redis.ping::<String>().await.unwrap_err()).is_some());
    }
    breaker.reset();
    redis.ping::<String>().await.unwrap();
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn callers_who_ask_whether_it_is_up_are_never_probes_and_it_closes_again() {
    let mut server = RedisServer::start().unwrap();
    let (clock, time) = Clock::manual();
    let settings = mainstay_redis::default_settings().open_for(OpenFor::fixed(AGES));
    let breaker = Breaker::builder("redis").settings(settings).clock(clock).build().unwrap();
    let mut redis = Guarded::new(manager(&server.url()).await, breaker).deadline(LIMIT);
    assert!(redis.is_up());
    server.kill().unwrap();
    while redis.breaker().state() == State::Closed {
        redis.get::<_, Option<String>>("key").await.unwrap_err();
    }
    assert!(!redis.is_up(), "open");
    server.restart().unwrap();
    assert!(!redis.is_up(), "still open");
    let before = redis.breaker().snapshot().totals;
    time.advance(AGES);
    until("its own probes have closed it", async || redis.is_up()).await;
    let failures = redis.breaker().snapshot().totals.failure - before.failure;
    assert_eq!(failures, 0, "the news of an outage that is over fails no probe");
    redis.set::<_, _, ()>("key", "value").await.unwrap();
}
