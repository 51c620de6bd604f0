//! HTTP endpoints as checks of a health manager, against a real server.
#![cfg(feature = "health")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::future::ready;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use crate::says::says;
use crate::scripted::breaker;
use bytes::Bytes;
use http::Uri;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mainstay_breaker::Breaker;
use mainstay_health::{Check, CheckReport, ErrorClass, HealthManager, Probe, Reason, RunReport, Status};
use mainstay_http::HttpLayer;
use mainstay_http::health::{check, check_with};
use mainstay_testkit::{Fault, FaultProxy, HttpServer};
use tokio::net::TcpStream;
use tower::{ServiceBuilder, service_fn};

const LIMIT: Duration = Duration::from_secs(30);

fn hyper() -> Client<hyper_util::client::legacy::connect::HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Through hyper-util's client behind a breaker.
fn guarded(breaker: &Breaker, url: &str) -> Probe {
    let client = ServiceBuilder::new().layer(HttpLayer::client(breaker.clone())).service(hyper());
    check_with(client, url).unwrap()
}

/// All kinds of check for a URL, none with a breaker that has anything against it.
fn all(url: &str) -> Vec<(&'static str, Probe)> {
    let (breaker, _) = breaker(1_000);
    vec![
        ("alone", check(url).unwrap()),
        ("hyper", check_with(hyper(), url).unwrap()),
        ("guarded hyper", guarded(&breaker, url)),
        #[cfg(feature = "reqwest")]
        ("reqwest", mainstay_http::health::check_reqwest(reqwest(), url).unwrap()),
        #[cfg(feature = "reqwest")]
        ("guarded reqwest", {
            let client = mainstay_http::GuardedClient::new(reqwest(), breaker.clone());
            mainstay_http::health::check_reqwest(client, url).unwrap()
        }),
    ]
}

#[cfg(feature = "reqwest")]
fn reqwest() -> mainstay_http::reqwest::Client {
    mainstay_http::reqwest::Client::builder().no_proxy().build().unwrap()
}

fn manager(probe: Probe, interval: Duration, timeout: Duration) -> HealthManager {
    let check = Check::shared("llm", probe).failure_threshold(1).success_threshold(1);
    let check = check.interval(interval).timeout(timeout).confirmation(interval);
    let health = HealthManager::builder("orchestrator").check(check);
    let health = health.check_now_gap(Duration::from_nanos(1)).build().unwrap();
    health.start().unwrap();
    health
}

/// What the check is once it is as it shall be.
async fn once(health: &HealthManager, what: &str, shall: impl Fn(&CheckReport) -> bool) -> CheckReport {
    let mut changes = health.subscribe();
    let reached = async {
        loop {
            let report = health.report();
            let check = report.check("llm").unwrap();
            if shall(check) {
                return CheckReport::clone(check);
            }
            changes.changed().await;
        }
    };
    match tokio::time::timeout(LIMIT, reached).await {
        Ok(check) => check,
        Err(_) => panic!("not within {LIMIT:?}: {what}, but {:?}", health.report().check("llm")),
    }
}

/// The first run of a check.
async fn first(probe: Probe) -> RunReport {
    let health = manager(probe, Duration::from_secs(60), Duration::from_secs(20));
    once(&health, "one run", |check| check.last.is_some()).await.last.unwrap()
}

fn class(run: &RunReport) -> Option<ErrorClass> {
    run.error.as_ref().map(|error| error.class())
}

#[tokio::test]
async fn the_status_decides() {
    let server = HttpServer::start().unwrap();
    let cases = [
        (200, Status::Healthy, None),
        (204, Status::Healthy, None),
        (299, Status::Healthy, None),
        (304, Status::Unhealthy, Some(ErrorClass::BadAnswer)),
        (404, Status::Unhealthy, Some(ErrorClass::BadAnswer)),
        (429, Status::Unhealthy, Some(ErrorClass::Overloaded)),
        (500, Status::Unhealthy, Some(ErrorClass::BadAnswer)),
        (503, Status::Unhealthy, Some(ErrorClass::Overloaded)),
    ];
    for (code, status, error) in cases {
        for (kind, probe) in all(&format!("{}/status/{code}", server.url())) {
            let run = first(probe).await;
            assert_eq!((run.status, class(&run)), (status, error), "{kind}: {code}");
            assert_eq!(run.details.get("http_status").unwrap(), code, "{kind}");
            assert!(run.latency.unwrap() > Duration::ZERO);
            if status == Status::Unhealthy {
                assert_eq!(run.reason, Reason::Error);
                assert!(run.error.unwrap().text().contains(&code.to_string()));
            }
        }
    }
}

#[tokio::test]
async fn bodies_are_read_to_a_bound_and_must_not_break_off() {
    let server = HttpServer::start().unwrap();
    for path in ["/bytes/0", "/bytes/65536", "/bytes/99000000000", "/stream?chunks=3&gap_ms=1"] {
        for (kind, probe) in all(&format!("{}{path}", server.url())) {
            assert_eq!(first(probe).await.status, Status::Healthy, "{kind}: {path}");
        }
    }
    for path in ["/broken?after=10", "/broken-chunked?after=10"] {
        for (kind, probe) in all(&format!("{}{path}", server.url())) {
            let run = first(probe).await;
            let lost = Some(ErrorClass::ConnectionLost);
            assert_eq!((run.status, class(&run)), (Status::Unhealthy, lost), "{kind}: {path}: {run:?}");
        }
    }
}

#[tokio::test]
async fn a_killed_server_is_unhealthy_and_healthy_again_on_its_port() {
    let mut server = HttpServer::start().unwrap();
    let url = format!("{}/status/200", server.url());
    let interval = Duration::from_millis(100);
    let checks: Vec<_> =
        all(&url).into_iter().map(|(kind, probe)| (kind, manager(probe, interval, interval / 2))).collect();
    for (kind, health) in &checks {
        once(health, kind, |check| check.status == Status::Healthy).await;
    }
    server.kill().unwrap();
    for (kind, health) in &checks {
        let down = once(health, kind, |check| {
            check.last.as_ref().and_then(class) == Some(ErrorClass::ConnectionRefused)
        });
        assert_eq!(down.await.status, Status::Unhealthy);
        // Where it is, and what the system says, is for nobody but us.
        let told = serde_json::to_string(&*health.report()).unwrap();
        assert!(told.contains("connection_refused") && !told.contains("127.0.0.1"), "{told}");
        assert!(!told.contains(&server.port().to_string()) && !told.contains("os error"), "{told}");
    }
    server.restart().unwrap();
    for (kind, health) in &checks {
        once(health, kind, |check| check.status == Status::Healthy).await;
    }
}

#[tokio::test]
async fn a_server_that_stands_still_times_out_and_is_asked_anew() {
    let mut server = HttpServer::start().unwrap();
    let url = format!("{}/status/200", server.url());
    let interval = Duration::from_millis(200);
    let checks: Vec<_> =
        all(&url).into_iter().map(|(kind, probe)| (kind, manager(probe, interval, interval / 2))).collect();
    for (kind, health) in &checks {
        once(health, kind, |check| check.status == Status::Healthy).await;
    }
    server.stop().unwrap();
    for (kind, health) in &checks {
        let down = once(health, kind, |check| check.status == Status::Unhealthy).await;
        assert_eq!((down.reason, class(&down.last.unwrap())), (Reason::TimedOut, Some(ErrorClass::TimedOut)));
    }
    server.resume().unwrap();
    for (kind, health) in &checks {
        once(health, kind, |check| check.status == Status::Healthy).await;
    }
}

#[tokio::test]
async fn a_connection_that_fell_into_a_black_hole_is_not_used_again() {
    let server = HttpServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let url = format!("{}/status/200", server.url_at(proxy.addr()));
    let interval = Duration::from_millis(200);
    for (kind, probe) in all(&url) {
        let health = manager(probe, interval, interval / 2);
        once(&health, kind, |check| check.status == Status::Healthy).await;
        proxy.set(Fault::BlackHole);
        let down = once(&health, kind, |check| check.status == Status::Unhealthy).await;
        assert_eq!(down.reason, Reason::TimedOut, "{kind}");
        proxy.set(Fault::None);
        once(&health, kind, |check| check.status == Status::Healthy).await;
    }
}

#[tokio::test]
async fn an_open_breaker_is_told_without_asking_anybody() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1);
    breaker.trip();
    let url = format!("{}/status/200", server.url());
    let probes = [
        guarded(&breaker, &url),
        #[cfg(feature = "reqwest")]
        {
            let client = mainstay_http::GuardedClient::new(reqwest(), breaker.clone());
            mainstay_http::health::check_reqwest(client, &url).unwrap()
        },
    ];
    for probe in probes {
        let run = first(probe).await;
        assert_eq!((run.status, class(&run)), (Status::Unhealthy, Some(ErrorClass::CircuitOpen)));
        assert!(run.error.unwrap().text().contains("secret-upstream"));
    }
    let counted = first(check(&format!("{}/count", server.url())).unwrap()).await;
    assert_eq!(counted.status, Status::Healthy);
    let mut stream = std::net::TcpStream::connect(server.addr()).unwrap();
    let mut answer = String::new();
    io::Write::write_all(&mut stream, b"GET /count HTTP/1.0\r\n\r\n").unwrap();
    io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\n0"), "{answer}");
}

#[tokio::test]
async fn a_check_is_a_call_that_the_breaker_counts() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1);
    first(guarded(&breaker, &format!("{}/status/200", server.url()))).await;
    assert_eq!(crate::scripted::totals(&breaker), crate::scripted::SUCCESS);
}

#[tokio::test]
async fn the_breakers_own_deadline_is_a_time_out() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1);
    let layer = HttpLayer::client(breaker).timeout(Duration::ZERO);
    let client = ServiceBuilder::new().layer(layer).service(hyper());
    let run = first(check_with(client, &format!("{}/hang", server.url())).unwrap()).await;
    assert_eq!((run.reason, class(&run)), (Reason::Error, Some(ErrorClass::TimedOut)));
}

#[tokio::test]
async fn a_handshake_that_fails_is_no_bad_answer() {
    let connector = |kind: io::ErrorKind| {
        let connector = service_fn(move |_: Uri| {
            ready(Err::<TokioIo<TcpStream>, _>(io::Error::new(kind, "from the connector")))
        });
        Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector)
    };
    for (kind, expected) in [
        (io::ErrorKind::InvalidData, ErrorClass::Tls),
        (io::ErrorKind::ConnectionRefused, ErrorClass::ConnectionRefused),
        (io::ErrorKind::HostUnreachable, ErrorClass::Unreachable),
    ] {
        let run = first(check_with(connector(kind), "https://llm/health").unwrap()).await;
        assert_eq!(class(&run), Some(expected));
        assert!(run.error.unwrap().text().contains("from the connector"));
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_bad_answer_and_an_early_end_a_lost_connection() {
    for (kind, probe) in all(&says(b"-ERR unknown command 'GET'\r\n")) {
        let run = first(probe).await;
        assert_eq!(class(&run), Some(ErrorClass::BadAnswer), "{kind}: {run:?}");
    }
    for (kind, probe) in all(&says(b"HTTP/1.1 200 OK\r\nContent-")) {
        let run = first(probe).await;
        assert_eq!(class(&run), Some(ErrorClass::ConnectionLost), "{kind}: {run:?}");
    }
}

#[test]
fn urls_that_cannot_be_asked_are_refused_and_their_passwords_not_shown() {
    for url in [
        "",
        "llm",
        "llm:8000",
        "/health",
        "http://",
        "http:///health",
        "https://llm/",
        "ftp://llm/",
        "http://l lm/",
    ] {
        let error = check(url).unwrap_err();
        assert_eq!(error.field, "url", "{url}");
    }
    for url in ["http://admin:hunter2@llm/", "http://admin:hunter2@", "://hunter2@x y"] {
        let error = check(url).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(check_with(hyper(), url).is_err());
        #[cfg(feature = "reqwest")]
        assert!(mainstay_http::health::check_reqwest(reqwest(), url).is_err());
    }
    assert!(check_with(hyper(), "https://llm/health").is_ok());
    assert!(check("http://[::1]:8000").is_ok());
}

#[test]
fn a_run_waits_for_the_lookup_that_an_earlier_one_left_behind() {
    let server = HttpServer::start().unwrap();
    let url = format!("http://localhost:{}/status/200", server.port());
    // Lookups are made by its only thread for what blocks, one after the other.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(1).build().unwrap();
    let ((first, blocks_first), (second, blocks_second)) = (mpsc::channel::<()>(), mpsc::channel::<()>());
    runtime.block_on(async {
        tokio::task::spawn_blocking(move || blocks_first.recv());
        let health = manager(check(&url).unwrap(), Duration::from_secs(60), Duration::from_secs(1));
        let cut = once(&health, "a run that is cut off", |check| check.last.is_some()).await;
        assert_eq!(cut.reason, Reason::TimedOut);
        // Another lookup would have to wait for this.
        tokio::task::spawn_blocking(move || blocks_second.recv());
        drop(first);
        let next = health.check_now("llm").await.unwrap();
        assert_eq!((next.runs, next.status), (cut.runs + 1, Status::Healthy));
    });
    drop(second);
}
