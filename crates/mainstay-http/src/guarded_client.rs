use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use mainstay_breaker::{
    Breaker, BreakerError, BreakerService, ByKey, CallPermit, Conclude, Guard, Keyed, One, PassError, Verdict,
};
use reqwest::{Client, Request, RequestBuilder, Response, ResponseBuilderExt};
use tower_layer::Layer;
use tower_service::Service;

use crate::tail::Tail;
use crate::{Exchanges, GuardedBody, Host, HttpLayer, JudgeError, JudgeHead, Usual};

/// A `reqwest::Client` behind a breaker. Requests are built as ever, and answered with `reqwest::Response`s, whose
/// bodies are guarded to their end. Cheap to clone.
///
/// ```no_run
/// use mainstay_breaker::{Breaker, BreakerError};
/// use mainstay_http::{GuardedClient, default_settings, reqwest};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = Breaker::builder("inventory").settings(default_settings()).build()?;
/// let client = GuardedClient::new(reqwest::Client::new(), breaker);
///
/// let request = client.get_ref().get("http://inventory.example.com/stock/42");
/// match client.send(request).await {
///     Ok(response) => println!("{}", response.error_for_status()?.text().await?),
///     Err(BreakerError::Rejected(rejected)) => println!("not asked: {rejected}"),
///     Err(error) => println!("asked in vain: {error}"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// Redirects that the client follows are part of one call: the breaker is that of the first URL, and the last response
/// is judged.
///
/// A response whose body has a say is put together anew around the guarded body, which takes reqwest six allocations:
/// three boxes around the body, and three for the URL. There is no other way in. All that a response tells stays as it
/// was: status, version, headers, URL, remote address, length, extensions.
pub struct GuardedClient<J = Usual, F = Usual, G = One>(
    BreakerService<Client, Exchanges<J, F>, PassError, G>,
);

impl GuardedClient {
    /// One breaker for all requests.
    pub fn new(client: Client, breaker: Breaker) -> Self {
        Self::with(client, HttpLayer::client(breaker))
    }
}

impl GuardedClient<Usual, Usual, ByKey<Host, fn(&Request) -> Host>> {
    /// A breaker for each host and port that requests are for.
    pub fn keyed_by_host(client: Client, hosts: Keyed<Host>) -> Self {
        Self::with(client, HttpLayer::keyed_by_host(hosts))
    }
}

impl<J, F, G> GuardedClient<J, F, G>
where
    J: JudgeHead + Clone,
    F: JudgeError<reqwest::Error> + Clone,
    G: Guard<Request> + Clone,
{
    /// With a layer that is set up already: its time-out, say, or its judgement.
    pub fn with(client: Client, layer: HttpLayer<J, F, PassError, G>) -> Self {
        Self(layer.layer(client))
    }

    /// The client, to begin requests with. What is sent by itself is not guarded.
    pub fn get_ref(&self) -> &Client {
        self.0.get_ref()
    }

    /// Sends a request. One that could not be built is an error at once, about which the breaker is not asked.
    ///
    /// # Errors
    ///
    /// As for [`execute`](Self::execute).
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, BreakerError<reqwest::Error>> {
        self.execute(request.build().map_err(BreakerError::Inner)?).await
    }

    /// Sends a request.
    ///
    /// # Errors
    ///
    /// [`BreakerError::Rejected`] when the breaker does not admit it, [`BreakerError::TimedOut`] when it was cut off by
    /// the breaker's time-out, and [`BreakerError::Inner`] with the client's own error.
    pub async fn execute(&self, request: Request) -> Result<Response, BreakerError<reqwest::Error>> {
        let mut service = self.0.clone();
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    }
}

/// The same as [`execute`](GuardedClient::execute).
impl<J, F, G> Service<Request> for GuardedClient<J, F, G>
where
    BreakerService<Client, Exchanges<J, F>, PassError, G>: Service<Request>,
{
    type Response = <BreakerService<Client, Exchanges<J, F>, PassError, G> as Service<Request>>::Response;
    type Error = <BreakerService<Client, Exchanges<J, F>, PassError, G> as Service<Request>>::Error;
    type Future = <BreakerService<Client, Exchanges<J, F>, PassError, G> as Service<Request>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.call(request)
    }
}

impl<J, F> Conclude<Response, reqwest::Error> for Exchanges<J, F>
where
    J: JudgeHead,
    F: JudgeError<reqwest::Error>,
{
    type Response = Response;

    fn conclude<P: CallPermit>(
        &self,
        result: Result<Response, reqwest::Error>,
        permit: &mut P,
    ) -> Result<Response, reqwest::Error> {
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                permit.record(self.error(&error));
                return Err(error);
            }
        };
        let head = self.head(response.status(), response.headers(), response.extensions());
        if head.verdict() == Verdict::Failure || response.content_length() == Some(0) {
            permit.record(head);
            return Ok(response);
        }
        Ok(match permit.keep() {
            Some(permit) => guarded(response, Tail::after(head, Some(permit))),
            None => response,
        })
    }
}

/// The response around a guarded body.
fn guarded(response: Response, tail: Tail) -> Response {
    let url = response.url().clone();
    let (mut parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    // The URL is no part of an `http::Response`. It comes along among the extensions, where only a builder can put it.
    let mut builder = http::Response::builder();
    if let Some(extensions) = builder.extensions_mut() {
        std::mem::swap(extensions, &mut parts.extensions);
    }
    if let Ok(marked) = builder.url(url).body(()) {
        parts.extensions = marked.into_parts().0.extensions;
    }
    let body = reqwest::Body::wrap(GuardedBody::new(body, tail));
    Response::from(http::Response::from_parts(parts, body))
}

impl<J: Clone, F: Clone, G: Clone> Clone for GuardedClient<J, F, G> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<J, F, G: fmt::Debug> fmt::Debug for GuardedClient<J, F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuardedClient").field(&self.0).finish()
    }
}
