use std::fmt;
use std::time::Duration;

use mainstay_breaker::{
    Breaker, BreakerLayer, BreakerService, ByKey, Classified, ErrorsAreFailures, Keyed, OnOpen, One,
    PassError, Rejected, RespondWith,
};
use tower_layer::Layer;

use crate::{Addressed, Exchanges, Head, Host, Problem, Usual};

/// Wraps HTTP services with a breaker: tower services that answer with `http::Response`s of any body, or with
/// `reqwest::Response`s. The response's body becomes a [`GuardedBody`](crate::GuardedBody).
///
/// On the client side a call that is rejected is an error
/// ([`BreakerError::Rejected`](mainstay_breaker::BreakerError::Rejected)), on the server side it is an answer
/// ([`Problem`]).
#[derive(Clone)]
pub struct HttpLayer<J = Usual, F = Usual, R = PassError, G = One> {
    /// Everything but the judgement, which can be changed until the layer is used.
    layer: BreakerLayer<ErrorsAreFailures, R, G>,
    exchanges: Exchanges<J, F>,
}

impl HttpLayer {
    /// Around a client: one breaker for all requests.
    pub fn client(breaker: Breaker) -> Self {
        let exchanges = Exchanges::of_client(breaker.clock());
        Self { layer: BreakerLayer::new(breaker), exchanges }
    }
}

impl<Q: Addressed> HttpLayer<Usual, Usual, PassError, ByKey<Host, fn(&Q) -> Host>> {
    /// Around a client: a breaker for each host and port that requests are for. The request's type `Q` is usually
    /// inferred.
    ///
    /// The set is bounded, and says what happens when it is full; see [`Keyed`].
    pub fn keyed_by_host(hosts: Keyed<Host>) -> Self {
        HttpLayer::client_keyed(hosts, Q::host)
    }
}

impl<K, C> HttpLayer<Usual, Usual, PassError, ByKey<K, C>> {
    /// Around a client: a breaker for each key of the requests.
    pub fn client_keyed(set: Keyed<K>, key: C) -> Self {
        let exchanges = Exchanges::of_client(set.clock());
        Self { layer: BreakerLayer::keyed(set, key), exchanges }
    }
}

impl HttpLayer<Usual, Usual, Problem> {
    /// Around a server: one breaker for all requests.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use mainstay_breaker::Breaker;
    /// use mainstay_http::HttpLayer;
    ///
    /// let layer = HttpLayer::server(Breaker::new("storefront")?);
    /// let app: Router = Router::new().route("/", get(async || "hello")).layer(layer);
    /// # let _ = app;
    /// # Ok::<(), mainstay_breaker::ConfigError>(())
    /// ```
    pub fn server(breaker: Breaker) -> Self {
        let exchanges = Exchanges::of_server(breaker.clock());
        Self { layer: BreakerLayer::new(breaker).refuse_with(Problem), exchanges }
    }
}

impl<K, C> HttpLayer<Usual, Usual, Problem, ByKey<K, C>> {
    /// Around a server: a breaker for each key of the requests, such as the matched route. What a request brings of its
    /// own is no good key: whoever sends it could make as many as he likes.
    pub fn server_keyed(set: Keyed<K>, key: C) -> Self {
        let exchanges = Exchanges::of_server(set.clock());
        Self { layer: BreakerLayer::keyed(set, key).refuse_with(Problem), exchanges }
    }
}

impl<J, F, R, G> HttpLayer<J, F, R, G> {
    /// Who judges the heads of responses: a closure over [`&Head`](Head) that returns a
    /// [`Verdict`](mainstay_breaker::Verdict) or a [`Classified`]; see [`JudgeHead`](crate::JudgeHead). Default:
    /// [`Head::usual`]. It is cloned for every call, so put what is large behind an `Arc`.
    pub fn judge<K, C>(self, heads: K) -> HttpLayer<K, F, R, G>
    where
        K: Fn(&Head<'_>) -> C + Clone,
        C: Into<Classified>,
    {
        HttpLayer { layer: self.layer, exchanges: self.exchanges.judge(heads) }
    }

    /// Who judges the inner service's errors: a closure over `&Error` that returns a
    /// [`Verdict`](mainstay_breaker::Verdict) or a [`Classified`]. Default: [`Usual`]. It is cloned for every call.
    pub fn judge_errors<D>(self, errors: D) -> HttpLayer<J, D, R, G> {
        HttpLayer { layer: self.layer, exchanges: self.exchanges.judge_errors(errors) }
    }

    /// Answers with a response of your own when the breaker rejects a call or cuts it off
    /// ([`RejectReason::TimedOut`](mainstay_breaker::RejectReason::TimedOut)). Its body can be
    /// [`GuardedBody::written`](crate::GuardedBody::written) or [`empty`](crate::GuardedBody::empty).
    pub fn reject_with<A, T>(self, respond: A) -> HttpLayer<J, F, RespondWith<A>, G>
    where
        A: Fn(Rejected) -> T + Clone,
    {
        HttpLayer { layer: self.layer.reject_with(respond), exchanges: self.exchanges }
    }

    /// The same with a [`Refuse`](mainstay_breaker::Refuse): [`PassError`], [`Problem`], or your own.
    pub fn refuse_with<Q>(self, refuse: Q) -> HttpLayer<J, F, Q, G> {
        HttpLayer { layer: self.layer.refuse_with(refuse), exchanges: self.exchanges }
    }

    /// What the service says while its breaker would reject. Default: [`OnOpen::Reject`].
    #[must_use]
    pub fn on_open(mut self, on_open: OnOpen) -> Self {
        self.layer = self.layer.on_open(on_open);
        self
    }

    /// Drops a call whose head is not in after this time, and counts a failure. Default: the breaker's own time-out, if
    /// it has one. It does not bound the body; a deadline below this layer does, whose error is a failure.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.layer = self.layer.timeout(timeout);
        self
    }
}

impl<S, J, F, R, G> Layer<S> for HttpLayer<J, F, R, G>
where
    J: Clone,
    F: Clone,
    R: Clone,
    G: Clone,
{
    type Service = BreakerService<S, Exchanges<J, F>, R, G>;

    fn layer(&self, inner: S) -> Self::Service {
        self.layer.clone().conclude_with(self.exchanges.clone()).layer(inner)
    }
}

impl<J, F, R, G: fmt::Debug> fmt::Debug for HttpLayer<J, F, R, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpLayer").field(&self.layer).finish()
    }
}
