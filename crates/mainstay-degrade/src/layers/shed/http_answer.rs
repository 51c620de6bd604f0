use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use mainstay_core::NotAsked;

use super::{OnShed, Shed};

/// Answers what is shed with a problem (RFC 9457): the status 503, `application/problem+json`, and `Retry-After`.
///
/// The content is always the same; neither the class nor the level leaves the house. Layers outside find [`NotAsked`] among the
/// response's extensions, so that it is no evidence for the level wherever the traffic is observed, and the [`Shed`]. For any body that can
/// be made from a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShedHttp {
    retry_after: Duration,
}

const SHED: &str = concat!(
    r#"{"type":"about:blank","title":"Service Unavailable","status":503,"#,
    r#""detail":"The service is too busy for this request now. Please try again later."}"#,
);

impl ShedHttp {
    /// After how long callers may try again. In the header it is in whole seconds, rounded up, at least 1. Default: 30 s, for as long as a
    /// level is held at least.
    #[must_use]
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = retry_after;
        self
    }
}

impl Default for ShedHttp {
    fn default() -> Self {
        Self { retry_after: Duration::from_secs(30) }
    }
}

impl<B, E> OnShed<Response<B>, E> for ShedHttp
where
    B: From<&'static str>,
{
    type Error = E;

    fn shed(&self, shed: Shed) -> Result<Response<B>, E> {
        let mut response = Response::new(SHED.into());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let seconds =
            self.retry_after.as_secs().saturating_add(u64::from(self.retry_after.subsec_nanos() > 0));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        response.extensions_mut().insert(NotAsked);
        response.extensions_mut().insert(shed);
        Ok(response)
    }

    fn inner(error: E) -> E {
        error
    }
}
