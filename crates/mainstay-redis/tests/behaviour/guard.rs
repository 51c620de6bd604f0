//! The guard itself: admission, deadlines, rejections, over a connection that follows a script.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::error::Error;
use std::time::Duration;

use crate::scripted::{BlockingScripted, Does, Scripted, refused, wire};
use mainstay_breaker::{Breaker, BreakerError, Clock, Control, HalfOpen, OpenFor, RejectReason, State, Trip};
use mainstay_redis::redis::{self, AsyncCommands, Commands, RedisError, RedisResult, Value};
use mainstay_redis::{
    DEFAULT_DEADLINE, Guarded, default_settings, rejected, rejected_in, timed_out, timed_out_in,
};
use tokio::time::Instant;

fn breaker() -> Breaker {
    let half_open = HalfOpen { close_after: 1, ..HalfOpen::default() };
    Breaker::builder("redis")
        .trip(Trip::consecutive_failures(3))
        .open_for(OpenFor::fixed(Duration::from_secs(15)))
        .half_open(half_open)
        .clock(Clock::tokio())
        .build()
        .unwrap()
}

fn open_breaker() -> Breaker {
    let breaker = breaker();
    breaker.trip();
    breaker
}

#[tokio::test]
async fn an_open_breaker_rejects_without_asking_the_connection() {
    let connection = Scripted::answering(Value::Okay);
    let mut redis = Guarded::new(connection.clone(), open_breaker());
    let error = redis.get::<_, String>("key").await.unwrap_err();
    assert_eq!(rejected(&error).unwrap().reason(), RejectReason::Open);
    let error = redis::pipe().get("key").query_async::<Value>(&mut redis).await.unwrap_err();
    assert_eq!(rejected(&error).unwrap().name().as_str(), "redis");
    assert_eq!(connection.asked(), 0);
}

#[tokio::test]
async fn a_rejection_is_no_reason_for_the_driver_to_reconnect_or_to_retry() {
    let mut redis = Guarded::new(Scripted::answering(Value::Okay), open_breaker());
    let error = redis.get::<_, String>("key").await.unwrap_err();
    assert!(!error.is_unrecoverable_error());
    assert!(!error.is_connection_dropped());
    assert!(!error.is_connection_refusal());
    assert!(!error.is_timeout());
    assert!(!error.is_cluster_error());
    assert!(matches!(error.retry_method(), redis::RetryMethod::NoRetry));
    assert_eq!(error.kind(), redis::ErrorKind::Io);
    assert_eq!(error.code(), None);
    let shown = error.to_string();
    assert!(shown.starts_with("breaker redis rejected the call: it is open; retry after"), "{shown}");
}

#[derive(Debug, thiserror::Error)]
enum Mine {
    #[error("no cart")]
    Source(#[from] RedisError),
    #[error(transparent)]
    Transparent(Box<dyn Error + Send + Sync>),
}

#[tokio::test]
async fn a_rejection_is_found_at_any_depth() {
    let mut redis = Guarded::new(Scripted::answering(Value::Okay), open_breaker());
    let error = redis.get::<_, String>("key").await.unwrap_err();
    let expected = *rejected(&error).unwrap();

    let again = || error.clone();
    let wrapped: Vec<Box<dyn Error>> = vec![
        Box::new(again()),
        Box::new(expected),
        Box::new(std::io::Error::other(again())),
        Box::new(RedisError::from(std::io::Error::other(again()))),
        Box::new(RedisError::from(std::io::Error::other(RedisError::from(std::io::Error::other(again()))))),
        Box::new(Mine::from(again())),
        Box::new(Mine::Transparent(Box::new(again()))),
        Box::new(Mine::Transparent(Box::new(Mine::from(again())))),
        Box::new(BreakerError::Inner(again())),
        Box::new(BreakerError::<RedisError>::Rejected(expected)),
        Box::new(std::sync::Arc::new(again())),
    ];
    for error in &wrapped {
        assert_eq!(rejected_in(error.as_ref()), Some(&expected), "{error:?}");
        assert_eq!(timed_out_in(error.as_ref()), None);
    }
    let plain = Mine::from(refused());
    assert_eq!(rejected_in(&plain), None);
    assert_eq!(rejected(&refused()), None);
}

#[tokio::test]
async fn the_chain_of_a_rejections_sources_leads_to_why_the_breaker_opened() {
    let connection = Scripted::new(|_| Does::Answers(Err(refused())));
    let mut redis = Guarded::new(connection, breaker());
    for _ in 0..3 {
        assert!(redis.get::<_, String>("key").await.unwrap_err().is_connection_refusal());
    }
    let error = redis.get::<_, String>("key").await.unwrap_err();
    let mut last: &dyn Error = &error;
    while let Some(source) = last.source() {
        last = source;
    }
    assert_eq!(last.to_string(), "3 failures in a row (limit 3)");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_cut_off_at_its_deadline_as_a_failure() {
    for (deadline, asked_for) in
        [(DEFAULT_DEADLINE, None), (Duration::from_millis(250), Some(Duration::from_millis(250)))]
    {
        let mut redis = Guarded::new(Scripted::new(|_| Does::Hangs), breaker());
        if let Some(deadline) = asked_for {
            redis = redis.deadline(deadline);
        }
        let start = Instant::now();
        let error = redis.get::<_, String>("key").await.unwrap_err();
        let passed = start.elapsed();
        assert!(passed >= deadline && passed < deadline + Duration::from_millis(5), "{passed:?}");
        assert!(error.is_timeout());
        assert!(!error.is_unrecoverable_error());
        assert_eq!(timed_out(&error).unwrap().deadline(), deadline);
        assert_eq!(timed_out(&error).unwrap().name().as_str(), "redis");
        assert_eq!(error.to_string(), format!("no answer from redis within {deadline:?}"));
        assert_eq!(rejected(&error), None);
        assert_eq!(mainstay_redis::verdict(&error), mainstay_redis::Verdict::Failure);
        let totals = redis.breaker().snapshot().totals;
        assert_eq!((totals.failure, totals.cancelled), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_alone_open_the_breaker() {
    let connection = Scripted::new(|_| Does::Hangs);
    let mut redis = Guarded::new(connection.clone(), breaker());
    for _ in 0..3 {
        assert!(
            timed_out(&redis::pipe().get("key").query_async::<Value>(&mut redis).await.unwrap_err())
                .is_some()
        );
    }
    assert!(rejected(&redis.get::<_, String>("key").await.unwrap_err()).is_some());
    assert_eq!(connection.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_drivers_own_time_out_is_a_failure_too_and_told_apart() {
    let connection =
        Scripted::new(|_| Does::Answers(Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())));
    let mut redis = Guarded::new(connection, breaker());
    let error = redis.get::<_, String>("key").await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(timed_out(&error), None);
    assert_eq!(redis.breaker().snapshot().totals.failure, 1);
}

#[tokio::test(start_paused = true)]
async fn one_call_may_have_another_deadline() {
    let hour = Duration::from_secs(3600);
    let mut redis = Guarded::new(Scripted::new(|_| Does::Hangs), breaker());
    let start = Instant::now();
    let error = redis.with_deadline(hour).blpop::<_, Value>("jobs", 0.0).await.unwrap_err();
    assert!(start.elapsed() >= hour);
    assert_eq!(timed_out(&error).unwrap().deadline(), hour);
    let error =
        redis::pipe().get("key").query_async::<Value>(&mut redis.with_deadline(hour)).await.unwrap_err();
    assert_eq!(timed_out(&error).unwrap().deadline(), hour);
    let error = redis.get::<_, Value>("key").await.unwrap_err();
    assert_eq!(timed_out(&error).unwrap().deadline(), DEFAULT_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_a_call_waits_for_ever() {
    let mut redis = Guarded::new(Scripted::new(|_| Does::Hangs), breaker()).deadline(None);
    let day = Duration::from_secs(24 * 3600);
    assert!(tokio::time::timeout(day, redis.get::<_, Value>("key")).await.is_err());
    let mut redis = redis.deadline(DEFAULT_DEADLINE);
    assert!(tokio::time::timeout(day, redis.with_deadline(None).get::<_, Value>("key")).await.is_err());
}

#[test]
fn a_deadline_where_nobody_can_tell_the_time_is_an_error_and_says_nothing_about_redis() {
    let breaker = breaker();
    let mut redis = Guarded::new(Scripted::answering(Value::Okay), breaker.clone());
    let nowhere = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = nowhere.block_on(redis.get::<_, Value>("key")).unwrap_err();
    assert_eq!(error.kind(), redis::ErrorKind::Client);
    assert!(error.to_string().contains("tokio runtime"), "{error}");
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outside) = redis.get::<_, Value>("key").as_mut().poll(&mut cx) else {
        panic!("it fails at once");
    };
    assert_eq!(outside.unwrap_err().kind(), redis::ErrorKind::Client);
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.failure, totals.ignored, totals.cancelled), (0, 2, 0));
}

#[test]
fn without_a_deadline_no_runtime_is_needed() {
    let mut redis = Guarded::new(Scripted::answering(Value::Okay), breaker()).deadline(None);
    let mut call = redis.ping::<String>();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_ready());
}

#[tokio::test(start_paused = true)]
async fn the_longest_and_the_shortest_deadline_do_no_harm() {
    let mut redis = Guarded::new(Scripted::answering(Value::Okay), breaker()).deadline(Duration::MAX);
    redis.ping::<String>().await.unwrap();
    let mut redis = redis.deadline(Duration::ZERO);
    redis.ping::<String>().await.unwrap();
    let mut redis = Guarded::new(Scripted::new(|_| Does::Hangs), breaker()).deadline(Duration::ZERO);
    assert!(timed_out(&redis.ping::<String>().await.unwrap_err()).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_drops_is_cancelled_and_decides_nothing() {
    let mut redis = Guarded::new(Scripted::new(|_| Does::Hangs), breaker());
    for _ in 0..10 {
        let cut_off = tokio::time::timeout(Duration::from_millis(10), redis.get::<_, Value>("key")).await;
        assert!(cut_off.is_err());
    }
    let snapshot = redis.breaker().snapshot();
    assert_eq!((snapshot.totals.cancelled, snapshot.totals.ignored, snapshot.totals.failure), (10, 10, 0));
    assert_eq!(snapshot.state, State::Closed);
}

#[tokio::test]
async fn a_call_that_is_never_polled_asks_nobody() {
    let connection = Scripted::answering(Value::Okay);
    let mut redis = Guarded::new(connection.clone(), breaker());
    drop(redis.get::<_, Value>("key"));
    assert_eq!(connection.asked(), 0);
    let totals = redis.breaker().snapshot().totals;
    assert_eq!((totals.success, totals.ignored, totals.cancelled), (0, 0, 0));
}

#[tokio::test]
async fn admission_is_asked_when_the_call_is_first_polled() {
    let breaker = breaker();
    let mut redis = Guarded::new(Scripted::answering(Value::Okay), breaker.clone());
    let call = redis.get::<_, Value>("key");
    breaker.trip();
    assert!(rejected(&call.await.unwrap_err()).is_some());
}

#[tokio::test]
async fn a_panic_in_the_driver_is_a_failure_and_goes_on() {
    let breaker = breaker();
    let redis = Guarded::new(Scripted::new(|_| Does::Panics), breaker.clone());
    let mut task = redis.clone();
    let panicked = tokio::spawn(async move { task.get::<_, Value>("key").await }).await;
    assert!(panicked.unwrap_err().is_panic());
    assert_eq!(breaker.snapshot().totals.failure, 1);
}

#[tokio::test]
async fn a_panic_in_the_judge_is_a_failure_and_goes_on() {
    let breaker = breaker();
    let judge = |_: &RedisError| panic!("no opinion");
    let mut redis = Guarded::new(Scripted::answering(wire("-ERR no")), breaker.clone()).classify(judge);
    let panicked = tokio::spawn(async move { redis.get::<_, Value>("key").await }).await;
    assert!(panicked.unwrap_err().is_panic());
    assert_eq!(breaker.snapshot().totals.failure, 1);
}

#[tokio::test(start_paused = true)]
async fn probes_close_the_breaker_also_when_all_that_is_asked_is_a_mistake() {
    for answer in ["$-1", "-WRONGTYPE no", "-NOAUTH no", "*1\r\n-ERR no"] {
        let breaker = open_breaker();
        let mut redis = Guarded::new(Scripted::answering(wire(answer)), breaker.clone());
        assert!(rejected(&redis.get::<_, Value>("key").await.unwrap_err()).is_some());
        tokio::time::advance(Duration::from_secs(15)).await;
        let _ = redis.get::<_, Value>("key").await;
        assert_eq!(breaker.state(), State::Closed, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_opens_the_breaker_again() {
    let breaker = open_breaker();
    let mut redis = Guarded::new(Scripted::answering(wire("-LOADING wait")), breaker.clone());
    tokio::time::advance(Duration::from_secs(15)).await;
    assert_eq!(redis.get::<_, Value>("key").await.unwrap_err().code(), Some("LOADING"));
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_command_without_an_answer_proves_nothing() {
    let mut redis = Guarded::new(Scripted::answering(Value::Nil), breaker());
    redis::cmd("SET").arg("a").arg(1).set_no_response(true).exec_async(&mut redis).await.unwrap();
    let totals = redis.breaker().snapshot().totals;
    assert_eq!((totals.success, totals.ignored, totals.cancelled), (0, 1, 0));

    let mut redis = Guarded::new(Scripted::new(|_| Does::Answers(Err(refused()))), breaker());
    redis::cmd("SET").arg("a").arg(1).set_no_response(true).exec_async(&mut redis).await.unwrap_err();
    assert_eq!(redis.breaker().snapshot().totals.failure, 1);
}

#[tokio::test]
async fn what_ends_a_transaction_is_made_though_the_breaker_is_open() {
    let connection = Scripted::answering(Value::Okay);
    let breaker = open_breaker();
    let mut redis = Guarded::new(connection.clone(), breaker.clone());
    for name in ["EXEC", "DISCARD", "UNWATCH", "unwatch"] {
        redis::cmd(name).exec_async(&mut redis).await.unwrap();
    }
    assert_eq!(connection.asked(), 4);
    for name in ["MULTI", "WATCH", "EXECUTE", ""] {
        let error = redis::cmd(name).exec_async(&mut redis).await.unwrap_err();
        assert!(rejected(&error).is_some(), "{name:?}");
    }
    assert!(rejected(&redis::Cmd::new().exec_async(&mut redis).await.unwrap_err()).is_some());
    assert_eq!(connection.asked(), 4);
    // They decide nothing.
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.success, totals.failure, totals.ignored), (0, 0, 0));
}

#[tokio::test]
async fn a_transaction_that_the_breaker_interrupts_leaves_nothing_watched() {
    let breaker = breaker();
    let (seen, opens) = (std::sync::Arc::new(std::sync::Mutex::new(Vec::new())), breaker.clone());
    let connection = Scripted::new({
        let seen = seen.clone();
        move |name| {
            seen.lock().unwrap().push(name.to_owned());
            Does::Answers(Ok(Value::Okay))
        }
    });
    let redis = Guarded::new(connection, breaker);
    let result: RedisResult<Value> = redis::aio::transaction_async(redis, &["key"], |mut redis, _| {
        opens.trip();
        async move { redis.get::<_, Option<Value>>("key").await }
    })
    .await;
    assert!(rejected(&result.unwrap_err()).is_some());
    assert_eq!(*seen.lock().unwrap(), ["WATCH", "UNWATCH"]);
}

#[tokio::test]
async fn clones_share_one_breaker() {
    let redis = Guarded::new(Scripted::new(|_| Does::Answers(Err(refused()))), breaker());
    for _ in 0..3 {
        redis.clone().get::<_, Value>("key").await.unwrap_err();
    }
    assert!(rejected(&redis.clone().get::<_, Value>("key").await.unwrap_err()).is_some());
    assert_eq!(redis.breaker().state(), State::Open);
}

#[tokio::test]
async fn the_operators_hand_rules_the_guard() {
    let mut redis = Guarded::new(Scripted::answering(Value::Okay), breaker());
    redis.breaker().set_control(Control::ForcedOpen);
    let error = redis.ping::<String>().await.unwrap_err();
    assert_eq!(rejected(&error).unwrap().reason(), RejectReason::Forced);
    redis.breaker().set_control(Control::Automatic);
    redis.ping::<String>().await.unwrap();
}

#[tokio::test]
async fn the_connection_stays_within_reach() {
    let connection = Scripted::answering(Value::Okay);
    let mut redis = Guarded::new(connection, open_breaker());
    redis.get_mut().ping::<String>().await.unwrap();
    assert_eq!(redis.get_ref().asked(), 1);
    assert_eq!(redis::aio::ConnectionLike::get_db(&redis), 7);
    assert_eq!(redis::aio::ConnectionLike::get_db(&redis.with_deadline(None)), 7);
    let shown = format!("{redis:?}");
    assert!(shown.contains("redis") && shown.contains("deadline: Some(1s)"), "{shown}");
    assert_eq!(redis.into_inner().asked(), 1);
}

#[test]
fn guards_go_where_their_connections_go() {
    fn send_sync_clone<T: Send + Sync + Clone>() {}
    fn future_is_send<T: Send>(_: T) {}
    send_sync_clone::<Guarded<redis::aio::MultiplexedConnection>>();
    send_sync_clone::<Guarded<redis::aio::ConnectionManager>>();
    send_sync_clone::<Guarded<redis::cluster_async::ClusterConnection>>();
    let mut redis = Guarded::new(Scripted::answering(Value::Okay), breaker());
    future_is_send(async move { redis.get::<_, Value>("key").await });
}

#[test]
fn the_default_settings_are_those_for_redis() {
    let settings = default_settings();
    settings.validate().unwrap();
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("redis").settings(settings).clock(clock).build().unwrap();
    let fail = || breaker.try_acquire().unwrap().failure();
    fail();
    fail();
    time.advance(Duration::from_secs(31));
    fail();
    assert_eq!(breaker.state(), State::Closed);
    fail();
    fail();
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.try_acquire().unwrap_err().retry_after(), Some(Duration::from_secs(15)));
    time.advance(Duration::from_secs(15));
    let probes: Vec<_> = (0..5).map(|_| breaker.try_acquire().unwrap()).collect();
    assert_eq!(breaker.try_acquire().unwrap_err().reason(), RejectReason::ProbesBusy);
    probes.into_iter().take(2).for_each(|probe| probe.success());
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_blocking_connection_is_guarded_alike() {
    let connection = Scripted::new(|name| match name {
        "GET" => Does::Answers(Ok(wire("$-1"))),
        "INCRBY" => Does::Answers(Ok(wire("-ERR value is not an integer"))),
        "check" => Does::Answers(Ok(Value::Okay)),
        _ => Does::Answers(Err(refused())),
    });
    let breaker = breaker();
    let mut redis = Guarded::new(BlockingScripted(connection.clone()), breaker.clone());
    assert_eq!(redis.get::<_, Option<String>>("key").unwrap(), None);
    redis.incr::<_, _, Value>("key", 1).unwrap_err();
    assert!(redis::ConnectionLike::check_connection(&mut redis));
    redis::cmd("GET").set_no_response(true).exec(&mut redis).unwrap();
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.success, totals.failure, totals.ignored), (3, 0, 1));

    assert!(!redis::ConnectionLike::supports_pipelining(&redis));
    assert!(!redis::ConnectionLike::is_open(&redis));
    assert_eq!(redis::ConnectionLike::get_db(&redis), 7);

    assert!(redis.set::<_, _, ()>("key", 1).unwrap_err().is_connection_refusal());
    redis::ConnectionLike::req_packed_command(&mut redis, b"PING").unwrap_err();
    redis::ConnectionLike::req_packed_commands(&mut redis, b"PING", 0, 1).unwrap_err();
    assert_eq!(breaker.state(), State::Open);
    let asked = connection.asked();
    assert!(rejected(&redis.get::<_, Value>("key").unwrap_err()).is_some());
    assert!(!redis::ConnectionLike::check_connection(&mut redis));
    assert_eq!(connection.asked(), asked);
    // By reference, as the driver's functions take it.
    fn by_reference(redis: &mut dyn redis::ConnectionLike) -> RedisResult<Value> {
        redis.req_packed_command(b"PING")
    }
    assert!(rejected(&by_reference(&mut redis).unwrap_err()).is_some());
}

#[test]
fn a_blocking_connection_that_does_not_answer_its_check_has_failed() {
    let breaker = breaker();
    let mut redis =
        Guarded::new(BlockingScripted(Scripted::new(|_| Does::Answers(Err(refused())))), breaker.clone());
    for _ in 0..3 {
        assert!(!redis::ConnectionLike::check_connection(&mut redis));
    }
    assert_eq!(breaker.state(), State::Open);
}
