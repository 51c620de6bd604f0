//! Too few connections, here or at the server, and other things that a server runs short of.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::error::Error;
use std::time::Duration;

use crate::ground::{PATIENCE, breaker, failures, guard, pool, server_with, shared, successes, table, until};
use mainstay_breaker::State;
use mainstay_postgres::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use mainstay_postgres::sqlx::{self, Connection, PgConnection};
use mainstay_postgres::{GuardedPool, WaitedFor, default_settings, rejected, timed_out};

const SHORT: Duration = Duration::from_millis(150);

#[tokio::test]
async fn a_pool_that_is_exhausted_trips() {
    let db = guard(&shared().url(), 2);
    let held = (db.acquire().await.unwrap(), db.begin().await.unwrap());
    let db = db.acquire_deadline(SHORT);
    for _ in 0..5 {
        let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
        let expired = timed_out(&error).unwrap();
        assert_eq!(expired.waited_for(), WaitedFor::Connection);
        assert!(expired.pool_was_exhausted());
        assert!(expired.source().is_none());
        assert!(
            error.to_string().ends_with("no connection within 150ms (2 of 2 lent, 1 waiting)"),
            "{error}"
        );
    }
    assert_eq!(db.breaker().state(), State::Open);
    let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    assert!(rejected(&error).is_some());
    assert_eq!(failures(&db), 5);
    drop(held);
}

#[tokio::test]
async fn sqlxs_own_limit_on_waiting_counts_as_well() {
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(SHORT).connect_lazy(&shared().url()).unwrap();
    let db = GuardedPool::new(pool, breaker(default_settings())).acquire_deadline(PATIENCE);
    let held = loop {
        // On a busy machine a connect may take longer than that.
        if let Ok(held) = db.acquire().await {
            break held;
        }
        db.breaker().reset();
    };
    let before = failures(&db);
    let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error:?}");
    assert_eq!(failures(&db), before + 1);
    drop(held);
}

#[tokio::test]
async fn one_slow_statement_does_not_trip() {
    let db = guard(&shared().url(), 2);
    let slow = tokio::spawn({
        let db = db.clone();
        async move { sqlx::query("SELECT pg_sleep(1)").execute(&db).await }
    });
    until("it runs", || db.figures().in_use == 1).await;
    let mut quick = 0;
    while !slow.is_finished() {
        sqlx::query("SELECT 1").execute(&db).await.unwrap();
        quick += 1;
    }
    slow.await.unwrap().unwrap();
    assert_eq!((successes(&db), failures(&db)), (quick + 1, 0));
    assert_eq!(db.breaker().state(), State::Closed);
}

#[tokio::test]
async fn the_figures_are_exact() {
    let db = guard(&shared().url(), 2);
    assert_eq!((db.figures().size, db.figures().max), (0, 2));
    let one = db.acquire().await.unwrap();
    let other = db.begin().await.unwrap();
    let figures = db.figures();
    assert_eq!((figures.size, figures.idle, figures.in_use, figures.waiters), (2, 0, 2, 0));

    let mut waiting: Vec<_> = (0..7)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move { db.acquire().await.map(drop) })
        })
        .collect();
    until("all wait", || db.figures().waiters == 7).await;
    for task in waiting.drain(..3) {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    assert_eq!(db.figures().waiters, 4);
    drop((one, other));
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    assert_eq!(db.figures().waiters, 0);
    until("all are back", || db.figures().in_use == 0).await;
    assert_eq!((db.figures().size, db.figures().idle), (2, 2));
    assert!(!db.breaker().snapshot().blind);
}

#[tokio::test]
async fn a_server_without_room_trips_and_is_told_as_the_reason() {
    let server = server_with(&[("max_connections", "4"), ("superuser_reserved_connections", "0")]);
    let mut others = Vec::new();
    while let Ok(conn) = PgConnection::connect(&server.url()).await {
        others.push(conn);
        assert!(others.len() < 20);
    }
    let db = guard(&server.url(), 5).acquire_deadline(Duration::from_millis(600));
    let mut told = 0;
    for _ in 0..5 {
        let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
        // A busy server may take too long for that.
        if let Some(cause) = timed_out(&error).unwrap().source() {
            let cause = cause.downcast_ref::<sqlx::Error>().unwrap();
            assert_eq!(cause.as_database_error().unwrap().code().unwrap(), "53300");
            told += 1;
        }
    }
    assert!(told > 0);
    assert_eq!(db.breaker().state(), State::Open);
}

#[tokio::test]
async fn a_server_that_only_reads_trips_when_it_is_written_to() {
    let server = shared();
    let db = guard(&server.url(), 1);
    table(&db, "read_only").await;
    let options: PgConnectOptions = server.url().parse().unwrap();
    let options = options.options([("default_transaction_read_only", "on")]);
    let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(options);
    let db = GuardedPool::new(pool, breaker(default_settings())).acquire_deadline(PATIENCE);
    for n in 0..5 {
        let error = sqlx::query("INSERT INTO read_only VALUES ($1)").bind(n).execute(&db).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "25006");
    }
    assert_eq!(db.breaker().state(), State::Open);
}

#[tokio::test]
async fn connections_that_the_server_ends_trip() {
    let db = guard(&shared().url(), 2);
    let admin = pool(&shared().url(), 1);
    for _ in 0..5 {
        let call = tokio::spawn({
            let db = db.clone();
            async move { sqlx::query("SELECT pg_sleep(60) AS ended").execute(&db).await }
        });
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE wait_event = 'PgSleep' AND query LIKE '%AS ended'";
        while sqlx::query(end).fetch_optional(&admin).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "57P01");
    }
    assert_eq!(db.breaker().state(), State::Open);
    assert_eq!(db.figures().size, 0);
}
