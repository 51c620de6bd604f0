use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use mainstay_breaker::{NotAsked, Refuse, Rejected, TimedOut};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::fault::BoxError;
use crate::{GuardedBody, status};

/// Answers calls that are rejected with a response of trailers only: HTTP 200, `UNAVAILABLE`, `grpc-retry-pushback-ms` when it
/// is known how long to wait, and no body. A call that the breaker's own time-out cuts off is `DEADLINE_EXCEEDED`.
///
/// Nothing that goes over the wire names the breaker. On the client side the [`Rejected`] (or [`TimedOut`]) goes along as an
/// extension of the response.
#[derive(Clone, Copy, Debug)]
pub struct Unavailable {
    explained: bool,
}

/// Answers calls that are rejected with an error: a [`Status`] with the same code, message and metadata as the response of
/// [`Unavailable`], and the [`Rejected`] as its source, where [`rejected`](crate::rejected) finds it.
///
/// For clients: it makes the service's error a `Status`, and turns the channel's own errors into the very `Status` that a
/// generated client would make of them.
///
/// ```
/// use mainstay_breaker::Breaker;
/// use mainstay_grpc::{AsStatus, GrpcLayer};
///
/// let guard = GrpcLayer::client(Breaker::new("agent-core")?).refuse_with(AsStatus);
/// # let _ = guard;
/// # Ok::<(), mainstay_breaker::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AsStatus;

/// Answers rejections with an error that has the [`Rejected`] as its source, and cut-off calls with one that has the
/// [`TimedOut`]. For connectors.
///
/// The error's own text names nobody: tonic makes it the message of a `Status`, which a handler may pass on to strangers.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsError;

/// An error that does not tell strangers what it is about.
#[derive(Debug)]
struct Reserved<E> {
    text: &'static str,
    source: E,
}

const REJECTED: &str = "rejected by a circuit breaker";
const CUT_OFF: &str = "no answer in time";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Marks the response to a rejection, for layers around: nobody was asked, so it is no evidence. It names nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnedAway;

// === impl Unavailable ===

impl Unavailable {
    /// For clients: the response has the [`Rejected`] or [`TimedOut`] among its extensions.
    pub const fn explained() -> Self {
        Self { explained: true }
    }

    /// For servers: the response tells nothing of the breaker, neither over the wire nor among its extensions, but that
    /// [nobody was asked](NotAsked).
    pub const fn unexplained() -> Self {
        Self { explained: false }
    }
}

impl<B, E> Refuse<Response<GuardedBody<B>>, E> for Unavailable {
    type Error = E;

    fn rejected(&self, rejected: Rejected) -> Result<Response<GuardedBody<B>>, E> {
        let mut response = trailers_only("14", REJECTED);
        if let Some(after) = rejected.retry_after() {
            response.headers_mut().insert(status::RETRY_PUSHBACK, status::pushback_value(after));
        }
        response.extensions_mut().insert(TurnedAway);
        response.extensions_mut().insert(NotAsked);
        if self.explained {
            response.extensions_mut().insert(rejected);
        }
        Ok(response)
    }

    fn timed_out(&self, timed_out: TimedOut) -> Result<Response<GuardedBody<B>>, E> {
        let mut response = trailers_only("4", CUT_OFF);
        if self.explained {
            response.extensions_mut().insert(timed_out);
        }
        Ok(response)
    }

    fn inner(error: E) -> E {
        error
    }
}

/// The texts need no percent-encoding.
fn trailers_only<B>(code: &'static str, message: &'static str) -> Response<GuardedBody<B>> {
    let mut response = Response::new(GuardedBody::empty());
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(status::GRPC_STATUS, HeaderValue::from_static(code));
    headers.insert(status::GRPC_MESSAGE, HeaderValue::from_static(message));
    *response.headers_mut() = headers;
    response
}

// === impl AsStatus ===

impl<T, E: Into<BoxError>> Refuse<T, E> for AsStatus {
    type Error = Status;

    fn rejected(&self, rejected: Rejected) -> Result<T, Status> {
        let mut metadata = MetadataMap::new();
        if let Some(after) = rejected.retry_after() {
            let mut headers = metadata.into_headers();
            headers.insert(status::RETRY_PUSHBACK, status::pushback_value(after));
            metadata = MetadataMap::from_headers(headers);
        }
        let mut status = Status::with_metadata(Code::Unavailable, REJECTED, metadata);
        status.set_source(Arc::new(rejected));
        Err(status)
    }

    fn timed_out(&self, timed_out: TimedOut) -> Result<T, Status> {
        let mut status = Status::deadline_exceeded(CUT_OFF);
        status.set_source(Arc::new(timed_out));
        Err(status)
    }

    fn inner(error: E) -> Status {
        Status::from_error(error.into())
    }
}

// === impl AsError ===

impl<T, E: Into<BoxError>> Refuse<T, E> for AsError {
    type Error = BoxError;

    fn rejected(&self, rejected: Rejected) -> Result<T, BoxError> {
        Err(Reserved { text: REJECTED, source: rejected }.into())
    }

    fn timed_out(&self, timed_out: TimedOut) -> Result<T, BoxError> {
        Err(Reserved { text: CUT_OFF, source: timed_out }.into())
    }

    fn inner(error: E) -> BoxError {
        error.into()
    }
}

// === impl Reserved ===

impl<E> fmt::Display for Reserved<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl<E: Error + 'static> Error for Reserved<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
