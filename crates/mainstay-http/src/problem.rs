use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body::Body;
use mainstay_breaker::{NotAsked, Refuse, Rejected, TimedOut};

use crate::{GuardedBody, retry_after};

/// Answers with a problem (RFC 9457) when the breaker of a server rejects a request or cuts it off.
///
/// | | status | `Retry-After` |
/// | --- | --- | --- |
/// | rejected | 503 | the wait in whole seconds, rounded up, at least 1; none if only a hand can tell (forced open) |
/// | cut off by the time-out | 504 | none |
///
/// The content is `application/problem+json` and always the same; neither the breaker's name nor its reason leaves the
/// house. A layer outside finds the [`Rejected`] or [`TimedOut`] among the response's extensions.
///
/// The two differ because a request that was rejected was not worked on, and may be sent again without a thought; one
/// that was cut off may have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Problem;

const REJECTED: &str = concat!(
    r#"{"type":"about:blank","title":"Service Unavailable","status":503,"#,
    r#""detail":"The service cannot take this request now. Please try again later."}"#,
);

const TIMED_OUT: &str = concat!(
    r#"{"type":"about:blank","title":"Gateway Timeout","status":504,"#,
    r#""detail":"The request took too long and was given up. It may have been carried out in part."}"#,
);

impl<B, E> Refuse<Response<GuardedBody<B>>, E> for Problem
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Error = E;

    fn rejected(&self, rejected: Rejected) -> Result<Response<GuardedBody<B>>, E> {
        let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, REJECTED);
        if let Some(wait) = rejected.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, retry_after::value(wait));
        }
        response.extensions_mut().insert(NotAsked);
        response.extensions_mut().insert(rejected);
        Ok(response)
    }

    fn timed_out(&self, timed_out: TimedOut) -> Result<Response<GuardedBody<B>>, E> {
        let mut response = problem(StatusCode::GATEWAY_TIMEOUT, TIMED_OUT);
        response.extensions_mut().insert(timed_out);
        Ok(response)
    }

    fn inner(error: E) -> E {
        error
    }
}

fn problem<B>(status: StatusCode, content: &'static str) -> Response<GuardedBody<B>>
where
    B: Body,
    B::Data: From<Bytes>,
{
    let content = Bytes::from_static(content.as_bytes());
    let mut response = Response::new(GuardedBody::written(content.into()));
    *response.status_mut() = status;
    let problem = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, problem);
    response
}
