//! The breaker of tower-resilience, a layer.

use std::time::Duration;

use tower::Layer;
use tower_resilience_circuitbreaker::{
    CircuitBreaker, CircuitBreakerConfigBuilder, CircuitBreakerError, CircuitBreakerLayer, DefaultClassifier,
};

use super::HOUR;
use crate::catalog::Visitor;
use crate::id::{Face, Id, Path, Who};
use crate::layered::{Bare, ClonedPerCall, Layered};
use crate::period::Period;
use crate::subject::{Failure, Refusal, Subject};
use crate::work::{Alternating, Broken, FirstFails, Healthy, OnePercent};

pub(super) const SETTINGS: &str = "failure rate 0.5 over a count window of 100 calls, at least 20; or 5 in a row. A layer \
    only. Its time window keeps every call of the last 30 s, which at these rates is all memory there is: not measured.";

pub(super) fn visit(visitor: &mut impl Visitor) {
    let count =
        |path| Id::new(Face::Layer, path, Who::Peer("tower-resilience-circuitbreaker"), "count window 100");
    let run = |path| Id::new(Face::Layer, path, Who::Peer("tower-resilience-circuitbreaker"), "consecutive");

    visitor.subject(count(Path::Closed), || Layered::<_, Healthy>::new(service(window())));
    visitor.subject(run(Path::Closed), || {
        Layered::<_, Healthy>::new(service(builder().consecutive_failures(5)))
    });
    visitor.subject(count(Path::OnePercent), || Layered::<_, OnePercent>::new(service(window())));
    visitor.subject(run(Path::Open), || {
        let mut subject = Layered::<_, Broken>::new(service(builder().consecutive_failures(1)));
        subject.call();
        subject
    });
    visitor.subject(run(Path::HalfOpen), || {
        let settings = periodic().permitted_calls_in_half_open(MOST_PROBES);
        let mut subject = Layered::<_, FirstFails>::new(service(settings));
        subject.call();
        subject
    });
    visitor.subject(run(Path::Period), || {
        Period::<_, _, 1>::new(
            Layered::<_, Alternating<1>>::new(service(periodic().permitted_calls_in_half_open(1))),
            || (),
        )
    });
    visitor.subject(count(Path::Cloned), || ClonedPerCall::<_, Healthy>::new(service(window())));
}

type Settings = CircuitBreakerConfigBuilder<DefaultClassifier>;

fn builder() -> Settings {
    CircuitBreakerLayer::builder().wait_duration_in_open(HOUR)
}

fn window() -> Settings {
    builder().failure_rate_threshold(0.5).sliding_window_size(100).minimum_number_of_calls(20)
}

fn periodic() -> Settings {
    builder().consecutive_failures(1).wait_duration_in_open(Duration::ZERO)
}

/// What its semaphore holds at most.
const MOST_PROBES: usize = usize::MAX >> 3;

fn service(settings: Settings) -> CircuitBreaker<Bare, DefaultClassifier> {
    built(settings, Bare)
}

/// Its breaker with a count window around any service.
pub fn around<S>(service: S) -> CircuitBreaker<S, DefaultClassifier> {
    built(window(), service)
}

#[allow(clippy::expect_used, reason = "settings above that it refuses are a mistake in this file")]
fn built<S>(settings: Settings, service: S) -> CircuitBreaker<S, DefaultClassifier> {
    settings.build().expect("settings that are in range").layer(service)
}

impl Refusal for CircuitBreakerError<Failure> {
    #[inline]
    fn is_rejection(&self) -> bool {
        matches!(self, CircuitBreakerError::OpenCircuit)
    }
}
