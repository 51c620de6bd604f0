//! What the tests stand on: a server, a guard around a pool of connections to it, and ways to wait for what is to come.
#![allow(dead_code)]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mainstay_breaker::{Breaker, Clock, OpenFor, Settings, Trip};
use mainstay_postgres::sqlx::postgres::PgPoolOptions;
use mainstay_postgres::sqlx::{self, PgPool};
use mainstay_postgres::{GuardedPool, default_settings};
use mainstay_testkit::PostgresServer;

/// For whatever must not take for ever, on a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a call may take longer than its deadline, on such a machine.
pub(crate) const SLACK: Duration = Duration::from_secs(5);

/// One server for all tests of a program that do it no harm. The testkit ends it with the program.
pub(crate) fn shared() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| server_with(&[("max_connections", "200")]))
}

pub(crate) fn server() -> PostgresServer {
    PostgresServer::start().unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn server_with(settings: &[(&str, &str)]) -> PostgresServer {
    PostgresServer::start_with(settings).unwrap_or_else(|error| panic!("{error}"))
}

/// A pool of at most so many connections, opened when needed.
pub(crate) fn pool(url: &str, most: u32) -> PgPool {
    PgPoolOptions::new().max_connections(most).connect_lazy(url).unwrap()
}

/// A guard with a breaker of the default settings whose clock stands still, so that it stays open until told otherwise.
pub(crate) fn guard(url: &str, most: u32) -> GuardedPool {
    GuardedPool::new(pool(url, most), breaker(default_settings())).acquire_deadline(PATIENCE)
}

/// A guard whose breaker never opens.
pub(crate) fn tolerant(url: &str, most: u32) -> GuardedPool {
    let settings = Settings::new().trip(Trip::consecutive_failures(1_000_000));
    GuardedPool::new(pool(url, most), breaker(settings)).acquire_deadline(PATIENCE)
}

/// A guard whose breaker opens at the third failure in a row, for a short time.
pub(crate) fn resilient(url: &str, most: u32) -> GuardedPool {
    let settings = Settings::new()
        .trip(Trip::consecutive_failures(3))
        .open_for(OpenFor::fixed(Duration::from_millis(100)));
    let breaker = Breaker::builder("db").settings(settings).build().unwrap();
    GuardedPool::new(pool(url, most), breaker)
}

pub(crate) fn breaker(settings: Settings) -> Breaker {
    Breaker::builder("db").settings(settings).clock(Clock::manual().0).build().unwrap()
}

/// A table of its own for each test that asks, with the columns `id` (the key) and `name`.
pub(crate) async fn table(db: &GuardedPool, name: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (id int PRIMARY KEY, name text)"
    )))
    .execute(db.pool())
    .await
    .unwrap();
}

/// Looks until it is so, for some seconds.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "not yet: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn failures(db: &GuardedPool) -> u64 {
    db.breaker().snapshot().totals.failure
}

pub(crate) fn successes(db: &GuardedPool) -> u64 {
    db.breaker().snapshot().totals.success
}

pub(crate) fn ignored(db: &GuardedPool) -> u64 {
    db.breaker().snapshot().totals.ignored
}
