//! What a call gets that the breaker does not let through, or cuts off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::io;
use std::time::Duration;

use crate::script::{BoxError, FAILURE, Script, frame, response, verdicts};
use http::{Request, Response};
use http_body::Body;
use mainstay_breaker::{
    Breaker, BreakerError, BreakerLayer, Clock, Control, OpenFor, RejectReason, Rejected, TimedOut,
};
use mainstay_grpc::{AsError, Calls, ConnectLayer, GrpcLayer, Unavailable, rejected, timed_out};
use tonic::{Code, Status};
use tower::{Layer, ServiceExt, service_fn};

async fn fine(_: Request<()>) -> Result<Response<Script>, Infallible> {
    Ok(response(&[("grpc-status", "0")], Script::announced([])))
}

async fn silent(_: Request<()>) -> Result<Response<Script>, Infallible> {
    pending().await
}

/// Open for another 1.0005 s.
fn open() -> Breaker {
    let (clock, _time) = Clock::manual();
    let open_for = OpenFor::fixed(Duration::from_micros(1_000_500));
    let breaker = Breaker::builder("secret name").open_for(open_for).clock(clock).build().unwrap();
    breaker.trip();
    breaker
}

#[tokio::test]
async fn a_rejection_is_a_response_of_trailers_only() {
    let guarded = GrpcLayer::client(open()).layer(service_fn(fine));
    let mut answer = guarded.oneshot(Request::new(())).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    assert_eq!(answer.headers()["grpc-status"], "14");
    assert_eq!(answer.headers()["grpc-retry-pushback-ms"], "1001", "rounded up");
    assert_eq!(answer.headers().len(), 4);
    assert!(answer.body().is_end_stream());
    assert_eq!(answer.body().size_hint().exact(), Some(0));
    assert!(frame(answer.body_mut()).await.is_none());

    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "rejected by a circuit breaker");
}

#[tokio::test]
async fn a_client_finds_the_rejection_among_the_extensions() {
    let guarded = GrpcLayer::client(open()).layer(service_fn(fine));
    let answer = guarded.oneshot(Request::new(())).await.unwrap();
    let rejected = answer.extensions().get::<Rejected>().unwrap();
    assert_eq!(rejected.name(), "secret name");
    assert_eq!(rejected.reason(), RejectReason::Open);
}

#[tokio::test]
async fn a_server_tells_nobody_the_breakers_name() {
    let guarded = GrpcLayer::server(open()).layer(service_fn(fine));
    let answer = guarded.oneshot(Request::new(())).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    assert_eq!(answer.headers()["grpc-retry-pushback-ms"], "1001");
    assert!(answer.extensions().get::<Rejected>().is_none());
    assert!(answer.extensions().get::<TimedOut>().is_none());
    assert!(!format!("{:?}", answer.headers()).contains("secret"));
}

#[tokio::test]
async fn without_a_time_to_wait_for_there_is_no_pushback() {
    let breaker = open();
    breaker.set_control(Control::ForcedOpen);
    let guarded = GrpcLayer::client(breaker.clone()).layer(service_fn(fine));
    let answer = guarded.oneshot(Request::new(())).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    assert!(!answer.headers().contains_key("grpc-retry-pushback-ms"));

    let guarded = GrpcLayer::client(breaker).reject_with_status().layer(service_fn(infallible_as_box));
    let status = guarded.oneshot(Request::new(())).await.map(|_| ()).unwrap_err();
    assert!(status.metadata().is_empty());
}

async fn infallible_as_box(request: Request<()>) -> Result<Response<Script>, BoxError> {
    Ok(fine(request).await?)
}

#[tokio::test]
async fn the_longest_pushback_is_what_the_protocol_can_tell() {
    let open_for = OpenFor::fixed(Duration::from_secs(365 * 24 * 60 * 60));
    let breaker = Breaker::builder("test").open_for(open_for).build().unwrap();
    breaker.trip();
    let guarded = GrpcLayer::client(breaker).layer(service_fn(fine));
    let answer = guarded.oneshot(Request::new(())).await.unwrap();
    assert_eq!(answer.headers()["grpc-retry-pushback-ms"], "2147483647");
}

#[tokio::test]
async fn as_a_status_a_rejection_has_its_source() {
    let guarded = GrpcLayer::client(open()).reject_with_status().layer(service_fn(infallible_as_box));
    let status = guarded.oneshot(Request::new(())).await.map(|_| ()).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "rejected by a circuit breaker");
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1001");
    assert_eq!(status.metadata().len(), 1);
    assert_eq!(rejected(&status).unwrap().name(), "secret name");
    // A handler that passes it on to its own caller tells no more than the code, the text and the wait.
    let passed_on = status.into_http::<()>();
    assert!(!format!("{:?}", passed_on.headers()).contains("secret"));
}

#[tokio::test]
async fn as_a_status_other_errors_are_what_tonic_makes_of_them() {
    async fn status_of(error: BoxError) -> Status {
        let mut error = Some(error);
        let breaker = Breaker::new("test").unwrap();
        let service = service_fn(move |_: Request<()>| {
            let error = error.take().unwrap();
            async { Err::<Response<Script>, _>(error) }
        });
        let guarded = GrpcLayer::client(breaker).reject_with_status().layer(service);
        guarded.oneshot(Request::new(())).await.map(|_| ()).unwrap_err()
    }
    assert_eq!(status_of(Status::data_loss("lost").into()).await.code(), Code::DataLoss);
    assert_eq!(status_of(tonic::TimeoutExpired(()).into()).await.code(), Code::Cancelled);
    let refused = status_of(tonic::ConnectError("refused".into()).into()).await;
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "refused"));
    let other = status_of("other".into()).await;
    assert_eq!((other.code(), other.message()), (Code::Unknown, "other"));
    assert!(rejected(&other).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_layer_cuts_off_exceeds_its_deadline_and_is_a_failure() {
    let breaker = Breaker::new("secret name").unwrap();
    let tenth = Duration::from_millis(100);

    let guarded = GrpcLayer::client(breaker.clone()).timeout(tenth).layer(service_fn(silent));
    let answer = guarded.oneshot(Request::new(())).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
    assert_eq!(answer.extensions().get::<TimedOut>().unwrap().after(), tenth);
    assert_eq!(verdicts(&breaker), FAILURE);

    let guarded = GrpcLayer::server(breaker.clone()).timeout(tenth).layer(service_fn(silent));
    let answer = guarded.oneshot(Request::new(())).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
    assert!(answer.extensions().get::<Rejected>().is_none());
    assert!(answer.extensions().get::<TimedOut>().is_none());

    let layer = GrpcLayer::client(breaker.clone()).reject_with_status().timeout(tenth);
    let guarded = layer.layer(service_fn(|request| async { silent(request).await.map_err(BoxError::from) }));
    let status = guarded.oneshot(Request::new(())).await.map(|_| ()).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(timed_out(&status).unwrap().after(), tenth);
    assert_eq!(verdicts(&breaker), (0, 3, 0));
}

#[tokio::test]
async fn rejections_are_found_at_any_depth_of_a_chain() {
    let rejection = open().try_acquire().map(|_| ()).unwrap_err();
    let mut status = Status::unavailable("");
    status.set_source(std::sync::Arc::new(rejection));
    let chains: Vec<BoxError> = vec![
        rejection.into(),
        status.clone().into(),
        tonic::ConnectError(rejection.into()).into(),
        io::Error::other(rejection).into(),
        io::Error::other(io::Error::other(tonic::ConnectError(rejection.into()))).into(),
        BreakerError::<Status>::Rejected(rejection).into(),
        BreakerError::Inner(status).into(),
        BreakerError::<BoxError>::Inner(rejection.into()).into(),
        BreakerError::<tonic::transport::Error>::Rejected(rejection).into(),
    ];
    for chain in &chains {
        assert_eq!(rejected(chain.as_ref()), Some(&rejection), "{chain:?}");
        assert!(timed_out(chain.as_ref()).is_none());
    }
    for other in [BoxError::from("rejected"), io::Error::from(io::ErrorKind::ConnectionRefused).into()] {
        assert!(rejected(other.as_ref()).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn as_an_error_a_rejection_names_nobody_and_has_its_source() {
    let connector = service_fn(async |_: ()| Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused)));
    let error = ConnectLayer::new(open()).layer(connector).oneshot(()).await.unwrap_err();
    assert_eq!(rejected(error.as_ref()).unwrap().name(), "secret name");
    assert_eq!(error.to_string(), "rejected by a circuit breaker");

    let breaker = Breaker::new("test").unwrap();
    let error = ConnectLayer::new(breaker.clone()).layer(connector).oneshot(()).await.unwrap_err();
    assert!(error.is::<io::Error>());
    assert_eq!(verdicts(&breaker), FAILURE);

    let silent = service_fn(async |_: ()| pending::<Result<(), io::Error>>().await);
    let layer = ConnectLayer::new(breaker.clone()).timeout(Duration::from_millis(100));
    let error = layer.layer(silent).oneshot(()).await.unwrap_err();
    assert_eq!(timed_out(error.as_ref()).unwrap().name(), "test");
    assert_eq!(error.to_string(), "no answer in time");
    assert_eq!(verdicts(&breaker), (0, 2, 0));
}

#[tokio::test]
async fn the_parts_fit_a_layer_that_one_makes_oneself() {
    let layer = BreakerLayer::new(open()).conclude_with(Calls::new()).refuse_with(Unavailable::unexplained());
    let answer = layer.layer(service_fn(fine)).oneshot(Request::new(())).await.unwrap();
    assert!(answer.extensions().get::<Rejected>().is_none());
    assert!(answer.extensions().get::<TimedOut>().is_none());
    let layer = BreakerLayer::new(open()).refuse_with(AsError);
    let error: Box<dyn Error + Send + Sync> =
        layer.layer(service_fn(fine)).oneshot(Request::new(())).await.map(|_| ()).unwrap_err();
    assert!(rejected(error.as_ref()).is_some());
}
