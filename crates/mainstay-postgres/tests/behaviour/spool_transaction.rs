//! The spool's items in transactions with statements of one's own: what they do is done once for each item.
#![cfg(feature = "spool")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::ground::{PATIENCE, guard, pool, resilient, server, shared, tolerant, until};
use mainstay_breaker::State;
use mainstay_postgres::mainstay_spool::{
    DeathCause, Fate, Item, OpenFor, Outcome, Sink, Spool, SpoolSettings,
};
use mainstay_postgres::spool::{Table, TransactionSink, Write, WriteError};
use mainstay_postgres::sqlx::{self, AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use mainstay_postgres::{GuardedPool, GuardedTx};

/// Adds each item to the one row of a table: done twice, the sum shows it.
#[derive(Clone)]
struct Adding {
    sql: &'static str,
    calls: Arc<AtomicUsize>,
}

impl Write<i64> for Adding {
    async fn write(&self, tx: &mut GuardedTx<'static>, items: &[&Item<i64>]) -> Result<(), WriteError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        for item in items {
            sqlx::query(self.sql).bind(item.value()).execute(&mut *tx).await?;
        }
        Ok(())
    }
}

/// Gives the sink each batch twice.
struct Twice<W>(TransactionSink<W>);

impl<W: Write<i64>> Sink<i64> for Twice<W> {
    async fn deliver(&self, batch: &[Item<i64>]) -> Vec<Outcome> {
        self.0.deliver(batch).await;
        self.0.deliver(batch).await
    }
}

fn quick() -> SpoolSettings {
    let backoff = OpenFor::fixed(Duration::from_millis(20));
    SpoolSettings::new().linger(Duration::from_millis(5)).backoff(backoff)
}

fn adding(sql: &'static str) -> Adding {
    Adding { sql, calls: Arc::default() }
}

async fn sum_table(db: &PgPool, name: &str) {
    let sql = format!("DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (total bigint CHECK (total >= 0));");
    let sql = format!("{sql} INSERT INTO {name} VALUES (0)");
    db.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
}

async fn total(db: &PgPool, name: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT total FROM {name}"))).fetch_one(db).await.unwrap()
}

/// With a table of ids of its own.
async fn sink<W>(db: &GuardedPool, name: &str, writer: W) -> TransactionSink<W> {
    let sink = TransactionSink::new(db.clone(), writer).ids(Table::new(format!("{name}_ids")).unwrap());
    db.pool().execute(AssertSqlSafe(format!("DROP TABLE IF EXISTS {name}_ids"))).await.unwrap();
    sink.create_table().await.unwrap();
    sink
}

async fn fate(ticket: impl Future<Output = Fate>) -> Fate {
    tokio::time::timeout(PATIENCE, ticket).await.unwrap()
}

async fn push(spool: &Spool<i64>, values: impl IntoIterator<Item = i64>) -> Vec<Fate> {
    let mut tickets = Vec::new();
    for value in values {
        tickets.push(spool.push(value).await.unwrap());
    }
    let mut fates = Vec::new();
    for ticket in tickets {
        fates.push(fate(ticket).await);
    }
    fates
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_delivered_twice_is_done_once() {
    let db = guard(&shared().url(), 8);
    sum_table(db.pool(), "sum_twice").await;
    let writer = adding("UPDATE sum_twice SET total = total + $1");
    let sink = sink(&db, "sum_twice", writer).await;
    let spool = Spool::in_memory(quick().batch(10), Twice(sink)).unwrap();
    let fates = push(&spool, 1..=50).await;
    assert!(fates.iter().all(|fate| *fate == Fate::Delivered), "{fates:?}");
    assert_eq!(total(db.pool(), "sum_twice").await, 50 * 51 / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_breaks_a_constraint_is_a_dead_letter_and_the_others_are_done_once() {
    let db = guard(&shared().url(), 8);
    sum_table(db.pool(), "sum_checked").await;
    let writer = adding("UPDATE sum_checked SET total = total + $1");
    let sink = sink(&db, "sum_checked", writer.clone()).await;
    let settings = quick().batch(100).linger(PATIENCE).concurrency(1);
    let spool = Spool::in_memory(settings, Twice(sink)).unwrap();
    let fates = push(&spool, (1..=100).map(|n| if n == 61 { -1_000_000 } else { n })).await;
    let error = "SQLSTATE 23514, constraint sum_checked_total_check, table sum_checked".to_owned();
    for (n, fate) in (1..).zip(fates) {
        let expected = if n == 61 { Fate::DeadLettered { error: error.clone() } } else { Fate::Delivered };
        assert_eq!(fate, expected);
    }
    assert_eq!(total(db.pool(), "sum_checked").await, 5050 - 61);
    // The hundred, and two halves of each part that the item was in; and once more alone.
    assert!(writer.calls.load(Ordering::SeqCst) < 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_constraint_that_is_checked_at_the_commit_finds_its_item_too() {
    let db = guard(&shared().url(), 8);
    let sql = "DROP TABLE IF EXISTS child, parent; CREATE TABLE parent (id bigint PRIMARY KEY);
               INSERT INTO parent SELECT * FROM generate_series(1, 20);
               CREATE TABLE child (parent bigint REFERENCES parent DEFERRABLE INITIALLY DEFERRED)";
    db.pool().execute(sqlx::raw_sql(sql)).await.unwrap();
    let sink = sink(&db, "child", adding("INSERT INTO child VALUES ($1)")).await;
    let spool = Spool::in_memory(quick().batch(21), sink).unwrap();
    let fates = push(&spool, [3, 4, 21, 5, 6]).await;
    let error = "SQLSTATE 23503, constraint child_parent_fkey, table child".to_owned();
    assert_eq!(fates[2], Fate::DeadLettered { error });
    assert_eq!(fates.iter().filter(|fate| **fate == Fate::Delivered).count(), 4);
    let children: i64 = sqlx::query_scalar("SELECT count(*) FROM child").fetch_one(db.pool()).await.unwrap();
    assert_eq!(children, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writers_own_words_say_which_item_is_poison_and_which_may_succeed_later() {
    let db = guard(&shared().url(), 8);
    let ready = Arc::new(AtomicBool::new(false));
    let is_ready = ready.clone();
    let writer = TransactionSink::with(db.clone(), move |tx, items: &[&Item<i64>]| {
        let ready = is_ready.clone();
        Box::pin(async move {
            for item in items {
                match item.value() {
                    7 => return Err(WriteError::Poison("no sevens".to_owned())),
                    8 if !ready.load(Ordering::SeqCst) => {
                        return Err(WriteError::Retry("not yet".to_owned()));
                    }
                    _ => _ = sqlx::query("SELECT 1").execute(&mut *tx).await?,
                }
            }
            Ok(())
        })
    });
    let sink = writer.ids(Table::new("worded_ids").unwrap());
    db.pool().execute("DROP TABLE IF EXISTS worded_ids").await.unwrap();
    sink.create_table().await.unwrap();
    let spool = Spool::in_memory(quick().batch(10).tries(1_000_000), sink).unwrap();
    let later = spool.push(8).await.unwrap();
    let fates = push(&spool, [5, 6, 7, 9]).await;
    assert_eq!(fates[2], Fate::DeadLettered { error: "no sevens".to_owned() });
    assert_eq!(fates.iter().filter(|fate| **fate == Fate::Delivered).count(), 3);
    until("it was tried again", || spool.stats().failed_tries > 3).await;
    ready.store(true, Ordering::SeqCst);
    assert_eq!(fate(later).await, Fate::Delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_that_the_writer_keeps_back_loses_nothing() {
    let db = guard(&shared().url(), 8);
    sum_table(db.pool(), "sum_kept_back").await;
    let sink = TransactionSink::with(db.clone(), |tx, items: &[&Item<i64>]| {
        Box::pin(async move {
            for item in items {
                let sql = "UPDATE sum_kept_back SET total = total + $1";
                let _ = sqlx::query(sql).bind(item.value()).execute(&mut *tx).await;
            }
            Ok(())
        })
    });
    let sink = sink.ids(Table::new("sum_kept_back_ids").unwrap());
    db.pool().execute("DROP TABLE IF EXISTS sum_kept_back_ids").await.unwrap();
    sink.create_table().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), quick().batch(10).tries(2), sink).unwrap();
    let fates = push(&spool, [1, 2, -100, 3]).await;
    assert_eq!(fates[2], Fate::DeadLettered { error: "SQLSTATE 25P02".to_owned() });
    assert_eq!(total(db.pool(), "sum_kept_back").await, 6);
    assert_eq!(spool.dead_letters(None, 10).await.unwrap()[0].cause, DeathCause::TriesUsedUp);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_ends_the_transaction_itself_does_not_pass_for_one_that_wrote() {
    let db = guard(&shared().url(), 8);
    let sink = TransactionSink::with(db.clone(), |tx, _: &[&Item<i64>]| {
        Box::pin(async move {
            sqlx::query("ROLLBACK").execute(tx).await?;
            Ok(())
        })
    });
    let sink = sink.ids(Table::new("rolled_back_ids").unwrap());
    sink.create_table().await.unwrap();
    let spool = Spool::in_memory(quick().tries(1), sink).unwrap();
    let fates = push(&spool, [1]).await;
    let error = "the writer ended the transaction that was to be committed".to_owned();
    assert_eq!(fates, [Fate::DeadLettered { error }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_the_middle_of_a_transaction_has_done_each_item_once_when_it_is_back() {
    let mut server = server();
    let db = resilient(&server.url(), 8)
        .acquire_deadline(Duration::from_secs(1))
        .statement_deadline(Duration::from_secs(2));
    sum_table(db.pool(), "sum_killed").await;
    let writer = adding("UPDATE sum_killed SET total = total + $1");
    let sink = sink(&db, "sum_killed", writer.clone()).await;
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), quick().batch(20).tries(1), Twice(sink)).unwrap();
    let mut lock = PgConnection::connect(&server.url()).await.unwrap();
    lock.execute("BEGIN").await.unwrap();
    lock.execute("SELECT * FROM sum_killed FOR UPDATE").await.unwrap();
    let mut tickets = Vec::new();
    for value in 1..=100 {
        tickets.push(spool.push(value).await.unwrap());
    }
    until("a writer is at work", || writer.calls.load(Ordering::SeqCst) > 0).await;
    server.kill().unwrap();
    until("the breaker has opened", || db.breaker().state() != State::Closed).await;
    server.restart().unwrap();
    for ticket in tickets {
        assert_eq!(fate(ticket).await, Fate::Delivered);
    }
    assert_eq!(total(&pool(&server.url(), 1), "sum_killed").await, 5050);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sinks_that_have_the_same_items_at_the_same_time_do_them_once() {
    struct Both<W>(TransactionSink<W>, TransactionSink<W>);
    impl<W: Write<i64>> Sink<i64> for Both<W> {
        async fn deliver(&self, batch: &[Item<i64>]) -> Vec<Outcome> {
            let (first, second) = tokio::join!(self.0.deliver(batch), self.1.deliver(batch));
            let done = |one: &Outcome, other: &Outcome| *one == Outcome::Done && *other == Outcome::Done;
            assert!(first.iter().zip(&second).all(|(one, other)| done(one, other)), "{first:?} {second:?}");
            first
        }
    }
    let db = tolerant(&shared().url(), 16);
    sum_table(db.pool(), "sum_both").await;
    let writer = adding("UPDATE sum_both SET total = total + $1");
    let sink = sink(&db, "sum_both", writer).await;
    let spool = Spool::in_memory(quick().batch(5).concurrency(1), Both(sink.clone(), sink)).unwrap();
    let fates = push(&spool, 1..=50).await;
    assert!(fates.iter().all(|fate| *fate == Fate::Delivered), "{fates:?}");
    assert_eq!(total(db.pool(), "sum_both").await, 50 * 51 / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_forgotten_by_their_age() {
    let db = guard(&shared().url(), 8);
    let sink = sink(&db, "forgotten", adding("SELECT $1::bigint")).await;
    let spool = Spool::in_memory(quick(), sink.clone()).unwrap();
    push(&spool, 1..=10).await;
    let sql = "UPDATE forgotten_ids SET written = written - interval '8 days'
               WHERE id IN (SELECT id FROM forgotten_ids LIMIT 4)";
    db.pool().execute(sql).await.unwrap();
    let week = Duration::from_secs(7 * 24 * 3600);
    assert_eq!(sink.forget(week).await.unwrap(), 4);
    assert_eq!(sink.forget(week).await.unwrap(), 0);
    assert_eq!(sink.forget(Duration::ZERO).await.unwrap(), 6);
}
