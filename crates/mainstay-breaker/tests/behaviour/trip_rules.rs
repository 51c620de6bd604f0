//! What opens a closed breaker.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use Verdict::{Failure, Ignore, Success};
use mainstay_breaker::{Breaker, Cause, Clock, ManualClock, State, Trip, Verdict, Window};

const LIMIT: Duration = Duration::from_millis(500);

fn with_rules(rules: &[Trip]) -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("rules").clock(clock);
    (rules.iter().fold(builder, |builder, rule| builder.trip(*rule)).build().unwrap(), time)
}

fn with_rule(rule: Trip) -> Breaker {
    with_rules(&[rule]).0
}

fn record(breaker: &Breaker, times: usize, verdict: Verdict) {
    for _ in 0..times {
        breaker.try_acquire().unwrap().record(verdict);
    }
}

fn take(breaker: &Breaker, time: &ManualClock, long: Duration, verdict: Verdict) {
    let permit = breaker.try_acquire().unwrap();
    time.advance(long);
    permit.record(verdict);
}

#[test]
fn by_default_five_failures_in_a_row_trip() {
    let breaker = Breaker::new("default").unwrap();
    record(&breaker, 4, Failure);
    assert_eq!(breaker.state(), State::Closed);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn by_default_half_of_twenty_calls_trip() {
    let (breaker, _) = with_rules(&[]);
    for _ in 0..9 {
        record(&breaker, 1, Success);
        record(&breaker, 1, Failure);
    }
    record(&breaker, 1, Success);
    assert_eq!(breaker.state(), State::Closed);
    record(&breaker, 1, Failure);
    assert_eq!(
        breaker.snapshot().last_trip,
        Some(Cause::FailureRate { rule: 1, failures: 10, calls: 20, threshold: 0.5 })
    );
}

#[test]
fn the_first_rule_replaces_the_default_ones() {
    let breaker = with_rule(Trip::consecutive_failures(50));
    record(&breaker, 49, Failure);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn the_last_failure_of_the_run_trips_and_says_so() {
    let breaker = with_rule(Trip::consecutive_failures(3));
    record(&breaker, 2, Failure);
    assert_eq!(breaker.state(), State::Closed);
    record(&breaker, 1, Failure);
    let cause = Cause::ConsecutiveFailures { rule: 0, failures: 3, limit: 3 };
    assert_eq!(breaker.snapshot().last_trip, Some(cause));
}

#[test]
fn a_success_ends_a_run() {
    let breaker = with_rule(Trip::consecutive_failures(3));
    for _ in 0..10 {
        record(&breaker, 2, Failure);
        record(&breaker, 1, Success);
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn an_ignored_call_ends_no_run() {
    let breaker = with_rule(Trip::consecutive_failures(3));
    record(&breaker, 2, Failure);
    record(&breaker, 10, Ignore);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_slow_success_ends_a_run() {
    let rules = [Trip::consecutive_failures(2), Trip::slow_rate(1.0, LIMIT)];
    let (breaker, time) = with_rules(&rules);
    record(&breaker, 1, Failure);
    take(&breaker, &time, LIMIT, Success);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn failures_too_far_apart_are_no_run() {
    let minute = Duration::from_secs(60);
    let (breaker, time) = with_rules(&[Trip::consecutive_failures(3).within(minute)]);
    for _ in 0..10 {
        record(&breaker, 1, Failure);
        time.advance(minute + Duration::from_nanos(1));
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn failures_just_within_reach_are_a_run() {
    let minute = Duration::from_secs(60);
    let (breaker, time) = with_rules(&[Trip::consecutive_failures(3).within(minute)]);
    record(&breaker, 1, Failure);
    time.advance(minute);
    record(&breaker, 1, Failure);
    time.advance(minute);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_run_without_within_never_grows_old() {
    let (breaker, time) = with_rules(&[Trip::consecutive_failures(2)]);
    record(&breaker, 1, Failure);
    time.advance(Duration::from_secs(365 * 24 * 3600));
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn less_than_half_does_not_trip_a_rule_of_half() {
    let breaker = with_rule(Trip::failure_rate(0.5).over(Window::calls(200)).min_calls(200));
    record(&breaker, 101, Success);
    record(&breaker, 99, Failure);
    let seen = &breaker.snapshot().rules[0];
    assert_eq!((seen.rate, breaker.state()), (Some(0.495), State::Closed));
}

#[test]
fn exactly_half_trips_a_rule_of_half() {
    let breaker = with_rule(Trip::failure_rate(0.5).over(Window::calls(200)).min_calls(200));
    record(&breaker, 100, Success);
    record(&breaker, 100, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn seven_of_a_hundred_reach_seven_percent() {
    let breaker = with_rule(Trip::failure_rate(0.07).over(Window::calls(100)).min_calls(100));
    record(&breaker, 93, Success);
    record(&breaker, 6, Failure);
    assert_eq!(breaker.state(), State::Closed);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn every_exact_share_reaches_its_own_threshold() {
    for failures in 1..=100_u32 {
        let share = f64::from(failures) / 100.0;
        let breaker = with_rule(Trip::failure_rate(share).over(Window::calls(100)).min_calls(100));
        record(&breaker, 100 - failures as usize, Success);
        record(&breaker, failures as usize, Failure);
        assert_eq!(breaker.state(), State::Open, "{failures} %");
    }
}

#[test]
fn a_rate_is_not_judged_below_its_minimum() {
    let breaker = with_rule(Trip::failure_rate(0.1).over(Window::calls(100)).min_calls(20));
    record(&breaker, 19, Failure);
    assert_eq!(breaker.state(), State::Closed);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_minimum_below_the_window_is_judged_before_the_window_is_full() {
    let breaker = with_rule(Trip::failure_rate(0.5).over(Window::calls(100)).min_calls(4));
    record(&breaker, 2, Success);
    record(&breaker, 2, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_bare_rate_has_a_minimum_of_twenty() {
    let breaker = with_rule(Trip::failure_rate(0.1));
    record(&breaker, 19, Failure);
    assert_eq!(breaker.state(), State::Closed);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_rate_over_fewer_than_twenty_calls_has_a_full_window_as_its_minimum() {
    let breaker = with_rule(Trip::failure_rate(0.5).over(Window::calls(6)));
    record(&breaker, 5, Failure);
    assert_eq!(breaker.state(), State::Closed);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_success_that_completes_the_minimum_does_not_trip() {
    let breaker = with_rule(Trip::failure_rate(0.5).over(Window::calls(10)).min_calls(4));
    record(&breaker, 3, Failure);
    record(&breaker, 1, Success);
    assert_eq!(breaker.state(), State::Closed);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn ignored_calls_are_in_neither_side_of_a_rate() {
    let breaker = with_rule(Trip::failure_rate(0.5).over(Window::calls(100)).min_calls(4));
    record(&breaker, 50, Ignore);
    record(&breaker, 2, Success);
    record(&breaker, 1, Failure);
    record(&breaker, 50, Ignore);
    let seen = breaker.snapshot().rules[0].clone();
    assert_eq!((seen.calls, seen.failures), (3, 1));
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn so_many_failures_in_the_window_trip_whatever_the_rate() {
    let breaker = with_rule(Trip::failures(3).over(Window::calls(1000)));
    record(&breaker, 990, Success);
    record(&breaker, 2, Failure);
    assert_eq!(breaker.state(), State::Closed);
    record(&breaker, 1, Failure);
    let cause = Cause::Failures { rule: 0, failures: 3, calls: 993, limit: 3 };
    assert_eq!(breaker.snapshot().last_trip, Some(cause));
}

#[test]
fn failures_that_left_the_window_trip_nothing() {
    let breaker = with_rule(Trip::failures(3).over(Window::calls(10)));
    for _ in 0..20 {
        record(&breaker, 1, Failure);
        record(&breaker, 4, Success);
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn any_of_several_rules_trips() {
    let rules = [Trip::consecutive_failures(5), Trip::failures(3).over(Window::calls(100))];
    let (breaker, _) = with_rules(&rules);
    for _ in 0..3 {
        record(&breaker, 1, Success);
        record(&breaker, 1, Failure);
    }
    assert!(matches!(breaker.snapshot().last_trip, Some(Cause::Failures { rule: 1, .. })));
}

#[test]
fn of_two_rules_reached_at_once_the_first_is_the_cause() {
    let rules = [Trip::failures(2), Trip::consecutive_failures(2)];
    let (breaker, _) = with_rules(&rules);
    record(&breaker, 2, Failure);
    assert!(matches!(breaker.snapshot().last_trip, Some(Cause::Failures { rule: 0, .. })));
}
