//! Recovery that lets traffic in little by little.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use Verdict::{Failure, Success};
use mainstay_breaker::{
    Breaker, Cause, Clock, HalfOpen, ManualClock, OpenFor, Outlook, RejectReason, Stage, State, Trip,
    Verdict, Window,
};

const OPEN: Duration = Duration::from_secs(10);
const RAMP: Duration = Duration::from_secs(100);

fn breaker() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("ramp").trip(Trip::failures(3).over(Window::calls(1000)));
    let builder = builder.half_open(HalfOpen { close_after: 1, ..HalfOpen::default() }).ramp(RAMP);
    (builder.open_for(OpenFor::exponential(OPEN, 8 * OPEN)).clock(clock).build().unwrap(), time)
}

fn ramping() -> (Breaker, ManualClock) {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    breaker.try_acquire().unwrap().success();
    (breaker, time)
}

/// How many of so many calls get in, each a success.
fn admitted(breaker: &Breaker, calls: u32) -> usize {
    (0..calls).filter(|_| breaker.call(|| Ok::<_, &str>(())).is_ok()).count()
}

fn record_admitted(breaker: &Breaker, times: u32, verdict: Verdict) {
    for _ in 0..times {
        let permit = (0..100).find_map(|_| breaker.try_acquire().ok());
        permit.unwrap().record(verdict);
    }
}

#[test]
fn the_ramp_is_a_stage_of_half_open_with_an_epoch_and_a_transition_of_its_own() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    let mut transitions = breaker.subscribe();
    let probing = breaker.snapshot();
    breaker.try_acquire().unwrap().success();
    let ramping = breaker.snapshot();
    assert_eq!((ramping.state, ramping.epoch), (State::HalfOpen, probing.epoch + 1));
    assert_eq!(ramping.half_open.unwrap().stage, Stage::Ramping);
    let entered = std::iter::from_fn(|| transitions.try_recv()).last().unwrap();
    assert_eq!((entered.from, entered.to), (State::HalfOpen, State::HalfOpen));
    assert_eq!(
        (entered.stage, entered.cause),
        (Some(Stage::Ramping), Cause::ProbesSucceeded { successes: 1 })
    );
}

#[test]
fn the_ramp_begins_with_one_call_in_twenty() {
    let (breaker, _) = ramping();
    assert_eq!(admitted(&breaker, 1000), 50);
}

#[test]
fn the_share_grows_evenly_over_the_ramp() {
    let (breaker, time) = ramping();
    let mut shares = Vec::new();
    for _ in 0..4 {
        shares.push(admitted(&breaker, 10_000));
        time.advance(RAMP / 4);
    }
    // 5 %, and then a quarter of the remaining 95 % more each time.
    let expected = [500, 2875, 5250, 7625];
    let near = |(seen, expected): (&usize, usize)| seen.abs_diff(expected) <= 1;
    assert!(shares.iter().zip(expected).all(near), "{shares:?}");
}

#[test]
fn the_ramp_admits_without_dice() {
    let pattern = || {
        let (breaker, time) = ramping();
        time.advance(RAMP / 3);
        (0..200).map(|_| breaker.try_acquire().is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(pattern(), pattern());
}

#[test]
fn the_admitted_calls_are_spread_and_not_bunched() {
    let (breaker, _) = ramping();
    let places: Vec<_> = (1..=100).filter(|_| breaker.try_acquire().is_ok()).collect();
    assert_eq!(places, [20, 40, 60, 80, 100]);
}

#[test]
fn the_ramp_ends_by_time_though_nobody_calls() {
    let (breaker, time) = ramping();
    time.advance(RAMP - Duration::from_nanos(1));
    assert_eq!(breaker.state(), State::HalfOpen);
    time.advance(Duration::from_nanos(1));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn the_end_of_the_ramp_is_dated_when_it_was_due() {
    let (breaker, time) = ramping();
    time.advance(3 * RAMP);
    let closed = *breaker.snapshot().recent.last().unwrap();
    assert_eq!((closed.to, closed.at, closed.cause), (State::Closed, OPEN + RAMP, Cause::RampCompleted));
}

#[test]
fn after_the_ramp_every_call_gets_in() {
    let (breaker, time) = ramping();
    time.advance(RAMP);
    assert_eq!(admitted(&breaker, 100), 100);
}

#[test]
fn a_rejection_of_the_ramp_tells_to_come_back_after_a_slice_of_it() {
    let (breaker, _) = ramping();
    let rejected = breaker.try_acquire().unwrap_err();
    assert_eq!(rejected.reason(), RejectReason::Ramping);
    assert_eq!(rejected.retry_after(), Some(RAMP / 20));
    assert_eq!(rejected.cause(), Some(&Cause::Manual));
}

#[test]
fn the_ordinary_rules_trip_during_the_ramp() {
    let (breaker, time) = ramping();
    time.advance(RAMP / 2);
    record_admitted(&breaker, 2, Failure);
    assert_eq!(breaker.state(), State::HalfOpen);
    record_admitted(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
    assert!(matches!(breaker.snapshot().last_trip, Some(Cause::Failures { failures: 3, .. })));
}

#[test]
fn a_run_of_failures_trips_during_the_ramp() {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("ramp").trip(Trip::consecutive_failures(2)).ramp(RAMP);
    let breaker = builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap();
    breaker.trip();
    time.advance(OPEN);
    record_admitted(&breaker, 2, Success);
    record_admitted(&breaker, 2, Failure);
    let cause = Cause::ConsecutiveFailures { rule: 0, failures: 2, limit: 2 };
    assert_eq!(breaker.snapshot().last_trip, Some(cause));
}

#[test]
fn a_success_never_ends_the_ramp_early() {
    let (breaker, time) = ramping();
    time.advance(RAMP / 2);
    admitted(&breaker, 1000);
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn the_ramp_starts_with_empty_windows() {
    let (breaker, time) = breaker();
    record_admitted(&breaker, 2, Failure);
    breaker.trip();
    time.advance(OPEN);
    record_admitted(&breaker, 1, Success);
    assert_eq!(breaker.snapshot().rules[0].calls, 0);
    record_admitted(&breaker, 1, Failure);
    assert_eq!(breaker.snapshot().rules[0].failures, 1);
}

#[test]
fn the_closed_state_after_the_ramp_starts_with_empty_windows() {
    let (breaker, time) = ramping();
    record_admitted(&breaker, 2, Failure);
    time.advance(RAMP);
    record_admitted(&breaker, 2, Failure);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn the_ramp_has_no_probe_slots() {
    let (breaker, time) = ramping();
    time.advance(RAMP * 99 / 100);
    let permits: Vec<_> = (0..100).filter_map(|_| breaker.try_acquire().ok()).collect();
    assert!(permits.len() > HalfOpen::default().max_in_flight as usize);
    assert_eq!(breaker.snapshot().half_open.unwrap().in_flight, 0);
}

#[test]
fn a_probe_that_answers_during_the_ramp_is_late() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    let [first, second] = [breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap()];
    first.success();
    second.failure();
    assert_eq!(breaker.snapshot().rules[0].failures, 0);
}

#[test]
fn a_call_of_the_ramp_that_answers_after_it_is_late() {
    let (breaker, time) = ramping();
    let permit = (0..20).find_map(|_| breaker.try_acquire().ok()).unwrap();
    time.advance(RAMP);
    permit.failure();
    assert_eq!(breaker.snapshot().consecutive_failures, 0);
}

#[test]
fn reopening_from_the_ramp_lengthens_the_open_time() {
    let (breaker, time) = ramping();
    time.advance(RAMP / 2);
    record_admitted(&breaker, 3, Failure);
    assert_eq!(breaker.snapshot().retry_after, Some(2 * OPEN));
}

#[test]
fn the_run_is_shown_only_while_closed() {
    let (breaker, _) = ramping();
    record_admitted(&breaker, 2, Failure);
    assert_eq!(breaker.snapshot().consecutive_failures, 0);
}

#[test]
fn without_a_ramp_the_breaker_closes_at_once() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("sudden").open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap();
    breaker.trip();
    time.advance(OPEN);
    record_admitted(&breaker, 2, Success);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn while_it_ramps_up_the_outlook_is_good() {
    let (breaker, _time) = ramping();
    assert_eq!((breaker.state(), breaker.outlook()), (State::HalfOpen, Outlook::Up));
}
