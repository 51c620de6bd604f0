//! Results from an earlier epoch decide nothing.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use Verdict::{Failure, Ignore, Success};
use mainstay_breaker::{Breaker, Clock, HalfOpen, ManualClock, OpenFor, RejectReason, State, Trip, Verdict};

const OPEN: Duration = Duration::from_secs(10);

fn breaker() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { max_in_flight: 2, close_after: 1, ..HalfOpen::default() };
    let builder = Breaker::builder("late").trip(Trip::consecutive_failures(2)).half_open(half_open);
    (builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap(), time)
}

#[test]
fn a_success_from_before_the_trip_does_not_close_an_open_breaker() {
    let (breaker, _) = breaker();
    let permit = breaker.try_acquire().unwrap();
    breaker.trip();
    permit.success();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_success_from_before_the_trip_does_not_close_a_half_open_breaker() {
    let (breaker, time) = breaker();
    let permit = breaker.try_acquire().unwrap();
    breaker.trip();
    time.advance(OPEN);
    permit.success();
    let stay = breaker.snapshot().half_open.unwrap();
    assert_eq!((breaker.state(), stay.successes), (State::HalfOpen, 0));
}

#[test]
fn a_failure_from_before_the_trip_does_not_open_a_half_open_breaker() {
    let (breaker, time) = breaker();
    let permit = breaker.try_acquire().unwrap();
    breaker.trip();
    time.advance(OPEN);
    permit.failure();
    let stay = breaker.snapshot().half_open.unwrap();
    assert_eq!((breaker.state(), stay.failures), (State::HalfOpen, 0));
}

#[test]
fn a_late_result_makes_no_slot() {
    for verdict in [Success, Failure, Ignore] {
        let (breaker, time) = breaker();
        let late = breaker.try_acquire().unwrap();
        breaker.trip();
        time.advance(OPEN);
        let probes = [breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap()];
        late.record(verdict);
        assert_eq!(breaker.try_acquire().unwrap_err().reason(), RejectReason::ProbesBusy, "{verdict:?}");
        drop(probes);
    }
}

#[test]
fn a_late_drop_makes_no_slot() {
    let (breaker, time) = breaker();
    let late = breaker.try_acquire().unwrap();
    breaker.trip();
    time.advance(OPEN);
    let probes = [breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap()];
    drop(late);
    assert!(breaker.try_acquire().is_err());
    drop(probes);
}

#[test]
fn a_probe_of_an_earlier_stay_decides_nothing_in_a_later_one() {
    for verdict in [Success, Failure] {
        let (breaker, time) = breaker();
        breaker.trip();
        time.advance(OPEN);
        let late = breaker.try_acquire().unwrap();
        breaker.try_acquire().unwrap().failure();
        time.advance(OPEN);
        late.record(verdict);
        let stay = breaker.snapshot().half_open.unwrap();
        assert_eq!((stay.successes, stay.failures), (0, 0), "{verdict:?}");
    }
}

#[test]
fn a_probe_of_an_earlier_stay_makes_no_slot_in_a_later_one() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    let late = breaker.try_acquire().unwrap();
    breaker.try_acquire().unwrap().failure();
    time.advance(OPEN);
    let probes = [breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap()];
    late.success();
    assert_eq!(breaker.try_acquire().unwrap_err().reason(), RejectReason::ProbesBusy);
    drop(probes);
}

#[test]
fn a_late_head_of_an_answer_decides_nothing() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    let mut late = breaker.try_acquire().unwrap();
    breaker.try_acquire().unwrap().failure();
    time.advance(OPEN);
    late.answered(Success);
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn a_late_failure_adds_to_no_run() {
    let (breaker, _) = breaker();
    let late = breaker.try_acquire().unwrap();
    breaker.reset();
    breaker.try_acquire().unwrap().failure();
    late.failure();
    assert_eq!((breaker.state(), breaker.snapshot().consecutive_failures), (State::Closed, 1));
}

#[test]
fn a_late_success_ends_no_run() {
    let (breaker, _) = breaker();
    let late = breaker.try_acquire().unwrap();
    breaker.reset();
    breaker.try_acquire().unwrap().failure();
    late.success();
    breaker.try_acquire().unwrap().failure();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_late_result_is_in_no_window() {
    let (clock, _) = Clock::manual();
    let breaker = Breaker::builder("late").trip(Trip::failure_rate(0.5)).clock(clock).build().unwrap();
    let late: Vec<_> = (0..40).map(|_| breaker.try_acquire().unwrap()).collect();
    breaker.reset();
    for (number, permit) in late.into_iter().enumerate() {
        permit.record(if number % 2 == 0 { Failure } else { Success });
    }
    assert_eq!((breaker.state(), breaker.snapshot().rules[0].calls), (State::Closed, 0));
}

#[test]
fn late_results_are_in_the_totals() {
    let (breaker, _) = breaker();
    let late: Vec<_> = (0..4).map(|_| breaker.try_acquire().unwrap()).collect();
    breaker.reset();
    for (permit, verdict) in late.into_iter().zip([Some(Success), Some(Failure), Some(Ignore), None]) {
        match verdict {
            Some(verdict) => permit.record(verdict),
            None => drop(permit),
        }
    }
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.success, totals.failure, totals.ignored, totals.cancelled), (1, 1, 2, 1));
}

#[test]
fn a_late_slow_result_is_in_the_totals_as_slow() {
    let (clock, time) = Clock::manual();
    let limit = Duration::from_secs(1);
    let breaker = Breaker::builder("late").trip(Trip::slow_rate(1.0, limit)).clock(clock).build().unwrap();
    let late = breaker.try_acquire().unwrap();
    breaker.reset();
    time.advance(limit);
    late.success();
    assert_eq!(breaker.snapshot().totals.slow, 1);
}

#[test]
fn a_permit_is_late_as_soon_as_a_transition_is_due_though_nobody_looked() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    let expiring = breaker.try_acquire().unwrap();
    time.advance(Duration::from_secs(1));
    let probe = breaker.try_acquire().unwrap();
    time.advance(HalfOpen::default().probe_timeout - Duration::from_secs(1));
    probe.success();
    assert_eq!(breaker.state(), State::Open);
    drop(expiring);
}

#[test]
fn a_call_that_outlives_an_outage_decides_nothing_after_it() {
    let (breaker, time) = breaker();
    let old = breaker.try_acquire().unwrap();
    breaker.trip();
    time.advance(OPEN);
    breaker.try_acquire().unwrap().success();
    breaker.try_acquire().unwrap().failure();
    old.failure();
    assert_eq!((breaker.state(), breaker.snapshot().consecutive_failures), (State::Closed, 1));
}
