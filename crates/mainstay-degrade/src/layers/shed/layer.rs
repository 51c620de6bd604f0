use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use super::service::{PassShed, ShedService, ShedWith};
use super::tally::Tally;
use super::{Shed, ShedCounts};
use crate::{DegradationManager, ExecutionMode, Mode};

/// Sheds requests that matter less when things are bad: at minor half of [`Sheddable`](crate::Criticality::Sheddable); at
/// moderate all of it, and half of [`SheddablePlus`](crate::Criticality::SheddablePlus); at severe both. What is shed is chosen by
/// count, not by dice.
///
/// ```
/// use mainstay_degrade::{Criticality, DegradationManager, ShedLayer};
/// use tower::{ServiceBuilder, service_fn};
///
/// let degrade = DegradationManager::builder().build()?;
/// let layer = ShedLayer::new(&degrade, |path: &&str| match *path {
///     "/health" => Criticality::CriticalPlus,
///     "/report" => Criticality::Sheddable,
///     _ => Criticality::Critical,
/// });
/// let service = ServiceBuilder::new().layer(layer).service(service_fn(async |path: &str| Ok::<_, ()>(path.len())));
/// # let _ = service;
/// # Ok::<(), mainstay_degrade::ConfigError>(())
/// ```
///
/// Put it outside of what observes the traffic for the level: what is shed never gets there, so that it is no evidence for the level that
/// sheds it. After a level that the traffic held fell, what was shed comes back over the time that the level is held for
/// ([`Easing`](crate::Easing)).
///
/// How much a request matters is known only with it, so such a service is ready when the inner one is. What the inner service reserved
/// when it became ready stays reserved by this clone when a request is shed, until its next call or its drop: put limits of concurrency
/// outside of it, or clone it for each call.
pub struct ShedLayer<F, R = PassShed, M: Mode = ExecutionMode> {
    degrade: DegradationManager<M>,
    criticality: F,
    on_shed: R,
    tally: Arc<Tally>,
}

impl<F, M: Mode> ShedLayer<F, PassShed, M> {
    /// Sheds by the level of a manager, and by what a closure over `&Request` says about how much a request matters.
    pub fn new(degrade: &DegradationManager<M>, criticality: F) -> Self {
        Self { degrade: degrade.clone(), criticality, on_shed: PassShed, tally: Arc::default() }
    }
}

impl<F, R, M: Mode> ShedLayer<F, R, M> {
    /// Answers with a response instead of a [`ShedError`](crate::ShedError) when a request is shed. The service's error is then the
    /// inner one's.
    pub fn reject_with<G, T>(self, respond: G) -> ShedLayer<F, ShedWith<G>, M>
    where
        G: Fn(Shed) -> T + Clone,
    {
        let Self { degrade, criticality, tally, .. } = self;
        ShedLayer { degrade, criticality, on_shed: ShedWith(respond), tally }
    }

    /// What was shed so far by all services of this layer and of its clones.
    pub fn counts(&self) -> ShedCounts {
        self.tally.counts()
    }
}

impl<S, F: Clone, R: Clone, M: Mode> Layer<S> for ShedLayer<F, R, M> {
    type Service = ShedService<S, F, R, M>;

    fn layer(&self, inner: S) -> Self::Service {
        let (criticality, on_shed) = (self.criticality.clone(), self.on_shed.clone());
        ShedService { inner, degrade: self.degrade.clone(), criticality, on_shed, tally: self.tally.clone() }
    }
}

impl<F: Clone, R: Clone, M: Mode> Clone for ShedLayer<F, R, M> {
    fn clone(&self) -> Self {
        Self {
            degrade: self.degrade.clone(),
            criticality: self.criticality.clone(),
            on_shed: self.on_shed.clone(),
            tally: self.tally.clone(),
        }
    }
}

impl<F, R, M: Mode> fmt::Debug for ShedLayer<F, R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShedLayer").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
