//! Rules about slow calls.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use Verdict::{Failure, Ignore, Success};
use mainstay_breaker::{Breaker, Cause, Clock, HalfOpen, ManualClock, OpenFor, State, Trip, Verdict, Window};

const LIMIT: Duration = Duration::from_millis(500);
const NANO: Duration = Duration::from_nanos(1);

fn with_rules(rules: &[Trip]) -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("slow").open_for(OpenFor::fixed(LIMIT)).clock(clock);
    (rules.iter().fold(builder, |builder, rule| builder.trip(*rule)).build().unwrap(), time)
}

fn take(breaker: &Breaker, time: &ManualClock, long: Duration, verdict: Verdict) {
    let permit = breaker.try_acquire().unwrap();
    time.advance(long);
    permit.record(verdict);
}

fn two_of_four() -> Trip {
    Trip::slow_rate(0.5, LIMIT).over(Window::calls(4))
}

#[test]
fn the_share_of_slow_calls_trips_and_says_so() {
    let (breaker, time) = with_rules(&[two_of_four()]);
    take(&breaker, &time, NANO, Success);
    take(&breaker, &time, NANO, Success);
    take(&breaker, &time, LIMIT, Success);
    assert_eq!(breaker.state(), State::Closed);
    take(&breaker, &time, LIMIT, Success);
    let cause = Cause::SlowRate { rule: 0, slow: 2, calls: 4, threshold: 0.5, slower_than: LIMIT };
    assert_eq!(breaker.snapshot().last_trip, Some(cause));
}

#[test]
fn a_call_is_slow_from_exactly_the_limit_on() {
    let (breaker, time) = with_rules(&[two_of_four()]);
    take(&breaker, &time, LIMIT - NANO, Success);
    assert_eq!(breaker.snapshot().rules[0].slow, 0);
    take(&breaker, &time, LIMIT, Success);
    assert_eq!(breaker.snapshot().rules[0].slow, 1);
}

#[test]
fn a_failure_can_be_slow() {
    let (breaker, time) = with_rules(&[two_of_four()]);
    for _ in 0..4 {
        take(&breaker, &time, LIMIT, Failure);
    }
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn an_ignored_call_is_never_slow() {
    let (breaker, time) = with_rules(&[two_of_four()]);
    for _ in 0..10 {
        take(&breaker, &time, LIMIT, Ignore);
    }
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.totals.slow, snapshot.rules[0].calls), (0, 0));
}

#[test]
fn a_dropped_call_is_never_slow() {
    let (breaker, time) = with_rules(&[two_of_four()]);
    let permit = breaker.try_acquire().unwrap();
    time.advance(LIMIT);
    drop(permit);
    assert_eq!(breaker.snapshot().totals.slow, 0);
}

#[test]
fn a_fast_failure_does_not_trip_a_slow_rule() {
    let rule = Trip::slow_rate(0.5, LIMIT).over(Window::calls(10)).min_calls(4);
    let (breaker, time) = with_rules(&[rule]);
    for _ in 0..3 {
        take(&breaker, &time, LIMIT, Success);
    }
    // Three of four are slow now, but this verdict is not what a slow rule is judged on.
    take(&breaker, &time, NANO, Failure);
    assert_eq!(breaker.state(), State::Closed);
    take(&breaker, &time, LIMIT, Success);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_slow_success_does_not_trip_a_failure_rule() {
    let failing = Trip::failure_rate(0.5).over(Window::calls(10)).min_calls(4);
    let (breaker, time) = with_rules(&[failing, Trip::slow_rate(1.0, LIMIT)]);
    for _ in 0..3 {
        take(&breaker, &time, NANO, Failure);
    }
    take(&breaker, &time, LIMIT, Success);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn two_slow_rules_have_their_own_limits() {
    let long = 4 * LIMIT;
    let patient = Trip::slow_rate(1.0, long).over(Window::calls(2));
    let (breaker, time) = with_rules(&[patient, Trip::slow_rate(1.0, LIMIT).over(Window::calls(4))]);
    take(&breaker, &time, LIMIT, Success);
    take(&breaker, &time, LIMIT, Success);
    let rules = breaker.snapshot().rules;
    assert_eq!((rules[0].slow, rules[1].slow), (0, 2));
    take(&breaker, &time, long, Success);
    take(&breaker, &time, LIMIT, Success);
    assert!(matches!(breaker.snapshot().last_trip, Some(Cause::SlowRate { rule: 1, .. })));
}

#[test]
fn a_slow_probe_counts_as_a_failed_one() {
    let (breaker, time) = with_rules(&[two_of_four()]);
    breaker.trip();
    time.advance(LIMIT);
    take(&breaker, &time, LIMIT, Success);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.snapshot().last_trip, Some(Cause::ProbeSlow { failures: 1, limit: 1 }));
}

#[test]
fn an_always_slow_dependency_does_not_stay_half_open_for_ever() {
    let (breaker, time) = with_rules(&[two_of_four()]);
    breaker.trip();
    for _ in 0..20 {
        time.advance(LIMIT);
        assert_eq!(breaker.state(), State::HalfOpen);
        take(&breaker, &time, LIMIT, Success);
        assert_eq!(breaker.state(), State::Open);
    }
}

#[test]
fn a_slow_head_counts_as_a_failed_probe() {
    let (breaker, time) = with_rules(&[two_of_four()]);
    breaker.trip();
    time.advance(LIMIT);
    let mut probe = breaker.try_acquire().unwrap();
    time.advance(LIMIT);
    probe.answered(Success);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn without_a_slow_rule_no_call_and_no_probe_is_slow() {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { close_after: 1, ..HalfOpen::default() };
    let breaker = Breaker::builder("patient").half_open(half_open).clock(clock).build().unwrap();
    take(&breaker, &time, Duration::from_secs(3600), Success);
    breaker.trip();
    time.advance(Duration::from_secs(10));
    take(&breaker, &time, Duration::from_secs(9), Success);
    assert_eq!((breaker.state(), breaker.snapshot().totals.slow), (State::Closed, 0));
}
