//! How much a user may: so many requests a minute, an hour and a day, by his tier. Look at [`Limiter::admit`].
//!
//! Redis counts, exactly for all gateways; while it is down each gateway counts for itself, and says so.

mod local;
mod redis;
mod window;

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

pub use local::LocalLimiter;
pub use redis::RedisLimiter;
pub use window::{Admission, Limits, Quota, Window};

use crate::App;
use crate::auth::Caller;
use crate::degraded;
use crate::problem::Problem;

pub(crate) const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
pub(crate) const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
pub(crate) const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
pub(crate) const SCOPE: HeaderName = HeaderName::from_static("x-ratelimit-scope");

/// Counts requests, in Redis and beside it.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    /// None with embedded stores: then there is one gateway, and it counts for all.
    shared: Option<RedisLimiter>,
    local: LocalLimiter,
}

/// Whether a request may go on, and who says so.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    admission: Admission,
    /// This gateway alone counted, because Redis is down.
    stands_in: bool,
}

impl Limiter {
    /// By these limits, in Redis if there is one.
    pub fn new(limits: Limits, shared: Option<RedisLimiter>) -> Self {
        Self { limits, shared, local: LocalLimiter::new() }
    }

    /// Counts a request, if it is admitted.
    pub async fn admit(&self, caller: &Caller) -> Verdict {
        let quota = self.limits.of(caller.tier);
        // While it is down nobody waits to find out that it is.
        if let Some(shared) = self.shared.as_ref().filter(|shared| shared.is_up()) {
            match shared.admit(&caller.user, quota).await {
                Ok(admission) => return Verdict { admission, stands_in: false },
                Err(error) => tracing::debug!(%error, "limits are counted here: Redis is down"),
            }
        }
        let admission = self.local.admit(&caller.user, quota);
        Verdict { admission, stands_in: self.shared.is_some() }
    }
}

/// Lets a user's requests through as far as his tier goes, and says in each response how far that is.
pub async fn limit(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let Some(caller) = request.extensions().get::<Caller>() else {
        return Err(Problem::unauthorized("A bearer token or an API key is needed.", None));
    };
    let verdict = app.limiter.admit(caller).await;
    let mut response = match verdict.admission.refused_for {
        None => next.run(request).await,
        Some(wait) => refuse(&verdict.admission, wait).into_response(),
    };
    verdict.write(response.headers_mut());
    if verdict.stands_in {
        degraded::say(&mut response, "minor", "local_rate_limits");
    }
    Ok(response)
}

fn refuse(admission: &Admission, wait: Duration) -> Problem {
    let detail = format!("More than {} requests a {}.", admission.limit, admission.window.as_str());
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
        .retry_after(wait)
        .code("rate_limit_exceeded")
        .without_asking()
}

impl Verdict {
    fn write(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.admission.limit));
        headers.insert(REMAINING, HeaderValue::from(self.admission.remaining));
        headers.insert(RESET, HeaderValue::from(self.admission.resets_at));
        if self.stands_in {
            headers.insert(SCOPE, HeaderValue::from_static("local"));
        }
    }
}
