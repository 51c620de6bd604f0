//! A transaction is one call, whatever happens in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::error::Error;
use std::time::Duration;

use crate::ground::{SLACK, failures, guard, ignored, shared, successes, table, until};
use futures_util::{FutureExt, StreamExt};
use mainstay_breaker::State;
use mainstay_postgres::sqlx::{self, Connection, Row};
use mainstay_postgres::{
    ConnectionGivenUp, GuardedPool, GuardedTx, WaitedFor, rejected, retryable, timed_out,
};

fn db() -> GuardedPool {
    guard(&shared().url(), 5)
}

async fn insert(tx: &mut GuardedTx<'_>, table: &str, id: i32) -> sqlx::Result<()> {
    let sql = sqlx::AssertSqlSafe(format!("INSERT INTO {table} VALUES ($1)"));
    sqlx::query(sql).bind(id).execute(tx).await.map(drop)
}

async fn ids(db: &GuardedPool, table: &str) -> Vec<i32> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT id FROM {table} ORDER BY id"));
    sqlx::query_scalar(sql).fetch_all(db.pool()).await.unwrap()
}

fn is_given_up(error: &sqlx::Error) -> bool {
    let sqlx::Error::Io(error) = error else { return false };
    error.get_ref().is_some_and(|inner| inner.is::<ConnectionGivenUp>())
}

#[tokio::test]
async fn what_is_committed_stays_and_counts_once() {
    let db = db();
    table(&db, "committed").await;
    let mut tx = db.begin().await.unwrap();
    insert(&mut tx, "committed", 1).await.unwrap();
    insert(&mut tx, "committed", 2).await.unwrap();
    assert_eq!(successes(&db), 0);
    tx.commit().await.unwrap();
    assert_eq!((successes(&db), failures(&db), ignored(&db)), (1, 0, 0));
    assert_eq!(ids(&db, "committed").await, [1, 2]);
}

#[tokio::test]
async fn what_is_rolled_back_is_gone() {
    let db = db();
    table(&db, "rolled_back").await;
    let mut tx = db.begin().await.unwrap();
    insert(&mut tx, "rolled_back", 1).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(successes(&db), 1);
    assert_eq!(ids(&db, "rolled_back").await, [0; 0]);
}

#[tokio::test]
async fn dropped_without_an_end_it_is_rolled_back_and_its_connection_used_again() {
    let db = guard(&shared().url(), 1);
    table(&db, "dropped").await;
    let pid = "SELECT pg_backend_pid()";
    let mut tx = db.begin().await.unwrap();
    let before: i32 = sqlx::query_scalar(pid).fetch_one(&mut tx).await.unwrap();
    insert(&mut tx, "dropped", 1).await.unwrap();
    drop(tx);
    assert_eq!((successes(&db), failures(&db), ignored(&db)), (1, 0, 0));
    assert_eq!(ids(&db, "dropped").await, [0; 0]);
    let after: i32 = sqlx::query_scalar(pid).fetch_one(&db).await.unwrap();
    assert_eq!(before, after);
}

#[tokio::test]
async fn savepoints_are_rolled_back_and_released_by_themselves() {
    let db = db();
    table(&db, "saved").await;
    let mut tx = db.begin().await.unwrap();
    insert(&mut tx, "saved", 1).await.unwrap();

    let mut kept = tx.begin().await.unwrap();
    insert(&mut kept, "saved", 2).await.unwrap();
    kept.commit().await.unwrap();

    let mut undone = tx.begin().await.unwrap();
    insert(&mut undone, "saved", 3).await.unwrap();
    undone.rollback().await.unwrap();

    let mut dropped = tx.begin().await.unwrap();
    insert(&mut dropped, "saved", 4).await.unwrap();
    let mut within = dropped.begin().await.unwrap();
    insert(&mut within, "saved", 5).await.unwrap();
    within.commit().await.unwrap();
    drop(dropped);

    insert(&mut tx, "saved", 6).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ids(&db, "saved").await, [1, 2, 6]);
    assert_eq!((successes(&db), failures(&db)), (1, 0));
}

#[tokio::test]
async fn a_mistake_in_a_savepoint_is_undone_with_it() {
    let db = db();
    table(&db, "mistaken").await;
    let mut tx = db.begin().await.unwrap();
    insert(&mut tx, "mistaken", 1).await.unwrap();
    let mut savepoint = tx.begin().await.unwrap();
    let error = insert(&mut savepoint, "mistaken", 1).await.unwrap_err();
    assert!(error.as_database_error().unwrap().is_unique_violation());
    savepoint.rollback().await.unwrap();
    insert(&mut tx, "mistaken", 2).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ids(&db, "mistaken").await, [1, 2]);
    assert_eq!((successes(&db), failures(&db)), (1, 0));
}

#[tokio::test]
async fn a_savepoint_that_cannot_be_set_ends_the_transaction() {
    let db = db();
    table(&db, "aborted").await;
    let mut tx = db.begin().await.unwrap();
    insert(&mut tx, "aborted", 1).await.unwrap();
    sqlx::query("SELECT 1 / 0").execute(&mut tx).await.unwrap_err();
    let error = tx.begin().await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "25P02");
    assert!(is_given_up(&insert(&mut tx, "aborted", 2).await.unwrap_err()));
    assert!(is_given_up(&tx.commit().await.unwrap_err()));
    assert_eq!(ids(&db, "aborted").await, [0; 0]);
    assert_eq!((successes(&db), failures(&db)), (1, 0));
}

#[tokio::test]
async fn it_begins_with_another_statement_if_told() {
    let db = db();
    let mut tx = db.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY").await.unwrap();
    let level: String = sqlx::query_scalar("SHOW transaction_isolation").fetch_one(&mut tx).await.unwrap();
    assert_eq!(level, "serializable");
    tx.commit().await.unwrap();

    let error = db.begin_with("SELECT 1").await.unwrap_err();
    assert!(matches!(error, sqlx::Error::BeginFailed), "{error:?}");
    let error = db.begin_with("BEGAN").await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42601");
    assert_eq!((successes(&db), failures(&db)), (3, 0));
}

#[tokio::test]
async fn one_connection_has_one_transaction_after_the_other() {
    let db = db();
    table(&db, "turns").await;
    let mut conn = db.acquire().await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    insert(&mut tx, "turns", 1).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = conn.begin_with("BEGIN").await.unwrap();
    insert(&mut tx, "turns", 2).await.unwrap();
    drop(tx);
    sqlx::query("INSERT INTO turns VALUES (3)").execute(&mut conn).await.unwrap();
    assert_eq!(ids(&db, "turns").await, [1, 3]);
    // The connection, two transactions, a statement.
    assert_eq!((successes(&db), failures(&db)), (4, 0));
}

#[tokio::test]
async fn a_transaction_begun_on_the_drivers_connection_is_a_savepoint_in_it() {
    let db = db();
    table(&db, "nested").await;
    let mut tx = db.begin().await.unwrap();
    insert(&mut tx, "nested", 1).await.unwrap();
    let mut inner = tx.inner_mut().begin().await.unwrap();
    sqlx::query("INSERT INTO nested VALUES (2)").execute(&mut *inner).await.unwrap();
    inner.rollback().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ids(&db, "nested").await, [1]);
}

#[tokio::test]
async fn a_transaction_that_was_left_open_on_the_drivers_connection_is_not_taken_for_this_one() {
    let db = db();
    table(&db, "left_open").await;
    let mut tx = db.begin().await.unwrap();
    insert(&mut tx, "left_open", 1).await.unwrap();
    std::mem::forget(tx.inner_mut().begin().await.unwrap());
    assert!(is_given_up(&tx.commit().await.unwrap_err()));
    assert_eq!(ids(&db, "left_open").await, [0; 0]);
}

#[tokio::test]
async fn its_statements_are_not_rejected_while_the_breaker_is_open() {
    let db = db();
    table(&db, "finished").await;
    let mut tx = db.begin().await.unwrap();
    db.breaker().trip();
    let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    assert!(rejected(&error).is_some());
    assert!(rejected(&db.begin().await.unwrap_err()).is_some());
    assert!(rejected(&db.acquire().await.unwrap_err()).is_some());

    insert(&mut tx, "finished", 1).await.unwrap();
    let mut savepoint = tx.begin().await.unwrap();
    insert(&mut savepoint, "finished", 2).await.unwrap();
    savepoint.commit().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ids(&db, "finished").await, [1, 2]);
}

#[tokio::test]
async fn one_whose_connection_dies_counts_once() {
    let db = db();
    let mut tx = db.begin().await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut tx).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(db.pool()).await.unwrap();

    let error = sqlx::query("SELECT pg_sleep(10)").execute(&mut tx).await.unwrap_err();
    assert!(!is_given_up(&error), "{error:?}");
    for _ in 0..20 {
        let error = sqlx::query("SELECT 1").execute(&mut tx).await.unwrap_err();
        assert!(is_given_up(&error), "{error:?}");
    }
    assert_eq!(failures(&db), 0);
    assert!(is_given_up(&tx.commit().await.unwrap_err()));
    assert_eq!((successes(&db), failures(&db), ignored(&db)), (0, 1, 0));
    assert_eq!(db.breaker().state(), State::Closed);
    until("the connection is closed", || db.figures().in_use == 0).await;
}

#[tokio::test]
async fn one_that_is_dropped_after_a_failure_failed() {
    let db = db();
    let mut tx = db.begin().await.unwrap();
    sqlx::query("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$")
        .execute(&mut tx)
        .await
        .unwrap_err();
    sqlx::query("SELECT 1").execute(&mut tx).await.unwrap_err();
    drop(tx);
    assert_eq!((successes(&db), failures(&db)), (0, 1));
}

#[tokio::test]
async fn a_deadline_in_it_ends_it() {
    let db = db().statement_deadline(Duration::from_secs(2));
    table(&db, "too_late").await;
    let mut tx = db.begin().await.unwrap();
    insert(&mut tx, "too_late", 1).await.unwrap();
    let error = sqlx::query("SELECT pg_sleep(30)").execute(&mut tx).await.unwrap_err();
    assert_eq!(timed_out(&error).unwrap().waited_for(), WaitedFor::Answer);
    assert!(is_given_up(&insert(&mut tx, "too_late", 2).await.unwrap_err()));
    assert!(is_given_up(&tx.commit().await.unwrap_err()));
    assert_eq!((successes(&db), failures(&db)), (0, 1));
    assert_eq!(ids(&db, "too_late").await, [0; 0]);
}

#[tokio::test]
async fn a_begin_that_is_cut_off_leaves_nothing_open() {
    let db = guard(&shared().url(), 1);
    // Polled as often as it takes to send it, and dropped before the answer.
    for polls in 1..40 {
        let mut begin = Box::pin(db.begin());
        for _ in 0..polls {
            if (&mut begin).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(begin);
        // In one transaction two statements have the same number.
        let number = "SELECT pg_current_xact_id()::text";
        let one: String = sqlx::query_scalar(number).fetch_one(&db).await.unwrap();
        let other: String = sqlx::query_scalar(number).fetch_one(&db).await.unwrap();
        assert_ne!(one, other, "in a transaction after {polls} polls");
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_in_it_does_not_end_it() {
    let db = db();
    table(&db, "went_on").await;
    let mut tx = db.begin().await.unwrap();
    let mut rows = sqlx::query("SELECT * FROM generate_series(1, 10000)").fetch(&mut tx);
    assert_eq!(rows.next().await.unwrap().unwrap().get::<i32, _>(0), 1);
    drop(rows);
    insert(&mut tx, "went_on", 1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ids(&db, "went_on").await, [1]);
    assert_eq!((successes(&db), failures(&db)), (1, 0));
}

#[tokio::test]
async fn one_that_loses_to_another_says_that_it_can_be_made_again() {
    let db = db();
    table(&db, "contended").await;
    sqlx::query("INSERT INTO contended VALUES (1), (2)").execute(&db).await.unwrap();
    let serializable = "BEGIN ISOLATION LEVEL SERIALIZABLE";
    let (mut one, mut other) =
        (db.begin_with(serializable).await.unwrap(), db.begin_with(serializable).await.unwrap());
    let sum = "SELECT sum(id) FROM contended";
    sqlx::query(sum).execute(&mut one).await.unwrap();
    sqlx::query(sum).execute(&mut other).await.unwrap();
    sqlx::query("UPDATE contended SET id = 11 WHERE id = 1").execute(&mut one).await.unwrap();
    sqlx::query("UPDATE contended SET id = 12 WHERE id = 2").execute(&mut other).await.unwrap();
    one.commit().await.unwrap();
    let error = other.commit().await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "40001");
    assert!(retryable(&error));
    assert_eq!(failures(&db), 0);
}

#[tokio::test]
async fn a_panic_in_it_is_a_failure_and_goes_on() {
    let db = db();
    let task = tokio::spawn({
        let db = db.clone();
        async move {
            let _tx = db.begin().await.unwrap();
            panic!("on purpose");
        }
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!((successes(&db), failures(&db)), (0, 1));
}

#[tokio::test]
async fn a_deferred_constraint_fails_the_commit_and_is_the_callers() {
    let db = db();
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS late; CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
    )
    .execute(&db)
    .await
    .unwrap();
    let mut tx = db.begin().await.unwrap();
    insert(&mut tx, "late", 1).await.unwrap();
    insert(&mut tx, "late", 1).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(error.as_database_error().unwrap().is_unique_violation());
    assert!(error.source().is_some());
    assert_eq!((successes(&db), failures(&db)), (2, 0));
    // And the connection is in no transaction.
    tokio::time::timeout(SLACK, insert(&mut db.begin().await.unwrap(), "late", 2)).await.unwrap().unwrap();
}
