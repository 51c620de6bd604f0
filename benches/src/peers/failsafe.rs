use std::future::Ready;
use std::task::{Context, Poll};
use std::time::Duration;

use failsafe::failure_policy::{ConsecutiveFailures, FailurePolicy, OrElse, SuccessRateOverTimeWindow};
use failsafe::futures::{CircuitBreaker as AsyncBreaker, ResponseFuture};
use failsafe::{Any, CircuitBreaker, Config, Error, StateMachine, backoff, failure_policy};
use tower::Service;

use super::HOUR;
use crate::catalog::Visitor;
use crate::guard::{Guard, Guarded};
use crate::id::{Face, Id, Path, Who};
use crate::layered::{Bare, ClonedPerCall, Layered};
use crate::period::Period;
use crate::subject::{Answer, Failure, Outcome, Refusal, Subject};
use crate::work::{Alternating, Broken, Healthy, OnePercent, ThirtyPercent, Work};

pub(super) const SETTINGS: &str = "`default`: its own default policy, success rate 0.8 over 30 s (a moving average) or \
    5 in a row, but a success rate of 0.5 where 30 % fail. `consecutive`: 5 in a row alone. It has no tower layer: its \
    futures' `call` inside a minimal hand-written service. No half-open row: the first success closes.";

type Default =
    OrElse<SuccessRateOverTimeWindow<backoff::EqualJittered>, ConsecutiveFailures<backoff::EqualJittered>>;
type Consecutive = ConsecutiveFailures<backoff::Constant>;

pub(super) fn visit(visitor: &mut impl Visitor) {
    let default = |face, path| Id::new(face, path, Who::Peer("failsafe"), "default");
    let consecutive = |face, path| Id::new(face, path, Who::Peer("failsafe"), "consecutive");

    visitor.subject(default(Face::Sync, Path::Closed), || Guarded::<_, Healthy>::new(rates(0.8)));
    visitor.subject(consecutive(Face::Sync, Path::Closed), || Guarded::<_, Healthy>::new(run_of(5, HOUR)));
    visitor.subject(default(Face::Sync, Path::OnePercent), || Guarded::<_, OnePercent>::new(rates(0.8)));
    visitor.subject(consecutive(Face::Sync, Path::OnePercent), || {
        Guarded::<_, OnePercent>::new(run_of(5, HOUR))
    });
    visitor
        .subject(default(Face::Sync, Path::ThirtyPercent), || Guarded::<_, ThirtyPercent>::new(rates(0.5)));
    visitor.subject(consecutive(Face::Sync, Path::Open), || {
        let mut subject = Guarded::<_, Broken>::new(run_of(1, HOUR));
        subject.call();
        subject
    });
    visitor.subject(consecutive(Face::Sync, Path::Period), || {
        Period::<_, _, 1>::new(Guarded::<_, Alternating<1>>::new(run_of(1, Duration::ZERO)), || ())
    });

    visitor.subject(default(Face::Layer, Path::Closed), || layer::<_, Healthy>(rates(0.8)));
    visitor.subject(consecutive(Face::Layer, Path::Closed), || layer::<_, Healthy>(run_of(5, HOUR)));
    visitor.subject(default(Face::Layer, Path::OnePercent), || layer::<_, OnePercent>(rates(0.8)));
    visitor.subject(consecutive(Face::Layer, Path::Open), || {
        let mut subject = layer::<_, Broken>(run_of(1, HOUR));
        subject.call();
        subject
    });
    visitor.subject(consecutive(Face::Layer, Path::Period), || {
        Period::<_, _, 1>::new(layer::<_, Alternating<1>>(run_of(1, Duration::ZERO)), || ())
    });
    visitor.subject(consecutive(Face::Layer, Path::Cloned), || {
        ClonedPerCall::<_, Healthy>::new(FailsafeService { breaker: run_of(5, HOUR), inner: Bare })
    });
}

fn rates(success_rate: f64) -> StateMachine<Default, ()> {
    let wait = || backoff::equal_jittered(Duration::from_secs(10), Duration::from_secs(300));
    let rate =
        failure_policy::success_rate_over_time_window(success_rate, 5, Duration::from_secs(30), wait());
    let run = failure_policy::consecutive_failures(5, wait());
    Config::new().failure_policy(rate.or_else(run)).build()
}

fn run_of(failures: u32, wait: Duration) -> StateMachine<Consecutive, ()> {
    Config::new()
        .failure_policy(failure_policy::consecutive_failures(failures, backoff::constant(wait)))
        .build()
}

impl<P: FailurePolicy + Send + 'static> Guard for StateMachine<P, ()> {
    #[inline]
    fn call(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Answer {
        CircuitBreaker::call(self, work).answer()
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
struct FailsafeService<B> {
    breaker: B,
    inner: Bare,
}

fn layer<B, W: Work>(breaker: B) -> Layered<FailsafeService<B>, W> {
    Layered::new(FailsafeService { breaker, inner: Bare })
}

impl<B: AsyncBreaker> Service<u64> for FailsafeService<B> {
    type Response = u64;
    type Error = Error<Failure>;
    type Future = ResponseFuture<Ready<Result<u64, Failure>>, B::FailurePolicy, B::Instrument, Any>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    #[inline]
    fn call(&mut self, request: u64) -> Self::Future {
        self.breaker.call(self.inner.call(request))
    }
}
