use std::fmt;

use tower_layer::Layer;

use super::FallbackService;

/// Another service answers when the inner one fails, or is not to be asked; and the answer says that it is degraded.
///
/// ```
/// use mainstay_degrade::{Behavior, DegradationManager, Degraded, FallbackLayer};
/// use tower::{ServiceBuilder, service_fn};
///
/// #[derive(Debug)]
/// struct Answer { text: String, degraded: Option<Degraded> }
///
/// let degrade = DegradationManager::builder().build()?;
/// let simple = service_fn(async |_: String| Ok::<_, std::io::Error>(Answer { text: "Try again.".into(), degraded: None }));
/// let layer = FallbackLayer::new(simple, |answer: Answer, how| Answer { degraded: Some(how), ..answer })
///     .instead_when(move |_: &String| degrade.behavior("llm_generation").behavior >= Behavior::Degrade);
/// let service = ServiceBuilder::new()
///     .layer(layer)
///     .service(service_fn(async |text: String| Ok::<_, std::io::Error>(Answer { text, degraded: None })));
/// # let _ = service;
/// # Ok::<(), mainstay_degrade::ConfigError>(())
/// ```
///
/// Requests are cloned, so that they can be asked again. If the fallback fails as well, the caller gets what the inner service said,
/// or the fallback's error if it said nothing. A request must do no harm when it is done twice, by the inner service and by the
/// fallback.
///
/// Such a service is always ready. It asks clones of the inner service and of the fallback, which wait in the request's future until they
/// are ready; one that cannot become ready has failed. So what goes to the fallback at once neither waits for an inner service that
/// is busy nor holds what that reserved, such as a permit of a limit of concurrency. What is to hold callers back belongs outside of
/// it.
#[derive(Clone)]
pub struct FallbackLayer<F, K, W = OnError, I = Never> {
    pub(super) fallback: F,
    pub(super) mark: K,
    pub(super) when: W,
    pub(super) instead: I,
}

/// The fallback answers what is an error. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnError;

/// The inner service is always asked first. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Never;

/// After which results a fallback answers: [`OnError`], and every `Fn(&Result<Response, Error>) -> bool`.
pub trait FallBackOn<T, E> {
    /// Whether it does.
    fn falls_back(&self, result: &Result<T, E>) -> bool;
}

/// Which requests go to the fallback at once: [`Never`] any, and every `Fn(&Request) -> bool`.
pub trait Instead<Req> {
    /// Whether this one does.
    fn instead(&self, request: &Req) -> bool;
}

impl<T, E> FallBackOn<T, E> for OnError {
    fn falls_back(&self, result: &Result<T, E>) -> bool {
        result.is_err()
    }
}

impl<F, T, E> FallBackOn<T, E> for F
where
    F: Fn(&Result<T, E>) -> bool,
{
    fn falls_back(&self, result: &Result<T, E>) -> bool {
        self(result)
    }
}

impl<Req> Instead<Req> for Never {
    fn instead(&self, _: &Req) -> bool {
        false
    }
}

impl<F, Req> Instead<Req> for F
where
    F: Fn(&Req) -> bool,
{
    fn instead(&self, request: &Req) -> bool {
        self(request)
    }
}

impl<F, K> FallbackLayer<F, K> {
    /// Lets a service answer instead, and marks its answers: `mark` is a closure from a response and a
    /// [`Degraded`](crate::Degraded) to a response, or [`InExtensions`](crate::InExtensions) for HTTP.
    pub fn new(fallback: F, mark: K) -> Self {
        Self { fallback, mark, when: OnError, instead: Never }
    }
}

impl<F, K, W, I> FallbackLayer<F, K, W, I> {
    /// After which results the fallback answers: a closure from `&Result<Response, Error>` to whether it does. Default: errors.
    pub fn when<V>(self, when: V) -> FallbackLayer<F, K, V, I> {
        let Self { fallback, mark, instead, .. } = self;
        FallbackLayer { fallback, mark, when, instead }
    }

    /// For which requests the inner service is not asked at all: a closure from `&Request`. Default: none.
    ///
    /// Let it not depend on a breaker that only these very requests can close. Inside of a [`DecisionLayer`](crate::DecisionLayer) it
    /// decides by the request's own assessment, as all else does for this request:
    ///
    /// ```
    /// use std::sync::Arc;
    /// use http::{Request, Response};
    /// use mainstay_degrade::{Assessment, Behavior, DegradationManager, FallbackLayer, InExtensions};
    /// use tower::service_fn;
    ///
    /// let degrade = DegradationManager::builder().build()?;
    /// let simple = service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new("Try again.")));
    /// let layer = FallbackLayer::new(simple, InExtensions).instead_when(move |request: &Request<()>| {
    ///     let decision = match request.extensions().get::<Arc<Assessment>>() {
    ///         Some(own) => degrade.behavior_by(own, "llm_generation"),
    ///         None => degrade.behavior("llm_generation"),
    ///     };
    ///     decision.behavior >= Behavior::Degrade
    /// });
    /// # let _ = layer;
    /// # Ok::<(), mainstay_degrade::ConfigError>(())
    /// ```
    pub fn instead_when<J>(self, instead: J) -> FallbackLayer<F, K, W, J> {
        let Self { fallback, mark, when, .. } = self;
        FallbackLayer { fallback, mark, when, instead }
    }
}

impl<S, F: Clone, K: Clone, W: Clone, I: Clone> Layer<S> for FallbackLayer<F, K, W, I> {
    type Service = FallbackService<S, F, K, W, I>;

    fn layer(&self, inner: S) -> Self::Service {
        FallbackService { inner, options: self.clone() }
    }
}

impl<F: fmt::Debug, K, W, I> fmt::Debug for FallbackLayer<F, K, W, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer").field("fallback", &self.fallback).finish_non_exhaustive()
    }
}
