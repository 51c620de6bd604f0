//! A rejection says who, why and when.
#![allow(clippy::unwrap_used)]

use std::error::Error;
use std::time::Duration;

use mainstay_breaker::{
    Breaker, BreakerError, Cause, Clock, Control, HalfOpen, ManualClock, NotAsked, OpenFor, RejectReason,
    Rejected, Trip,
};

const OPEN: Duration = Duration::from_secs(15);
const PROBE: Duration = Duration::from_secs(10);

fn breaker() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { max_in_flight: 2, probe_timeout: PROBE, ..HalfOpen::default() };
    let builder = Breaker::builder("redis").trip(Trip::consecutive_failures(2)).half_open(half_open);
    (builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap(), time)
}

fn rejected(breaker: &Breaker) -> Rejected {
    breaker.try_acquire().unwrap_err()
}

#[test]
fn an_open_breaker_tells_its_name_the_cause_and_what_is_left_of_the_open_time() {
    let (breaker, time) = breaker();
    (0..2).for_each(|_| breaker.try_acquire().unwrap().failure());
    time.advance(Duration::from_secs(4));
    let rejected = rejected(&breaker);
    assert_eq!((rejected.name().as_str(), rejected.reason()), ("redis", RejectReason::Open));
    assert_eq!(rejected.retry_after(), Some(Duration::from_secs(11)));
    let cause = Cause::ConsecutiveFailures { rule: 0, failures: 2, limit: 2 };
    assert_eq!(rejected.cause(), Some(&cause));
}

#[test]
fn busy_probes_tell_the_time_to_the_earliest_deadline() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    let first = breaker.try_acquire().unwrap();
    time.advance(Duration::from_secs(3));
    let second = breaker.try_acquire().unwrap();
    time.advance(Duration::from_secs(3));
    let both = rejected(&breaker);
    assert_eq!((both.reason(), both.retry_after()), (RejectReason::ProbesBusy, Some(Duration::from_secs(4))));
    first.ignore();
    let third = breaker.try_acquire().unwrap();
    assert_eq!(rejected(&breaker).retry_after(), Some(Duration::from_secs(7)));
    drop((second, third));
}

#[test]
fn a_forced_breaker_tells_no_time() {
    let (breaker, _) = breaker();
    breaker.set_control(Control::ForcedOpen);
    let rejected = rejected(&breaker);
    assert_eq!((rejected.reason(), rejected.retry_after()), (RejectReason::Forced, None));
}

#[test]
fn a_forced_breaker_that_never_tripped_has_no_cause() {
    let (breaker, _) = breaker();
    breaker.set_control(Control::ForcedOpen);
    let rejected = rejected(&breaker);
    assert_eq!(rejected.cause(), None);
    assert!(rejected.source().is_none());
}

#[test]
fn the_cause_of_the_trip_is_the_source_of_the_rejection() {
    let (breaker, _) = breaker();
    (0..2).for_each(|_| breaker.try_acquire().unwrap().failure());
    let rejected = rejected(&breaker);
    let source = rejected.source().unwrap();
    assert_eq!(source.downcast_ref::<Cause>(), rejected.cause());
    assert_eq!(source.to_string(), "2 failures in a row (limit 2)");
}

#[test]
fn the_cause_survives_into_half_open() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    breaker.try_acquire().unwrap().failure();
    time.advance(OPEN);
    let probes = [breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap()];
    assert_eq!(rejected(&breaker).cause(), Some(&Cause::ProbeFailed { failures: 1, limit: 1 }));
    drop(probes);
}

#[test]
fn every_cause_that_opens_is_told_exactly() {
    let second = Duration::from_secs(1);
    let rules = [
        Trip::consecutive_failures(4),
        Trip::failure_rate(0.25).min_calls(4),
        Trip::failures(4),
        Trip::slow_rate(0.25, second).min_calls(4),
    ];
    for rule in rules {
        let (clock, time) = Clock::manual();
        let breaker = Breaker::builder("causes").trip(rule).clock(clock).build().unwrap();
        for _ in 0..4 {
            let permit = breaker.try_acquire().unwrap();
            time.advance(second);
            permit.failure();
        }
        let told = *rejected(&breaker).cause().unwrap();
        assert_eq!(Some(told), breaker.snapshot().last_trip);
        assert_eq!(told, breaker.snapshot().recent[0].cause);
    }
}

#[test]
fn a_rejection_reads_as_a_sentence() {
    let (breaker, _) = breaker();
    breaker.trip();
    assert_eq!(
        rejected(&breaker).to_string(),
        "breaker redis rejected the call: it is open; retry after 15s"
    );
}

#[test]
fn a_guarded_call_returns_the_rejection_as_its_error() {
    let (breaker, _) = breaker();
    breaker.trip();
    let error = breaker.call(|| Err::<(), _>("never made")).unwrap_err();
    assert_eq!(error.rejected(), Some(&rejected(&breaker)));
    assert_eq!(error.into_inner(), None);
}

#[test]
fn the_error_of_a_guarded_call_stacks_over_boxed_errors() {
    fn boxed(error: impl Error + Send + Sync + 'static) -> Box<dyn Error + Send + Sync> {
        error.into()
    }
    let (breaker, _) = breaker();
    breaker.trip();
    let error = breaker.call(|| Err::<(), Box<dyn Error + Send + Sync>>("never made".into())).unwrap_err();
    assert_eq!(boxed(error).source().unwrap().to_string(), "tripped by hand");
}

#[test]
fn a_rejection_converts_with_a_question_mark() {
    fn guarded(breaker: &Breaker) -> Result<(), BreakerError<std::fmt::Error>> {
        breaker.try_acquire()?.success();
        Ok(())
    }
    let (breaker, _) = breaker();
    assert!(guarded(&breaker).is_ok());
    breaker.trip();
    assert!(matches!(guarded(&breaker), Err(BreakerError::Rejected(_))));
}

#[test]
fn a_rejection_says_that_nobody_was_asked_and_an_error_of_the_call_does_not() {
    let (breaker, _) = breaker();
    let failed = breaker.call(|| Err::<(), _>("down")).unwrap_err();
    assert!(!NotAsked::is_said_by(&failed));
    breaker.set_control(Control::ForcedOpen);
    assert!(NotAsked::is_said_by(&rejected(&breaker)));
    let inner = breaker.call(|| Err::<(), _>("never made")).unwrap_err();
    assert!(NotAsked::is_said_by(&BreakerError::Inner(inner)), "that of a breaker behind this one");
}

#[test]
fn a_rejection_is_at_most_128_bytes_long() {
    assert!(size_of::<Rejected>() <= 128);
}
