use std::fmt::Display;
use std::future::poll_fn;
use std::sync::Arc;

use http::header::USER_AGENT;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body;
use mainstay_health::{CheckError, ConfigError, IntoProbe, Probe};
use tower_service::Service;

use super::class::check_error;
use super::target::{Target, absolute};
use super::{answer, ask};

/// Asks an endpoint with GET, over a new connection each time, without a breaker. Plain HTTP/1.1 only. It needs a tokio
/// runtime with I/O, which is where the manager runs its checks. A name is resolved anew at each run, by one
/// [`Lookup`](mainstay_health::checks::Lookup) at a time.
///
/// # Errors
///
/// A [`ConfigError`] for a URL that is none, lacks a host, holds credentials, or does not begin with `http://`.
pub fn check(url: &str) -> Result<Probe, ConfigError> {
    let target = Arc::new(Target::new(url)?);
    let run = move || {
        let target = target.clone();
        async move { answer::outcome(alone(&target).await) }
    };
    Ok(run.into_probe())
}

async fn alone(target: &Target) -> Result<StatusCode, CheckError> {
    let stream = ask::connect(target).await.map_err(check_error)?;
    ask::exchange(stream, target).await.map_err(check_error)
}

/// Asks an endpoint with GET through a client of yours: any tower service over `http::Request`, such as hyper-util's client,
/// behind an [`HttpLayer`](crate::HttpLayer) or not. Each run takes a clone.
///
/// It finds what the client's own requests find. Over HTTP/2 they share a connection that no time-out of theirs closes: one
/// whose packets were swallowed stays silent after the network is well again. Let the client send pings, also while it is idle
/// (hyper-util's `http2_keep_alive_interval` and `http2_keep_alive_while_idle`), or ask with [`check`], which connects anew.
///
/// ```
/// use http_body_util::Empty;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use mainstay_breaker::Breaker;
/// use mainstay_health::Check;
/// use mainstay_http::{HttpLayer, health};
/// use tower::ServiceBuilder;
///
/// let breaker = Breaker::new("llm")?;
/// let client = Client::builder(TokioExecutor::new()).build_http::<Empty<&'static [u8]>>();
/// let client = ServiceBuilder::new().layer(HttpLayer::client(breaker)).service(client);
/// let check = Check::shared("llm", health::check_with(client, "http://llm:8000/health")?);
/// # Ok::<(), mainstay_breaker::ConfigError>(())
/// ```
///
/// # Errors
///
/// A [`ConfigError`] for a URL that is none, lacks a scheme or a host, or holds credentials.
pub fn check_with<S, B, R>(client: S, url: &str) -> Result<Probe, ConfigError>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Display + Send + 'static,
    S::Future: Send,
    B: Body + Default + Send + 'static,
    R: Body + Send + 'static,
    R::Error: Display + Send + 'static,
{
    let uri = absolute(url)?;
    let run = move || {
        let (client, uri) = (client.clone(), uri.clone());
        async move { answer::outcome(through(client, uri).await) }
    };
    Ok(run.into_probe())
}

async fn through<S, B, R>(mut client: S, uri: Uri) -> Result<StatusCode, CheckError>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Display + 'static,
    B: Body + Default,
    R: Body,
    R::Error: Display + 'static,
{
    poll_fn(|cx| client.poll_ready(cx)).await.map_err(check_error)?;
    let mut request = Request::new(B::default());
    *request.uri_mut() = uri;
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(ask::AGENT));
    let response = client.call(request).await.map_err(check_error)?;
    let status = response.status();
    if status.is_success() {
        answer::read(response.into_body()).await.map_err(check_error)?;
    }
    Ok(status)
}

/// Asks an endpoint with GET through reqwest: a [`GuardedClient`](crate::GuardedClient), a `reqwest::Client`, or any tower
/// service between them. Redirects are followed as the client is told to.
///
/// Over HTTP/2 the caveat of [`check_with`] holds; reqwest's names are the same.
///
/// # Errors
///
/// A [`ConfigError`] for a URL that is none, lacks a scheme or a host, or holds credentials.
#[cfg(feature = "reqwest")]
pub fn check_reqwest<S>(client: S, url: &str) -> Result<Probe, ConfigError>
where
    S: Service<reqwest::Request, Response = reqwest::Response> + Clone + Send + Sync + 'static,
    S::Error: Display + Send + 'static,
    S::Future: Send,
{
    absolute(url)?;
    let rule = "must be a URL that reqwest understands";
    let url = reqwest::Url::parse(url).map_err(|_| ConfigError::new("url", format_args!("{url:?}"), rule))?;
    let run = move || {
        let (client, url) = (client.clone(), url.clone());
        async move { answer::outcome(through_reqwest(client, url).await) }
    };
    Ok(run.into_probe())
}

#[cfg(feature = "reqwest")]
async fn through_reqwest<S>(mut client: S, url: reqwest::Url) -> Result<StatusCode, CheckError>
where
    S: Service<reqwest::Request, Response = reqwest::Response>,
    S::Error: Display + 'static,
{
    poll_fn(|cx| client.poll_ready(cx)).await.map_err(check_error)?;
    let response =
        client.call(reqwest::Request::new(reqwest::Method::GET, url)).await.map_err(check_error)?;
    let status = response.status();
    if status.is_success() {
        answer::read(reqwest::Body::from(response)).await.map_err(check_error)?;
    }
    Ok(status)
}
