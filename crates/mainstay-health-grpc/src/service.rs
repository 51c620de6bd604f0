use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use mainstay_health::HealthManager;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, BoxFuture, Service, StdError, http};
use tonic::server::NamedService;
use tonic::{Request, Response, Status};

use crate::Serves;
use crate::names::Names;
use crate::pb::health_check_response::ServingStatus;
use crate::pb::health_server::{Health, HealthServer, SERVICE_NAME};
use crate::pb::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use crate::watcher::watch;

/// The service `grpc.health.v1.Health` over a [`HealthManager`], for tonic's servers. Cheap to clone.
///
/// | name | stands for |
/// | --- | --- |
/// | `""`, `readiness` | [`Serves::Readiness`] |
/// | `liveness` | [`Serves::Liveness`] |
/// | `startup` | [`Serves::Startup`] |
/// | what [`service`](Self::service) was given | what it was given; also one of the names above, or that of a check |
/// | the name of a check, unless switched off by [`check_names`](Self::check_names) | that check alone, also before startup and during maintenance: for people, not for balancers |
///
/// It answers from the latest report, and from the time: what is too old does not serve, even if the manager's own runtime
/// stands still. It never waits for a check. A status that is unknown is `NOT_SERVING`, and a degraded one `SERVING`.
///
/// - `Check`: `NOT_FOUND` for a name that there is not.
/// - `Watch`: the status at once, and then each other one; to a reader who is slow, the latest. A name that there is not is
///   `SERVICE_UNKNOWN`, until it is registered, and again when it is deregistered.
/// - `List`: all names; `RESOURCE_EXHAUSTED` if there are more than 100.
///
/// From the moment at which a [drain](HealthManager::drain) begins nothing serves but `liveness` and `startup`, and no stream
/// of `Watch` that saw it serves again. When no more work is accepted ([`Phase::Closing`](mainstay_health::Phase::Closing))
/// these streams end, with `UNAVAILABLE`, because a server that ends gracefully waits for them. Those that saw a drain end
/// in the same way when the manager is stopped, or runs again: whoever watches anew is told how it is then.
///
/// Whoever can call the server can ask for every name here, and `List` tells them all. No answer holds anything else: no
/// reason, and no text of an error. Where the names of checks say too much (they tell what the service depends on), switch
/// them off, and give the services that callers know.
///
/// ```
/// use mainstay_health::{Check, HealthManager};
/// use mainstay_health_grpc::{HealthGrpc, Serves};
/// use mainstay_health_grpc::tonic::transport::Server;
///
/// # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
/// let health = HealthManager::builder("orders")
///     .check(Check::shared("postgres", || async { ping().await }).critical())
///     .check(Check::shared("search", || async { ping().await }))
///     .build()?;
/// let service = HealthGrpc::new(&health)
///     .service("orders.v1.Orders", Serves::Readiness)
///     .service("orders.v1.Search", Serves::checks(["postgres", "search"]))
///     .check_names(false);
/// let server = Server::builder().add_service(service);
/// # drop(server);
/// # Ok::<(), mainstay_health::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct HealthGrpc {
    answers: Arc<Answers>,
}

#[derive(Clone)]
struct Answers {
    health: HealthManager,
    names: Names,
}

/// The most services that `List` tells, by the protocol.
const MOST_LISTED: usize = 100;
/// The longest request, in bytes. It holds a name.
const LONGEST_REQUEST: usize = 4096;

type Statuses = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

// === impl HealthGrpc ===

impl HealthGrpc {
    /// The service over this manager. It keeps the manager, and so does each stream of `Watch`.
    pub fn new(health: &HealthManager) -> Self {
        Self { answers: Arc::new(Answers { health: health.clone(), names: Names::default() }) }
    }

    /// Says what the name of a service stands for. The last word on a name counts; names of checks that are given here are
    /// looked up when somebody asks, so they need not be registered yet.
    pub fn service(mut self, name: impl Into<String>, serves: Serves) -> Self {
        Arc::make_mut(&mut self.answers).names.give(name.into(), serves);
        self
    }

    /// Whether the name of each check is a service too. Default: yes.
    pub fn check_names(mut self, show: bool) -> Self {
        Arc::make_mut(&mut self.answers).names.show_checks(show);
        self
    }
}

impl<B> Service<http::Request<B>> for HealthGrpc
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        HealthServer::from_arc(self.answers.clone()).max_decoding_message_size(LONGEST_REQUEST).call(request)
    }
}

impl NamedService for HealthGrpc {
    const NAME: &'static str = SERVICE_NAME;
}

impl fmt::Debug for HealthGrpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthGrpc").field("names", &self.answers.names).finish_non_exhaustive()
    }
}

// === impl Answers ===

#[tonic::async_trait]
impl Health for Answers {
    type WatchStream = Statuses;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let target = self.names.find(&request.get_ref().service);
        match target.standing(&self.health, &self.health.report()).status {
            ServingStatus::ServiceUnknown => Err(Status::not_found("unknown service")),
            status => Ok(Response::new(HealthCheckResponse { status: status.into() })),
        }
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let report = self.health.report();
        let services = self.names.all(&report).take(MOST_LISTED + 1);
        let statuses: std::collections::BTreeMap<_, _> = services
            .map(|(name, target)| {
                let status = target.standing(&self.health, &report).status.into();
                (name, HealthCheckResponse { status })
            })
            .collect();
        if statuses.len() > MOST_LISTED {
            return Err(Status::resource_exhausted("there are more than 100 services"));
        }
        Ok(Response::new(HealthListResponse { statuses }))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Statuses>, Status> {
        let target = self.names.find(&request.get_ref().service);
        Ok(Response::new(Box::pin(watch(&self.health, target))))
    }
}
