//! What must end in time, and what may take its time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use crate::ground::{SLACK, failures, guard, ignored, server, shared, successes, tolerant, until};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use mainstay_breaker::State;
use mainstay_postgres::sqlx::{self, Executor, PgPool};
use mainstay_postgres::{ConnectionGivenUp, GuardedPool, WaitedFor, timed_out};

/// For what never comes in time.
const SHORT: Duration = Duration::from_millis(200);

/// For what comes in time even on a busy machine.
const LONG: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn they_are_two_seconds_and_five_unless_told_otherwise() {
    let db = GuardedPool::new(
        PgPool::connect_lazy("postgres://nowhere/db").unwrap(),
        mainstay_breaker::Breaker::new("db").unwrap(),
    );
    let other = db.clone().acquire_deadline(SHORT).statement_deadline(Duration::MAX);
    let both = |db: &GuardedPool| (db.deadlines().acquire, db.deadlines().statement);
    assert_eq!(both(&other), (SHORT, Duration::MAX));
    assert_eq!(both(&db), (Duration::from_secs(2), Duration::from_secs(5)));
}

#[tokio::test]
async fn a_statement_that_takes_longer_is_a_failure_and_its_connection_is_closed() {
    let db = guard(&shared().url(), 2).statement_deadline(SHORT);
    let start = Instant::now();
    let error = sqlx::query("SELECT pg_sleep(60)").execute(&db).await.unwrap_err();
    assert!(start.elapsed() >= SHORT && start.elapsed() < SHORT + SLACK);
    let expired = timed_out(&error).unwrap();
    assert_eq!(expired.waited_for(), WaitedFor::Answer);
    assert_eq!(expired.after(), SHORT);
    assert_eq!(expired.name().as_str(), "db");
    assert_eq!(error.to_string(), "error communicating with database: db: no answer within 200ms");
    let sqlx::Error::Io(error) = &error else { panic!("{error:?}") };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!((successes(&db), failures(&db)), (0, 1));
    assert_eq!((db.figures().size, db.figures().in_use), (0, 0));
}

#[tokio::test]
async fn every_way_to_execute_has_it() {
    let db = tolerant(&shared().url(), 4).statement_deadline(SHORT);
    let sleep = "SELECT pg_sleep(60)";
    let mut errors = vec![
        sqlx::query(sleep).execute(&db).await.unwrap_err(),
        sqlx::query(sleep).fetch_one(&db).await.unwrap_err(),
        sqlx::query(sleep).fetch_optional(&db).await.unwrap_err(),
        sqlx::query(sleep).fetch_all(&db).await.unwrap_err(),
        sqlx::query(sleep).fetch(&db).next().await.unwrap().unwrap_err(),
        sqlx::raw_sql(sleep).execute(&db).await.unwrap_err(),
    ];
    let mut conn = db.acquire().await.unwrap();
    errors.push(sqlx::query(sleep).execute(&mut conn).await.unwrap_err());
    assert!(errors.iter().all(|error| timed_out(error).is_some()), "{errors:?}");
    assert_eq!(failures(&db), 7);

    // A connection on which one has passed is of no more use.
    let failed_before = (successes(&db), failures(&db));
    let refused = [
        sqlx::query("SELECT 1").execute(&mut conn).await.unwrap_err(),
        (&mut conn).fetch_optional("SELECT 1").await.unwrap_err(),
        conn.begin().await.unwrap_err(),
    ];
    for error in refused {
        let sqlx::Error::Io(error) = &error else { panic!("{error:?}") };
        assert!(error.get_ref().unwrap().is::<ConnectionGivenUp>());
    }
    assert_eq!((successes(&db), failures(&db)), failed_before);
}

#[tokio::test]
async fn begin_and_commit_have_it_too() {
    let db = guard(&shared().url(), 1);
    sqlx::raw_sql(
        "CREATE OR REPLACE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';
         DROP TABLE IF EXISTS dawdling; CREATE TABLE dawdling (id int);
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON dawdling INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle()",
    )
    .execute(&db)
    .await
    .unwrap();
    let db = db.statement_deadline(LONG);
    let mut tx = db.begin().await.unwrap();
    sqlx::query("INSERT INTO dawdling VALUES (1)").execute(&mut tx).await.unwrap();
    assert!(timed_out(&tx.commit().await.unwrap_err()).is_some());
    assert_eq!((successes(&db), failures(&db)), (1, 1));

    let error = db.begin_with("SELECT pg_sleep(60)").await.unwrap_err();
    assert!(timed_out(&error).is_some());
    assert_eq!((successes(&db), failures(&db)), (1, 2));
    assert_eq!(db.figures().size, 0);
}

#[tokio::test]
async fn a_long_answer_may_take_long_if_each_row_comes_in_time() {
    let db = guard(&shared().url(), 1).statement_deadline(LONG);
    let start = Instant::now();
    let rows =
        sqlx::query("SELECT pg_sleep(0.5), repeat('x', 20000) FROM generate_series(1, 6)").fetch_all(&db);
    assert_eq!(rows.await.unwrap().len(), 6);
    assert!(start.elapsed() > LONG);
    assert_eq!((successes(&db), failures(&db)), (1, 0));
}

#[tokio::test]
async fn a_caller_who_takes_his_time_with_the_rows_is_not_the_servers_fault() {
    let db = guard(&shared().url(), 1).statement_deadline(LONG);
    let sql = "SELECT repeat('x', 100000) FROM generate_series(1, 300)";
    let mut rows = sqlx::query(sql).fetch(&db);
    rows.next().await.unwrap().unwrap();
    tokio::time::sleep(LONG + LONG / 2).await;
    assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap().len(), 299);
    assert_eq!((successes(&db), failures(&db)), (1, 0));
}

#[tokio::test]
async fn an_answer_that_is_there_counts_however_late_it_is_looked_at() {
    let long = LONG * 2;
    let db = guard(&shared().url(), 1).statement_deadline(long);
    let mut conn = db.acquire().await.unwrap();
    let mut call = Box::pin(sqlx::query("SELECT pg_sleep(1.2)").fetch_one(&mut conn));
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(400) {
        assert!((&mut call).now_or_never().is_none());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(long + LONG / 2).await;
    call.await.unwrap();
    assert_eq!(failures(&db), 0);
}

#[tokio::test]
async fn without_end_is_a_deadline_too() {
    let db = guard(&shared().url(), 1).acquire_deadline(Duration::MAX).statement_deadline(Duration::MAX);
    sqlx::query("SELECT pg_sleep(0.1)").execute(&db).await.unwrap();
    let held = db.acquire().await.unwrap();
    let waiting = tokio::spawn({
        let db = db.clone();
        async move { sqlx::query("SELECT 1").execute(&db).await }
    });
    until("it waits", || db.figures().waiters == 1).await;
    drop(held);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn no_time_at_all_is_not_enough() {
    let db = guard(&shared().url(), 1);
    let held = db.acquire().await.unwrap();
    let error =
        sqlx::query("SELECT 1").execute(&db.clone().acquire_deadline(Duration::ZERO)).await.unwrap_err();
    assert_eq!(timed_out(&error).unwrap().waited_for(), WaitedFor::Connection);
    drop(held);
    let error =
        sqlx::query("SELECT pg_sleep(1)").execute(&db.statement_deadline(Duration::ZERO)).await.unwrap_err();
    assert_eq!(timed_out(&error).unwrap().waited_for(), WaitedFor::Answer);
}

#[tokio::test]
async fn a_call_that_is_dropped_before_its_answer_says_nothing() {
    let db = guard(&shared().url(), 1);
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
    let call = sqlx::query("SELECT pg_sleep(60)").execute(&db);
    tokio::time::timeout(SHORT, call).await.unwrap_err();
    assert_eq!((successes(&db), failures(&db), ignored(&db)), (1, 0, 1));
    assert_eq!(db.breaker().snapshot().totals.cancelled, 1);
    // Its connection is gone, and in nobody's way.
    assert_eq!(db.figures().size, 0);
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_dropped_after_a_row_is_a_success() {
    let db = guard(&shared().url(), 1);
    let mut rows = sqlx::query("SELECT * FROM generate_series(1, 100000)").fetch(&db);
    rows.next().await.unwrap().unwrap();
    drop(rows);
    assert_eq!((successes(&db), failures(&db), ignored(&db)), (1, 0, 0));
    assert_eq!(db.figures().size, 0);
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
}

#[tokio::test]
async fn a_refused_connect_is_told_with_the_drivers_own_error() {
    let mut server = server();
    server.kill().unwrap();
    let db = guard(&server.url(), 4).acquire_deadline(SHORT);
    let start = Instant::now();
    let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    assert!(start.elapsed() < SHORT + SLACK);

    let expired = timed_out(&error).unwrap();
    assert_eq!(expired.waited_for(), WaitedFor::Connection);
    assert!(!expired.pool_was_exhausted());
    let cause = expired.source().unwrap().downcast_ref::<sqlx::Error>().unwrap();
    let sqlx::Error::Io(cause) = cause else { panic!("{cause:?}") };
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains("no connection within 200ms (0 of 4 lent, 1 waiting): "), "{error}");

    for _ in 0..4 {
        sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    }
    assert_eq!(db.breaker().state(), State::Open);
}
