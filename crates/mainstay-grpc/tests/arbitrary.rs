//! Whatever a peer sends, there is no panic, and each call has one verdict: the one that an obvious reading gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use mainstay_breaker::{Breaker, Clock, OpenFor, Trip};
use mainstay_grpc::GrpcLayer;
use proptest::collection::vec;
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

/// What a peer sends; cut where the reader leaves.
#[derive(Clone, Debug)]
struct Peer {
    http: u16,
    headers: Vec<Header>,
    frames: Vec<Sent>,
    read: usize,
    announces: bool,
}

#[derive(Clone, Debug)]
enum Sent {
    Data(Vec<u8>),
    Trailers(Vec<Header>),
    Broken,
}

type Header = (usize, Vec<u8>);

const NAMES: [&str; 5] =
    ["grpc-status", "grpc-retry-pushback-ms", "grpc-message", "grpc-status-details-bin", "x-other"];

fn header() -> impl Strategy<Value = Header> {
    let value = prop_oneof![
        4 => (0..20).prop_map(|code: i32| code.to_string().into_bytes()),
        2 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        2 => vec(any::<u8>(), 0..24),
        1 => "[0-9+-]{0,24}".prop_map(String::into_bytes),
    ];
    (0..NAMES.len(), value)
}

fn peer() -> impl Strategy<Value = Peer> {
    let sent = prop_oneof![
        4 => vec(any::<u8>(), 0..12).prop_map(Sent::Data),
        2 => vec(header(), 0..6).prop_map(Sent::Trailers),
        1 => Just(Sent::Broken),
    ];
    let http = prop_oneof![4 => Just(200_u16), 1 => 200..600_u16];
    let headers = prop_oneof![2 => Just(Vec::new()), 1 => vec(header(), 0..6)];
    (http, headers, vec(sent, 0..6), 0..8_usize, any::<bool>())
        .prop_map(|(http, headers, frames, read, announces)| Peer { http, headers, frames, read, announces })
}

fn map(headers: &[Header]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            map.append(HeaderName::from_static(NAMES[*name]), value);
        }
    }
    map
}

struct Frames(Vec<Sent>, bool);

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready((!self.0.is_empty()).then(|| match self.0.remove(0) {
            Sent::Data(data) => Ok(Frame::data(data.into())),
            Sent::Trailers(trailers) => Ok(Frame::trailers(map(&trailers))),
            Sent::Broken => Err("broken"),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.1 && self.0.is_empty()
    }
}

#[derive(Debug, PartialEq)]
enum Read {
    Success,
    Failure(Option<u64>),
    Dropped,
}

/// An obvious reading of the same.
fn reading(peer: &Peer) -> Read {
    let by_status = |headers: &HeaderMap| {
        let text = std::str::from_utf8(headers.get("grpc-status")?.as_bytes()).unwrap_or("");
        let pushback = headers
            .get("grpc-retry-pushback-ms")
            .and_then(|value| value.to_str().ok())
            .filter(|text| text.chars().all(|digit| digit.is_ascii_digit()) && text.len() < 11)
            .and_then(|text| text.parse::<i32>().ok())
            .map(|millis| millis as u64);
        Some(if ["0", "3", "5", "6", "7", "16"].contains(&text) {
            Read::Success
        } else {
            Read::Failure(pushback)
        })
    };
    let headers = map(&peer.headers);
    if let Some(read) = by_status(&headers) {
        return read;
    }
    if peer.http != 200 {
        let pushback = headers.get("grpc-retry-pushback-ms").map(|_| ());
        return match peer.http {
            401 | 403 => Read::Success,
            _ if pushback.is_some() => {
                let mut with = headers.clone();
                with.insert("grpc-status", HeaderValue::from_static("2"));
                by_status(&with).unwrap()
            }
            _ => Read::Failure(None),
        };
    }
    if peer.announces && peer.frames.is_empty() {
        return Read::Failure(None);
    }
    let mut message = false;
    for number in 0..peer.read {
        match peer.frames.get(number) {
            None | Some(Sent::Broken) => return Read::Failure(None),
            Some(Sent::Trailers(trailers)) => {
                return by_status(&map(trailers)).unwrap_or(Read::Failure(None));
            }
            Some(Sent::Data(data)) => message |= !data.is_empty(),
        }
        if peer.announces && peer.frames.len() == number + 1 {
            return Read::Failure(None);
        }
    }
    if message { Read::Success } else { Read::Dropped }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_peer_sends_there_is_one_verdict_and_no_panic(peer in peer()) {
        let (clock, _time) = Clock::manual();
        let breaker = Breaker::builder("test")
            .trip(Trip::consecutive_failures(1))
            .open_for(OpenFor::fixed(Duration::from_millis(1)))
            .retry_after_cap(Duration::from_secs(365 * 24 * 60 * 60))
            .clock(clock)
            .build()
            .unwrap();
        let mut response = Response::new(Frames(peer.frames.clone(), peer.announces));
        *response.status_mut() = StatusCode::from_u16(peer.http).unwrap();
        *response.headers_mut() = map(&peer.headers);
        let mut response = Some(response);
        let guarded = GrpcLayer::client(breaker.clone()).layer(service_fn(move |_: Request<()>| {
            let response = response.take().unwrap();
            async { Ok::<_, Infallible>(response) }
        }));
        let answer = guarded.oneshot(Request::new(())).now_or_never().unwrap().unwrap();
        let mut body = answer.into_body();
        for _ in 0..peer.read {
            let _ = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
        }
        drop(body);

        let snapshot = breaker.snapshot();
        let totals = snapshot.totals;
        prop_assert_eq!(totals.success + totals.failure + totals.ignored, 1);
        let read = if totals.success == 1 {
            Read::Success
        } else if totals.ignored == 1 {
            Read::Dropped
        } else {
            let wait = snapshot.retry_after.unwrap().as_millis() as u64;
            Read::Failure((wait > 1).then_some(wait))
        };
        let expected = match reading(&peer) {
            Read::Failure(Some(0 | 1)) => Read::Failure(None),
            other => other,
        };
        prop_assert_eq!(read, expected);
    }
}
