//! What the network does to connections on their way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use crate::ground::{PATIENCE, SLACK, failures, ignored, resilient, shared, successes, tolerant, until};
use futures_util::TryStreamExt;
use mainstay_breaker::State;
use mainstay_postgres::sqlx::{self, AssertSqlSafe, Error};
use mainstay_postgres::{GuardedPool, timed_out};
use mainstay_testkit::{Fault, FaultProxy};
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_millis(500);

/// Longer than it takes to begin 25 statements, on a busy machine.
const SLEEP: Duration = Duration::from_secs(6);

/// What the pool may need beyond the deadline until it serves again.
const RETURN: Duration = Duration::from_secs(6);

fn proxy() -> FaultProxy {
    FaultProxy::start(shared().addr()).unwrap()
}

fn url(proxy: &FaultProxy) -> String {
    shared().url_at(proxy.addr())
}

/// All connections that the pool can have, at the same time, and that each of them works.
async fn all_serve(db: &GuardedPool, most: u32) {
    let tasks: Vec<_> = (0..most)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                let mut conn = db.acquire().await?;
                sqlx::query("SELECT pg_sleep(0.2)").execute(&mut conn).await?;
                Ok::<_, Error>(conn)
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap().unwrap());
    }
    assert_eq!(db.figures().in_use, most);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_in_the_middle_is_a_failure() {
    let proxy = proxy();
    let db = tolerant(&url(&proxy), 1);
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
    let sql = "SELECT repeat('x', 1000) FROM generate_series(1, 10000)";
    let mut rows = sqlx::query(sql).fetch(&db);
    rows.try_next().await.unwrap().unwrap();
    proxy.set(Fault::CutAfter { bytes: 100_000 });
    let mut count = 1;
    let error = loop {
        match rows.try_next().await {
            Ok(Some(_)) => count += 1,
            Ok(None) => panic!("all came"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Io(_)), "{error:?}");
    assert!(count > 50, "{count} rows");
    assert!(rows.try_next().await.unwrap().is_none());
    drop(rows);
    assert_eq!((successes(&db), failures(&db), ignored(&db)), (1, 1, 0));
    assert_eq!(db.figures().size, 0);

    proxy.set(Fault::None);
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_reset_is_a_failure_and_not_used_again() {
    let proxy = proxy();
    let db = tolerant(&url(&proxy), 2);
    let mut conn = db.acquire().await.unwrap();
    proxy.set(Fault::Reset);
    let error = sqlx::query("SELECT 1").execute(&mut conn).await.unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error:?}");
    proxy.set(Fault::None);
    drop(conn);
    assert_eq!((failures(&db), db.figures().size), (1, 0));
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
}

/// A pool all of whose 25 connections are in the middle of a statement, whose deadline is [`SLEEP`].
async fn all_in_use(proxy: &FaultProxy, mark: &str) -> (GuardedPool, Vec<JoinHandle<Result<(), Error>>>) {
    let db = tolerant(&url(proxy), 25);
    all_serve(&db, 25).await;
    until("all are idle", || db.figures().idle == 25).await;

    let db = db.statement_deadline(SLEEP);
    let calls: Vec<_> = (0..25)
        .map(|_| {
            let (db, sleep) = (db.clone(), AssertSqlSafe(format!("SELECT pg_sleep(60) AS {mark}")));
            tokio::spawn(async move {
                let mut conn = db.acquire().await?;
                sqlx::query(sleep).execute(&mut conn).await.map(drop)
            })
        })
        .collect();
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '% AS ' || $1";
    let aside = crate::ground::pool(&shared().url(), 1);
    let patience = Instant::now() + PATIENCE;
    while sqlx::query_scalar::<_, i64>(sleeping).bind(mark).fetch_one(&aside).await.unwrap() < 25 {
        assert!(Instant::now() < patience, "the statements do not run");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (db, calls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_whose_connections_are_all_in_use_when_the_network_swallows_everything_serves_again() {
    let proxy = proxy();
    let (db, calls) = all_in_use(&proxy, "swallowed").await;
    proxy.set(Fault::BlackHole);
    let start = Instant::now();
    for call in calls {
        timed_out(&call.await.unwrap().unwrap_err()).unwrap();
    }
    assert!(start.elapsed() < SLEEP + SLACK);
    let db = db.acquire_deadline(DEADLINE).statement_deadline(DEADLINE);
    let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    timed_out(&error).unwrap();

    proxy.set(Fault::None);
    let healed = Instant::now();
    while let Err(error) = sqlx::query("SELECT 1").execute(&db).await {
        assert!(healed.elapsed() < DEADLINE + RETURN, "{error:?}");
    }
    assert!(healed.elapsed() < DEADLINE + RETURN);
    all_serve(&db.acquire_deadline(PATIENCE).statement_deadline(PATIENCE), 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_when_the_network_heals_at_once_and_only_what_was_sent_is_lost() {
    let proxy = proxy();
    let (db, calls) = all_in_use(&proxy, "forgotten").await;
    proxy.set(Fault::BlackHole);
    proxy.set(Fault::None);
    let healed = Instant::now();
    let quick = db.acquire_deadline(DEADLINE);
    while let Err(error) = sqlx::query("SELECT 1").execute(&quick).await {
        assert!(healed.elapsed() < SLEEP + RETURN, "{error:?}");
    }
    assert!(healed.elapsed() < SLEEP + RETURN);
    for call in calls {
        timed_out(&call.await.unwrap().unwrap_err()).unwrap();
    }
    all_serve(&quick.acquire_deadline(PATIENCE).statement_deadline(PATIENCE), 25).await;
}

/// The worst moment: a connection is asked whether all is well, on its way back to the pool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_whose_connections_are_all_on_their_way_back_serves_again_too() {
    let proxy = proxy();
    let db = tolerant(&url(&proxy), 25).statement_deadline(DEADLINE);
    let mut conns = Vec::new();
    for _ in 0..25 {
        conns.push(db.acquire().await.unwrap());
    }
    proxy.set(Fault::BlackHole);
    drop(conns);
    assert_eq!(db.figures().in_use, 25);
    until("none is held any more", || db.figures().in_use == 0).await;

    proxy.set(Fault::None);
    let db = db.acquire_deadline(DEADLINE);
    let healed = Instant::now();
    while let Err(error) = sqlx::query("SELECT 1").execute(&db).await {
        assert!(healed.elapsed() < DEADLINE + RETURN, "{error:?}");
    }
    all_serve(&db.acquire_deadline(PATIENCE).statement_deadline(PATIENCE), 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_that_are_swallowed_cost_one_call_each_at_most() {
    let proxy = proxy();
    let db = tolerant(&url(&proxy), 2);
    all_serve(&db, 2).await;
    until("all are idle", || db.figures().idle == 2).await;
    let db = db.acquire_deadline(Duration::from_secs(2));
    proxy.set(Fault::BlackHole);
    let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    timed_out(&error).unwrap();
    assert!(db.figures().size < 2);
    proxy.set(Fault::None);
    let (mut good, patience) = (0, Instant::now() + PATIENCE);
    while good < 10 {
        assert!(Instant::now() < patience, "it does not work again");
        good += u32::from(sqlx::query("SELECT 1").execute(&db).await.is_ok());
    }
    assert!(failures(&db) <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_heals_is_found_by_traffic_alone() {
    let proxy = proxy();
    let db = resilient(&url(&proxy), 8).acquire_deadline(DEADLINE).statement_deadline(DEADLINE);
    for fault in [Fault::BlackHole, Fault::Refuse, Fault::Reset, Fault::CutAfter { bytes: 10 }] {
        until_it(&db, State::Closed).await;
        proxy.set(fault);
        let broken = Instant::now();
        while db.breaker().state() == State::Closed {
            // Those that are open go on while new ones are refused.
            if fault == Fault::Refuse {
                let mut conn = db.acquire().await.ok();
                conn.as_mut().map(mainstay_postgres::GuardedConnection::close_on_drop);
            } else {
                _ = sqlx::query("SELECT 1").execute(&db).await;
            }
            assert!(broken.elapsed() < PATIENCE, "{fault:?}");
        }
        proxy.set(Fault::None);
    }
    until_it(&db, State::Closed).await;
}

/// Calls until the breaker is in a state.
async fn until_it(db: &GuardedPool, state: State) {
    let start = Instant::now();
    loop {
        let result = sqlx::query("SELECT 1").execute(db).await;
        if result.is_ok() && db.breaker().state() == state {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{result:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
