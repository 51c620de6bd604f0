//! The server is killed, stopped and started again, under load.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::ground::{PATIENCE, SLACK, breaker, failures, resilient, server, tolerant, until};
use mainstay_breaker::{Breaker, Clock, OpenFor, Settings, State, Trip};
use mainstay_postgres::sqlx::postgres::PgPoolOptions;
use mainstay_postgres::sqlx::{self, Error};
use mainstay_postgres::{GuardedPool, default_settings, rejected};
use mainstay_testkit::PostgresServer;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

const TASKS: usize = 32;
const ACQUIRE: Duration = Duration::from_secs(1);
const STATEMENT: Duration = Duration::from_secs(1);

/// The server, for one test at a time: each wants the machine to itself.
async fn alone() -> MutexGuard<'static, PostgresServer> {
    static SERVER: OnceLock<Mutex<PostgresServer>> = OnceLock::new();
    let mut server = SERVER.get_or_init(|| Mutex::new(server())).lock().await;
    server.restart().unwrap();
    server
}

/// Tasks that call, one call after the other, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Duration>>,
}

impl Load {
    fn start(db: &GuardedPool) -> Self {
        let (stop, good) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let task = |n: usize| {
            let (db, stop, good) = (db.clone(), stop.clone(), good.clone());
            tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    let result = call(&db, n).await;
                    longest = longest.max(start.elapsed());
                    match result {
                        Ok(()) => _ = good.fetch_add(1, Ordering::Relaxed),
                        Err(error) if rejected(&error).is_some() => {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                        Err(_) => {}
                    }
                }
                longest
            })
        };
        let tasks = (0..TASKS).map(task).collect();
        Self { stop, good, tasks }
    }

    fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// How long the longest call took.
    async fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        for task in self.tasks {
            longest = longest.max(tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap());
        }
        longest
    }
}

/// A statement, a stream, one on a connection, or a transaction.
async fn call(db: &GuardedPool, n: usize) -> Result<(), Error> {
    match n % 4 {
        0 => sqlx::query("SELECT 1").execute(db).await.map(drop),
        1 => sqlx::query("SELECT * FROM generate_series(1, 50)").fetch_all(db).await.map(drop),
        2 => sqlx::query("SELECT 1").fetch_one(&mut db.acquire().await?).await.map(drop),
        _ => {
            let mut tx = db.begin().await?;
            sqlx::query("SELECT 1").execute(&mut tx).await?;
            tx.commit().await
        }
    }
}

async fn is_refused_in_microseconds(db: &GuardedPool) {
    let mut each = Vec::new();
    for _ in 0..1000 {
        let start = Instant::now();
        let error = sqlx::query("SELECT 1").execute(db).await.unwrap_err();
        each.push(start.elapsed());
        assert!(rejected(&error).is_some(), "{error:?}");
    }
    each.sort();
    assert!(each[500] < Duration::from_micros(500), "{:?}", each[500]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_trips_the_breaker_keeps_nobody_waiting_and_is_found_when_it_is_back() {
    let mut server = alone().await;
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("db").settings(default_settings()).clock(clock).build().unwrap();
    let db = GuardedPool::new(crate::ground::pool(&server.url(), 16), breaker)
        .acquire_deadline(ACQUIRE)
        .statement_deadline(STATEMENT);
    let load = Load::start(&db);
    until("it is busy", || {
        if db.breaker().state() == State::Open {
            // A busy machine may need longer than that to open so many connections at once.
            db.breaker().reset();
        }
        load.good() > 100 && db.breaker().state() == State::Closed
    })
    .await;
    let before = failures(&db);
    server.kill().unwrap();
    until("it has tripped", || db.breaker().state() == State::Open).await;
    is_refused_in_microseconds(&db).await;
    let longest = load.stop().await;
    assert!(longest < ACQUIRE + STATEMENT * 3 + SLACK, "{longest:?}");

    let cause = db.breaker().snapshot().last_trip.unwrap();
    assert_eq!(cause.to_string(), "5 failures in a row (limit 5)");
    // Those that were under way when it tripped failed too, and a few before, if a last success came between them.
    let failed = failures(&db) - before;
    assert!((5..5 + 2 * TASKS as u64).contains(&failed), "{failed} calls failed");
    until("nothing is lent", || db.figures().in_use == 0 && db.figures().waiters == 0).await;

    server.restart().unwrap();
    let load = Load::start(&db);
    until("it works again", || {
        if db.breaker().state() == State::Open {
            time.advance(Duration::from_secs(30));
        }
        load.good() > 100 && db.breaker().state() == State::Closed
    })
    .await;
    load.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_trips_the_breaker_and_is_found_when_it_goes_on() {
    let mut server = alone().await;
    let db = resilient(&server.url(), 16).acquire_deadline(ACQUIRE).statement_deadline(STATEMENT);
    let load = Load::start(&db);
    until("it is busy", || load.good() > 100 && db.breaker().state() == State::Closed).await;
    let before = failures(&db);
    server.stop().unwrap();
    until("it has tripped", || failures(&db) >= before + 3 && db.breaker().state() != State::Closed).await;
    server.resume().unwrap();
    let good = load.good();
    until("it works again", || db.breaker().state() == State::Closed && load.good() > good + 100).await;
    let longest = load.stop().await;
    assert!(longest < ACQUIRE + STATEMENT * 3 + SLACK, "{longest:?}");
}

#[tokio::test]
async fn after_a_failover_no_old_connection_is_handed_out() {
    let mut server = alone().await;
    let db = tolerant(&server.url(), 5);
    fill(&db, 5).await;
    server.restart().unwrap();
    for _ in 0..30 {
        sqlx::query("SELECT 1").execute(&db).await.unwrap();
    }
    assert_eq!(failures(&db), 0);
}

#[tokio::test]
async fn after_a_failover_untested_connections_are_handed_out_once_each_at_most() {
    let mut server = alone().await;
    let pool = PgPoolOptions::new()
        .max_connections(5)
        .test_before_acquire(false)
        .connect_lazy(&server.url())
        .unwrap();
    let settings = Settings::new().trip(Trip::consecutive_failures(1_000_000));
    let db = GuardedPool::new(pool, breaker(settings)).acquire_deadline(PATIENCE);
    fill(&db, 5).await;
    server.restart().unwrap();
    let mut failed = 0;
    for _ in 0..30 {
        failed += u32::from(sqlx::query("SELECT 1").execute(&db).await.is_err());
    }
    assert_eq!(failed, 5);
    assert_eq!(failures(&db), 5);
}

#[tokio::test]
async fn a_transaction_that_a_failover_ends_counts_once() {
    let mut server = alone().await;
    let db = tolerant(&server.url(), 2);
    let mut tx = db.begin().await.unwrap();
    server.restart().unwrap();
    for _ in 0..10 {
        sqlx::query("SELECT 1").execute(&mut tx).await.unwrap_err();
    }
    tx.rollback().await.unwrap_err();
    assert_eq!(failures(&db), 1);
    db.begin().await.unwrap().commit().await.unwrap();
    assert_eq!(failures(&db), 1);
}

/// Opens so many connections, and leaves them idle.
async fn fill(db: &GuardedPool, connections: usize) {
    let mut all = Vec::new();
    for _ in 0..connections {
        all.push(db.acquire().await.unwrap());
    }
    drop(all);
    until("they are idle", || db.figures().idle == connections as u32).await;
}

#[tokio::test]
async fn callers_who_ask_whether_it_is_up_are_never_probes_and_it_closes_again() {
    let mut server = alone().await;
    let (clock, time) = Clock::manual();
    let settings = default_settings().open_for(OpenFor::fixed(Duration::from_secs(10)));
    let breaker = Breaker::builder("db").settings(settings).clock(clock).build().unwrap();
    let pool = PgPoolOptions::new().max_connections(4).connect_lazy(&server.url()).unwrap();
    let db = GuardedPool::new(pool, breaker).acquire_deadline(ACQUIRE);
    assert!(db.is_up());
    server.kill().unwrap();
    while db.breaker().state() == State::Closed {
        sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    }
    assert!(!db.is_up(), "open");
    server.restart().unwrap();
    assert!(!db.is_up(), "still open");
    let admitted = db.breaker().snapshot().totals;
    time.advance(Duration::from_secs(10));
    until("its own probes have closed it", || db.is_up()).await;
    assert_eq!(db.breaker().snapshot().totals.failure, admitted.failure);
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
}
