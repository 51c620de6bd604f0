use std::time::Duration;

use circuitbreaker_rs::{BreakerError, CircuitBreaker, DefaultPolicy};
use tower::{Service, service_fn};

use super::HOUR;
use crate::catalog::Visitor;
use crate::guard::{Guard, Guarded};
use crate::id::{Face, Id, Path, Who};
use crate::layered::{Bare, ClonedPerCall, Layered};
use crate::period::Period;
use crate::subject::{Answer, Failure, Outcome, Refusal};
use crate::work::{Alternating, Healthy, OnePercent, ThirtyPercent};

pub(super) const SETTINGS: &str = "its default policy, an error rate of 0.5 of all calls since it closed, at least 20, or \
    5 in a row. It has no tower layer: `call_async` inside a `service_fn`, unboxed.";

type Breaker = CircuitBreaker<DefaultPolicy, Failure>;

pub(super) fn visit(visitor: &mut impl Visitor) {
    let id = |face, path| Id::new(face, path, Who::Peer("circuitbreaker-rs"), "default");

    visitor.subject(id(Face::Sync, Path::Closed), || Guarded::<_, Healthy>::new(closed()));
    visitor.subject(id(Face::Sync, Path::OnePercent), || Guarded::<_, OnePercent>::new(closed()));
    visitor.subject(id(Face::Sync, Path::ThirtyPercent), || Guarded::<_, ThirtyPercent>::new(closed()));
    visitor.subject(id(Face::Sync, Path::Open), || Guarded::<_, Healthy>::new(open()));
    visitor.subject(id(Face::Sync, Path::HalfOpen), || Guarded::<_, Healthy>::new(half_open()));
    visitor.subject(id(Face::Sync, Path::Period), || {
        Period::<_, _, 1>::new(Guarded::<_, Alternating<1>>::new(periodic()), || ())
    });

    visitor.subject(id(Face::Layer, Path::Closed), || Layered::<_, Healthy>::new(service(closed())));
    visitor.subject(id(Face::Layer, Path::OnePercent), || Layered::<_, OnePercent>::new(service(closed())));
    visitor.subject(id(Face::Layer, Path::Open), || Layered::<_, Healthy>::new(service(open())));
    visitor.subject(id(Face::Layer, Path::HalfOpen), || Layered::<_, Healthy>::new(service(half_open())));
    visitor.subject(id(Face::Layer, Path::Period), || {
        Period::<_, _, 1>::new(Layered::<_, Alternating<1>>::new(service(periodic())), || ())
    });
    visitor.subject(id(Face::Layer, Path::Cloned), || ClonedPerCall::<_, Healthy>::new(service(closed())));
}

fn closed() -> Breaker {
    Breaker::builder()
        .failure_threshold(0.5)
        .min_throughput(20)
        .consecutive_failures(5)
        .cooldown(HOUR)
        .build()
}

fn open() -> Breaker {
    let breaker = closed();
    breaker.force_open();
    breaker
}

/// As many probes as there may be, and never enough successes.
fn half_open() -> Breaker {
    let breaker = Breaker::builder()
        .cooldown(Duration::ZERO)
        .probe_interval(u32::MAX)
        .consecutive_successes(u64::MAX)
        .build();
    breaker.force_open();
    breaker
}

fn periodic() -> Breaker {
    Breaker::builder()
        .consecutive_failures(1)
        .cooldown(Duration::ZERO)
        .probe_interval(1)
        .consecutive_successes(1)
        .build()
}

impl Guard for Breaker {
    #[inline]
    fn call(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Answer {
        CircuitBreaker::call(self, work).answer()
    }
}

impl Refusal for BreakerError<Failure> {
    #[inline]
    fn is_rejection(&self) -> bool {
        !matches!(self, BreakerError::Operation(_))
    }
}

fn service(
    breaker: Breaker,
) -> impl Service<u64, Response = u64, Error = BreakerError<Failure>> + Clone + Send + 'static {
    let mut inner = Bare;
    service_fn(move |request| {
        let breaker = breaker.clone();
        let response = inner.call(request);
        async move { breaker.call_async(|| response).await }
    })
}
