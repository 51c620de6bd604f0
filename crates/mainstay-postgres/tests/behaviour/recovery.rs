//! Half-open: what closes the breaker again, and that nothing keeps it from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use crate::ground::{PATIENCE, pool, shared, table};
use futures_util::StreamExt;
use mainstay_breaker::{Breaker, Clock, State};
use mainstay_postgres::sqlx;
use mainstay_postgres::{GuardedPool, default_settings, rejected};

/// A guard whose breaker has just become half-open, and whose clock stands still: 3 probes at once, 2 of which close it.
fn half_open() -> GuardedPool {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("db").settings(default_settings()).clock(clock).build().unwrap();
    breaker.trip();
    time.advance(Duration::from_secs(30));
    assert_eq!(breaker.state(), State::HalfOpen);
    GuardedPool::new(pool(&shared().url(), 8), breaker)
        .acquire_deadline(PATIENCE)
        .statement_deadline(PATIENCE)
}

#[tokio::test]
async fn good_statements_close_it() {
    let db = half_open();
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
    sqlx::query("SELECT 1").fetch_one(&db).await.unwrap();
    assert_eq!(db.breaker().state(), State::Closed);
}

#[tokio::test]
async fn nothing_but_mistakes_of_the_caller_closes_it_too() {
    let db = half_open();
    table(&db, "probed").await;
    sqlx::query("INSERT INTO probed VALUES (1)").execute(db.pool()).await.unwrap();
    for _ in 0..2 {
        let error = sqlx::query("INSERT INTO probed VALUES (1)").execute(&db).await.unwrap_err();
        assert!(error.as_database_error().unwrap().is_unique_violation());
    }
    assert_eq!(db.breaker().state(), State::Closed);
}

#[tokio::test]
async fn a_failure_opens_it_again() {
    let db = half_open();
    let sql = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57P03'; END $$";
    sqlx::query(sql).execute(&db).await.unwrap_err();
    assert_eq!(db.breaker().state(), State::Open);
}

#[tokio::test]
async fn nothing_but_long_transactions_closes_it() {
    let db = half_open();
    let one = db.begin().await.unwrap();
    assert_eq!(db.breaker().state(), State::HalfOpen);
    let other = db.begin().await.unwrap();
    assert_eq!(db.breaker().state(), State::Closed);
    one.commit().await.unwrap();
    other.rollback().await.unwrap();
}

#[tokio::test]
async fn nothing_but_long_streams_closes_it() {
    let db = half_open();
    let sql = "SELECT * FROM generate_series(1, 1000000)";
    let mut one = sqlx::query(sql).fetch(&db);
    one.next().await.unwrap().unwrap();
    let mut other = sqlx::query(sql).fetch(&db);
    other.next().await.unwrap().unwrap();
    assert_eq!(db.breaker().state(), State::Closed);
}

#[tokio::test]
async fn calls_that_are_dropped_in_the_middle_give_their_slots_back() {
    let db = half_open();
    for _ in 0..20 {
        let call = sqlx::query("SELECT pg_sleep(60)").execute(&db);
        tokio::time::timeout(Duration::from_millis(20), call).await.unwrap_err();
    }
    assert_eq!(db.breaker().state(), State::HalfOpen);
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
    assert_eq!(db.breaker().state(), State::Closed);
}

#[tokio::test]
async fn no_more_probes_are_admitted_than_it_says() {
    let db = half_open();
    let mut probes: Vec<_> = (0..3)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move { sqlx::query("SELECT pg_sleep(60)").execute(&db).await })
        })
        .collect();
    crate::ground::until("all are under way", || db.breaker().snapshot().half_open.unwrap().in_flight == 3)
        .await;
    let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    assert_eq!(rejected(&error).unwrap().reason(), mainstay_breaker::RejectReason::ProbesBusy);
    probes.drain(..).for_each(|probe| probe.abort());
}
