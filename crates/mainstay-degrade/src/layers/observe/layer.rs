use std::time::Duration;

use tower_layer::Layer;

#[cfg(feature = "http")]
use super::JudgeHttp;
use super::{JudgeErrors, ObserveService, UnlessDegraded};
use crate::Observer;

/// Lets an [`Observer`] take notice of every request of a service: its verdict, and how long it took from the call to the
/// answer.
///
/// Put it inside of what sheds and falls back, so that what the level does is no evidence for the level. Breakers may be inside: their
/// rejections are not counted, because their opening counts already.
///
/// ```
/// use mainstay_breaker::{Breaker, BreakerLayer};
/// use mainstay_degrade::{DegradationManager, ObserveLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let llm = Breaker::new("llm_service")?;
/// let degrade = DegradationManager::builder().watch(&llm).build()?;
/// let service = ServiceBuilder::new()
///     .layer(ObserveLayer::new(degrade.observer()))
///     .layer(BreakerLayer::new(llm.clone()))
///     .service(service_fn(async |text: String| Ok::<_, std::io::Error>(text)));
///
/// llm.trip();
/// for _ in 0..100 {
///     assert!(service.clone().oneshot("hello".to_owned()).await.is_err());
/// }
/// assert_eq!(degrade.observer().figures(), None);
/// # Ok(())
/// # }
/// ```
///
/// A call whose future is dropped before the answer says nothing of whether it would have failed. But if that was only
/// [after 10 s](Self::given_up_after), it says that the call took so long. One that panics is a failure.
#[derive(Clone, Debug)]
pub struct ObserveLayer<C = JudgeErrors> {
    observer: Observer,
    classify: C,
    given_up_after: Duration,
}

impl ObserveLayer {
    /// Errors are failures, but for those that say that nobody was asked: see [`JudgeErrors`]. All else are successes.
    pub fn new(observer: Observer) -> Self {
        Self { observer, classify: JudgeErrors, given_up_after: Duration::from_secs(10) }
    }
}

#[cfg(feature = "http")]
impl ObserveLayer<JudgeHttp> {
    /// For HTTP: the same, and responses with a status of 500 or more are failures, but for those that are marked as
    /// degraded: see [`JudgeHttp`].
    pub fn http(observer: Observer) -> Self {
        ObserveLayer::new(observer).classify(JudgeHttp::default())
    }
}

impl<C> ObserveLayer<C> {
    /// Says what a result is evidence of: a closure from `&Result<Response, Error>` to a [`Verdict`](mainstay_core::Verdict), or one of
    /// [`JudgeErrors`], [`JudgeSources`](crate::JudgeSources), [`JudgeHttp`](crate::JudgeHttp). Of the verdicts,
    /// `Ignore` is not counted.
    pub fn classify<D>(self, classify: D) -> ObserveLayer<D> {
        let Self { observer, given_up_after, .. } = self;
        ObserveLayer { observer, classify, given_up_after }
    }

    /// Which answers are degraded, by a closure from `&Response`: they are not counted. For answers that are marked in a way of your own.
    pub fn degraded_when<D>(self, degraded: D) -> ObserveLayer<UnlessDegraded<C, D>> {
        let Self { observer, classify, given_up_after } = self;
        ObserveLayer { observer, classify: UnlessDegraded { classify, degraded }, given_up_after }
    }

    /// How long a call must have taken to count although its caller gave up on it: for the latency it is then one that took so long,
    /// and it is no error. Zero: all count. [`Duration::MAX`]: none does. Default: 10 s.
    ///
    /// Set it to how long your callers wait: a service that hangs, and whose callers all give up earlier, seems to have no traffic.
    #[must_use]
    pub fn given_up_after(mut self, given_up_after: Duration) -> Self {
        self.given_up_after = given_up_after;
        self
    }
}

impl<S, C: Clone> Layer<S> for ObserveLayer<C> {
    type Service = ObserveService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { observer, classify, given_up_after } = self.clone();
        ObserveService { inner, observer, classify, given_up_after }
    }
}
