//! Opening and closing by hand.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use Verdict::{Failure, Success};
use mainstay_breaker::{Breaker, Cause, Clock, HalfOpen, ManualClock, OpenFor, State, Trip, Verdict, Window};

const OPEN: Duration = Duration::from_secs(10);

fn breaker() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { max_in_flight: 1, close_after: 1, ..HalfOpen::default() };
    let builder = Breaker::builder("by hand").trip(Trip::consecutive_failures(2)).half_open(half_open);
    (builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap(), time)
}

fn record(breaker: &Breaker, times: usize, verdict: Verdict) {
    for _ in 0..times {
        breaker.try_acquire().unwrap().record(verdict);
    }
}

#[test]
fn tripping_an_open_breaker_does_not_extend_it() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN / 2);
    breaker.trip();
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.retry_after, snapshot.epoch), (Some(OPEN / 2), 1));
}

#[test]
fn tripping_a_breaker_whose_open_time_is_over_opens_it_again() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    breaker.trip();
    assert_eq!((breaker.state(), breaker.snapshot().epoch), (State::Open, 3));
}

#[test]
fn tripping_by_hand_says_so() {
    let (breaker, _) = breaker();
    breaker.trip();
    assert_eq!(breaker.try_acquire().unwrap_err().cause(), Some(&Cause::Manual));
}

#[test]
fn a_reset_while_closed_clears_the_run_and_begins_an_epoch() {
    let (breaker, _) = breaker();
    record(&breaker, 1, Failure);
    breaker.reset();
    assert_eq!(breaker.snapshot().epoch, 1);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_reset_clears_state_and_last_cause_but_not_the_totals() {
    let (breaker, _) = breaker();
    record(&breaker, 2, Failure);
    breaker.reset();
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.last_trip), (State::Closed, None));
    assert_eq!((snapshot.totals.failure, snapshot.recent.last().unwrap().cause), (2, Cause::Reset));
}

#[test]
fn a_reset_ends_half_open_and_frees_its_slots() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    let probe = breaker.try_acquire().unwrap();
    breaker.reset();
    probe.failure();
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().consecutive_failures, 0);
}

#[test]
fn a_reset_while_closed_clears_the_windows() {
    for window in [Window::calls(10), Window::time(OPEN)] {
        let (clock, _) = Clock::manual();
        let rule = Trip::failures(3).over(window);
        let breaker = Breaker::builder("by hand").trip(rule).clock(clock).build().unwrap();
        record(&breaker, 2, Failure);
        record(&breaker, 5, Success);
        breaker.reset();
        let seen = breaker.snapshot().rules[0].clone();
        assert_eq!((seen.calls, seen.failures), (0, 0));
        record(&breaker, 2, Failure);
        assert_eq!(breaker.state(), State::Closed);
    }
}

#[test]
fn tripping_empties_the_windows() {
    let (breaker, time) = breaker();
    record(&breaker, 1, Failure);
    breaker.trip();
    time.advance(OPEN);
    record(&breaker, 1, Success);
    record(&breaker, 1, Failure);
    assert_eq!((breaker.state(), breaker.snapshot().consecutive_failures), (State::Closed, 1));
}
