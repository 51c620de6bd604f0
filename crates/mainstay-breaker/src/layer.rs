use std::fmt;
use std::time::Duration;

use mainstay_core::ErrorsAreFailures;
use tower_layer::Layer;

use crate::guard::{ByKey, One};
use crate::service::{BreakerService, Options, PassError, RespondWith};
use crate::{Breaker, Judged, Keyed, Rejected};

/// Wraps tower services with a breaker. All services made from one breaker share it.
///
/// ```
/// use std::convert::Infallible;
/// use mainstay_breaker::{Breaker, BreakerLayer, Verdict};
/// use tower::{ServiceBuilder, service_fn};
///
/// let breaker = Breaker::new("pages")?;
/// let service = ServiceBuilder::new()
///     .layer(
///         BreakerLayer::new(breaker)
///             .classify(|result: &Result<u16, Infallible>| match result {
///                 Ok(status) if *status >= 500 => Verdict::Failure,
///                 _ => Verdict::Success,
///             })
///             .reject_with(|rejected| {
///                 eprintln!("{rejected}");
///                 503
///             }),
///     )
///     .service(service_fn(async |page: u32| Ok::<u16, Infallible>(if page < 100 { 200 } else { 500 })));
/// # let _ = service;
/// # Ok::<(), mainstay_breaker::ConfigError>(())
/// ```
///
/// By default every `Err` is a failure, a service whose breaker is open is ready and rejects the call with
/// [`BreakerError::Rejected`](crate::BreakerError::Rejected), and the time-out is the breaker's.
#[derive(Clone)]
pub struct BreakerLayer<C = ErrorsAreFailures, R = PassError, G = One> {
    pub(crate) guard: G,
    pub(crate) options: Options<C, R>,
}

/// A [`BreakerLayer`] with a breaker for each key of the requests. Made by [`BreakerLayer::keyed`].
pub type KeyedLayer<K, F, C = ErrorsAreFailures, R = PassError> = BreakerLayer<C, R, ByKey<K, F>>;

/// What a service says when it is asked whether it is ready, while its breaker would reject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum OnOpen {
    /// Ready: the call is rejected, with the reason.
    #[default]
    Reject,
    /// Not ready until a call may be tried again, so that a balancer goes elsewhere. It wakes by itself when time
    /// is up, when a probe slot is given back, and when the breaker closes or is released; no more waiters than there are
    /// slots.
    NotReady,
}

impl BreakerLayer {
    /// A layer around a breaker.
    pub fn new(breaker: Breaker) -> Self {
        Self { guard: One::new(breaker), options: Options::default() }
    }
}

impl<K, F> KeyedLayer<K, F> {
    /// A layer that takes the breaker for each request from a set, by a key of the request.
    ///
    /// ```
    /// use mainstay_breaker::{BreakerLayer, Keyed};
    /// use tower::{Layer, service_fn};
    ///
    /// struct Request { tenant: u32 }
    ///
    /// let tenants = Keyed::<u32>::builder("tenants").build()?;
    /// let layer = BreakerLayer::keyed(tenants, |request: &Request| request.tenant);
    /// let service = layer.layer(service_fn(async |_: Request| Ok::<_, ()>(())));
    /// # let _ = service;
    /// # Ok::<(), mainstay_breaker::ConfigError>(())
    /// ```
    ///
    /// Which breaker decides is known only with the request, so such a service is ready whenever the inner one is
    /// ([`OnOpen::NotReady`] has no effect), and errors of the inner `poll_ready` are nobody's. What the inner service reserved
    /// when it became ready (a place in a buffer, a permit of a concurrency limit) stays reserved by this clone when the call
    /// is rejected, until its next call or its drop: put such limits outside of it, or clone it for each call.
    pub fn keyed(set: Keyed<K>, key: F) -> Self {
        Self { guard: ByKey::new(set, key), options: Options::default() }
    }
}

impl<C, R, G> BreakerLayer<C, R, G> {
    /// Who decides what a result says about the dependency: a closure over `&Result<Response, Error>` that returns a
    /// [`Verdict`](crate::Verdict) or a [`Classified`](crate::Classified). Default: `Err` is a failure. It is cloned
    /// for every call, so put what is large behind an `Arc`.
    pub fn classify<D>(self, classify: D) -> BreakerLayer<Judged<D>, R, G> {
        self.conclude_with(Judged(classify))
    }

    /// The same for answers that are not over when they begin: a [`Conclude`](crate::Conclude) takes the permit along,
    /// and may wrap the response. It is cloned for every call.
    pub fn conclude_with<D>(self, conclude: D) -> BreakerLayer<D, R, G> {
        let Options { refuse, on_open, timeout, .. } = self.options;
        BreakerLayer { guard: self.guard, options: Options { conclude, refuse, on_open, timeout } }
    }

    /// Answers with a response instead of a [`BreakerError`](crate::BreakerError) when the breaker rejects a call, or
    /// cuts it off ([`RejectReason::TimedOut`](crate::RejectReason::TimedOut)). The service's error is then the inner
    /// one's, so that it fits where that must be `Infallible`.
    pub fn reject_with<F, T>(self, respond: F) -> BreakerLayer<C, RespondWith<F>, G>
    where
        F: Fn(Rejected) -> T + Clone,
    {
        self.refuse_with(RespondWith(respond))
    }

    /// The same with a [`Refuse`](crate::Refuse), which can tell rejections from time-outs, and choose between responses
    /// and errors. Default: [`PassError`].
    pub fn refuse_with<Q>(self, refuse: Q) -> BreakerLayer<C, Q, G> {
        let Options { conclude, on_open, timeout, .. } = self.options;
        BreakerLayer { guard: self.guard, options: Options { conclude, refuse, on_open, timeout } }
    }

    /// What the service says while its breaker would reject. Default: [`OnOpen::Reject`].
    #[must_use]
    pub fn on_open(mut self, on_open: OnOpen) -> Self {
        self.options.on_open = on_open;
        self
    }

    /// Drops a call that has not answered after this time, and counts a failure. Default: the breaker's own time-out, if
    /// it has one. Zero cuts off every call that is not answered at once.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }
}

impl<S, C: Clone, R: Clone, G: Clone> Layer<S> for BreakerLayer<C, R, G> {
    type Service = BreakerService<S, C, R, G>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService::new(inner, self.guard.clone(), self.options.clone())
    }
}

impl<C, R, G: fmt::Debug> fmt::Debug for BreakerLayer<C, R, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerLayer")
            .field("guard", &self.guard)
            .field("on_open", &self.options.on_open)
            .field("timeout", &self.options.timeout)
            .finish_non_exhaustive()
    }
}
