//! Clients of a real server, behind a breaker.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::future::Future;
use std::time::{Duration, Instant};

use mainstay_breaker::{Breaker, BreakerService, Clock, ManualClock, One, Settings, State, Totals};
use mainstay_grpc::{AsStatus, Calls, GrpcLayer};
use mainstay_testkit::GrpcServer;
use mainstay_testkit::grpc::pb::test_client::TestClient;
use mainstay_testkit::grpc::pb::{Answer, Ask};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tower::Layer;

pub(crate) type Client = TestClient<BreakerService<Channel, Calls, AsStatus, One>>;

/// Longer than anything takes here, also on a machine that does much else.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn breaker() -> Breaker {
    Breaker::builder("test").settings(mainstay_grpc::default_settings()).build().unwrap()
}

/// A breaker that counts and does not trip.
pub(crate) fn patient() -> Breaker {
    let settings = Settings::new().trip(mainstay_breaker::Trip::consecutive_failures(1_000_000));
    Breaker::builder("test").settings(settings).build().unwrap()
}

/// The default settings, and time by hand.
pub(crate) fn timed() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("test").settings(mainstay_grpc::default_settings());
    (builder.clock(clock).build().unwrap(), time)
}

pub(crate) fn endpoint(server: &GrpcServer) -> Endpoint {
    Endpoint::from_shared(server.url()).unwrap()
}

pub(crate) fn client(server: &GrpcServer, breaker: &Breaker) -> Client {
    client_of(endpoint(server).connect_lazy(), GrpcLayer::client(breaker.clone()))
}

pub(crate) fn client_of(channel: Channel, layer: GrpcLayer) -> Client {
    TestClient::new(layer.reject_with_status().layer(channel))
}

pub(crate) fn status(code: Code) -> Ask {
    Ask { code: code as u32, ..Ask::default() }
}

pub(crate) fn messages(messages: u32) -> Ask {
    Ask { messages, ..Ask::default() }
}

pub(crate) fn hang() -> Ask {
    Ask { hang: true, ..Ask::default() }
}

/// A stream with one message now, and the next after ten minutes.
pub(crate) fn ten_minutes() -> Ask {
    Ask { messages: 2, gap_ms: 10 * 60 * 1_000, ..Ask::default() }
}

/// Reads to the end; how many messages there were.
pub(crate) async fn read(mut stream: Streaming<Answer>) -> Result<u32, Status> {
    let mut messages = 0;
    while stream.message().await?.is_some() {
        messages += 1;
    }
    Ok(messages)
}

/// Successes, failures, ignored.
pub(crate) fn verdicts(breaker: &Breaker) -> (u64, u64, u64) {
    let Totals { success, failure, ignored, .. } = breaker.snapshot().totals;
    (success, failure, ignored)
}

/// Waits until a condition holds, which it must before long.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn until_state(breaker: &Breaker, state: State) {
    until(&format!("the breaker gets {state:?}"), || breaker.state() == state).await;
}

/// What must not hang.
pub(crate) async fn soon<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(LONG, work).await.expect("it hangs")
}

pub(crate) fn is_rejected(status: &Status) -> bool {
    mainstay_grpc::rejected(status).is_some()
}
