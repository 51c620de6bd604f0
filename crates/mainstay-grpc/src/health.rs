//! A ready-made check for `mainstay-health`, that asks a remote `grpc.health.v1.Health`.
//!
//! ```no_run
//! use std::time::Duration;
//! use mainstay_breaker::Breaker;
//! use mainstay_grpc::{GrpcLayer, health};
//! use mainstay_grpc::tonic::transport::Endpoint;
//! use mainstay_health::{Check, HealthManager};
//! use tower::ServiceBuilder;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let breaker = Breaker::builder("agent-core").settings(mainstay_grpc::default_settings()).build()?;
//! let endpoint = Endpoint::from_static("http://127.0.0.1:50051")
//!     .http2_keep_alive_interval(Duration::from_secs(10))
//!     .keep_alive_timeout(Duration::from_secs(2))
//!     .keep_alive_while_idle(true);
//! let guarded = ServiceBuilder::new().layer(GrpcLayer::client(breaker.clone())).service(endpoint.connect_lazy());
//!
//! let health = HealthManager::builder("orchestrator")
//!     // What the service's own calls find, or what a connection of the check's own does.
//!     .check(Check::shared("agent-core", health::check(guarded.clone(), "agent.v1.Agent")).critical())
//!     .check(Check::shared("agent-server", health::check_endpoint(endpoint, "agent.v1.Agent", breaker)))
//!     .build()?;
//! health.start()?;
//! # Ok(())
//! # }
//! ```
//!
//! | found | status |
//! | --- | --- |
//! | `SERVING` | healthy |
//! | `NOT_SERVING`, or any other answer | unhealthy |
//! | the breaker is open, or forced open | unhealthy, [`CircuitOpen`](ErrorClass::CircuitOpen); the server is not asked |
//! | the breaker is half-open or ramps up, and lets others go first | degraded, `CircuitOpen` |
//! | `UNAVAILABLE`: no connection, or the server says so | unhealthy |
//! | `DEADLINE_EXCEEDED`, and `CANCELLED`, which is how tonic reports the end of the time that a call was given | degraded, `TimedOut` |
//! | `UNIMPLEMENTED`: a server without the health service | degraded, `NotFound` |
//! | any other status, also `NOT_FOUND`: the server does not know the name | degraded, with its [class](error_class) |
//!
//! Through a guard the question counts like any other call: it opens the breaker, and while that is half-open it is one of the
//! probes that close it, so that a service that gets no traffic because it is not ready recovers all the same.
//!
//! [`check`] finds what the service's own calls find. A channel whose packets are swallowed stays silent after the network is
//! well again, until something closes its connection: `Endpoint::http2_keep_alive_interval` with
//! `Endpoint::keep_alive_while_idle` does. [`check_endpoint`] asks about the server, whatever becomes of the service's channel.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as HttpBody;
use mainstay_breaker::{Breaker, Refuse, RejectReason, Rejected};
use mainstay_health::{CheckError, CheckOutcome, ErrorClass, IntoProbe, Probe};
use mainstay_health_grpc::pb::HealthCheckRequest;
use mainstay_health_grpc::pb::health_check_response::ServingStatus;
use mainstay_health_grpc::pb::health_client::HealthClient;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::Service;
use tonic::transport::{self, Endpoint};
use tonic::{Code, Request, Status};
use tower_layer::Layer;

use crate::fault::BoxError;
use crate::{AsStatus, GrpcLayer, rejected};

/// How long the server has for its answer, if it is not said otherwise.
const WITHIN: Duration = Duration::from_secs(1);
/// The longest time that a server can be given: the protocol has no words for much longer ones.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Asks over a clone of this channel whether a service serves; the empty name is the server as a whole. The channel may be
/// guarded by a [`GrpcLayer`] that rejects in whatever way, or not at all.
///
/// The server has 1 s for its answer, on a connection that is there; then the check is degraded. Let the check's time-out (2 s
/// unless told otherwise) be longer than that, and than the guard's own: what the check cuts off, while it waits for a
/// connection, is unhealthy, and counts for nothing in the breaker.
pub fn check<S>(channel: S, service: impl Into<String>) -> Probe
where
    S: GrpcService<Body, Future: Send, Error: Into<BoxError>> + Clone + Send + Sync + 'static,
    S::ResponseBody: HttpBody<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static,
{
    check_within(channel, service, WITHIN)
}

/// The same as [`check`], with another time for the answer: at most 365 days, and less than the check's time-out.
pub fn check_within<S>(channel: S, service: impl Into<String>, within: Duration) -> Probe
where
    S: GrpcService<Body, Future: Send, Error: Into<BoxError>> + Clone + Send + Sync + 'static,
    S::ResponseBody: HttpBody<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static,
{
    let (channel, service) = (Frank(channel), service.into());
    let probe = move || {
        let (channel, service) = (channel.clone(), service.clone());
        async move {
            match ask(channel, service, within).await {
                Ok(ServingStatus::Serving) => CheckOutcome::healthy(),
                Ok(status) => CheckOutcome::unhealthy(status.as_str_name()),
                Err(status) => judge(&status),
            }
        }
    };
    probe.into_probe()
}

/// Asks a server whether a service serves, over a connection that is made for each run and closed with it; through a breaker, if
/// there is one (`None` for none). The empty name is the server as a whole.
///
/// The breaker is asked before there is a connection. The endpoint's own settings (TLS, time-outs, the size of windows) are in
/// force. The server has 1 s for its answer, once there is a connection; what takes longer than the check's time-out, such as
/// connecting into the void, is unhealthy, and counts for nothing in the breaker. Where it shall count, let
/// `Endpoint::connect_timeout` be shorter than that.
///
/// The name is resolved in each run, by the system's resolver, which blocks a thread of the runtime's until it gives up, also
/// after the run was cut off.
pub fn check_endpoint(
    endpoint: Endpoint,
    service: impl Into<String>,
    breaker: impl Into<Option<Breaker>>,
) -> Probe {
    let fresh = Fresh(endpoint);
    match breaker.into() {
        Some(breaker) => check(GrpcLayer::client(breaker).layer(fresh), service),
        None => check(fresh, service),
    }
}

/// The class of a status, as it is shown to anybody.
///
/// | status | class |
/// | --- | --- |
/// | a rejection by a breaker of ours | `CircuitOpen` |
/// | one with an error of the system among its sources | as [`ErrorClass::of`] has it |
/// | `UNAVAILABLE` | `Overloaded` if the server says so, `ConnectionLost` if the channel does |
/// | `DEADLINE_EXCEEDED`, `CANCELLED` | `TimedOut` |
/// | `RESOURCE_EXHAUSTED` | `Overloaded` |
/// | `UNAUTHENTICATED`, `PERMISSION_DENIED` | `Unauthorized` |
/// | `UNIMPLEMENTED`, `NOT_FOUND` | `NotFound` |
/// | any other | `BadAnswer` |
pub fn error_class(status: &Status) -> ErrorClass {
    if rejected(status).is_some() {
        return ErrorClass::CircuitOpen;
    }
    match (status.code(), ErrorClass::of(status)) {
        (Code::DeadlineExceeded | Code::Cancelled, _) => ErrorClass::TimedOut,
        (_, class) if class != ErrorClass::Other => class,
        (Code::Unavailable, _) if std::error::Error::source(status).is_some() => ErrorClass::ConnectionLost,
        (Code::Unavailable | Code::ResourceExhausted, _) => ErrorClass::Overloaded,
        (Code::Unauthenticated | Code::PermissionDenied, _) => ErrorClass::Unauthorized,
        (Code::Unimplemented | Code::NotFound, _) => ErrorClass::NotFound,
        _ => ErrorClass::BadAnswer,
    }
}

/// Connects for each call. Whoever drops the call closes the connection, also one that is being made.
#[derive(Clone)]
struct Fresh(Endpoint);

/// A channel whose rejections are errors, where a client finds them again: it drops what comes with a response.
#[derive(Clone)]
struct Frank<S>(S);

async fn ask<S>(mut channel: Frank<S>, service: String, within: Duration) -> Result<ServingStatus, Status>
where
    S: GrpcService<Body, Future: Send, Error: Into<BoxError>> + Send + 'static,
    S::ResponseBody: HttpBody<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static,
{
    // The client does the same, and keeps of an error its text only.
    poll_fn(|cx| Service::poll_ready(&mut channel, cx)).await.map_err(Status::from_error)?;
    let mut request = Request::new(HealthCheckRequest { service });
    request.set_timeout(within.min(LONGEST));
    Ok(HealthClient::new(channel).check(request).await?.into_inner().status())
}

fn judge(status: &Status) -> CheckOutcome {
    let found = CheckError::from_error(error_class(status), status);
    match (rejected(status).map(Rejected::reason), status.code()) {
        (Some(RejectReason::Open | RejectReason::Forced), _) => CheckOutcome::failed(found),
        (Some(_), _) => {
            CheckOutcome::degraded("the breaker lets calls in again, a few at a time").error(found)
        }
        (None, Code::Unavailable) => CheckOutcome::failed(found),
        (None, Code::Unimplemented) => {
            CheckOutcome::degraded("the server does not implement grpc.health.v1").error(found)
        }
        (None, code) => CheckOutcome::degraded(format!("{code:?}")).error(found),
    }
}

// === impl Fresh ===

impl Service<http::Request<Body>> for Fresh {
    type Response = http::Response<Body>;
    type Error = transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, transport::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let endpoint = self.0.clone();
        Box::pin(async move {
            let mut channel = endpoint.connect().await?;
            poll_fn(|cx| Service::poll_ready(&mut channel, cx)).await?;
            Service::call(&mut channel, request).await
        })
    }
}

// === impl Frank ===

impl<S> Service<http::Request<Body>> for Frank<S>
where
    S: GrpcService<Body, Future: Send + 'static, Error: Into<BoxError>>,
    S::ResponseBody: Send + 'static,
{
    type Response = http::Response<S::ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let call = self.0.call(request);
        Box::pin(async move {
            let response = call.await.map_err(Into::into)?;
            match response.extensions().get::<Rejected>() {
                Some(rejected) => {
                    let refused: Result<Self::Response, Status> =
                        Refuse::<_, BoxError>::rejected(&AsStatus, *rejected);
                    refused.map_err(Into::into)
                }
                None => Ok(response),
            }
        })
    }
}
