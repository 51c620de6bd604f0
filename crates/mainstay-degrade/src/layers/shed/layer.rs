use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

#[cfg(feature = "http")]
use super::ShedHttp;
use super::service::{PassShed, ShedService, ShedWith};
use super::tally::Tally;
use super::{Shed, ShedCounts};
use crate::{Current, DegradationManager, ExecutionMode, Mode};

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
/// sheds it. While the traffic makes the level, more is shed if that share does not help within two seconds. After the level fell, what was
/// shed comes back over the time that the level is held for ([`Easing`](crate::Easing)).
///
/// How much a request matters is known only with it. So such a service is always ready, and asks a clone of the inner one, which waits
/// in the request's future until it is ready: nothing waits in order to be shed, and what is shed holds nothing that the inner
/// service reserved, such as a permit of a limit of concurrency. What is to hold callers back belongs outside of it.
pub struct ShedLayer<F, R = PassShed, M: Mode = ExecutionMode, A = Current> {
    degrade: DegradationManager<M>,
    criticality: F,
    on_shed: R,
    assessed: A,
    tally: Arc<Tally>,
}

impl<F, M: Mode> ShedLayer<F, PassShed, M> {
    /// Sheds by the level of a manager, and by what a closure over `&Request` says about how much a request matters.
    pub fn new(degrade: &DegradationManager<M>, criticality: F) -> Self {
        let (on_shed, assessed, tally) = (PassShed, Current, Arc::default());
        Self { degrade: degrade.clone(), criticality, on_shed, assessed, tally }
    }
}

impl<F, R, M: Mode, A> ShedLayer<F, R, M, A> {
    /// Answers with a response instead of a [`ShedError`](crate::ShedError) when a request is shed. The service's error is then the
    /// inner one's.
    ///
    /// What observes the traffic outside of this layer must be able to tell that such a response is no answer of the service, or what the
    /// level sheds keeps up the level. Over HTTP take [`reject_http`](Self::reject_http), or put [`NotAsked`](crate::NotAsked) into the
    /// response's extensions; else mark it in a way of your own, for
    /// [`ObserveLayer::degraded_when`](crate::ObserveLayer::degraded_when).
    pub fn reject_with<G, T>(self, respond: G) -> ShedLayer<F, ShedWith<G>, M, A>
    where
        G: Fn(Shed) -> T + Clone,
    {
        self.on_shed(ShedWith(respond))
    }

    /// What becomes of a request that is shed, by your own [`OnShed`](crate::OnShed), or by a [`ShedHttp`](crate::ShedHttp) that is
    /// set up. Default: [`PassShed`].
    pub fn on_shed<S>(self, on_shed: S) -> ShedLayer<F, S, M, A> {
        let Self { degrade, criticality, assessed, tally, .. } = self;
        ShedLayer { degrade, criticality, on_shed, assessed, tally }
    }

    /// Answers with a problem, the status 503 and `Retry-After`, when a request is shed: see [`ShedHttp`](crate::ShedHttp). The
    /// service's error is then the inner one's.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use mainstay_degrade::{Criticality, DegradationManager, Level, ObserveLayer, ShedLayer};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let degrade = DegradationManager::builder().build()?;
    /// let service = ServiceBuilder::new()
    ///     .layer(ObserveLayer::http(degrade.observer()))
    ///     .layer(ShedLayer::new(&degrade, |_: &Request<()>| Criticality::Sheddable).reject_http())
    ///     .service(service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new("a report"))));
    ///
    /// degrade.pin(Level::Severe, Duration::from_secs(60))?;
    /// for _ in 0..100 {
    ///     assert_eq!(service.clone().oneshot(Request::new(())).await?.status(), 503);
    /// }
    /// assert_eq!(degrade.observer().figures(), None);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "http")]
    pub fn reject_http(self) -> ShedLayer<F, ShedHttp, M, A> {
        self.on_shed(ShedHttp::default())
    }

    /// Where requests have an assessment of their own: [`InExtensions`](crate::InExtensions) inside of a
    /// [`DecisionLayer`](crate::DecisionLayer), or a closure. See [`Assessed`](crate::Assessed). Default: nowhere, so that the manager's
    /// decides.
    pub fn assessed_by<B>(self, assessed: B) -> ShedLayer<F, R, M, B> {
        let Self { degrade, criticality, on_shed, tally, .. } = self;
        ShedLayer { degrade, criticality, on_shed, assessed, tally }
    }

    /// What was shed so far by all services of this layer and of its clones.
    pub fn counts(&self) -> ShedCounts {
        self.tally.counts()
    }
}

impl<S, F: Clone, R: Clone, M: Mode, A: Clone> Layer<S> for ShedLayer<F, R, M, A> {
    type Service = ShedService<S, F, R, M, A>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { degrade, criticality, on_shed, assessed, tally } = self.clone();
        ShedService { inner, degrade, criticality, on_shed, assessed, tally }
    }
}

impl<F: Clone, R: Clone, M: Mode, A: Clone> Clone for ShedLayer<F, R, M, A> {
    fn clone(&self) -> Self {
        Self {
            degrade: self.degrade.clone(),
            criticality: self.criticality.clone(),
            on_shed: self.on_shed.clone(),
            assessed: self.assessed.clone(),
            tally: self.tally.clone(),
        }
    }
}

impl<F, R, M: Mode, A> fmt::Debug for ShedLayer<F, R, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShedLayer").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
