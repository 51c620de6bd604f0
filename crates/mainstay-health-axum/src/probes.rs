use axum::Router;
use mainstay_health::HealthManager;
use mainstay_health::http::{DetailsPolicy, Endpoint, HealthService};

/// A router with all endpoints, and details for nobody. It merges into a router of any state.
///
/// [`Router::merge`] panics if the other router has one of the same paths: then take [`Probes::only`], or
/// [`Router::nest`] it under another path.
pub fn router<S: Clone + Send + Sync + 'static>(health: &HealthManager) -> Router<S> {
    Probes::new(health).router()
}

/// Says which probes a router has, and what they show.
///
/// ```
/// use axum::Router;
/// use mainstay_health::HealthManager;
/// use mainstay_health_axum::{DetailsPolicy, Endpoint, Probes};
///
/// # fn example(health: HealthManager) {
/// let admin: Router = Probes::new(&health)
///     .details(DetailsPolicy::Always)
///     .only([Endpoint::Health, Endpoint::HealthDetailed])
///     .router();
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing before it is made a router"]
pub struct Probes {
    service: HealthService,
}

impl Probes {
    /// All endpoints, details for nobody.
    pub fn new(health: &HealthManager) -> Self {
        Self { service: HealthService::new(health) }
    }

    /// Who is shown messages, error texts and details. Default: nobody.
    pub fn details(mut self, policy: DetailsPolicy) -> Self {
        self.service = self.service.details(policy);
        self
    }

    /// Only these. Default: all.
    pub fn only(mut self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        self.service = self.service.only(endpoints);
        self
    }

    /// The router, for any state. Other paths are left to the routers that it is merged with.
    pub fn router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let served = Endpoint::ALL.into_iter().filter(|endpoint| self.service.serves(*endpoint));
        served.fold(Router::new(), |router, endpoint| {
            router.route_service(endpoint.path(), self.service.clone())
        })
    }
}
