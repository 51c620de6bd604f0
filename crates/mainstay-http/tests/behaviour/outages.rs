//! Servers that die and come back, under load.
#![cfg(feature = "hyper")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mainstay_breaker::{Breaker, BreakerError, BreakerService, HalfOpen, OpenFor, State, Trip};
use mainstay_http::{Exchanges, HttpLayer};
use mainstay_testkit::HttpServer;
use tokio::task::JoinSet;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::timeout::{ResponseBodyTimeout, ResponseBodyTimeoutLayer};

const TASKS: u64 = 32;
const LIMIT: u32 = 5;
const DEADLINE: Duration = Duration::from_secs(3);
/// How late a deadline may be on a machine with something else to do.
const SLACK: Duration = Duration::from_secs(5);

type Guarded = BreakerService<ResponseBodyTimeout<Client<HttpConnector, Empty<Bytes>>>, Exchanges>;

fn breaker(open_for: Duration) -> Breaker {
    Breaker::builder("upstream")
        .trip(Trip::consecutive_failures(LIMIT))
        .open_for(OpenFor::fixed(open_for))
        .half_open(HalfOpen { max_in_flight: 4, close_after: 3, ..HalfOpen::default() })
        .build()
        .unwrap()
}

/// With a deadline for the head, and below the layer one for each frame of the body.
fn client(breaker: &Breaker, silence: Duration) -> Guarded {
    ServiceBuilder::new()
        .layer(HttpLayer::client(breaker.clone()).timeout(DEADLINE))
        .layer(ResponseBodyTimeoutLayer::new(silence))
        .service(Client::builder(TokioExecutor::new()).build_http())
}

/// What became of a call: its body has been read to the end.
#[derive(Debug, PartialEq)]
enum Fate {
    Answered,
    Rejected,
    Failed,
}

async fn call(client: &mut Guarded, uri: &Uri) -> Fate {
    let request = Request::get(uri.clone()).body(Empty::new()).unwrap();
    match client.ready().await.unwrap().call(request).await {
        Ok(response) => match response.into_body().collect().await {
            Ok(_) => Fate::Answered,
            Err(_) => Fate::Failed,
        },
        Err(BreakerError::Inner(_) | BreakerError::TimedOut(_)) => Fate::Failed,
        Err(BreakerError::Rejected(_)) => Fate::Rejected,
        Err(other) => panic!("{other}"),
    }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < limit, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// 32 tasks that call without a pause until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    /// How long the longest call of each task took.
    tasks: JoinSet<Duration>,
}

impl Load {
    fn start(client: &Guarded, uri: &Uri) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            let (mut client, uri) = (client.clone(), uri.clone());
            let (stop, answered) = (stop.clone(), answered.clone());
            tasks.spawn(async move {
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    match call(&mut client, &uri).await {
                        Fate::Answered => drop(answered.fetch_add(1, Ordering::SeqCst)),
                        // Who is rejected has something else to do.
                        Fate::Rejected => tokio::time::sleep(Duration::from_millis(1)).await,
                        Fate::Failed => {}
                    }
                    longest = longest.max(begun.elapsed());
                }
                longest
            });
        }
        Self { stop, answered, tasks }
    }

    async fn serves(&self, more: u64) {
        let before = self.answered.load(Ordering::SeqCst);
        eventually("calls are answered", || self.answered.load(Ordering::SeqCst) >= before + more).await;
    }

    /// No call may have outlived its deadlines.
    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for longest in self.tasks.join_all().await {
            assert!(longest < DEADLINE * 2 + SLACK, "a call took {longest:?}");
        }
    }
}

/// The median of 1000 calls.
async fn time_of_a_rejection(client: &mut Guarded, uri: &Uri) -> Duration {
    let mut times = Vec::new();
    for _ in 0..1000 {
        let begun = Instant::now();
        assert_eq!(call(client, uri).await, Fate::Rejected);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// Under load of 32 tasks: healthy, struck, open, rejecting at once.
async fn strike(
    open_for: Duration,
    strike: impl FnOnce(&mut HttpServer),
) -> (HttpServer, Breaker, Guarded, Uri, Load) {
    let mut server = HttpServer::start().unwrap();
    let uri: Uri = format!("{}/bytes/1000", server.url()).parse().unwrap();
    let breaker = breaker(open_for);
    let client = client(&breaker, DEADLINE);
    let load = Load::start(&client, &uri);
    load.serves(300).await;
    assert_eq!((breaker.state(), breaker.snapshot().totals.failure), (State::Closed, 0));

    strike(&mut server);
    eventually("it is open", || breaker.state() != State::Closed).await;
    (server, breaker, client, uri, load)
}

fn tripped_by_the_rules_count(breaker: &Breaker) {
    assert_eq!(breaker.state(), State::Open);
    let rejected = breaker.try_acquire().unwrap_err();
    assert_eq!(rejected.cause().unwrap().to_string(), "5 failures in a row (limit 5)");
    // More fail only because they were under way when it tripped, or failed before an answer that was under way when
    // the server was struck and so began the row anew.
    let totals = breaker.snapshot().totals;
    assert!((u64::from(LIMIT)..u64::from(LIMIT) + 2 * TASKS).contains(&totals.failure), "{totals:?}");
    assert_eq!(totals.cancelled, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_trips_within_the_rules_count_and_calls_then_take_microseconds() {
    let open_for = Duration::from_secs(3600);
    let (_server, breaker, mut client, uri, load) = strike(open_for, |server| server.kill().unwrap()).await;
    let median = time_of_a_rejection(&mut client, &uri).await;
    assert!(median < Duration::from_micros(500), "{median:?}");
    load.end().await;

    tripped_by_the_rules_count(&breaker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_trips_by_deadlines() {
    let open_for = Duration::from_secs(3600);
    let (mut server, breaker, mut client, uri, load) =
        strike(open_for, |server| server.stop().unwrap()).await;
    time_of_a_rejection(&mut client, &uri).await;
    load.end().await;
    tripped_by_the_rules_count(&breaker);
    server.resume().unwrap();
}

#[tokio::test]
async fn bodies_that_fall_silent_trip_by_a_deadline_below_the_layer() {
    let server = HttpServer::start().unwrap();
    let uri = format!("{}/stream?chunks=2&gap_ms=3600000", server.url()).parse().unwrap();
    let breaker = breaker(Duration::from_secs(3600));
    let mut client = client(&breaker, Duration::from_millis(100));
    for _ in 0..LIMIT {
        assert_eq!(call(&mut client, &uri).await, Fate::Failed);
    }
    assert_eq!(call(&mut client, &uri).await, Fate::Rejected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_is_found_again_by_traffic_alone() {
    let open_for = Duration::from_millis(100);
    let (mut server, breaker, _, _, load) = strike(open_for, |server| server.kill().unwrap()).await;
    server.restart().unwrap();
    eventually("it is closed", || breaker.state() == State::Closed).await;
    load.serves(300).await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_on_is_found_again_by_traffic_alone() {
    let open_for = Duration::from_millis(100);
    let (mut server, breaker, _, _, load) = strike(open_for, |server| server.stop().unwrap()).await;
    server.resume().unwrap();
    eventually("it is closed", || breaker.state() == State::Closed).await;
    load.serves(300).await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_of_the_old_server_is_handed_out_broken_more_than_once() {
    let mut server = HttpServer::start().unwrap();
    let uri: Uri = format!("{}/bytes/1000", server.url()).parse().unwrap();
    let breaker = Breaker::builder("upstream").trip(Trip::consecutive_failures(1000)).build().unwrap();
    let client = client(&breaker, DEADLINE);
    // 8 connections, idle in the pool.
    let mut calls = JoinSet::new();
    let slow: Uri = format!("{}/delay/200", server.url()).parse().unwrap();
    for _ in 0..8 {
        let (mut client, slow) = (client.clone(), slow.clone());
        calls.spawn(async move { call(&mut client, &slow).await });
    }
    assert!(calls.join_all().await.iter().all(|fate| *fate == Fate::Answered));

    server.restart().unwrap();
    let mut failed = 0;
    for _ in 0..100 {
        failed += usize::from(call(&mut client.clone(), &uri).await == Fate::Failed);
    }
    assert!(failed <= 8, "{failed}");
    assert_eq!(breaker.snapshot().totals.failure, failed as u64);
}
