use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use super::future::ShedFuture;
use super::tally::Tally;
use crate::{Criticality, DegradationManager, ExecutionMode, Level, Mode};

/// A tower service that sheds. Made by [`ShedLayer`](crate::ShedLayer).
pub struct ShedService<S, F, R = PassShed, M: Mode = ExecutionMode> {
    pub(super) inner: S,
    pub(super) degrade: DegradationManager<M>,
    pub(super) criticality: F,
    pub(super) on_shed: R,
    pub(super) tally: Arc<Tally>,
}

/// A request that was shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shed: {class} at {level}")]
#[non_exhaustive]
pub struct Shed {
    /// How much it mattered.
    pub class: Criticality,
    /// The level at the time. It is better than that which sheds the class while what was shed comes back.
    pub level: Level,
}

/// The error of a [`ShedService`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShedError<E> {
    /// The request was shed; the inner service was not called.
    #[error(transparent)]
    Shed(Shed),
    /// The inner service failed.
    #[error(transparent)]
    Inner(E),
}

/// What becomes of a request that is shed: [`PassShed`], [`ShedWith`], or your own.
///
/// `T` is the response, `E` the error of the inner service.
pub trait OnShed<T, E>: Clone {
    /// The error of the service.
    type Error;

    /// The request is shed.
    fn shed(&self, shed: Shed) -> Result<T, Self::Error>;

    /// The inner service failed.
    fn inner(error: E) -> Self::Error;
}

/// It becomes a [`ShedError`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PassShed;

/// It becomes a response. Made by [`ShedLayer::reject_with`](crate::ShedLayer::reject_with).
#[derive(Clone, Copy, Debug)]
pub struct ShedWith<F>(pub(super) F);

impl<T, E> OnShed<T, E> for PassShed {
    type Error = ShedError<E>;

    fn shed(&self, shed: Shed) -> Result<T, Self::Error> {
        Err(ShedError::Shed(shed))
    }

    fn inner(error: E) -> Self::Error {
        ShedError::Inner(error)
    }
}

impl<F, T, E> OnShed<T, E> for ShedWith<F>
where
    F: Fn(Shed) -> T + Clone,
{
    type Error = E;

    fn shed(&self, shed: Shed) -> Result<T, E> {
        Ok((self.0)(shed))
    }

    fn inner(error: E) -> E {
        error
    }
}

impl<S, F, R, M: Mode, Req> Service<Req> for ShedService<S, F, R, M>
where
    S: Service<Req>,
    F: Fn(&Req) -> Criticality,
    R: OnShed<S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = R::Error;
    type Future = ShedFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(R::inner)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let class = (self.criticality)(&request);
        match self.verdict(class) {
            Some(shed) => ShedFuture::shed(shed, self.on_shed.clone()),
            None => ShedFuture::calling(self.inner.call(request), self.on_shed.clone()),
        }
    }
}

impl<S, F, R, M: Mode> ShedService<S, F, R, M> {
    fn verdict(&self, class: Criticality) -> Option<Shed> {
        let (share, level) = match class {
            Criticality::CriticalPlus | Criticality::Critical => (0.0, Level::None),
            Criticality::SheddablePlus | Criticality::Sheddable => {
                let assessment = self.degrade.assessment();
                (class.shed_share(&assessment, self.degrade.clock().coarse()), assessment.level)
            }
        };
        self.tally.sheds(class, share).then_some(Shed { class, level })
    }
}

impl<S: Clone, F: Clone, R: Clone, M: Mode> Clone for ShedService<S, F, R, M> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            degrade: self.degrade.clone(),
            criticality: self.criticality.clone(),
            on_shed: self.on_shed.clone(),
            tally: self.tally.clone(),
        }
    }
}

impl<S: fmt::Debug, F, R, M: Mode> fmt::Debug for ShedService<S, F, R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShedService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
