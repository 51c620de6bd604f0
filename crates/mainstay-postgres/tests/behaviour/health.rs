//! The ready-made check, through a running manager.
#![cfg(feature = "health")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use crate::ground::{
    PATIENCE, failures, guard, pool, resilient, server, server_with, shared, tolerant, until,
};
use http::Request;
use mainstay_breaker::{Breaker, Clock, State};
use mainstay_postgres::mainstay_health::http::{DetailsPolicy, Endpoint, HealthService};
use mainstay_postgres::mainstay_health::{
    Check, CheckReport, ErrorClass, HealthManager, Reason, Shared, Status,
};
use mainstay_postgres::sqlx::{self, Connection, Executor, PgConnection};
use mainstay_postgres::{GuardedPool, health};
use mainstay_testkit::{Fault, FaultProxy, PostgresServer};
use tower_service::Service;

const INTERVAL: Duration = Duration::from_millis(800);
const TIMEOUT: Duration = Duration::from_millis(300);

/// Asks often, and every result counts.
fn quick(db: &GuardedPool) -> Check<Shared> {
    let check = Check::shared("database", health::check(db.clone()));
    check.interval(INTERVAL).timeout(TIMEOUT).failure_threshold(1).success_threshold(1)
}

/// The same for a machine on which an answer may take its time.
fn patient(db: &GuardedPool) -> Check<Shared> {
    quick(db).interval(2 * PATIENCE).timeout(PATIENCE).rules([])
}

fn run(check: Check<Shared>) -> HealthManager {
    let gap = Duration::from_nanos(1);
    let builder = HealthManager::builder("orders").check_now_gap(gap);
    let health = builder.check(check.critical()).build().unwrap();
    health.start().unwrap();
    health
}

/// Waits for a status.
async fn becomes(health: &HealthManager, status: Status) -> Arc<CheckReport> {
    let mut changes = health.subscribe();
    let wait = async {
        let mut report = changes.report();
        loop {
            let check = report.check("database").unwrap();
            if check.status == status {
                return check.clone();
            }
            report = changes.changed().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("not {status}: {:?}", health.report().check("database")))
}

/// What one more run finds.
async fn ask(health: &HealthManager) -> Arc<CheckReport> {
    tokio::time::timeout(PATIENCE, health.check_now("database")).await.unwrap().unwrap()
}

fn class(report: &CheckReport) -> Option<ErrorClass> {
    report.last.as_ref()?.error.as_ref().map(|error| error.class())
}

fn text(report: &CheckReport) -> String {
    report.last.as_ref().unwrap().error.as_ref().unwrap().text().to_owned()
}

fn figure(report: &CheckReport, key: &str) -> Option<f64> {
    report.last.as_ref()?.details.get(key)?.as_f64()
}

/// The figures of the pool: open, idle, in use, at most, waiting.
fn figures(report: &CheckReport) -> [Option<f64>; 5] {
    ["open", "idle", "in_use", "max", "waiters"].map(|key| figure(report, key))
}

#[tokio::test]
async fn a_server_that_answers_is_healthy_and_the_pools_figures_are_told() {
    let db = guard(&shared().url(), 3);
    let held = db.acquire().await.unwrap();
    let health = run(patient(&db));
    let report = ask(&health).await;
    assert_eq!((report.status, report.reason), (Status::Healthy, Reason::Passed));
    assert!(figure(&report, "latency_ms").unwrap() > 0.0);
    until("it is given back", || db.figures().idle == 1).await;
    let report = ask(&health).await;
    assert_eq!(figures(&report), [2.0, 1.0, 1.0, 3.0, 0.0].map(Some));
    drop(held);
}

#[tokio::test]
async fn killed_it_is_unhealthy_and_restarted_on_the_same_port_healthy() {
    let mut server = server();
    let db = tolerant(&server.url(), 4);
    let health = run(patient(&db));
    becomes(&health, Status::Healthy).await;
    server.kill().unwrap();
    let down = ask(&health).await;
    assert_eq!((down.status, down.reason), (Status::Unhealthy, Reason::Error));
    let (lost, refused) = (ErrorClass::ConnectionLost, ErrorClass::ConnectionRefused);
    assert!([Some(lost), Some(refused)].contains(&class(&down)), "{}", text(&down));
    server.restart().unwrap();
    assert_eq!(ask(&health).await.status, Status::Healthy);
}

#[tokio::test]
async fn stopped_it_is_timed_out_and_resumed_healthy() {
    let mut server = server();
    let db = tolerant(&server.url(), 4);
    let health = run(quick(&db));
    becomes(&health, Status::Healthy).await;
    server.stop().unwrap();
    let down = becomes(&health, Status::Unhealthy).await;
    assert_eq!((down.reason, class(&down)), (Reason::TimedOut, Some(ErrorClass::TimedOut)));
    server.resume().unwrap();
    becomes(&health, Status::Healthy).await;
    assert_eq!(db.figures().waiters, 0);
}

#[tokio::test]
async fn within_the_default_time_out_a_silent_server_is_a_failure_to_the_breaker() {
    let mut server = server();
    let db = guard(&server.url(), 4);
    let check = Check::shared("database", health::check(db.clone())).failure_threshold(1);
    let health = run(check);
    becomes(&health, Status::Healthy).await;
    server.stop().unwrap();
    let down = ask(&health).await;
    assert_eq!((down.status, down.reason), (Status::Unhealthy, Reason::Error));
    assert_eq!((class(&down), failures(&db)), (Some(ErrorClass::TimedOut), 1));
}

#[tokio::test]
async fn an_exhausted_pool_is_degraded_and_the_breaker_hears_nothing_of_it() {
    let db = guard(&shared().url(), 2);
    let held = [db.acquire().await.unwrap(), db.acquire().await.unwrap()];
    let health = run(patient(&db));
    let report = ask(&health).await;
    assert_eq!((report.status, class(&report)), (Status::Degraded, None));
    assert_eq!(figures(&report), [2.0, 0.0, 2.0, 2.0, 0.0].map(Some));
    assert_eq!(figure(&report, "latency_ms"), None);

    let waits = {
        let db = db.clone();
        tokio::spawn(async move { db.acquire().await.map(drop) })
    };
    until("one waits", || db.figures().waiters == 1).await;
    let report = ask(&health).await;
    assert_eq!(report.status, Status::Degraded);
    assert_eq!(figures(&report), [2.0, 0.0, 2.0, 2.0, 1.0].map(Some));

    // It leaves nothing behind: whoever waited gets the first connection, and all are there in the end.
    drop(held);
    waits.await.unwrap().unwrap();
    assert_eq!(ask(&health).await.status, Status::Healthy);
    until("all are given back", || (db.figures().idle, db.figures().waiters) == (2, 0)).await;
    assert_eq!((failures(&db), db.breaker().state()), (0, State::Closed));
}

#[tokio::test]
async fn while_the_breaker_is_open_nobody_is_asked() {
    let proxy = FaultProxy::start(shared().addr()).unwrap();
    let db = guard(&shared().url_at(proxy.addr()), 2);
    db.breaker().trip();
    let report = ask(&run(patient(&db))).await;
    assert_eq!((report.status, class(&report)), (Status::Unhealthy, Some(ErrorClass::CircuitOpen)));
    assert!(text(&report).contains("breaker db rejected the call"));
    assert_eq!(proxy.accepted(), 0);
    assert_eq!(figures(&report)[3], Some(2.0));
}

#[tokio::test]
async fn a_half_open_breaker_that_lets_others_go_first_is_degraded() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("db").clock(clock).build().unwrap();
    let db = GuardedPool::new(pool(&shared().url(), 2), breaker.clone());
    breaker.trip();
    time.advance(Duration::from_secs(3600));
    let probes: Vec<_> = std::iter::from_fn(|| breaker.try_acquire().ok()).collect();
    assert!(!probes.is_empty());
    let report = ask(&run(patient(&db))).await;
    assert_eq!((report.status, class(&report)), (Status::Degraded, Some(ErrorClass::CircuitOpen)));
}

#[tokio::test]
async fn the_check_alone_closes_the_breaker_again() {
    let mut server = server();
    let db = resilient(&server.url(), 2);
    let health = run(quick(&db).timeout(INTERVAL * 9 / 10).rules([]));
    becomes(&health, Status::Healthy).await;
    server.kill().unwrap();
    becomes(&health, Status::Unhealthy).await;
    db.breaker().trip();
    server.restart().unwrap();
    becomes(&health, Status::Healthy).await;
    until("it is closed", || db.breaker().state() == State::Closed).await;
}

#[tokio::test]
async fn slower_than_100_ms_it_is_degraded() {
    let proxy = FaultProxy::start(shared().addr()).unwrap();
    let db = tolerant(&shared().url_at(proxy.addr()), 2);
    db.execute("SELECT 1").await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(60)));
    let health = run(quick(&db).interval(2 * PATIENCE).timeout(PATIENCE));
    let slow = becomes(&health, Status::Degraded).await;
    assert_eq!(slow.reason, Reason::Slow);
    assert!(figure(&slow, "latency_ms").unwrap() >= 100.0);
    proxy.set(Fault::None);
    let recovers = async { while ask(&health).await.status != Status::Healthy {} };
    tokio::time::timeout(PATIENCE, recovers).await.unwrap();
}

#[tokio::test]
async fn errors_have_their_class() {
    use ErrorClass::*;
    let db = tolerant(&shared().url(), 2);
    let codes = [
        ("28P01", Unauthorized),
        ("28000", Unauthorized),
        ("42501", Unauthorized),
        ("53300", Overloaded),
        ("53100", Overloaded),
        ("57P03", Overloaded),
        ("57P01", ConnectionLost),
        ("08006", ConnectionLost),
        ("57014", TimedOut),
        ("3D000", NotFound),
        ("XX000", BadAnswer),
        ("42P01", BadAnswer),
    ];
    for (code, expected) in codes {
        let sql = format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$");
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(db.pool()).await.unwrap_err();
        assert_eq!(health::error_class(&error), expected, "{code}");
    }
    let addr = shared().addr();
    let urls = [
        (format!("postgres://postgres@{addr}/no_such_database"), NotFound),
        (format!("postgres://nobody_here@{addr}/postgres"), Unauthorized),
        (format!("postgres://postgres@{addr}/postgres?sslmode=require"), Tls),
        ("postgres://postgres@127.0.0.1:1/postgres".to_owned(), ConnectionRefused),
        ("postgres://postgres@nowhere.invalid/postgres".to_owned(), NameNotResolved),
    ];
    for (url, expected) in urls {
        let error = PgConnection::connect(&url).await.unwrap_err();
        assert_eq!(health::error_class(&error), expected, "{error:?}");
        let report = ask(&run(patient(&tolerant(&url, 2)))).await;
        assert_eq!((report.status, class(&report)), (Status::Unhealthy, Some(expected)), "{}", text(&report));
    }
}

#[tokio::test]
async fn a_server_without_room_is_overloaded() {
    let server = server_with(&[("max_connections", "3"), ("superuser_reserved_connections", "0")]);
    let mut held = Vec::new();
    while let Ok(connection) = PgConnection::connect(&server.url()).await {
        held.push(connection);
    }
    let report = ask(&run(patient(&tolerant(&server.url(), 2)))).await;
    assert_eq!((report.status, class(&report)), (Status::Unhealthy, Some(ErrorClass::Overloaded)));
}

#[tokio::test]
async fn a_wrong_password_is_unauthorized_and_nothing_secret_leaves() {
    let (_dir, server) = wary().await;
    let db = tolerant(&format!("postgres://mallory:hunter2@{}/postgres", server.addr()), 2);
    let health = run(patient(&db));
    let report = ask(&health).await;
    assert_eq!((report.status, class(&report)), (Status::Unhealthy, Some(ErrorClass::Unauthorized)));
    assert!(text(&report).contains("password authentication failed for user"), "{}", text(&report));

    let json = serde_json::to_string(&*health.report()).unwrap();
    assert!(json.contains("unauthorized"), "{json}");
    for secret in ["hunter2", "mallory", "127.0.0.1", "correct", &server.port().to_string()] {
        assert!(!json.contains(secret), "{secret} in {json}");
    }
}

/// What every endpoint answers, in every form.
async fn bodies(health: &HealthManager, policy: DetailsPolicy) -> Vec<String> {
    let mut probes = HealthService::new(health).details(policy);
    let mut bodies = Vec::new();
    for endpoint in Endpoint::ALL {
        for query in ["", "?verbose", "?verbose&exclude=nobody"] {
            for accept in ["*/*", "application/json", "application/health+json"] {
                let request = Request::get(format!("{}{query}", endpoint.path())).header("accept", accept);
                let response = probes.call(request.body(()).unwrap()).await.unwrap();
                bodies.push(String::from_utf8(response.body().as_bytes().to_vec()).unwrap());
            }
        }
    }
    bodies
}

/// A text as JSON has it, without its quotes.
fn as_json(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap();
    json[1..json.len() - 1].to_owned()
}

/// Of what a run found, its text is for those whom a policy allows, and for nobody else; so is each secret. `private` is what
/// the text must hold, so that there is something to keep.
async fn keeps(health: &HealthManager, private: &str, secrets: &[&str]) {
    let found = ask(health).await;
    let text = text(&found);
    assert!(text.contains(private), "nothing private: {text}");
    let secrets = secrets.iter().copied().chain([private, &*text]);
    for body in bodies(health, DetailsPolicy::default()).await {
        for secret in secrets.clone() {
            assert!(!body.contains(secret) && !body.contains(&as_json(secret)), "{secret} in {body}");
        }
    }
    let told = bodies(health, DetailsPolicy::Always).await;
    let told = told.iter().filter(|body| body.contains(&as_json(&text))).count();
    // `/health/detailed` in each of its forms, and all others as `application/health+json`.
    assert_eq!(told, 3 * (3 + Endpoint::ALL.len() - 1));
}

#[tokio::test]
async fn the_drivers_words_reach_no_endpoint_unless_a_policy_allows_it() {
    let (_dir, server) = wary().await;
    let addr = server.addr();
    for (at, class_is, private) in [
        (addr.to_string(), ErrorClass::Unauthorized, "\"mallory\""),
        ("127.0.0.1:1".to_owned(), ErrorClass::ConnectionRefused, "os error"),
        ("secret-host.invalid:5432".to_owned(), ErrorClass::NameNotResolved, "lookup"),
    ] {
        let health = run(patient(&tolerant(&format!("postgres://mallory:hunter2@{at}/postgres"), 2)));
        let found = ask(&health).await;
        assert_eq!(class(&found), Some(class_is), "{}", text(&found));
        keeps(&health, private, &["mallory", "hunter2", "127.0.0.1", "secret-host"]).await;
    }
}

/// A server that asks everybody but its own user for a password, which is `correct` for `mallory`.
async fn wary() -> (tempfile::TempDir, PostgresServer) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let hba = dir.path().join("pg_hba.conf");
    fs::write(&hba, "host all postgres all trust\nhost all all all scram-sha-256\n").unwrap();
    fs::set_permissions(&hba, fs::Permissions::from_mode(0o644)).unwrap();
    let server = server_with(&[("hba_file", hba.to_str().unwrap())]);
    let mut admin = PgConnection::connect(&server.url()).await.unwrap();
    admin.execute("CREATE ROLE mallory LOGIN PASSWORD 'correct'").await.unwrap();
    (dir, server)
}

#[tokio::test]
async fn a_black_hole_that_heals_is_over_within_two_runs() {
    let proxy = FaultProxy::start(shared().addr()).unwrap();
    let db = tolerant(&shared().url_at(proxy.addr()), 2);
    let health = run(quick(&db));
    for _ in 0..2 {
        becomes(&health, Status::Healthy).await;
        proxy.set(Fault::BlackHole);
        let down = becomes(&health, Status::Unhealthy).await;
        assert_eq!(down.reason, Reason::TimedOut);
        proxy.set(Fault::None);
        let healed = becomes(&health, Status::Healthy).await;
        assert!(healed.runs <= down.runs + 2, "{} runs after {}", healed.runs, down.runs);
    }
}
