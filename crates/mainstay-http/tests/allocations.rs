//! What a guarded call allocates beyond what the service itself does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::{AllocationInfo, measure};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use mainstay_breaker::{Breaker, Keyed};
use mainstay_http::{Host, HttpLayer};
use tower::{Layer, Service, service_fn};

/// Runs a future that never waits.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn answer(_: Request<()>) -> impl Future<Output = Result<Response<Full<&'static [u8]>>, Infallible>> {
    ready(Ok(Response::new(Full::new(&b"hello"[..]))))
}

/// How often calls allocate, once the service has settled.
fn allocations<S, B>(mut service: S, request: &Request<()>) -> u64
where
    S: Service<Request<()>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: Body + Unpin,
{
    let mut call = |request: Request<()>| {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut cx).is_ready());
        if let Ok(response) = now(service.call(request)) {
            let mut body = response.into_body();
            while let Poll::Ready(Some(Ok(_))) = std::pin::Pin::new(&mut body).poll_frame(&mut cx) {}
        }
    };
    for _ in 0..3 {
        call(request.clone());
    }
    let requests: Vec<_> = (0..100).map(|_| request.clone()).collect();
    let AllocationInfo { count_total, .. } = measure(|| requests.into_iter().for_each(call));
    count_total
}

#[test]
fn a_call_with_a_body_allocates_nothing() {
    let request = Request::get("http://inventory.example.com/stock").body(()).unwrap();
    let breaker = Breaker::new("inventory").unwrap();
    assert_eq!(allocations(HttpLayer::client(breaker.clone()).layer(service_fn(answer)), &request), 0);
    assert_eq!(allocations(HttpLayer::client(breaker.leak()).layer(service_fn(answer)), &request), 0);
}

#[test]
fn a_call_keyed_by_host_allocates_nothing() {
    let hosts = Keyed::<Host>::builder("upstreams").build().unwrap();
    let request = Request::get("http://stock.inventory.svc.cluster.local:8080/42").body(()).unwrap();
    assert_eq!(allocations(HttpLayer::keyed_by_host(hosts).layer(service_fn(answer)), &request), 0);
}

#[test]
fn a_rejected_call_allocates_nothing() {
    let request = Request::get("http://inventory.example.com/stock").body(()).unwrap();
    let breaker = Breaker::new("inventory").unwrap();
    breaker.trip();
    assert_eq!(allocations(HttpLayer::client(breaker).layer(service_fn(answer)), &request), 0);
}

#[test]
fn a_problem_allocates_a_few_headers_and_a_note() {
    let breaker = Breaker::new("storefront").unwrap();
    breaker.trip();
    let answer = |_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::new()))));
    let request = Request::get("/").body(()).unwrap();
    let count = allocations(HttpLayer::server(breaker).layer(service_fn(answer)), &request);
    assert_eq!(count, 7 * 100);
}

#[cfg(feature = "reqwest")]
#[test]
fn a_response_of_reqwest_is_put_together_anew_only_if_its_body_decides() {
    use mainstay_http::reqwest;

    fn allocations(status: u16, body: &'static str, layered: bool) -> u64 {
        let breaker = Breaker::new("inventory").unwrap();
        let answer = move |(): ()| {
            let response = http::Response::builder().status(status).extension(1).body(body).unwrap();
            ready(Ok::<_, reqwest::Error>(reqwest::Response::from(response)))
        };
        let mut plain = service_fn(answer);
        let mut guarded = HttpLayer::client(breaker).layer(plain);
        let mut cx = Context::from_waker(Waker::noop());
        let mut call = || {
            assert!(Service::<()>::poll_ready(&mut guarded, &mut cx).is_ready());
            drop(if layered { now(guarded.call(())).unwrap() } else { now(plain.call(())).unwrap() });
        };
        for _ in 0..3 {
            call();
        }
        measure(call).count_total
    }
    let beyond = |status, body| allocations(status, body, true) - allocations(status, body, false);
    assert_eq!(beyond(204, ""), 0);
    assert_eq!(beyond(404, ""), 0);
    let anew = beyond(200, "hello");
    // Three boxes around the body, and the URL three times: a copy, its way through the extensions, its place.
    assert_eq!(anew, 6);
}
