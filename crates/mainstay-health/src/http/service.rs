use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use tower_service::Service;

use super::accept;
use super::endpoint::{Aspect, Form};
use super::{DetailsPolicy, Endpoint, ProbeBody, respond};
use crate::HealthManager;

/// Answers probes from a manager's latest report, without waiting: a tower service for requests with any body. See
/// [`http`](crate::http) for what it answers.
///
/// Cheap to clone. It keeps the manager alive.
#[derive(Clone, Debug)]
pub struct HealthService {
    shared: Arc<Shared>,
}

#[derive(Clone, Debug)]
struct Shared {
    health: HealthManager,
    details: DetailsPolicy,
    /// A bit for each endpoint that is served.
    served: u16,
}

impl HealthService {
    /// For a manager: all [endpoints](Endpoint::ALL), details for nobody.
    pub fn new(health: &HealthManager) -> Self {
        let served = Endpoint::ALL.iter().fold(0, |served, endpoint| served | endpoint.bit());
        let shared = Shared { health: health.clone(), details: DetailsPolicy::Never, served };
        Self { shared: Arc::new(shared) }
    }

    /// Who is shown messages, error texts and details. Default: nobody.
    #[must_use]
    pub fn details(mut self, policy: DetailsPolicy) -> Self {
        Arc::make_mut(&mut self.shared).details = policy;
        self
    }

    /// Serves only these; the paths of all others are answered with 404. Default: all.
    #[must_use]
    pub fn only(mut self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let served = endpoints.into_iter().fold(0, |served, endpoint| served | endpoint.bit());
        Arc::make_mut(&mut self.shared).served = served;
        self
    }

    /// Whether it serves an endpoint.
    #[inline]
    pub fn serves(&self, endpoint: Endpoint) -> bool {
        self.shared.served & endpoint.bit() != 0
    }

    fn answer<B>(&self, request: Request<B>) -> Response<ProbeBody> {
        let Some(endpoint) = Endpoint::at(request.uri().path()).filter(|endpoint| self.serves(*endpoint))
        else {
            return respond::not_found(request.method());
        };
        let standard = accept::health_json(request.headers());
        // What is asked again and again, and is well: nothing but the manager's word is needed for that.
        let plain = request.method() == Method::GET && request.uri().query().is_none() && !standard;
        if plain && endpoint.form() == Form::Text && self.passes(endpoint.aspect()) {
            return respond::ok();
        }
        let (parts, _) = request.into_parts();
        respond::respond(&self.shared.health, &self.shared.details, endpoint, standard, &parts)
    }

    /// Whether it is well for sure, without a look at the report.
    #[inline]
    fn passes(&self, aspect: Aspect) -> bool {
        let health = &self.shared.health;
        match aspect {
            Aspect::Live => health.is_live(),
            Aspect::Ready => health.is_ready(),
            Aspect::Started => health.is_started(),
            Aspect::Overall => false,
        }
    }
}

impl<B> Service<Request<B>> for HealthService {
    type Response = Response<ProbeBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request)))
    }
}
