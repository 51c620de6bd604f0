//! What the guard allocates: nothing, for a call that it lets through.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod script;

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;
use http::{Request, Response};
use http_body::Body;
use mainstay_breaker::{Breaker, Keyed};
use mainstay_grpc::{GrpcLayer, MethodName};
use script::{Script, Step, frame, response};
use tower::{Layer, Service, service_fn};

/// Polls a few times, like a reader that is woken in vain and then gives up.
fn poll<F: Future>(work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    (0..3).find_map(|_| match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Allocations of a call, when it is not among the first.
fn allocations<S, B>(mut service: S, make: impl Fn() -> Request<tonic::body::Body>) -> f64
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>>,
    B: Body + Unpin,
{
    let mut call = || {
        poll(std::future::poll_fn(|cx| service.poll_ready(cx))).unwrap().ok().unwrap();
        let response = poll(service.call(make())).unwrap().ok().unwrap();
        let mut body = response.into_body();
        while let Some(Some(Ok(_))) = poll(frame(&mut body)) {}
    };
    (0..10).for_each(|_| call());
    let info = measure(|| (0..100).for_each(|_| call()));
    info.count_total as f64 / 100.0
}

fn request() -> Request<tonic::body::Body> {
    Request::new(tonic::body::Body::empty())
}

fn of_a_method() -> Request<tonic::body::Body> {
    let mut request = request();
    *request.uri_mut() = http::Uri::from_static("/pkg.Service/Method");
    request
}

fn breaker() -> Breaker {
    Breaker::builder("test").settings(mainstay_grpc::default_settings()).build().unwrap()
}

/// A server without a network.
fn server(
    answer: fn() -> Response<Script>,
) -> impl Service<Request<tonic::body::Body>, Response = Response<Script>, Error = Infallible, Future: Send> + Clone
{
    service_fn(move |_: Request<tonic::body::Body>| ready(Ok(answer())))
}

const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc")];

fn unary() -> Response<Script> {
    let trailers = vec![("grpc-status", "0")];
    response(GRPC, Script::new([Step::Data(b"\0\0\0\0\x02hi"), Step::Trailers(trailers)]))
}

fn not_found() -> Response<Script> {
    response(&[("grpc-status", "5")], Script::announced([]))
}

fn dropped() -> Response<Script> {
    response(GRPC, Script::new([Step::Data(b"\0\0\0\0\x02hi"), Step::Wait]))
}

#[test]
fn a_call_that_is_let_through_allocates_nothing_more() {
    for answer in [unary, not_found, dropped] {
        let bare = allocations(server(answer), request);
        let guard = GrpcLayer::client(breaker());
        assert_eq!(allocations(guard.layer(server(answer)), request), bare);
        let guard = GrpcLayer::client(breaker().leak());
        assert_eq!(allocations(guard.layer(server(answer)), request), bare);
        let guard = GrpcLayer::server(breaker());
        assert_eq!(allocations(guard.layer(server(answer)), request), bare);
    }
}

#[test]
fn neither_does_the_look_up_of_a_methods_breaker() {
    let bare = allocations(server(unary), of_a_method);
    let methods = Keyed::<MethodName>::builder("test").build().unwrap();
    let guard = GrpcLayer::client_per_method(methods);
    assert_eq!(allocations(guard.layer(server(unary)), of_a_method), bare);
}

#[test]
fn a_rejection_allocates_what_its_response_consists_of() {
    let open = breaker();
    open.trip();
    let on_server = allocations(GrpcLayer::server(open.clone()).layer(server(unary)), request);
    let on_client = allocations(GrpcLayer::client(open.clone()).layer(server(unary)), request);
    let as_status = {
        let guard = GrpcLayer::client(open).reject_with_status();
        let mut service = guard.layer(service_fn(|_| ready(Ok::<_, tonic::Status>(unary()))));
        let mut call = || {
            poll(std::future::poll_fn(|cx| service.poll_ready(cx))).unwrap().unwrap();
            assert!(poll(service.call(request())).unwrap().is_err());
        };
        call();
        measure(call).count_total as f64
    };
    // The headers and the number, and the extensions.
    assert_eq!((on_server, on_client, as_status), (6.0, 7.0, 7.0));
}

#[tokio::test]
async fn deadlines_allocate_what_they_wait_with() {
    let long = Duration::from_secs(60);
    let guard = || GrpcLayer::client(breaker());

    let at_once = |layer: GrpcLayer| allocations(layer.layer(server(unary)), request);
    assert_eq!(at_once(guard().timeout(long)) - at_once(guard()), 1.0);
    assert_eq!(at_once(guard().max_silence(long)) - at_once(guard()), 0.0);

    // The head takes a while.
    let later = |layer: GrpcLayer| {
        let slow = service_fn(|_| async {
            pending_once().await;
            Ok::<_, Infallible>(unary())
        });
        allocations(layer.layer(slow), request)
    };
    assert_eq!(later(guard().timeout(long)) - later(guard()), 1.0);

    // The next message does.
    let silent = |layer: GrpcLayer| allocations(layer.layer(server(dropped)), request);
    assert_eq!(silent(guard().max_silence(long)) - silent(guard()), 1.0);
}

async fn pending_once() {
    let mut asked = false;
    std::future::poll_fn(
        |_| if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}
