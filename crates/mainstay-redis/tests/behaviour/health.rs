//! The ready-made check, through a running manager.
#![cfg(feature = "health")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::real::*;
use http::Request;
use mainstay_breaker::{Breaker, OpenFor, State, Trip};
use mainstay_redis::mainstay_health::http::{DetailsPolicy, Endpoint, HealthService};
use mainstay_redis::mainstay_health::{
    Check, CheckReport, Clock, ErrorClass, HealthManager, Probe, Reason, Shared, Status,
};
use mainstay_redis::redis::aio::ConnectionLike;
use mainstay_redis::redis::{Client, Cmd, Pipeline, RedisError, RedisFuture, Value};
use mainstay_redis::{Guarded, health, redis};
use mainstay_testkit::{Fault, FaultProxy, RedisServer};
use tower_service::Service;

const INTERVAL: Duration = Duration::from_millis(800);
const TIMEOUT: Duration = Duration::from_millis(300);

/// Asks often, and every result counts.
fn quick(probe: Probe) -> Check<Shared> {
    Check::shared("redis", probe)
        .interval(INTERVAL)
        .timeout(TIMEOUT)
        .failure_threshold(1)
        .success_threshold(1)
}

/// The same for a machine on which an answer may take its time.
fn patient(probe: Probe) -> Check<Shared> {
    quick(probe).interval(2 * LIMIT).timeout(LIMIT).rules([])
}

fn run(check: Check<Shared>) -> HealthManager {
    run_on(Clock::monotonic(), check)
}

fn run_on(clock: Clock, check: Check<Shared>) -> HealthManager {
    let gap = Duration::from_nanos(1);
    let builder = HealthManager::builder("orders").clock(clock).check_now_gap(gap);
    let health = builder.check(check.critical()).build().unwrap();
    health.start().unwrap();
    health
}

/// Waits for a status.
async fn becomes(health: &HealthManager, status: Status) -> Arc<CheckReport> {
    becomes_so(health, |report| report.status == status).await
}

async fn becomes_so(health: &HealthManager, so: impl Fn(&CheckReport) -> bool) -> Arc<CheckReport> {
    let mut changes = health.subscribe();
    let wait = async {
        let mut report = changes.report();
        loop {
            let check = report.check("redis").unwrap();
            if so(check) {
                return check.clone();
            }
            report = changes.changed().await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("it does not become so")
}

/// What one more run finds.
async fn ask(health: &HealthManager) -> Arc<CheckReport> {
    tokio::time::timeout(LIMIT, health.check_now("redis")).await.unwrap().unwrap()
}

fn class(report: &CheckReport) -> Option<ErrorClass> {
    report.last.as_ref()?.error.as_ref().map(|error| error.class())
}

fn text(report: &CheckReport) -> String {
    report.last.as_ref().unwrap().error.as_ref().unwrap().text().to_owned()
}

/// A breaker that never opens.
fn tolerant() -> Breaker {
    breaker(1_000_000, LIMIT)
}

/// A connection that counts what it is asked.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU64>);

impl ConnectionLike for Counting {
    fn req_packed_command<'a>(&'a mut self, _: &'a Cmd) -> RedisFuture<'a, Value> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(Value::SimpleString("PONG".to_owned())) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async { panic!("a PING is one command") })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

#[tokio::test]
async fn a_server_that_answers_is_healthy_over_any_connection() {
    let server = RedisServer::start().unwrap();
    let client = client(&server);
    let probes = [
        health::check(guarded(&server, touchy()).await),
        health::check(Guarded::new(manager(&server.url()).await, touchy())),
        health::check(multiplexed(&server.url()).await),
        health::check_client(client, touchy()),
    ];
    for probe in probes {
        let health = run(patient(probe));
        for _ in 0..3 {
            let report = ask(&health).await;
            assert_eq!((report.status, report.reason), (Status::Healthy, Reason::Passed));
            assert!(report.latency().unwrap() > Duration::ZERO);
        }
    }
}

#[tokio::test]
async fn its_own_connection_is_kept_as_long_as_it_answers() {
    let mut server = RedisServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let client = Client::open(server.url_at(proxy.addr())).unwrap();
    let health = run(patient(health::check_client(client, touchy())));
    for _ in 0..5 {
        assert_eq!(ask(&health).await.status, Status::Healthy);
    }
    assert_eq!(proxy.accepted(), 1);

    // It is lost, and nobody has noticed when the next run begins.
    server.restart().unwrap();
    assert_eq!(ask(&health).await.status, Status::Healthy);
    assert_eq!(proxy.accepted(), 2);
}

#[tokio::test]
async fn killed_it_is_unhealthy_and_restarted_on_the_same_port_healthy() {
    let mut server = RedisServer::start().unwrap();
    let probes = [
        health::check(Guarded::new(manager(&server.url()).await, tolerant())),
        health::check_client(client(&server), tolerant()),
    ];
    for probe in probes {
        let health = run(quick(probe).timeout(INTERVAL * 4 / 5));
        becomes(&health, Status::Healthy).await;
        server.kill().unwrap();
        let down = becomes(&health, Status::Unhealthy).await;
        let (lost, refused) = (ErrorClass::ConnectionLost, ErrorClass::ConnectionRefused);
        assert!([Some(lost), Some(refused)].contains(&class(&down)), "{down:?}");
        server.restart().unwrap();
        becomes(&health, Status::Healthy).await;
    }
}

#[tokio::test]
async fn stopped_it_is_timed_out_and_resumed_healthy() {
    let mut server = RedisServer::start().unwrap();
    let probes = [
        health::check(Guarded::new(manager(&server.url()).await, tolerant()).deadline(LIMIT)),
        health::check_client(client(&server), tolerant()),
    ];
    for probe in probes {
        let health = run(quick(probe));
        becomes(&health, Status::Healthy).await;
        server.stop().unwrap();
        let down = becomes(&health, Status::Unhealthy).await;
        assert_eq!((down.reason, class(&down)), (Reason::TimedOut, Some(ErrorClass::TimedOut)));
        server.resume().unwrap();
        becomes(&health, Status::Healthy).await;
    }
}

#[tokio::test]
async fn a_deadline_of_the_guard_opens_the_breaker_and_pings_alone_close_it_again() {
    let mut server = RedisServer::start().unwrap();
    let breaker = breaker(2, Duration::from_millis(100));
    let redis = Guarded::new(manager(&server.url()).await, breaker.clone()).deadline(TIMEOUT / 2);
    let health = run(quick(health::check(redis)));
    becomes(&health, Status::Healthy).await;
    let mut changes = breaker.subscribe();
    server.stop().unwrap();
    let down = becomes(&health, Status::Unhealthy).await;
    assert_eq!((down.reason, class(&down)), (Reason::Error, Some(ErrorClass::TimedOut)));
    let opens = async { while changes.recv().await.unwrap().to != State::Open {} };
    tokio::time::timeout(LIMIT, opens).await.unwrap();

    server.resume().unwrap();
    becomes(&health, Status::Healthy).await;
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn while_the_breaker_is_open_nobody_is_asked_and_half_open_the_check_probes() {
    let clock = Clock::tokio();
    let connection = Counting::default();
    let asked = connection.0.clone();
    let breaker = Breaker::builder("redis")
        .clock(clock.clone())
        .trip(Trip::consecutive_failures(3))
        .open_for(OpenFor::fixed(Duration::from_secs(20)))
        .build()
        .unwrap();
    breaker.trip();
    let redis = Guarded::new(connection, breaker.clone());
    let health = run_on(clock.clone(), Check::shared("redis", health::check(redis)));
    let down = becomes(&health, Status::Unhealthy).await;
    assert_eq!((down.reason, class(&down)), (Reason::Error, Some(ErrorClass::CircuitOpen)));
    assert!(text(&down).contains("breaker redis rejected the call"));
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(asked.load(Ordering::SeqCst), 0);

    becomes(&health, Status::Healthy).await;
    assert_eq!(breaker.state(), State::Closed);
    assert!(asked.load(Ordering::SeqCst) >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_breaker_that_lets_others_go_first_is_degraded() {
    let clock = Clock::tokio();
    let breaker = Breaker::builder("redis").clock(clock.clone()).build().unwrap();
    breaker.trip();
    let half_open = async {
        let mut probes = Vec::new();
        while breaker.state() != State::HalfOpen {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        while let Ok(probe) = breaker.try_acquire() {
            probes.push(probe);
        }
        probes
    };
    let probes = half_open.await;
    assert!(!probes.is_empty());
    let redis = Guarded::new(Counting::default(), breaker.clone());
    let health = run_on(clock.clone(), quick(health::check(redis)));
    let waits = becomes(&health, Status::Degraded).await;
    assert_eq!(class(&waits), Some(ErrorClass::CircuitOpen));
}

#[tokio::test]
async fn slower_than_100_ms_it_is_degraded() {
    let server = RedisServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let redis = Guarded::new(manager(&server.url_at(proxy.addr())).await, tolerant()).deadline(LIMIT);
    proxy.set(Fault::Delay(Duration::from_millis(60)));
    let check = quick(health::check(redis)).interval(2 * LIMIT).timeout(LIMIT);
    let health = run(check);
    let slow = becomes(&health, Status::Degraded).await;
    assert_eq!(slow.reason, Reason::Slow);
    proxy.set(Fault::None);
    tokio::time::timeout(LIMIT, async { while ask(&health).await.status != Status::Healthy {} })
        .await
        .unwrap();
}

#[tokio::test]
async fn answers_have_their_class() {
    use ErrorClass::*;
    let answers = [
        ("-NOAUTH Authentication required.\r\n", Unauthorized),
        ("-WRONGPASS invalid username-password pair or user is disabled.\r\n", Unauthorized),
        ("-NOPERM this user has no permissions\r\n", Unauthorized),
        ("-LOADING Redis is loading the dataset in memory\r\n", Overloaded),
        ("-BUSY Redis is busy running a script\r\n", Overloaded),
        ("-OOM command not allowed\r\n", Overloaded),
        ("-MASTERDOWN Link with MASTER is down\r\n", Overloaded),
        ("-ERR max number of clients reached\r\n", Overloaded),
        ("-ERR unknown command 'PING'\r\n", BadAnswer),
        ("+PANG\r\n", BadAnswer),
        ("$-1\r\n", BadAnswer),
        ("*1\r\n:1\r\n", BadAnswer),
        ("HTTP/1.1 400 Bad Request\r\n", BadAnswer),
    ];
    for (answer, expected) in answers {
        let addr = parrot(answer, false).await;
        let connection = multiplexed(&format!("redis://{addr}/")).await;
        let report = ask(&run(patient(health::check(Guarded::new(connection, tolerant()))))).await;
        assert_eq!((report.status, class(&report)), (Status::Unhealthy, Some(expected)), "{answer}");
    }
}

#[tokio::test]
async fn errors_of_the_network_have_their_class() {
    use ErrorClass::*;
    let refused = Client::open(format!("redis://127.0.0.1:{DEAD_PORT}/")).unwrap();
    let unresolved = Client::open("redis://nowhere.invalid/").unwrap();
    for (client, expected) in [(refused, ConnectionRefused), (unresolved, NameNotResolved)] {
        let report = ask(&run(patient(health::check_client(client, tolerant())))).await;
        assert_eq!((report.status, class(&report)), (Status::Unhealthy, Some(expected)), "{}", text(&report));
    }
    let kinds = [
        (io::ErrorKind::TimedOut, TimedOut),
        (io::ErrorKind::ConnectionReset, ConnectionLost),
        (io::ErrorKind::UnexpectedEof, ConnectionLost),
        (io::ErrorKind::NetworkUnreachable, Unreachable),
        (io::ErrorKind::HostUnreachable, Unreachable),
    ];
    for (kind, expected) in kinds {
        assert_eq!(health::error_class(&RedisError::from(io::Error::from(kind))), expected);
    }
}

#[tokio::test]
async fn a_wrong_password_is_unauthorized_and_nothing_secret_leaves() {
    let server = RedisServer::start_with(&["--requirepass", "right"]).unwrap();
    let client = Client::open(format!("redis://mallory:hunter2@{}/", server.addr())).unwrap();
    let health = run(patient(health::check_client(client, tolerant())));
    let report = ask(&health).await;
    assert_eq!((report.status, class(&report)), (Status::Unhealthy, Some(ErrorClass::Unauthorized)));
    assert!(text(&report).to_lowercase().contains("auth"), "{}", text(&report));

    let json = serde_json::to_string(&*health.report()).unwrap();
    assert!(json.contains("unauthorized"), "{json}");
    for secret in ["hunter2", "mallory", "127.0.0.1", "right", &server.port().to_string()] {
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
    let server = RedisServer::start_with(&["--requirepass", "right"]).unwrap();
    let addr = server.addr();
    let mut admin = multiplexed(&format!("redis://:right@{addr}/")).await;
    let user = ["mallory", "on", ">hunter2", "+info", "+hello", "+client"];
    let _: () = redis::cmd("ACL").arg("SETUSER").arg(&user).query_async(&mut admin).await.unwrap();

    let (refuses, nobody) = (format!("127.0.0.1:{DEAD_PORT}"), "secret-host.invalid:6379");
    for (url, class_is, private) in [
        (format!("redis://mallory:wrong-one@{addr}/"), ErrorClass::Unauthorized, "Password authentication"),
        (format!("redis://mallory:hunter2@{addr}/"), ErrorClass::Unauthorized, "permissions to run"),
        (format!("redis://mallory:hunter2@{refuses}/"), ErrorClass::ConnectionRefused, "os error"),
        (format!("redis://mallory:hunter2@{nobody}/"), ErrorClass::NameNotResolved, "lookup"),
    ] {
        let health = run(patient(health::check_client(Client::open(url).unwrap(), tolerant())));
        let found = ask(&health).await;
        assert_eq!(class(&found), Some(class_is), "{}", text(&found));
        keeps(&health, private, &["mallory", "hunter2", "wrong-one", "127.0.0.1", "secret-host"]).await;
    }
}

#[tokio::test]
async fn a_black_hole_that_heals_is_over_within_two_runs() {
    let server = RedisServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let client = Client::open(server.url_at(proxy.addr())).unwrap();
    let health = run(quick(health::check_client(client, tolerant())));
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
