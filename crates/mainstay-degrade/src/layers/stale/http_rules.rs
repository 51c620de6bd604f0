use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE, VARY,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::{Keeping, Worth};
use crate::{Degraded, InExtensions, Mark};

/// Keeps what HTTP allows to be given to others: answers with a status of success to `GET` requests without credentials, unless
/// they are marked as private, as not to be stored, or as not to be used when stale, set a cookie, or vary by the request's
/// headers. An error or a status of 500 and more is a failure; anything else goes to the caller.
///
/// Other credentials, such as an API key in a header of its own, it does not know: where there are such, the key must say who asks. Answers
/// of gRPC are not kept, because their status comes after the body.
///
/// Bodies must be `Clone`, such as `Full<Bytes>`: what streams must be collected first. The extensions of an answer are not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepHttp {
    credentials: bool,
    private: bool,
    vary: bool,
    any_method: bool,
}

/// What a shared store must not keep, or not give out when it is stale.
const NOT_KEPT: [&str; 5] = ["private", "no-store", "no-cache", "must-revalidate", "proxy-revalidate"];

impl KeepHttp {
    /// Keeps what may be given to everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also requests with `authorization`, `proxy-authorization` or `cookie`. Then the key must say who asks, or one user gets another's
    /// answer. Default: not.
    #[must_use]
    pub fn allow_credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// Also answers that set a cookie, or whose `cache-control` forbids it. Then the key must say who asks. Default: not.
    #[must_use]
    pub fn allow_private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Also answers with `vary`. Then the key must hold what they vary by. Default: not.
    #[must_use]
    pub fn allow_vary(mut self) -> Self {
        self.vary = true;
        self
    }

    /// Also requests with other methods than `GET`. Then the key must hold the method, and what the request's body asks for. Default:
    /// not.
    #[must_use]
    pub fn allow_any_method(mut self) -> Self {
        self.any_method = true;
        self
    }

    fn may_keep_answer(&self, headers: &HeaderMap) -> bool {
        let is_private = || headers.contains_key(SET_COOKIE) || forbids(headers, &NOT_KEPT);
        let is_grpc = headers
            .get(CONTENT_TYPE)
            .is_some_and(|content_type| content_type.as_bytes().starts_with(b"application/grpc"));
        !is_grpc && (self.vary || !headers.contains_key(VARY)) && (self.private || !is_private())
    }
}

/// Says something of the moment, and nothing of what was answered before.
fn is_transient(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

impl<B, D: Clone, E> Keeping<Request<B>, Response<D>, E> for KeepHttp {
    fn may_keep(&self, request: &Request<B>) -> bool {
        let has = |name| request.headers().contains_key(name);
        let has_credentials = has(AUTHORIZATION) || has(COOKIE) || has(PROXY_AUTHORIZATION);
        (self.any_method || request.method() == Method::GET)
            && (self.credentials || !has_credentials)
            && !forbids(request.headers(), &["no-store"])
    }

    fn worth(&self, result: &Result<Response<D>, E>) -> Worth {
        let Ok(response) = result else { return Worth::Fail };
        let is_whole = response.status().is_success() && response.status() != StatusCode::PARTIAL_CONTENT;
        let is_full = response.extensions().get::<Degraded>().is_none();
        if response.status().is_server_error() {
            Worth::Fail
        } else if is_whole && is_full && self.may_keep_answer(response.headers()) {
            Worth::Keep
        } else if response.status().is_client_error() && !is_transient(response.status())
            || is_whole && is_full
        {
            // Gone, forbidden, or not to be kept from now on.
            Worth::Forget
        } else {
            Worth::Pass
        }
    }

    fn copy(&self, response: &Response<D>) -> Response<D> {
        let mut copy = Response::new(response.body().clone());
        *copy.status_mut() = response.status();
        *copy.version_mut() = response.version();
        *copy.headers_mut() = response.headers().clone();
        copy
    }

    fn mark(&self, response: Response<D>, degraded: Degraded) -> Response<D> {
        InExtensions.mark(response, degraded)
    }
}

/// Whether `cache-control` has one of these. What cannot be read forbids everything.
fn forbids(headers: &HeaderMap, directives: &[&str]) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|value| {
        let Ok(value) = value.to_str() else { return true };
        value.split(',').any(|directive| {
            let name = directive.split('=').next().unwrap_or_default().trim();
            directives.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
        })
    })
}
