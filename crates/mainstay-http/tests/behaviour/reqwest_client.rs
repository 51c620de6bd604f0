//! reqwest's client behind the breaker, against a real server.
#![cfg(feature = "reqwest")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use crate::scripted::{OPEN, breaker, totals};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mainstay_breaker::{Breaker, BreakerError, HalfOpen, Keyed, OpenFor, Settings, State, Trip, Verdict};
use mainstay_http::reqwest::{Body, Client, Method, Request, Response, StatusCode, Url, Version};
use mainstay_http::{GuardedClient, Head, Host, HttpLayer, reqwest};
use mainstay_testkit::{Fault, FaultProxy, HttpServer};
use tower::{ServiceBuilder, ServiceExt};

type Failed = BreakerError<reqwest::Error>;

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

fn guarded(breaker: &Breaker) -> GuardedClient {
    GuardedClient::new(client(), breaker.clone())
}

async fn get(client: &GuardedClient, url: String) -> Result<Response, Failed> {
    client.send(client.get_ref().get(url)).await
}

fn inner(error: Failed) -> reqwest::Error {
    match error {
        BreakerError::Inner(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn every_kind_of_request_works() {
    let server = HttpServer::start().unwrap();
    let url = server.url();
    let (breaker, _) = breaker(1);
    let client = guarded(&breaker);

    let response = get(&client, format!("{url}/bytes/3000000")).await.unwrap();
    assert_eq!(response.content_length(), Some(3_000_000));
    assert_eq!(response.bytes().await.unwrap().len(), 3_000_000);

    let head = client.send(client.get_ref().head(format!("{url}/bytes/5000"))).await.unwrap();
    assert_eq!(head.headers()["content-length"], "5000");
    assert_eq!(head.bytes().await.unwrap().len(), 0);

    let post = client.get_ref().post(format!("{url}/echo")).header("content-type", "text/plain").body("ping");
    let echoed = client.send(post).await.unwrap();
    assert_eq!(echoed.headers()["content-type"], "text/plain");
    assert_eq!(echoed.text().await.unwrap(), "ping");

    let put = Request::new(Method::PUT, Url::parse(&format!("{url}/status/201")).unwrap());
    assert_eq!(client.execute(put).await.unwrap().status(), StatusCode::CREATED);

    let pieces = stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[7; 1000]))));
    let up = client.get_ref().post(format!("{url}/echo")).body(Body::wrap_stream(pieces));
    let mut down = client.send(up).await.unwrap();
    let mut received = 0;
    while let Some(chunk) = down.chunk().await.unwrap() {
        received += chunk.len();
    }
    assert_eq!(received, 100_000);

    let streamed = get(&client, format!("{url}/stream?chunks=20&gap_ms=1&size=100")).await.unwrap();
    let sizes = streamed.bytes_stream().map(|chunk| chunk.unwrap().len()).collect::<Vec<_>>().await;
    assert_eq!(sizes.iter().sum::<usize>(), 2000);

    assert_eq!(totals(&breaker), [6, 0, 0, 0]);
}

#[tokio::test]
async fn what_a_response_tells_stays_as_it_was() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1);
    let client = guarded(&breaker);
    let url = format!("{}/bytes/100?a=b", server.url());
    let plain = client.get_ref().get(&url).send().await.unwrap();
    let response = get(&client, url.clone()).await.unwrap();

    assert_eq!(response.url().as_str(), url);
    assert_eq!(response.version(), Version::HTTP_11);
    assert_eq!(response.remote_addr(), Some(server.addr()));
    assert_eq!(response.content_length(), Some(100));
    assert_eq!(response.extensions().len(), plain.extensions().len());
    let names = |response: &Response| response.headers().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&response), names(&plain));

    let missing = get(&client, format!("{}/missing", server.url())).await.unwrap();
    let error = missing.error_for_status().unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::NOT_FOUND));
    assert_eq!(error.url().unwrap().path(), "/missing");
}

#[tokio::test]
async fn nothing_is_sent_twice() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1_000);
    let client = guarded(&breaker);
    for status in [200, 404, 429, 500, 503] {
        get(&client, format!("{}/status/{status}", server.url())).await.unwrap();
    }
    let count = get(&client, format!("{}/count", server.url())).await.unwrap().text().await.unwrap();
    assert_eq!(count.trim(), "5");
}

#[tokio::test]
async fn redirects_are_one_call() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1);
    let client = guarded(&breaker);
    let response = get(&client, format!("{}/redirect/5", server.url())).await.unwrap();
    assert_eq!((response.status(), response.url().path()), (StatusCode::OK, "/redirect/0"));
    assert_eq!(totals(&breaker), [1, 0, 0, 0]);

    // More than the client's policy allows: its own decision.
    let error = inner(get(&client, format!("{}/redirect/50", server.url())).await.unwrap_err());
    assert!(error.is_redirect(), "{error}");
    assert_eq!(totals(&breaker), [1, 0, 1, 0]);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_failure_however_it_is_read() {
    let server = HttpServer::start().unwrap();
    for path in ["broken?after=1000", "broken-chunked?after=1000"] {
        let (breaker, _) = breaker(9);
        let client = guarded(&breaker);
        let broken = async || get(&client, format!("{}/{path}", server.url())).await.unwrap();

        let error = broken().await.bytes().await.unwrap_err();
        assert!(error.is_decode() || error.is_body(), "{error}");
        broken().await.text().await.unwrap_err();
        let mut chunks = broken().await;
        while chunks.chunk().await.is_ok() {}
        let frames = broken().await.bytes_stream().collect::<Vec<_>>().await;
        assert!(frames.last().unwrap().is_err());
        assert_eq!(totals(&breaker), [0, 4, 0, 0], "{path}");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_in_the_middle_of_a_body_is_a_failure() {
    let server = HttpServer::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let (breaker, _) = breaker(1);
    let url = format!("{}/stream?chunks=100000&gap_ms=5&size=100", server.url_at(proxy.addr()));
    let response = get(&guarded(&breaker), url).await.unwrap();
    proxy.set(Fault::CutAfter { bytes: 1000 });
    response.bytes().await.unwrap_err();
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_body_dropped_or_kept_unread_is_no_failure() {
    let server = HttpServer::start().unwrap();
    let (breaker, time) = breaker(1);
    let client = guarded(&breaker);
    let url = format!("{}/stream?chunks=100000&gap_ms=1000&size=100", server.url());
    drop(get(&client, url.clone()).await.unwrap());
    assert_eq!(totals(&breaker), [1, 0, 0, 0]);

    breaker.trip();
    time.advance(OPEN);
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(get(&client, url.clone()).await.unwrap());
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn the_clients_own_deadlines_are_failures() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(9);
    let deadline = Duration::from_millis(500);
    let own = Client::builder().no_proxy().read_timeout(deadline).build().unwrap();
    let client = GuardedClient::new(own, breaker.clone());
    // On a slow machine the head may be late already.
    let read = async |request| match client.send(request).await {
        Ok(response) => response.bytes().await.unwrap_err(),
        Err(error) => inner(error),
    };
    let get = |path: &str| client.get_ref().get(format!("{}/{path}", server.url()));

    assert!(read(get("hang").timeout(deadline)).await.is_timeout());
    assert_eq!(totals(&breaker), [0, 1, 0, 0]);
    // The whole call, and the wait for each piece.
    assert!(read(get("stream?chunks=1000&gap_ms=20&size=100").timeout(deadline)).await.is_timeout());
    assert_eq!(totals(&breaker), [0, 2, 0, 0]);
    assert!(read(get("stream?chunks=2&gap_ms=60000")).await.is_timeout());
    assert_eq!(totals(&breaker), [0, 3, 0, 0]);
}

#[tokio::test]
async fn the_breakers_deadline_cuts_a_call_off() {
    let server = HttpServer::start().unwrap();
    let breaker = Breaker::builder("hung").trip(Trip::consecutive_failures(1)).build().unwrap();
    let layer = HttpLayer::client(breaker.clone()).timeout(Duration::from_millis(50));
    let client = GuardedClient::with(client(), layer);
    let error = client.send(client.get_ref().get(format!("{}/hang", server.url()))).await.unwrap_err();
    assert!(matches!(error, BreakerError::TimedOut(_)), "{error}");
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_callers_mistakes_by_the_thousand_never_trip() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1);
    let client = guarded(&breaker);
    for _ in 0..250 {
        // Cannot be built: the breaker is not even asked.
        assert!(inner(get(&client, "http://[::1/".into()).await.unwrap_err()).is_builder());
        assert!(inner(get(&client, "no/scheme".into()).await.unwrap_err()).is_builder());
        // Can be built, but not be sent.
        let ftp = Request::new(Method::GET, Url::parse("ftp://127.0.0.1/file").unwrap());
        assert!(inner(client.execute(ftp).await.unwrap_err()).is_builder());
        for status in [400, 401, 404, 422] {
            get(&client, format!("{}/status/{status}", server.url())).await.unwrap();
        }
    }
    for _ in 0..50 {
        let pieces = [Ok(Bytes::from_static(b"pi")), Err(std::io::Error::other("disk"))];
        let broken = client.get_ref().post(format!("{}/echo", server.url()));
        client.send(broken.body(Body::wrap_stream(stream::iter(pieces)))).await.unwrap_err();
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(totals(&breaker), [1000, 0, 300, 0]);
}

#[tokio::test]
async fn a_wait_that_the_server_asks_for_is_kept() {
    let server = HttpServer::start().unwrap();
    let date = "Thu,%2001%20Jan%201970%2000:02:00%20GMT";
    for (status, wait) in [(503, "120"), (429, "120"), (503, date), (429, date)] {
        let (breaker, _) = breaker(1);
        let client = guarded(&breaker);
        let url = format!("{}/status/{status}?retry_after={wait}", server.url());
        assert_eq!(get(&client, url).await.unwrap().status().as_u16(), status);
        let error = get(&client, server.url()).await.unwrap_err();
        assert_eq!(error.rejected().unwrap().retry_after(), Some(Duration::from_secs(120)));
    }
    let (breaker, _) = breaker(1);
    get(&guarded(&breaker), format!("{}/status/429", server.url())).await.unwrap();
    assert_eq!(totals(&breaker), [0, 0, 1, 0]);
}

#[tokio::test]
async fn a_killed_server_trips_and_is_found_again_by_traffic_alone() {
    let mut server = HttpServer::start().unwrap();
    let breaker = Breaker::builder("upstream")
        .trip(Trip::consecutive_failures(3))
        .open_for(OpenFor::fixed(Duration::from_millis(100)))
        .half_open(HalfOpen { close_after: 2, ..HalfOpen::default() })
        .build()
        .unwrap();
    let client = guarded(&breaker);
    let url = format!("{}/bytes/100", server.url());
    get(&client, url.clone()).await.unwrap().bytes().await.unwrap();

    server.kill().unwrap();
    for _ in 0..3 {
        let error = inner(get(&client, url.clone()).await.unwrap_err());
        assert!(error.is_connect() || error.is_request(), "{error:?}");
    }
    assert_ne!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().totals.failure, 3);

    server.restart().unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while breaker.state() != State::Closed {
        assert!(Instant::now() < limit, "not closed within 20 s");
        match get(&client, url.clone()).await {
            Ok(response) => drop(response.bytes().await.unwrap()),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    assert_eq!(get(&client, url).await.unwrap().bytes().await.unwrap().len(), 100);
}

#[tokio::test]
async fn hosts_are_separate() {
    let (here, mut there) = (HttpServer::start().unwrap(), HttpServer::start().unwrap());
    there.kill().unwrap();
    let settings = Settings::new().trip(Trip::consecutive_failures(3));
    let hosts = Keyed::<Host>::builder("upstreams").settings(settings).build().unwrap();
    let client = GuardedClient::keyed_by_host(client(), hosts.clone());
    for round in 0..6 {
        client.send(client.get_ref().get(format!("{}/echo", here.url()))).await.unwrap();
        let error = client.send(client.get_ref().get(there.url())).await.unwrap_err();
        assert_eq!(error.rejected().is_some(), round >= 3, "{round}: {error}");
    }
    let state = |server: &HttpServer| hosts.peek(server.addr().to_string().as_str()).unwrap().state();
    assert_eq!((state(&here), state(&there)), (State::Closed, State::Open));
}

#[tokio::test]
async fn it_is_a_tower_layer_too_and_takes_the_users_word() {
    let server = HttpServer::start().unwrap();
    let (breaker, _) = breaker(1);
    let judge = |head: &Head<'_>| match head.status() {
        StatusCode::NOT_IMPLEMENTED => Verdict::Success.into(),
        _ => head.usual(),
    };
    let layer = HttpLayer::client(breaker.clone()).judge(judge);
    let service = ServiceBuilder::new().layer(layer).service(client());
    let request = Request::new(Method::GET, Url::parse(&format!("{}/status/501", server.url())).unwrap());
    assert_eq!(service.oneshot(request).await.unwrap().status(), StatusCode::NOT_IMPLEMENTED);
    assert_eq!(totals(&breaker), [1, 0, 0, 0]);
}

#[test]
fn a_guarded_client_is_shared_like_the_client_it_guards() {
    fn holds<T: Clone + Send + Sync + std::fmt::Debug + 'static>() {}
    holds::<GuardedClient>();
    fn sends<T: Send>(_: T) {}
    let (breaker, _) = breaker(1);
    let client = guarded(&breaker);
    sends(client.send(client.get_ref().get("http://example.com")));
}
