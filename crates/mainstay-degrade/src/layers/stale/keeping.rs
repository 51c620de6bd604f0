use crate::{Degraded, Mark};

/// What a [`StaleLayer`](crate::StaleLayer) keeps: [`KeepHttp`](crate::KeepHttp), [`KeepOk`], or your own for another protocol.
pub trait Keeping<Req, T, E> {
    /// Whether answers to this request may be kept, and it may be answered with what was kept.
    fn may_keep(&self, request: &Req) -> bool;

    /// What is to be done with a result.
    fn worth(&self, result: &Result<T, E>) -> Worth;

    /// A copy of an answer: to keep it, and to answer with it.
    fn copy(&self, response: &T) -> T;

    /// Says on an answer that it is stale.
    fn mark(&self, response: T, degraded: Degraded) -> T;
}

/// What a result is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// A good answer, which is kept.
    Keep,
    /// An answer that goes to the caller, and is not kept.
    Pass,
    /// An answer that goes to the caller, and says that what was kept no longer holds: it is gone, or may not be kept any more. Answers
    /// that were asked for before this one are not kept either.
    Forget,
    /// A failure: if there is an answer that was kept, the caller gets that.
    Fail,
}

/// Keeps every answer that is no error, whatever the request. The parameter marks them: see [`Mark`]. **Not for HTTP**, where it
/// would keep what belongs to one user: take [`KeepHttp`](crate::KeepHttp) there.
///
/// It takes every answer for a full one. Outside of what answers in a degraded way, such as a [`FallbackLayer`](crate::FallbackLayer), say
/// [which ones are not](Self::degraded_when), or they take the place of the last full answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepOk<K>(pub K);

/// Keeps no answers that are degraded. Made by [`KeepOk::degraded_when`].
#[derive(Clone, Copy, Debug)]
pub struct KeepUnlessDegraded<P, D> {
    keeping: P,
    degraded: D,
}

impl<K> KeepOk<K> {
    /// Which answers are degraded, by a closure from `&Response`: they go to the caller, and are not kept. Default: none.
    ///
    /// ```
    /// use mainstay_degrade::{DegradationManager, Degraded, KeepOk, StaleLayer};
    ///
    /// #[derive(Clone)]
    /// struct Answer { text: String, degraded: Option<Degraded> }
    ///
    /// let mark = |answer: Answer, how| Answer { degraded: Some(how), ..answer };
    /// let keeping = KeepOk(mark).degraded_when(|answer: &Answer| answer.degraded.is_some());
    /// let degrade = DegradationManager::builder().build()?;
    /// let layer: StaleLayer<_, String, Answer, _> = StaleLayer::new(&degrade, keeping, |text: &String| Some(text.clone()));
    /// # let _ = layer;
    /// # Ok::<(), mainstay_degrade::ConfigError>(())
    /// ```
    pub fn degraded_when<D>(self, degraded: D) -> KeepUnlessDegraded<Self, D> {
        KeepUnlessDegraded { keeping: self, degraded }
    }
}

impl<Req, T: Clone, E, K: Mark<T>> Keeping<Req, T, E> for KeepOk<K> {
    fn may_keep(&self, _: &Req) -> bool {
        true
    }

    fn worth(&self, result: &Result<T, E>) -> Worth {
        if result.is_ok() { Worth::Keep } else { Worth::Fail }
    }

    fn copy(&self, response: &T) -> T {
        response.clone()
    }

    fn mark(&self, response: T, degraded: Degraded) -> T {
        self.0.mark(response, degraded)
    }
}

impl<Req, T, E, P, D> Keeping<Req, T, E> for KeepUnlessDegraded<P, D>
where
    P: Keeping<Req, T, E>,
    D: Fn(&T) -> bool,
{
    fn may_keep(&self, request: &Req) -> bool {
        self.keeping.may_keep(request)
    }

    fn worth(&self, result: &Result<T, E>) -> Worth {
        match (self.keeping.worth(result), result) {
            (Worth::Keep, Ok(response)) if (self.degraded)(response) => Worth::Pass,
            (worth, _) => worth,
        }
    }

    fn copy(&self, response: &T) -> T {
        self.keeping.copy(response)
    }

    fn mark(&self, response: T, degraded: Degraded) -> T {
        self.keeping.mark(response, degraded)
    }
}
