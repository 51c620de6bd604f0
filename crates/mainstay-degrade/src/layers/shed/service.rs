use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use mainstay_core::NotAsked;
use tower_service::Service;

use super::future::ShedFuture;
use super::tally::Tally;
use crate::{Asked, Assessed, Criticality, Current, DegradationManager, ExecutionMode, Level, Mode};

/// A tower service that sheds. Made by [`ShedLayer`](crate::ShedLayer).
pub struct ShedService<S, F, R = PassShed, M: Mode = ExecutionMode, A = Current> {
    pub(super) inner: S,
    pub(super) degrade: DegradationManager<M>,
    pub(super) criticality: F,
    pub(super) on_shed: R,
    pub(super) assessed: A,
    pub(super) tally: Arc<Tally>,
}

/// A request that was shed. As an error it says [`NotAsked`] of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// What becomes of a request that is shed: [`PassShed`], [`ShedWith`], `ShedHttp`, or your own, with
/// [`ShedLayer::on_shed`](crate::ShedLayer::on_shed).
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

impl fmt::Display for Shed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NotAsked::say();
        write!(f, "shed: {} at {}", self.class, self.level)
    }
}

impl std::error::Error for Shed {}

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

impl<S, F, R, M: Mode, A, Req> Service<Req> for ShedService<S, F, R, M, A>
where
    S: Service<Req> + Clone,
    F: Fn(&Req) -> Criticality,
    R: OnShed<S::Response, S::Error>,
    A: Assessed<Req>,
{
    type Response = S::Response;
    type Error = R::Error;
    type Future = ShedFuture<Asked<S, Req>, R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let on_shed = self.on_shed.clone();
        match self.sheds(&request) {
            Some(shed) => ShedFuture::shed(shed, on_shed),
            None => ShedFuture::calling(Asked::new(self.inner.clone(), request), on_shed),
        }
    }
}

impl<S, F, R, M: Mode, A> ShedService<S, F, R, M, A> {
    fn sheds<Req>(&self, request: &Req) -> Option<Shed>
    where
        F: Fn(&Req) -> Criticality,
        A: Assessed<Req>,
    {
        let class = (self.criticality)(request);
        let (share, level) = match class {
            Criticality::CriticalPlus | Criticality::Critical => (0.0, Level::None),
            Criticality::SheddablePlus | Criticality::Sheddable => {
                let own = self.assessed.assessment(request);
                let assessment = own.unwrap_or_else(|| self.degrade.assessment());
                (class.shed_share(&assessment, self.degrade.clock().coarse()), assessment.level)
            }
        };
        self.tally.sheds(class, share).then_some(Shed { class, level })
    }
}

impl<S: Clone, F: Clone, R: Clone, M: Mode, A: Clone> Clone for ShedService<S, F, R, M, A> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            degrade: self.degrade.clone(),
            criticality: self.criticality.clone(),
            on_shed: self.on_shed.clone(),
            assessed: self.assessed.clone(),
            tally: self.tally.clone(),
        }
    }
}

impl<S: fmt::Debug, F, R, M: Mode, A> fmt::Debug for ShedService<S, F, R, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShedService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
