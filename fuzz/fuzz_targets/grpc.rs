//! Whatever headers, frames and trailers a peer answers a gRPC call with, cut wherever it likes, and wherever the reader leaves: the
//! layer passes all of it on unchanged, does not panic, and gives the call one verdict, the one that an obvious reading gives. tonic reads
//! the same messages and the same status with the layer as without it, however the bytes are cut.
//!
//! The input is text. Its head has a line `name: value` for each header, or for a setting of the run (see `Peer::setting`). After an
//! empty line each line is a frame of data, `#` and the content of a message that is framed as gRPC frames it, `!` for a body that breaks off, or,
//! indented, one of a frame's trailers.
#![no_main]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use libfuzzer_sys::fuzz_target;
use mainstay_breaker::{Breaker, Verdict};
use mainstay_grpc::{Codes, GrpcLayer, tonic};
use tonic::codec::{DecodeBuf, Decoder, Streaming};
use tonic::{Code, Status};
use tower::{Layer, Service, service_fn};

#[derive(Clone, Debug, PartialEq)]
enum Sent {
    Data(Bytes),
    Trailers(HeaderMap),
    Broken,
}

#[derive(Clone, Debug)]
struct Peer {
    status: StatusCode,
    headers: HeaderMap,
    frames: VecDeque<Sent>,
    /// Data comes in pieces of at most so many bytes.
    cut: usize,
    /// How many frames are read before the reader leaves.
    read: usize,
    /// The body says of itself that nothing more will come.
    announces: bool,
    /// The layer stands on a server's side.
    server: bool,
}

#[derive(Clone, Debug)]
struct Frames(VecDeque<Sent>, bool);

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(self.0.pop_front().map(|sent| match sent {
            Sent::Data(data) => Ok(Frame::data(data)),
            Sent::Trailers(trailers) => Ok(Frame::trailers(trailers)),
            Sent::Broken => Err("broken"),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.1 && self.0.is_empty()
    }
}

/// A message is its bytes.
struct Plain;

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
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

impl Peer {
    fn of(bytes: &[u8]) -> Self {
        let mut peer = Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            frames: VecDeque::new(),
            cut: usize::MAX,
            read: usize::MAX,
            announces: false,
            server: false,
        };
        let mut lines = bytes.split(|byte| *byte == b'\n');
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            if peer.setting(line).is_none() {
                add(line, &mut peer.headers);
            }
        }
        for line in lines.take(200) {
            peer.frame(line);
        }
        peer
    }

    /// `:status: 503`, `:cut: 3`, `:read: 2`, `:announces: 1`, `:server: 1`.
    fn setting(&mut self, line: &[u8]) -> Option<()> {
        let line = std::str::from_utf8(line).ok()?.strip_prefix(':')?;
        let (name, value) = line.split_once(':')?;
        let value: u16 = value.trim().parse().ok()?;
        match name {
            "status" => self.status = StatusCode::from_u16(value).ok()?,
            "cut" => self.cut = usize::from(value).max(1),
            "read" => self.read = usize::from(value),
            "announces" => self.announces = value > 0,
            "server" => self.server = value > 0,
            _ => return None,
        }
        Some(())
    }

    fn frame(&mut self, line: &[u8]) {
        match line {
            [b' ', line @ ..] => {
                if !matches!(self.frames.back(), Some(Sent::Trailers(_))) {
                    self.frames.push_back(Sent::Trailers(HeaderMap::new()));
                }
                if let Some(Sent::Trailers(trailers)) = self.frames.back_mut() {
                    add(line, trailers);
                }
            }
            b"!" => self.frames.push_back(Sent::Broken),
            [b'#', content @ ..] => {
                let length = u32::try_from(content.len()).expect("a short input").to_be_bytes();
                self.data(&[&[0][..], &length, content].concat());
            }
            data => self.data(data),
        }
    }

    fn data(&mut self, data: &[u8]) {
        if data.is_empty() {
            self.frames.push_back(Sent::Data(Bytes::new()));
        }
        // So many pieces, and the rest as one.
        let pieces = data.chunks(self.cut).map(Bytes::copy_from_slice);
        self.frames.extend(pieces.take(500).map(Sent::Data));
        if let Some(rest) =
            self.cut.checked_mul(500).and_then(|read| data.get(read..)).filter(|rest| !rest.is_empty())
        {
            self.frames.push_back(Sent::Data(Bytes::copy_from_slice(rest)));
        }
    }

    fn response(&self) -> Response<Frames> {
        let mut response = Response::new(Frames(self.frames.clone(), self.announces));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }

    fn codes(&self) -> Codes {
        if self.server { Codes::server() } else { Codes::new() }
    }

    /// The same without details, as tonic itself panics on those that are no base64.
    fn readable(&self) -> Self {
        let mut peer = self.clone();
        let bare = |headers: &mut HeaderMap| drop(headers.remove("grpc-status-details-bin"));
        bare(&mut peer.headers);
        for frame in &mut peer.frames {
            if let Sent::Trailers(trailers) = frame {
                bare(trailers);
            }
        }
        peer
    }

    /// The same bytes, each in a frame of its own.
    fn in_bytes(&self) -> Self {
        let mut peer = Self { frames: VecDeque::new(), cut: 1, ..self.clone() };
        for frame in &self.frames {
            match frame {
                Sent::Data(data) => peer.data(data),
                other => peer.frames.push_back(other.clone()),
            }
        }
        peer
    }
}

/// A breaker, and the response as it comes through its layer.
fn guarded(peer: &Peer) -> (Breaker, Response<impl Body<Data = Bytes, Error = &'static str> + Send + use<>>) {
    let breaker = Breaker::new("fuzzed").expect("a valid name");
    let guard = match peer.server {
        false => GrpcLayer::client(breaker.clone()),
        true => GrpcLayer::server(breaker.clone()),
    };
    let response = peer.response();
    let mut service = guard.layer(service_fn(move |_: Request<tonic::body::Body>| {
        let response = response.clone();
        async move { Ok::<_, Infallible>(response) }
    }));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(service.poll_ready(cx).is_ready());
    let Poll::Ready(Ok(response)) = pin!(service.call(Request::new(tonic::body::Body::empty()))).poll(cx)
    else {
        panic!("it answers at once")
    };
    (breaker, response)
}

/// What an obvious reading makes of a call. `None` if it was dropped without a word.
fn reading(peer: &Peer) -> Option<Verdict> {
    let by = |headers: &HeaderMap| {
        let status = headers.get("grpc-status")?.to_str().unwrap_or("");
        let number = (0..=16).find(|number| number.to_string() == status).unwrap_or(2);
        Some(peer.codes().verdict(Code::from(number)))
    };
    if let Some(verdict) = by(&peer.headers) {
        return Some(verdict);
    }
    let mut message = false;
    for number in 0..peer.read {
        match peer.frames.get(number) {
            None | Some(Sent::Broken) => return Some(Verdict::Failure),
            Some(Sent::Trailers(trailers)) => return Some(by(trailers).unwrap_or(Verdict::Failure)),
            Some(Sent::Data(data)) => message |= !data.is_empty(),
        }
        if peer.announces && number + 1 == peer.frames.len() {
            return Some(Verdict::Failure);
        }
    }
    message.then_some(Verdict::Success)
}

/// What comes through is what was sent, and the call is counted once.
fn passes_on(peer: &Peer) {
    let (breaker, response) = guarded(peer);
    assert_eq!((response.status(), response.headers()), (peer.status, &peer.headers));
    let cx = &mut Context::from_waker(Waker::noop());
    let mut body = Box::pin(response.into_body());
    for number in 0..peer.read {
        let passed = match body.as_mut().poll_frame(cx) {
            Poll::Pending => panic!("there is more"),
            Poll::Ready(None) => None,
            Poll::Ready(Some(Err(_))) => Some(Sent::Broken),
            Poll::Ready(Some(Ok(frame))) => Some(match frame.into_data() {
                Ok(data) => Sent::Data(data),
                Err(frame) => Sent::Trailers(frame.into_trailers().expect("data or trailers")),
            }),
        };
        assert_eq!(passed.as_ref(), peer.frames.get(number));
        if passed.is_none() {
            break;
        }
    }
    drop(body);
    let totals = breaker.snapshot().totals;
    assert_eq!(totals.success + totals.failure + totals.ignored, 1, "{totals:?}");
    // gRPC says all in the headers of the response, or with status 200 at the end of its body.
    let announced = peer.announces && peer.frames.is_empty();
    // What says of itself that it is no gRPC fails on a client's side, and is none of a server's breaker's business.
    let kind = peer.headers.get("content-type").map(|kind| kind.as_bytes());
    let is_grpc = kind.map_or(!peer.server, |kind| kind.starts_with(b"application/grpc"));
    if peer.status == StatusCode::OK && !announced && is_grpc {
        let verdict = match (totals.success, totals.failure) {
            (1, _) => Verdict::Success,
            (_, 1) => Verdict::Failure,
            _ => Verdict::Ignore,
        };
        assert_eq!(verdict, reading(peer).unwrap_or(Verdict::Ignore), "{peer:#?}");
    }
}

type Told = (Vec<Bytes>, Option<(Code, String)>);

/// What tonic makes of a response.
fn told<B>(response: Response<B>) -> Told
where
    B: Body<Data = Bytes, Error = &'static str> + Send + 'static,
{
    let (head, body) = response.into_parts();
    let mut stream = pin!(Streaming::new_response(Plain, body, head.status, None, Some(1 << 16)));
    let cx = &mut Context::from_waker(Waker::noop());
    let mut messages = Vec::new();
    loop {
        match stream.as_mut().poll_next(cx) {
            Poll::Pending => panic!("there is more"),
            Poll::Ready(None) => return (messages, None),
            Poll::Ready(Some(Ok(message))) => messages.push(message),
            Poll::Ready(Some(Err(status))) => {
                return (messages, Some((status.code(), status.message().to_owned())));
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let peer = Peer::of(bytes);
    passes_on(&peer);
    let peer = peer.readable();
    let without = told(peer.response());
    assert_eq!(told(guarded(&peer).1), without);
    assert_eq!(told(guarded(&peer.in_bytes()).1), without);
});
