use std::future::Ready;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use recloser::{AnyError, AsyncRecloser, Error, Recloser, RecloserFuture};
use tower::Service;

use super::HOUR;
use crate::catalog::Visitor;
use crate::guard::{Guard, Guarded};
use crate::id::{Face, Id, Path, Who};
use crate::layered::{Bare, ClonedPerCall, Layered};
use crate::period::Period;
use crate::subject::{Answer, Failure, Outcome, Refusal, Subject};
use crate::work::{Alternating, Broken, Healthy, OnePercent, ThirtyPercent, Work};

pub(super) const SETTINGS: &str = "error rate 0.5 over a ring of 100 calls. It has no tower layer: `AsyncRecloser::call` \
    inside a minimal hand-written service. No half-open row: that state ends after a \
    fixed number of calls. Its period takes two failures and two probes, since it judges a ring of n at call n + 1.";

const NAME: &str = "count window 100";

pub(super) fn visit(visitor: &mut impl Visitor) {
    let id = |face, path| Id::new(face, path, Who::Peer("recloser"), NAME);

    visitor.subject(id(Face::Sync, Path::Closed), || Guarded::<_, Healthy>::new(closed()));
    visitor.subject(id(Face::Sync, Path::OnePercent), || Guarded::<_, OnePercent>::new(closed()));
    visitor.subject(id(Face::Sync, Path::ThirtyPercent), || Guarded::<_, ThirtyPercent>::new(closed()));
    visitor.subject(id(Face::Sync, Path::Open), || Guarded::<_, Healthy>::new(open()));
    visitor.subject(id(Face::Sync, Path::Period), || {
        Period::<_, _, 2>::new(Guarded::<_, Alternating<2>>::new(Arc::new(shortest(Duration::ZERO))), || ())
    });

    visitor.subject(id(Face::Layer, Path::Closed), || layer::<Healthy>(hundred()));
    visitor.subject(id(Face::Layer, Path::OnePercent), || layer::<OnePercent>(hundred()));
    visitor.subject(id(Face::Layer, Path::Open), || {
        let mut subject = layer::<Broken>(shortest(HOUR));
        subject.call();
        subject.call();
        subject
    });
    visitor.subject(id(Face::Layer, Path::Period), || {
        Period::<_, _, 2>::new(layer::<Alternating<2>>(shortest(Duration::ZERO)), || ())
    });
    visitor.subject(id(Face::Layer, Path::Cloned), || ClonedPerCall::<_, Healthy>::new(service(hundred())));
}

fn hundred() -> Recloser {
    Recloser::custom().error_rate(0.5).closed_len(100).half_open_len(1).open_wait(HOUR).build()
}

/// Opens at the second failure: it judges a ring of n at its call n + 1.
fn shortest(wait: Duration) -> Recloser {
    Recloser::custom().error_rate(0.5).closed_len(1).half_open_len(1).open_wait(wait).build()
}

fn closed() -> Arc<Recloser> {
    Arc::new(hundred())
}

fn open() -> Arc<Recloser> {
    let breaker = Arc::new(shortest(HOUR));
    Guard::call(&breaker, || Err(Failure));
    Guard::call(&breaker, || Err(Failure));
    breaker
}

impl Guard for Arc<Recloser> {
    #[inline]
    fn call(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Answer {
        Recloser::call(self, work).answer()
    }
}

impl Refusal for Error<Failure> {
    #[inline]
    fn is_rejection(&self) -> bool {
        matches!(self, Error::Rejected)
    }
}

/// The least that makes a tower service of it.
#[derive(Clone)]
struct RecloserService {
    breaker: AsyncRecloser,
    inner: Bare,
}

fn service(breaker: Recloser) -> RecloserService {
    RecloserService { breaker: breaker.into(), inner: Bare }
}

fn layer<W: Work>(breaker: Recloser) -> Layered<RecloserService, W> {
    Layered::new(service(breaker))
}

impl Service<u64> for RecloserService {
    type Response = u64;
    type Error = Error<Failure>;
    type Future = RecloserFuture<Ready<Result<u64, Failure>>, AnyError>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    #[inline]
    fn call(&mut self, request: u64) -> Self::Future {
        self.breaker.call(self.inner.call(request))
    }
}
