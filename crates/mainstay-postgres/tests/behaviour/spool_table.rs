//! The spool's items in a table: each once, whatever happens on the way.
#![cfg(feature = "spool")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::ground::{PATIENCE, guard, pool, resilient, server, shared, tolerant, until};
use mainstay_breaker::{Breaker, Clock, State};
use mainstay_postgres::mainstay_spool::{
    DeathCause, Fate, Item, OpenFor, Outcome, Sink, Spool, SpoolSettings, Ticket,
};
use mainstay_postgres::spool::{Blame, Table, TableSink, describe};
use mainstay_postgres::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use mainstay_postgres::sqlx::{self, AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Row};
use mainstay_postgres::{GuardedPool, default_settings};
use mainstay_testkit::{Fault, FaultProxy};
use serde_json::{Value, json};

/// Gives the sink each batch twice, and keeps what it said the first time.
#[derive(Clone)]
struct Twice {
    sink: TableSink,
    said: Arc<Mutex<Vec<Outcome>>>,
}

impl Sink<Value> for Twice {
    async fn deliver(&self, batch: &[Item<Value>]) -> Vec<Outcome> {
        let first = self.sink.deliver(batch).await;
        self.said.lock().unwrap().extend(first);
        self.sink.deliver(batch).await
    }
}

fn quick() -> SpoolSettings {
    let backoff = OpenFor::fixed(Duration::from_millis(20));
    SpoolSettings::new().linger(Duration::from_millis(5)).backoff(backoff)
}

/// A table of its own, with a number for each row in the order in which they came.
async fn ordered(db: &PgPool, name: &str) -> Table {
    let table = Table::new(name).unwrap();
    let sql = format!("DROP TABLE IF EXISTS {name}; {};", table.create_sql());
    let sql = format!("{sql} ALTER TABLE {name} ADD COLUMN seq bigserial");
    db.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    table
}

async fn rows(db: &PgPool, name: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {name}"))).fetch_one(db).await.unwrap()
}

/// The payloads of a key, in the order in which they came.
async fn of_key(db: &PgPool, name: &str, key: &str) -> Vec<i64> {
    let sql = format!("SELECT (payload->>'n')::bigint FROM {name} WHERE key = $1 ORDER BY seq");
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(key).fetch_all(db).await.unwrap()
}

async fn push_all(spool: &Spool<Value>, keys: i64, items: i64) -> Vec<Ticket> {
    let mut tickets = Vec::new();
    for n in 0..items {
        tickets.push(spool.push_with(format!("key-{}", n % keys), json!({ "n": n })).await.unwrap());
    }
    tickets
}

async fn all_delivered(tickets: Vec<Ticket>) {
    for ticket in tickets {
        assert_eq!(tokio::time::timeout(PATIENCE, ticket).await.unwrap(), Fate::Delivered);
    }
}

async fn each_once_in_order(db: &PgPool, name: &str, keys: i64, items: i64) {
    assert_eq!(rows(db, name).await, items);
    for key in 0..keys {
        let expected: Vec<i64> = (0..items).filter(|n| n % keys == key).collect();
        assert_eq!(of_key(db, name, &format!("key-{key}")).await, expected);
    }
}

/// A connection whose transaction keeps everybody from writing to a table.
async fn locked(url: &str, name: &str) -> PgConnection {
    let mut conn = PgConnection::connect(url).await.unwrap();
    let sql = format!("BEGIN; LOCK TABLE {name} IN SHARE MODE");
    conn.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    conn
}

/// Until a batch is on the server, and waits there for the table.
async fn is_in_the_middle(conn: &mut PgConnection, name: &str) {
    let sql = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = $1::regclass";
    let waits = async {
        while !sqlx::query_scalar::<_, bool>(sql).bind(name).fetch_one(&mut *conn).await.unwrap() {}
    };
    tokio::time::timeout(PATIENCE, waits).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_is_delivered_twice_is_in_the_table_once_as_it_was_pushed() {
    let db = guard(&shared().url(), 4);
    let table = ordered(db.pool(), "twice").await;
    let said = Arc::default();
    let sink = Twice { sink: TableSink::new(db.clone(), table), said };
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), quick(), sink.clone()).unwrap();
    let tickets = push_all(&spool, 3, 30).await;
    let id = tickets[0].id();
    all_delivered(tickets).await;
    each_once_in_order(db.pool(), "twice", 3, 30).await;
    all_delivered(vec![spool.push(json!(["no key", 1.5, null])).await.unwrap()]).await;
    assert!(sink.said.lock().unwrap().iter().all(|said| *said == Outcome::Done));

    let sql = "SELECT key, payload::text, accepted > now() - interval '1 hour' AND accepted <= now()
               FROM twice WHERE id = $1::text::uuid";
    let row = sqlx::query(sql).bind(id.to_string()).fetch_one(db.pool()).await.unwrap();
    assert_eq!(row.get::<&str, _>(0), "key-0");
    assert_eq!(row.get::<&str, _>(1), r#"{"n": 0}"#);
    assert!(row.get::<bool, _>(2));
    let without_key = "SELECT payload::text FROM twice WHERE key IS NULL";
    let payload: String = sqlx::query_scalar(without_key).fetch_one(db.pool()).await.unwrap();
    assert_eq!(payload, r#"["no key", 1.5, null]"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_poison_item_among_a_hundred_is_a_dead_letter_and_the_others_are_in_the_table() {
    let db = guard(&shared().url(), 4);
    let table = ordered(db.pool(), "poisoned").await;
    let said = Arc::default();
    let sink = Twice { sink: TableSink::new(db.clone(), table), said };
    let dir = tempfile::tempdir().unwrap();
    let settings = quick().batch(100).linger(PATIENCE).concurrency(1);
    let spool = Spool::open(dir.path(), settings, sink.clone()).unwrap();
    let mut tickets = Vec::new();
    for n in 0..100 {
        let item = if n == 37 { json!({ "n": "NUL: \0" }) } else { json!({ "n": n }) };
        tickets.push(spool.push(item).await.unwrap());
    }
    let poison = tickets.remove(37);
    let id = poison.id();
    all_delivered(tickets).await;
    assert_eq!(poison.await, Fate::DeadLettered { error: "SQLSTATE 22P05".to_owned() });
    assert_eq!(rows(db.pool(), "poisoned").await, 99);

    let said = sink.said.lock().unwrap().clone();
    assert_eq!(said.len(), 100);
    assert!(said.iter().enumerate().all(|(n, said)| (n == 37) != (*said == Outcome::Done)), "{said:?}");
    let dead = spool.dead_letters(None, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].id, dead[0].cause), (1, id, DeathCause::Poison));
    assert_eq!(crate::ground::failures(&db), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_poison_items_and_nothing_but_poison_items_are_told_from_the_others() {
    let db = guard(&shared().url(), 4);
    let table = ordered(db.pool(), "positive").await;
    let sql = "ALTER TABLE positive ADD CONSTRAINT no_sevens CHECK ((payload->>'n')::bigint % 7 <> 0)";
    db.pool().execute(sql).await.unwrap();
    let spool = Spool::in_memory(quick().batch(50), TableSink::new(db.clone(), table)).unwrap();
    let mut good = push_all(&spool, 100, 100).await;
    let bad: Vec<Ticket> = (0..=14).rev().map(|seventh| good.remove(seventh * 7)).collect();
    all_delivered(good).await;
    let error = "SQLSTATE 23514, constraint no_sevens, table positive".to_owned();
    for ticket in bad {
        assert_eq!(ticket.await, Fate::DeadLettered { error: error.clone() });
    }
    let mut bad = Vec::new();
    for n in 0..5 {
        bad.push(spool.push(json!({ "n": n * 7 })).await.unwrap());
    }
    for ticket in bad {
        assert_eq!(ticket.await, Fate::DeadLettered { error: error.clone() });
    }
    assert_eq!(rows(db.pool(), "positive").await, 85);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_the_middle_of_a_batch_has_each_item_once_when_it_is_back() {
    let mut server = server();
    let db = resilient(&server.url(), 8)
        .acquire_deadline(Duration::from_secs(1))
        .statement_deadline(Duration::from_secs(2));
    let table = ordered(db.pool(), "killed").await;
    let dir = tempfile::tempdir().unwrap();
    let spool =
        Spool::open(dir.path(), quick().batch(20).tries(1), TableSink::new(db.clone(), table)).unwrap();
    all_delivered(push_all(&spool, 10, 100).await).await;
    for round in 0..2_i64 {
        let mut lock = locked(&server.url(), "killed").await;
        let mut tickets = Vec::new();
        for n in 0..100 {
            let n = 100 + round * 100 + n;
            tickets.push(spool.push_with(format!("key-{}", n % 10), json!({ "n": n })).await.unwrap());
        }
        is_in_the_middle(&mut lock, "killed").await;
        server.kill().unwrap();
        until("the breaker has opened", || db.breaker().state() != State::Closed).await;
        server.restart().unwrap();
        all_delivered(tickets).await;
    }
    each_once_in_order(&pool(&server.url(), 1), "killed", 10, 300).await;
    assert_eq!(spool.stats().dead_letters, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_committed_without_anybody_hearing_of_it_is_not_written_again() {
    let proxy = FaultProxy::start(shared().addr()).unwrap();
    let db = tolerant(&shared().url_at(proxy.addr()), 1).statement_deadline(Duration::from_secs(2));
    let direct = pool(&shared().url(), 2);
    let table = ordered(&direct, "unheard").await;
    let settings = quick().batch(10).linger(PATIENCE);
    let spool = Spool::in_memory(settings, TableSink::new(db.clone(), table)).unwrap();
    // From here on the connection knows the statement, and sends all of it at once.
    all_delivered(push_all(&spool, 10, 10).await).await;
    let mut lock = locked(&shared().url(), "unheard").await;
    let mut tickets = Vec::new();
    for n in 10..20 {
        tickets.push(spool.push_with(format!("key-{}", n % 10), json!({ "n": n })).await.unwrap());
    }
    is_in_the_middle(&mut lock, "unheard").await;
    proxy.set(Fault::BlackHole);
    lock.execute("COMMIT").await.unwrap();
    let written = async { while rows(&direct, "unheard").await < 20 {} };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    assert_eq!(spool.stats().delivered, 10);
    proxy.set(Fault::Reset);
    proxy.set(Fault::None);
    all_delivered(tickets).await;
    each_once_in_order(&direct, "unheard", 10, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_locked_for_long_uses_up_no_tries_and_few_statements() {
    let options: PgConnectOptions = shared().url().parse().unwrap();
    let options = options.options([("lock_timeout", "50ms")]);
    let patient = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let db =
        GuardedPool::new(patient, Breaker::builder("locked").settings(default_settings()).build().unwrap());
    let direct = pool(&shared().url(), 1);
    let table = ordered(&direct, "long_locked").await;
    let mut lock = locked(&shared().url(), "long_locked").await;
    let settings = quick().batch(64).linger(PATIENCE).tries(2).concurrency(1);
    let spool = Spool::in_memory(settings, TableSink::new(db, table)).unwrap();
    let begun = std::time::Instant::now();
    let tickets = push_all(&spool, 64, 64).await;
    until("the sink was unavailable", || spool.stats().failed_deliveries >= 3).await;
    // To find each item would take 127 statements for each delivery.
    assert!(begun.elapsed() < Duration::from_millis(50 * 127 * 2), "{:?}", begun.elapsed());
    assert_eq!(spool.stats().failed_tries, 0);
    lock.execute("COMMIT").await.unwrap();
    all_delivered(tickets).await;
    assert_eq!(rows(&direct, "long_locked").await, 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_breaker_is_open_nothing_is_lost_or_tried_and_then_it_goes_on() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("db").settings(default_settings()).clock(clock).build().unwrap();
    let db = GuardedPool::new(pool(&shared().url(), 4), breaker.clone()).acquire_deadline(PATIENCE);
    let table = ordered(db.pool(), "rejected").await;
    let said: Arc<Mutex<Vec<Outcome>>> = Arc::default();
    let sink = Twice { sink: TableSink::new(db.clone(), table), said: said.clone() };
    breaker.trip();
    // One try only: a rejection does not count.
    let (spool_clock, spool_time) = Clock::manual();
    let settings = quick().clock(spool_clock).linger(Duration::ZERO).tries(1).concurrency(1);
    let spool = Spool::in_memory(settings, sink).unwrap();
    let tickets = push_all(&spool, 5, 50).await;
    until("it was refused", || !said.lock().unwrap().is_empty()).await;
    let first = said.lock().unwrap()[0].clone();
    let Outcome::Unavailable { after: Some(after), error } = first else { panic!("{first:?}") };
    assert_eq!(after, Duration::from_secs(30));
    assert!(error.contains("db"), "{error}");
    spool_time.advance(Duration::from_secs(29));
    tokio::task::yield_now().await;
    assert_eq!((spool.stats().delivered, spool.stats().backlog), (0, 50));

    time.advance(Duration::from_secs(30));
    spool_time.advance(Duration::from_secs(1));
    all_delivered(tickets).await;
    each_once_in_order(db.pool(), "rejected", 5, 50).await;
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(spool.stats().dead_letters, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_for_which_a_half_open_breaker_has_no_probe_wait_for_their_turn() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("db").settings(default_settings()).clock(clock).build().unwrap();
    let db = GuardedPool::new(pool(&shared().url(), 8), breaker.clone()).acquire_deadline(PATIENCE);
    let table = ordered(db.pool(), "in_turn").await;
    breaker.trip();
    time.advance(Duration::from_secs(30));
    let mut probes = Vec::new();
    while let Ok(probe) = breaker.try_acquire_owned() {
        probes.push(probe);
    }
    // Whoever said that the sink is unavailable would wait for an hour.
    let settings = quick().backoff(OpenFor::fixed(Duration::from_secs(3600)));
    let spool = Spool::in_memory(settings, TableSink::new(db.clone(), table)).unwrap();
    let tickets = push_all(&spool, 10, 10).await;
    let rejected = breaker.snapshot().totals.rejected;
    until("it asked in vain", || breaker.snapshot().totals.rejected > rejected).await;
    probes.into_iter().for_each(|probe| probe.success());
    all_delivered(tickets).await;
    each_once_in_order(db.pool(), "in_turn", 10, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_table_it_keeps_everything_until_the_table_is_there() {
    let db = tolerant(&shared().url(), 4);
    db.pool().execute("DROP TABLE IF EXISTS missing").await.unwrap();
    let sink = TableSink::new(db.clone(), Table::new("missing").unwrap());
    let spool = Spool::in_memory(quick().tries(1), sink.clone()).unwrap();
    let tickets = push_all(&spool, 10, 20).await;
    until("it was tried", || spool.stats().failed_deliveries > 2).await;
    sink.create_table().await.unwrap();
    all_delivered(tickets).await;
    assert_eq!(rows(db.pool(), "missing").await, 20);
    assert_eq!((spool.stats().dead_lettered, spool.stats().failed_tries), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_an_error_blames_and_how_it_reads_is_the_callers_to_say() {
    let db = tolerant(&shared().url(), 4);
    let sink = TableSink::new(db.clone(), Table::new("never_made").unwrap())
        .blame(|_| Blame::Item)
        .describe(|error| format!("in short: {}", describe(error)));
    let spool = Spool::in_memory(quick(), sink).unwrap();
    let ticket = spool.push(json!(1)).await.unwrap();
    assert_eq!(ticket.await, Fate::DeadLettered { error: "in short: SQLSTATE 42P01".to_owned() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_quoted_whatever_is_in_them() {
    let db = tolerant(&shared().url(), 4);
    db.pool().execute(r#"DROP SCHEMA IF EXISTS "Sche.ma" CASCADE; CREATE SCHEMA "Sche.ma""#).await.unwrap();
    let table = Table::new(r#"a"); DROP TABLE x; --"#)
        .and_then(|table| table.schema("Sche.ma"))
        .and_then(|table| table.id_column("I D"))
        .and_then(|table| table.key_column("order"))
        .and_then(|table| table.payload_column("\"quoted\""))
        .and_then(|table| table.accepted_column("$1"))
        .unwrap();
    let sink = TableSink::new(db.clone(), table);
    sink.create_table().await.unwrap();
    let spool = Spool::in_memory(quick(), sink).unwrap();
    all_delivered(vec![spool.push_with("k", json!(1)).await.unwrap()]).await;
    let sql = r#"SELECT count(*) FROM "Sche.ma"."a""); DROP TABLE x; --" WHERE "order" = 'k' AND """quoted""" = '1'"#;
    assert_eq!(sqlx::query_scalar::<_, i64>(sql).fetch_one(db.pool()).await.unwrap(), 1);
}

#[test]
fn names_that_postgresql_would_refuse_or_cut_off_are_refused() {
    let long = "x".repeat(64);
    for name in ["", "a\0b", long.as_str()] {
        assert!(Table::new(name).is_err(), "{name:?}");
        assert!(Table::new("fine").unwrap().id_column(name).is_err(), "{name:?}");
    }
    assert!(Table::new("x".repeat(63)).is_ok());
    assert!(Table::new("").unwrap_err().to_string().contains("1 to 63 bytes"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_programs_may_make_the_table_at_once() {
    let db = tolerant(&shared().url(), 16);
    db.pool().execute("DROP TABLE IF EXISTS made_at_once").await.unwrap();
    let sink = TableSink::new(db.clone(), Table::new("made_at_once").unwrap());
    let making = (0..16).map(|_| {
        let sink = sink.clone();
        tokio::spawn(async move { sink.create_table().await })
    });
    for made in making.collect::<Vec<_>>() {
        made.await.unwrap().unwrap();
    }
}
