//! Every way in which a call can end, without a network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::script::{
    BoxError, FAILURE, IGNORED, SUCCESS, Script, Step, UNDECIDED, call, call_with, fail, frame, read,
    response, verdicts,
};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use mainstay_breaker::{
    Breaker, BreakerError, BreakerLayer, Clock, HalfOpen, OpenFor, Settings, State, Trip, Verdict,
};
use mainstay_grpc::{Codes, GrpcLayer, GuardedBody};
use tonic::{Code, Status};
use tower::{Layer, Service, ServiceExt, service_fn};

const MESSAGE: Step = Step::Data(b"\0\0\0\0\x02hi");

fn breaker() -> Breaker {
    Breaker::builder("test").trip(Trip::consecutive_failures(1_000)).build().unwrap()
}

fn status(code: &'static str) -> Step {
    Step::Trailers(vec![("grpc-status", code)])
}

/// The verdict on a call whose body is read to its end.
async fn verdict_of(answer: Response<Script>) -> (u64, u64, u64) {
    let breaker = breaker();
    read(call(&breaker, answer).await.into_body()).await;
    verdicts(&breaker)
}

fn stream(steps: impl IntoIterator<Item = Step>) -> Response<Script> {
    response(&[], Script::new(steps))
}

#[tokio::test]
async fn a_status_in_the_trailers_decides() {
    assert_eq!(verdict_of(stream([MESSAGE, status("0")])).await, SUCCESS);
    assert_eq!(verdict_of(stream([MESSAGE, status("14")])).await, FAILURE);
    assert_eq!(verdict_of(stream([status("14")])).await, FAILURE);
    assert_eq!(verdict_of(stream([status("5")])).await, SUCCESS);
    assert_eq!(verdict_of(stream([MESSAGE, MESSAGE, MESSAGE, status("13")])).await, FAILURE);
}

#[tokio::test]
async fn a_status_in_the_headers_decides_at_once() {
    for (code, verdict) in [("0", SUCCESS), ("14", FAILURE), ("5", SUCCESS), ("1", FAILURE)] {
        let breaker = breaker();
        let answer = call(&breaker, response(&[("grpc-status", code)], Script::announced([]))).await;
        assert_eq!(verdicts(&breaker), verdict, "{code}, before the body is looked at");
        drop(answer);
        assert_eq!(verdicts(&breaker), verdict);
    }
}

/// A server that says in its metadata whose failing it was.
fn whose(code: Code, metadata: &HeaderMap) -> Option<Verdict> {
    assert_ne!(code, Code::Ok, "nobody is asked about a success");
    match metadata.get("whose")?.as_bytes() {
        b"another's" => Some(Verdict::Ignore),
        b"mine" => Some(Verdict::Failure),
        _ => None,
    }
}

#[tokio::test]
async fn the_metadata_beside_a_status_can_decide() {
    for (code, whose_it_is, verdict) in [
        ("14", "another's", IGNORED),
        ("14", "mine", FAILURE),
        ("14", "nobody's", FAILURE),
        ("5", "mine", FAILURE),
        ("5", "nobody's", SUCCESS),
        ("0", "mine", SUCCESS),
    ] {
        let said = vec![("grpc-status", code), ("whose", whose_it_is)];
        for answer in [
            response(&said, Script::announced([])),
            stream([Step::Trailers(said.clone())]),
            stream([MESSAGE, Step::Trailers(said.clone())]),
        ] {
            let breaker = breaker();
            let layer = GrpcLayer::client(breaker.clone()).judge(whose);
            read(call_with(layer, answer).await.into_body()).await;
            assert_eq!(verdicts(&breaker), verdict, "{code}, {whose_it_is}");
        }
    }
    let breaker = breaker();
    let layer = GrpcLayer::client(breaker.clone()).judge(whose);
    read(call_with(layer, stream([MESSAGE, Step::Break])).await.into_body()).await;
    assert_eq!(verdicts(&breaker), FAILURE, "what ends without a status is not its affair");
}

#[tokio::test]
async fn callers_mistakes_by_the_thousand_never_trip() {
    let breaker = Breaker::builder("test").settings(mainstay_grpc::default_settings()).build().unwrap();
    for code in ["3", "5", "6", "7", "16"].into_iter().cycle().take(10_000) {
        read(call(&breaker, stream([status(code)])).await.into_body()).await;
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(verdicts(&breaker), (10_000, 0, 0));
}

#[tokio::test]
async fn a_body_that_ends_without_a_status_is_a_failure() {
    assert_eq!(verdict_of(stream([])).await, FAILURE);
    assert_eq!(verdict_of(stream([MESSAGE])).await, FAILURE);
    assert_eq!(verdict_of(stream([MESSAGE, Step::Trailers(vec![("x-other", "0")])])).await, FAILURE);
    let succeeds_anyway = Codes::new().succeed(Code::Unknown);
    let breaker = breaker();
    let layer = GrpcLayer::client(breaker.clone()).codes(succeeds_anyway);
    read(call_with(layer, stream([MESSAGE])).await.into_body()).await;
    assert_eq!(verdicts(&breaker), FAILURE, "whatever the table says about UNKNOWN");
}

#[tokio::test]
async fn a_body_that_is_over_before_anybody_reads_it_is_judged_at_once() {
    let breaker = breaker();
    let answer = call(&breaker, response(&[], Script::announced([]))).await;
    assert_eq!(verdicts(&breaker), FAILURE);
    assert!(answer.body().is_end_stream());
}

#[tokio::test]
async fn a_body_that_says_it_is_over_with_its_last_frame_is_judged_then() {
    let breaker = breaker();
    let mut body = call(&breaker, response(&[], Script::announced([MESSAGE]))).await.into_body();
    assert_eq!(body.size_hint().exact(), Some(7));
    assert!(frame(&mut body).await.unwrap().is_ok());
    assert!(body.is_end_stream());
    assert_eq!(verdicts(&breaker), FAILURE, "nobody needs to read on");
    drop(body);
    assert_eq!(verdicts(&breaker), FAILURE);
}

#[tokio::test]
async fn nothing_of_a_body_is_changed() {
    let breaker = breaker();
    let steps = [MESSAGE, Step::Data(b""), MESSAGE, Step::Trailers(vec![("grpc-status", "0"), ("x-a", "b")])];
    let mut body = call(&breaker, stream(steps)).await.into_body();
    assert_eq!(body.size_hint().exact(), Some(14));
    let mut frames = Vec::new();
    while let Some(frame) = frame(&mut body).await {
        let frame = frame.unwrap();
        frames.push(match frame.data_ref() {
            Some(data) => data.len(),
            None => frame.trailers_ref().unwrap().len() * 100,
        });
    }
    assert_eq!(frames, [7, 0, 7, 200]);
    assert_eq!(verdicts(&breaker), SUCCESS);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_one_failure() {
    assert_eq!(verdict_of(stream([Step::Break])).await, FAILURE);
    assert_eq!(verdict_of(stream([MESSAGE, Step::Break])).await, FAILURE);
    let thousand = (0..1_000).map(|_| MESSAGE).chain([Step::Break]);
    assert_eq!(verdict_of(stream(thousand)).await, FAILURE);
}

#[tokio::test]
async fn what_is_not_a_status_code_is_unknown() {
    for odd in ["", "17", "99", "-1", "00", "014", "0x0", "OK", "1 4", "18446744073709551616"] {
        assert_eq!(verdict_of(stream([MESSAGE, status(odd)])).await, FAILURE, "{odd:?}");
        assert_eq!(verdict_of(response(&[("grpc-status", odd)], Script::new([]))).await, FAILURE, "{odd:?}");
    }
}

#[tokio::test]
async fn details_that_are_not_base64_do_no_harm() {
    let trailers = vec![("grpc-status", "9"), ("grpc-status-details-bin", "%%%"), ("grpc-message", "%zz")];
    assert_eq!(verdict_of(stream([Step::Trailers(trailers)])).await, FAILURE);
}

#[tokio::test]
async fn an_http_status_without_a_grpc_status_counts_as_the_protocol_has_it() {
    let cases = [
        (400, Code::Internal),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::Unimplemented),
        (429, Code::Unavailable),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::Unavailable),
        (204, Code::Unknown),
        (431, Code::Unknown),
        (500, Code::Unknown),
    ];
    for (http, code) in cases {
        let mut answer = response(&[("content-type", "text/html")], Script::new([Step::Data(b"<html>")]));
        *answer.status_mut() = StatusCode::from_u16(http).unwrap();
        let breaker = breaker();
        let _answer = call(&breaker, answer).await;
        let expected = if Codes::new().verdict(code) == Verdict::Success { SUCCESS } else { FAILURE };
        assert_eq!(verdicts(&breaker), expected, "{http}, at once");
    }
    let mut answer = response(&[("grpc-status", "5")], Script::announced([]));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(verdict_of(answer).await, SUCCESS, "a grpc-status is the better word");
}

#[tokio::test]
async fn a_page_that_somebody_else_put_there_is_no_message() {
    for (content_type, verdict) in [
        ("text/html", FAILURE),
        ("application/json", FAILURE),
        ("", FAILURE),
        ("application/grpc", SUCCESS),
        ("application/grpc+proto", SUCCESS),
        ("application/grpc-web+proto", SUCCESS),
        ("application/grpc; charset=utf-8", SUCCESS),
    ] {
        let steps = Script::new([Step::Data(b"<html>"), Step::Wait]);
        let breaker = breaker();
        let mut body = call(&breaker, response(&[("content-type", content_type)], steps)).await.into_body();
        assert!(frame(&mut body).await.unwrap().is_ok());
        drop(body);
        assert_eq!(verdicts(&breaker), verdict, "{content_type:?}");
    }
}

#[tokio::test]
async fn what_a_server_answers_beside_grpc_is_ignored() {
    async fn on_a_server(
        http: u16,
        headers: &[(&'static str, &'static str)],
        steps: Vec<Step>,
    ) -> (u64, u64, u64) {
        let breaker = breaker();
        let mut answer = response(headers, Script::new(steps));
        *answer.status_mut() = StatusCode::from_u16(http).unwrap();
        read(call_with(GrpcLayer::server(breaker.clone()), answer).await.into_body()).await;
        verdicts(&breaker)
    }
    let grpc = [("content-type", "application/grpc")];
    let page = [("content-type", "text/plain")];
    assert_eq!(on_a_server(200, &page, vec![Step::Data(b"up 1")]).await, IGNORED);
    assert_eq!(on_a_server(500, &page, vec![]).await, IGNORED);
    assert_eq!(on_a_server(405, &[], vec![]).await, IGNORED);
    assert_eq!(on_a_server(200, &grpc, vec![MESSAGE]).await, FAILURE);
    assert_eq!(on_a_server(200, &grpc, vec![MESSAGE, status("0")]).await, SUCCESS);
    assert_eq!(on_a_server(503, &grpc, vec![]).await, FAILURE);
    assert_eq!(on_a_server(200, &[("grpc-status", "13")], vec![]).await, FAILURE);
}

#[tokio::test]
async fn a_call_dropped_after_its_first_message_is_a_success() {
    let breaker = breaker();
    let mut body = call(&breaker, stream([MESSAGE, Step::Wait])).await.into_body();
    assert!(frame(&mut body).await.unwrap().is_ok());
    assert_eq!(verdicts(&breaker), UNDECIDED);
    drop(body);
    assert_eq!(verdicts(&breaker), SUCCESS);
}

#[tokio::test]
async fn a_call_dropped_before_its_first_message_says_nothing() {
    let breaker = breaker();
    drop(call(&breaker, stream([MESSAGE, status("0")])).await);
    assert_eq!(verdicts(&breaker), IGNORED);
    assert_eq!(breaker.snapshot().totals.cancelled, 1);

    let mut body = call(&breaker, stream([Step::Data(b""), MESSAGE])).await.into_body();
    assert!(frame(&mut body).await.unwrap().is_ok());
    drop(body);
    assert_eq!(verdicts(&breaker), (0, 0, 2), "an empty frame is no message");
}

#[tokio::test]
async fn a_call_dropped_before_its_first_message_is_a_failure_where_drops_are() {
    let settings = Settings::new().count_dropped_as_failure(true);
    let breaker = Breaker::builder("test").settings(settings).build().unwrap();
    drop(call(&breaker, stream([MESSAGE, status("0")])).await);
    assert_eq!(verdicts(&breaker), FAILURE);
}

#[tokio::test]
async fn a_call_dropped_before_its_response_says_nothing() {
    let breaker = breaker();
    let layer = GrpcLayer::client(breaker.clone());
    let mut service =
        layer.layer(service_fn(|_: Request<()>| pending::<Result<Response<Script>, Infallible>>()));
    let mut call = Box::pin(service.ready().await.unwrap().call(Request::new(())));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(call);
    assert_eq!(verdicts(&breaker), IGNORED);
}

#[tokio::test]
async fn a_body_that_panics_is_a_failure() {
    let breaker = breaker();
    let mut body = call(&breaker, stream([MESSAGE, Step::Panic])).await.into_body();
    assert!(frame(&mut body).await.unwrap().is_ok());
    let poll = || Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())).is_ready();
    assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
    assert_eq!(verdicts(&breaker), FAILURE, "before it is dropped");
    drop(body);
    assert_eq!(verdicts(&breaker), FAILURE);
}

#[tokio::test]
async fn a_body_that_a_panic_drops_is_a_failure() {
    let breaker = breaker();
    let mut body = call(&breaker, stream([MESSAGE, Step::Wait])).await.into_body();
    assert!(frame(&mut body).await.unwrap().is_ok());
    let unwinding = move || {
        let _body = body;
        panic!("the reader panics");
    };
    assert!(catch_unwind(AssertUnwindSafe(unwinding)).is_err());
    assert_eq!(verdicts(&breaker), FAILURE);
}

#[tokio::test]
async fn the_end_is_read_once() {
    let breaker = breaker();
    let mut body = call(&breaker, stream([MESSAGE, status("0")])).await.into_body();
    for _ in 0..5 {
        let _ = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
    }
    drop(body);
    assert_eq!(verdicts(&breaker), SUCCESS);
}

#[tokio::test]
async fn errors_without_a_response_are_failures() {
    async fn verdict_of_error<E: 'static>(error: E) -> (u64, u64, u64) {
        let breaker = breaker();
        fail(&breaker, error).await;
        verdicts(&breaker)
    }
    assert_eq!(verdict_of_error(Status::unavailable("")).await, FAILURE);
    assert_eq!(verdict_of_error(Status::not_found("an error of the transport is no answer")).await, FAILURE);
    assert_eq!(verdict_of_error(BoxError::from("anything")).await, FAILURE);
    assert_eq!(verdict_of_error(BoxError::from(tonic::TimeoutExpired(()))).await, FAILURE);
    assert_eq!(verdict_of_error(BoxError::from(tonic::ConnectError("refused".into()))).await, FAILURE);
    assert_eq!(verdict_of_error("an error of a type that nobody knows").await, FAILURE);
    assert_eq!(verdict_of_error(BreakerError::Inner(BoxError::from("anything"))).await, FAILURE);
}

#[tokio::test]
async fn a_rejection_by_another_breaker_is_no_evidence() {
    let outer = breaker();
    let inner = breaker();
    inner.trip();
    let service = BreakerLayer::new(inner.clone())
        .layer(service_fn(async |_: Request<()>| Ok::<_, BoxError>(Response::new(Script::default()))));
    let service = GrpcLayer::client(outer.clone()).layer(service);
    let error = service.oneshot(Request::new(())).await.map(|_| ()).unwrap_err();
    assert!(mainstay_grpc::rejected(&error).is_some());
    assert_eq!(verdicts(&outer), IGNORED, "as an error");

    let rejecting = GrpcLayer::client(inner.clone())
        .layer(service_fn(async |_: Request<()>| Ok::<_, BoxError>(Response::new(Script::default()))));
    let service = GrpcLayer::client(outer.clone()).layer(rejecting);
    let answer = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    assert_eq!(verdicts(&outer), (0, 0, 2), "as a response");

    let rejecting = GrpcLayer::server(inner.clone())
        .layer(service_fn(async |_: Request<()>| Ok::<_, BoxError>(Response::new(Script::default()))));
    let service = GrpcLayer::server(outer.clone()).layer(rejecting);
    let answer = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    assert_eq!(verdicts(&outer), (0, 0, 3), "as a response that names nobody");
}

#[tokio::test]
async fn a_first_message_closes_a_half_open_breaker_though_its_stream_goes_on() {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { max_in_flight: 1, close_after: 2, ..HalfOpen::default() };
    let open = OpenFor::fixed(Duration::from_secs(10));
    let breaker = Breaker::builder("test").half_open(half_open).open_for(open).clock(clock).build().unwrap();
    breaker.trip();
    time.advance(Duration::from_secs(10));
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut body = call(&breaker, stream([MESSAGE, Step::Wait])).await.into_body();
        assert_eq!(breaker.snapshot().half_open.unwrap().in_flight, 1, "the head is no answer yet");
        assert!(frame(&mut body).await.unwrap().is_ok());
        streams.push(body);
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(verdicts(&breaker), UNDECIDED, "and neither is over");
    drop(streams);
    assert_eq!(verdicts(&breaker), (2, 0, 0));
}

#[tokio::test]
async fn a_breaker_whose_only_traffic_is_not_found_closes() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("test")
        .open_for(OpenFor::fixed(Duration::from_secs(1)))
        .clock(clock)
        .build()
        .unwrap();
    breaker.trip();
    time.advance(Duration::from_secs(1));
    for _ in 0..2 {
        call(&breaker, response(&[("grpc-status", "5")], Script::announced([]))).await;
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_is_cut_off() {
    let breaker = breaker();
    let layer = GrpcLayer::client(breaker.clone()).max_silence(Duration::from_secs(5));
    let mut body = call_with(layer, stream([MESSAGE, Step::Wait])).await.into_body();
    assert!(frame(&mut body).await.unwrap().is_ok());
    // A reader that does something else is not the server's silence.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let began = tokio::time::Instant::now();
    let last = frame(&mut body).await.unwrap().unwrap();
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_secs(6), "{waited:?}");
    assert_eq!(last.trailers_ref().unwrap()["grpc-status"], "4");
    assert_eq!(verdicts(&breaker), FAILURE);
    assert!(body.is_end_stream());
    assert!(frame(&mut body).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn each_message_begins_the_silence_anew() {
    let (sender, body) = http_body_util::channel::Channel::<bytes::Bytes, BoxError>::new(1);
    let breaker = breaker();
    let layer = GrpcLayer::client(breaker.clone()).max_silence(Duration::from_secs(5));
    let mut body = Some(body);
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let response = Response::new(body.take().unwrap());
        async { Ok::<_, Infallible>(response) }
    }));
    let body = service.oneshot(Request::new(())).await.unwrap().into_body();
    tokio::spawn(async move {
        let mut sender = sender;
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(4)).await;
            sender.send_data(bytes::Bytes::from_static(b"\0\0\0\0\0")).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        sender.send_trailers(crate::script::headers(&[("grpc-status", "0")])).await.unwrap();
    });
    read(body).await;
    assert_eq!(verdicts(&breaker), SUCCESS);
}

#[tokio::test]
async fn a_pushback_keeps_the_breaker_open() {
    async fn open_for(value: &'static str) -> Duration {
        let (clock, _time) = Clock::manual();
        let builder = Breaker::builder("test").trip(Trip::consecutive_failures(1)).clock(clock);
        let breaker = builder.open_for(OpenFor::fixed(Duration::from_secs(10))).build().unwrap();
        let trailers = Step::Trailers(vec![("grpc-status", "14"), ("grpc-retry-pushback-ms", value)]);
        read(call(&breaker, stream([trailers])).await.into_body()).await;
        breaker.snapshot().retry_after.unwrap()
    }
    assert_eq!(open_for("60000").await, Duration::from_secs(60));
    assert_eq!(open_for("2147483647").await, Duration::from_secs(5 * 60), "no longer than retry_after_cap");
    for nothing in ["", "-1", "+60000", "1e9", "60000 ", "2147483648", "99999999999999999999999", "0", "1"] {
        assert_eq!(open_for(nothing).await, Duration::from_secs(10), "{nothing:?}");
    }
}

#[test]
fn a_guarded_body_can_be_moved_if_its_inner_one_can() {
    fn unpin<T: Unpin + Send>() {}
    unpin::<GuardedBody<Script>>();
    unpin::<GuardedBody<tonic::body::Body>>();
}

#[test]
fn a_table_takes_every_verdict_for_every_code() {
    for code in (1..=16).map(Code::from) {
        assert_eq!(Codes::new().fail(code).verdict(code), Verdict::Failure);
        assert_eq!(Codes::new().ignore(code).verdict(code), Verdict::Ignore);
        assert_eq!(Codes::new().succeed(code).verdict(code), Verdict::Success);
        assert_eq!(Codes::new().fail(code).ignore(code).succeed(code).verdict(code), Verdict::Success);
        let others = (0..=16).map(Code::from).filter(|other| *other != code);
        for other in others {
            assert_eq!(Codes::new().ignore(code).verdict(other), Codes::new().verdict(other));
        }
    }
    let ok = Codes::new().fail(Code::Ok).ignore(Code::Ok);
    assert_eq!(ok.verdict(Code::Ok), Verdict::Success);
    assert_eq!(ok, Codes::default());
    assert_eq!(size_of::<Codes>(), 8);
}

#[test]
fn the_table_is_the_one_that_is_documented() {
    use Code::*;
    let succeed = [Ok, InvalidArgument, NotFound, AlreadyExists, PermissionDenied, Unauthenticated];
    for code in (0..=16).map(Code::from) {
        let expected = if succeed.contains(&code) { Verdict::Success } else { Verdict::Failure };
        assert_eq!(Codes::new().verdict(code), expected, "{code:?}");
        let expected = if code == Unimplemented { Verdict::Ignore } else { expected };
        assert_eq!(Codes::server().verdict(code), expected, "{code:?}");
    }
}
