use std::fmt;
use std::time::Duration;

use http::Request;
use mainstay_breaker::{
    Breaker, BreakerLayer, BreakerService, ByKey, ErrorsAreFailures, Keyed, OnOpen, One, PassError,
};
use tonic::body::Body;
use tower_layer::Layer;

use crate::{AsError, AsStatus, Calls, Codes, Judge, MethodName, ServiceName, Unavailable};

/// Wraps tonic's channels and servers with a breaker. The response's body becomes a [`GuardedBody`](crate::GuardedBody),
/// which tells how the call ended; see [`Calls`].
///
/// ```
/// use std::time::Duration;
/// use mainstay_breaker::Breaker;
/// use mainstay_grpc::{Codes, GrpcLayer};
/// use tonic::Code;
/// use tonic::transport::Endpoint;
/// use tower::ServiceBuilder;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let breaker = Breaker::builder("agent-core").settings(mainstay_grpc::default_settings()).build()?;
/// let guard = GrpcLayer::client(breaker)
///     .codes(Codes::new().succeed(Code::FailedPrecondition))
///     .timeout(Duration::from_secs(5))
///     .reject_with_status();
/// let channel = Endpoint::from_static("http://127.0.0.1:50051").connect_lazy();
/// let guarded = ServiceBuilder::new().layer(guard).service(channel);
/// // let client = AgentClient::new(guarded);
/// # let _ = tonic::client::Grpc::new(guarded);
/// # Ok::<(), mainstay_breaker::ConfigError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct GrpcLayer<R = Unavailable, G = One> {
    /// Everything but the judgement, which can be changed until the layer is used.
    layer: BreakerLayer<ErrorsAreFailures, R, G>,
    calls: Calls,
}

/// How a method or service is found in a request: a plain function, so that the layer's type can be written down.
pub type Key<K> = fn(&Request<Body>) -> K;

/// Gives the connecting of a channel a breaker of its own.
///
/// ```
/// use std::time::Duration;
/// use hyper_util::client::legacy::connect::HttpConnector;
/// use mainstay_breaker::Breaker;
/// use mainstay_grpc::ConnectLayer;
/// use tonic::transport::Endpoint;
/// use tower::Layer;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let breaker = Breaker::builder("agent-core connections").settings(mainstay_grpc::connect_settings()).build()?;
/// let mut http = HttpConnector::new();
/// http.set_nodelay(true);
/// let connector = ConnectLayer::new(breaker).timeout(Duration::from_secs(2)).layer(http);
/// let channel = Endpoint::from_static("http://127.0.0.1:50051").connect_with_connector_lazy(connector);
/// # let _ = channel;
/// # Ok::<(), mainstay_breaker::ConfigError>(())
/// # }).unwrap();
/// ```
///
/// A channel without a connection tries to connect once for each call; with this layer no more often than the breaker admits.
/// Calls fail at once meanwhile, with `UNAVAILABLE`, and with the rejection where [`rejected`](crate::rejected) finds it. The
/// breaker of the calls, if there is one, ignores them: nobody was asked, and this breaker has counted what it knows; so the
/// other one is not kept from recovering as soon as this one does.
///
/// It sees what the connector does, which is TCP; TLS and HTTP/2 come after it. An endpoint that is given a connector leaves TCP
/// (`tcp_nodelay`, keep-alive) to it.
#[derive(Clone, Debug)]
pub struct ConnectLayer(BreakerLayer<ErrorsAreFailures, AsError>);

// === impl GrpcLayer ===

impl GrpcLayer {
    /// For the calls that one makes, around a [`Channel`](tonic::transport::Channel).
    ///
    /// A rejection is a response of trailers only, as of [`Unavailable`], with the [`Rejected`](mainstay_breaker::Rejected) among
    /// its extensions. A generated client makes a `Status` of such a response and drops its extensions; with
    /// [`reject_with_status`](Self::reject_with_status) the status itself can tell.
    ///
    /// Give it a [`timeout`](Self::timeout), or the breaker: without any deadline a call on a silent server waits as long as its
    /// caller does, and one that its caller drops says nothing.
    pub fn client(breaker: Breaker) -> Self {
        Self::of_client(BreakerLayer::new(breaker))
    }

    /// For the calls that one answers: in [`Server::layer`](tonic::transport::Server::layer), or around one service of several
    /// with [`named_layer`](tonic::service::LayerExt::named_layer).
    ///
    /// The verdicts are those on what this server itself answers, by [`Calls::server`]; a rejection goes to the client without a
    /// word about the breaker. A call whose client went away is ignored, or a success once its answer had begun.
    ///
    /// tonic answers `INTERNAL` to a client whose message is missing or does not decode, and nothing tells that from a failure of
    /// the handler. On a server that strangers reach, take `INTERNAL` out of the [`codes`](Self::codes), or let them in after a
    /// look at who they are.
    ///
    /// `Server::timeout` and a client's own deadline drop the call from outside of this layer, which then cannot know why: it
    /// counts as cancelled. Let this layer's [`timeout`](Self::timeout) be the shorter one.
    pub fn server(breaker: Breaker) -> Self {
        Self::of_server(BreakerLayer::new(breaker))
    }
}

impl GrpcLayer<Unavailable, ByKey<MethodName, Key<MethodName>>> {
    /// [`client`](GrpcLayer::client) with a breaker for each method.
    ///
    /// ```
    /// use mainstay_breaker::Keyed;
    /// use mainstay_grpc::{GrpcLayer, MethodName};
    ///
    /// let methods = Keyed::<MethodName>::builder("agent-core").settings(mainstay_grpc::default_settings()).build()?;
    /// let guard = GrpcLayer::client_per_method(methods.clone());
    /// # let _ = guard;
    /// # Ok::<(), mainstay_breaker::ConfigError>(())
    /// ```
    pub fn client_per_method(methods: Keyed<MethodName>) -> Self {
        GrpcLayer::client_keyed(methods, MethodName::of)
    }

    /// [`server`](GrpcLayer::server) with a breaker for each method.
    ///
    /// The paths come from the network, and strangers may make them up: what is kept of them is bounded by the set's
    /// [`max_keys`](mainstay_breaker::KeyedBuilder::max_keys) (give it a little more than there are methods), and a path that
    /// nobody serves leaves a closed breaker behind, the first to make room.
    pub fn server_per_method(methods: Keyed<MethodName>) -> Self {
        GrpcLayer::server_keyed(methods, MethodName::of)
    }
}

impl GrpcLayer<Unavailable, ByKey<ServiceName, Key<ServiceName>>> {
    /// [`client`](GrpcLayer::client) with a breaker for each service.
    pub fn client_per_service(services: Keyed<ServiceName>) -> Self {
        GrpcLayer::client_keyed(services, ServiceName::of)
    }

    /// [`server`](GrpcLayer::server) with a breaker for each service. See
    /// [`server_per_method`](GrpcLayer::server_per_method) about paths that strangers make up.
    pub fn server_per_service(services: Keyed<ServiceName>) -> Self {
        GrpcLayer::server_keyed(services, ServiceName::of)
    }
}

impl<K, F> GrpcLayer<Unavailable, ByKey<K, F>> {
    /// [`client`](GrpcLayer::client) with a breaker for each key of the requests.
    pub fn client_keyed(set: Keyed<K>, key: F) -> Self {
        Self::of_client(BreakerLayer::keyed(set, key))
    }

    /// [`server`](GrpcLayer::server) with a breaker for each key of the requests. What a request brings of its own is no good
    /// key: whoever sends it could make as many as he likes.
    pub fn server_keyed(set: Keyed<K>, key: F) -> Self {
        Self::of_server(BreakerLayer::keyed(set, key))
    }
}

impl<G> GrpcLayer<Unavailable, G> {
    fn of_client(layer: BreakerLayer<ErrorsAreFailures, PassError, G>) -> Self {
        Self { layer: layer.refuse_with(Unavailable::explained()), calls: Calls::new() }
    }

    fn of_server(layer: BreakerLayer<ErrorsAreFailures, PassError, G>) -> Self {
        Self { layer: layer.refuse_with(Unavailable::unexplained()), calls: Calls::server() }
    }
}

impl<R, G> GrpcLayer<R, G> {
    /// Which status codes fail. Default: [`Codes::new`] for clients, [`Codes::server`] for servers.
    #[must_use]
    pub fn codes(mut self, codes: Codes) -> Self {
        self.calls = self.calls.codes(codes);
        self
    }

    /// Looks at the metadata of a status before the codes do: for servers that mean several things by one code. See [`Judge`].
    /// Default: nobody does.
    #[must_use]
    pub fn judge(mut self, judge: Judge) -> Self {
        self.calls = self.calls.judge(judge);
        self
    }

    /// Drops a call whose response's head is not in after this time: it gets `DEADLINE_EXCEEDED` and is a failure. Default: the
    /// breaker's own time-out, if it has one.
    ///
    /// It covers waiting for a connection, which `Endpoint::timeout` and `Request::set_timeout` do not, once the channel has
    /// taken the call: it takes some thousand while it connects, and `ready` waits for a place without a deadline.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.layer = self.layer.timeout(timeout);
        self
    }

    /// How long nothing may come after the response's head, while somebody waits for it. See [`Calls::max_silence`]. Default:
    /// for ever.
    #[must_use]
    pub fn max_silence(mut self, silence: Duration) -> Self {
        self.calls = self.calls.max_silence(silence);
        self
    }

    /// What the service says while its breaker would reject. Default: [`OnOpen::Reject`].
    ///
    /// With [`OnOpen::NotReady`] generated clients wait while the breaker is open, without a deadline; it is meant for balancers.
    #[must_use]
    pub fn on_open(mut self, on_open: OnOpen) -> Self {
        self.layer = self.layer.on_open(on_open);
        self
    }

    /// Rejects calls with a `Status` as the service's error, in which [`rejected`](crate::rejected) finds the rejection. For
    /// clients. See [`AsStatus`].
    pub fn reject_with_status(self) -> GrpcLayer<AsStatus, G> {
        self.refuse_with(AsStatus)
    }

    /// The same with a [`Refuse`](mainstay_breaker::Refuse) of your choice. Default: [`Unavailable`].
    pub fn refuse_with<Q>(self, refuse: Q) -> GrpcLayer<Q, G> {
        GrpcLayer { layer: self.layer.refuse_with(refuse), calls: self.calls }
    }
}

impl<S, R: Clone, G: Clone> Layer<S> for GrpcLayer<R, G> {
    type Service = BreakerService<S, Calls, R, G>;

    fn layer(&self, inner: S) -> Self::Service {
        self.layer.clone().conclude_with(self.calls).layer(inner)
    }
}

impl<R, G: fmt::Debug> fmt::Debug for GrpcLayer<R, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcLayer").field("layer", &self.layer).field("calls", &self.calls).finish()
    }
}

// === impl ConnectLayer ===

impl ConnectLayer {
    /// Around the connector of a channel, for [`Endpoint::connect_with_connector`] and its lazy sibling.
    ///
    /// [`Endpoint::connect_with_connector`]: tonic::transport::Endpoint::connect_with_connector
    pub fn new(breaker: Breaker) -> Self {
        Self(BreakerLayer::new(breaker).refuse_with(AsError))
    }

    /// Drops an attempt that takes longer, and counts a failure. Default: the breaker's own time-out, if it has one.
    ///
    /// It must be shorter than `Endpoint::connect_timeout`, which drops the attempt from outside, and so says nothing.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }
}

impl<S> Layer<S> for ConnectLayer {
    type Service = BreakerService<S, ErrorsAreFailures, AsError>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}
