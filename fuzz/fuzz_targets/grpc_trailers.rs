//! Whatever headers, messages and trailers a peer answers a gRPC call with: the layer passes them on unchanged, does not
//! panic, and counts the call exactly once.
//!
//! The input is text: a line `name: value` for each header, an empty line, and then for each frame a line of its data, or
//! lines like those above, indented, for trailers.
#![no_main]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use libfuzzer_sys::fuzz_target;
use mainstay_breaker::Breaker;
use mainstay_grpc::tonic;
use tower::{Layer, Service, service_fn};

#[derive(Clone)]
enum Sent {
    Data(Bytes),
    Trailers(HeaderMap),
}

#[derive(Clone)]
struct Frames(VecDeque<Sent>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|sent| {
            Ok(match sent {
                Sent::Data(data) => Frame::data(data),
                Sent::Trailers(trailers) => Frame::trailers(trailers),
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// `name: value`; what cannot be a header is left out.
fn add(line: &[u8], headers: &mut HeaderMap) {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        headers.append(name, value);
    }
}

fn read(bytes: &[u8]) -> Response<Frames> {
    let mut response = Response::new(Frames(VecDeque::new()));
    let mut lines = bytes.split(|byte| *byte == b'\n');
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        match line.strip_prefix(b":status:").and_then(|status| StatusCode::from_bytes(status.trim_ascii()).ok()) {
            Some(status) => *response.status_mut() = status,
            None => add(line, response.headers_mut()),
        }
    }
    let frames = &mut response.body_mut().0;
    for line in lines {
        match line.strip_prefix(b" ") {
            Some(line) => {
                if !matches!(frames.back(), Some(Sent::Trailers(_))) {
                    frames.push_back(Sent::Trailers(HeaderMap::new()));
                }
                if let Some(Sent::Trailers(trailers)) = frames.back_mut() {
                    add(line, trailers);
                }
            }
            None => frames.push_back(Sent::Data(Bytes::copy_from_slice(line))),
        }
    }
    response
}

fuzz_target!(|bytes: &[u8]| {
    let sent = read(bytes);
    let (status, headers, frames) = (sent.status(), sent.headers().clone(), sent.body().0.len());
    let breaker = Breaker::new("fuzzed").expect("a valid name");
    let guard = mainstay_grpc::GrpcLayer::client(breaker.clone());
    let mut service = guard.layer(service_fn(move |_: Request<tonic::body::Body>| {
        let sent = sent.clone();
        async move { Ok::<_, Infallible>(sent) }
    }));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(service.poll_ready(cx).is_ready());
    let Poll::Ready(Ok(response)) = pin!(service.call(Request::new(tonic::body::Body::empty()))).poll(cx) else { panic!("it answers at once") };
    assert_eq!((response.status(), response.headers()), (status, &headers));
    let mut body = Box::pin(response.into_body());
    let mut passed = 0;
    while let Poll::Ready(Some(Ok(_))) = body.as_mut().poll_frame(cx) {
        passed += 1;
    }
    assert_eq!(passed, frames);
    let totals = breaker.snapshot().totals;
    assert_eq!(totals.success + totals.failure + totals.ignored, 1, "{totals:?}");
});
