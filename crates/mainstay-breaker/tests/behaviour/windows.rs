//! Windows that really slide.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use Verdict::{Failure, Ignore, Success};
use mainstay_breaker::{Breaker, Clock, ManualClock, RuleSnapshot, State, Trip, Verdict, Window};

const WINDOW: Duration = Duration::from_secs(12);
const NANO: Duration = Duration::from_nanos(1);

fn with_rule(rule: Trip) -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    (Breaker::builder("windows").trip(rule).clock(clock).build().unwrap(), time)
}

/// A rule that shows its window and never trips in these tests.
fn watching(window: Window) -> (Breaker, ManualClock) {
    with_rule(Trip::failure_rate(1.0).over(window).min_calls(50))
}

fn record(breaker: &Breaker, times: u32, verdict: Verdict) {
    for _ in 0..times {
        breaker.try_acquire().unwrap().record(verdict);
    }
}

fn seen(breaker: &Breaker) -> (u64, u64) {
    let RuleSnapshot { calls, failures, .. } = *breaker.snapshot().rules.first().unwrap();
    (calls, failures)
}

/// How many failures in a row it takes to trip.
fn failures_to_trip(breaker: &Breaker) -> u32 {
    (1..)
        .find(|_| {
            record(breaker, 1, Failure);
            breaker.state() == State::Open
        })
        .unwrap()
}

#[test]
fn a_million_successes_do_not_put_off_an_outage_in_a_window_of_calls() {
    let rule = Trip::failure_rate(0.5).over(Window::calls(100)).min_calls(20);
    let after = |successes| {
        let (breaker, _) = with_rule(rule);
        record(&breaker, successes, Success);
        failures_to_trip(&breaker)
    };
    assert_eq!((after(100), after(1_000_000)), (50, 50));
}

#[test]
fn a_million_successes_do_not_put_off_an_outage_in_a_window_of_time() {
    let rule = Trip::failure_rate(0.5).over(Window::time(WINDOW)).min_calls(20);
    let after = |seconds| {
        let (breaker, time) = with_rule(rule);
        for _ in 0..seconds {
            time.advance(Duration::from_secs(1));
            record(&breaker, 1000, Success);
        }
        failures_to_trip(&breaker)
    };
    assert_eq!((after(12), after(1000)), (12_000, 12_000));
}

#[test]
fn old_failures_leave_a_window_of_calls_one_by_one() {
    let (breaker, _) = watching(Window::calls(100));
    record(&breaker, 10, Failure);
    record(&breaker, 90, Success);
    assert_eq!(seen(&breaker), (100, 10));
    record(&breaker, 4, Success);
    assert_eq!(seen(&breaker), (100, 6));
    record(&breaker, 6, Success);
    assert_eq!(seen(&breaker), (100, 0));
}

#[test]
fn failures_and_successes_share_the_places_of_a_window_of_calls() {
    let (breaker, _) = watching(Window::calls(64));
    for _ in 0..1000 {
        record(&breaker, 1, Failure);
        record(&breaker, 3, Success);
    }
    assert_eq!(seen(&breaker), (64, 16));
}

#[test]
fn ignored_calls_take_no_place_in_a_window_of_calls() {
    let (breaker, _) = watching(Window::calls(64));
    record(&breaker, 5, Failure);
    record(&breaker, 1000, Ignore);
    assert_eq!(seen(&breaker), (5, 5));
}

#[test]
fn time_does_not_empty_a_window_of_calls() {
    let (breaker, time) = watching(Window::calls(64));
    record(&breaker, 5, Failure);
    time.advance(Duration::from_secs(365 * 24 * 3600));
    assert_eq!(seen(&breaker), (5, 5));
}

#[test]
fn a_call_exactly_as_old_as_the_window_is_out() {
    let (breaker, time) = watching(Window::time(WINDOW));
    record(&breaker, 1, Failure);
    time.advance(WINDOW - NANO);
    assert_eq!(seen(&breaker), (1, 1));
    time.advance(NANO);
    assert_eq!(seen(&breaker), (0, 0));
}

#[test]
fn a_window_of_time_covers_more_than_nine_tenths_and_at_most_all_of_itself() {
    // Wherever the call falls within a slice.
    for offset in (0..1000).step_by(37).map(Duration::from_millis) {
        let (breaker, time) = watching(Window::time(WINDOW));
        time.advance(offset);
        record(&breaker, 1, Success);
        time.advance(WINDOW * 9 / 10);
        assert_eq!(seen(&breaker), (1, 0), "after nine tenths, from {offset:?}");
        time.advance(WINDOW / 10);
        assert_eq!(seen(&breaker), (0, 0), "after all of it, from {offset:?}");
    }
}

#[test]
fn a_window_of_time_forgets_slice_by_slice_though_nobody_calls() {
    let (breaker, time) = watching(Window::time(WINDOW));
    for _ in 0..12 {
        record(&breaker, 10, Success);
        record(&breaker, 1, Failure);
        time.advance(WINDOW / 12);
    }
    let mut failures = Vec::new();
    for _ in 0..12 {
        failures.push(seen(&breaker).1);
        time.advance(WINDOW / 12);
    }
    assert_eq!(failures, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
}

#[test]
fn old_failures_do_not_help_to_trip_a_window_of_time() {
    let (breaker, time) = with_rule(Trip::failures(3).over(Window::time(WINDOW)));
    for _ in 0..20 {
        record(&breaker, 1, Failure);
        time.advance(WINDOW / 2);
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_burst_within_the_window_trips_after_any_silence() {
    let (breaker, time) = with_rule(Trip::failures(3).over(Window::time(WINDOW)));
    record(&breaker, 2, Failure);
    time.advance(Duration::from_secs(30 * 365 * 24 * 3600));
    assert_eq!(failures_to_trip(&breaker), 3);
}

#[test]
fn a_window_whose_length_is_no_multiple_of_its_slices_keeps_its_promise() {
    let odd = Duration::from_nanos(1_000_003);
    let (breaker, time) = watching(Window::time(odd));
    record(&breaker, 1, Success);
    time.advance(odd * 9 / 10);
    assert_eq!(seen(&breaker), (1, 0));
    time.advance(odd - odd * 9 / 10);
    assert_eq!(seen(&breaker), (0, 0));
}

#[test]
fn two_windows_of_time_slide_side_by_side() {
    let (clock, time) = Clock::manual();
    let rate = |over| Trip::failure_rate(1.0).over(Window::time(over)).min_calls(50);
    let breaker = Breaker::builder("two").trip(rate(WINDOW)).trip(rate(10 * WINDOW)).clock(clock);
    let breaker = breaker.build().unwrap();
    record(&breaker, 3, Success);
    record(&breaker, 2, Failure);
    time.advance(WINDOW);
    let calls: Vec<_> = breaker.snapshot().rules.iter().map(|rule| (rule.calls, rule.failures)).collect();
    assert_eq!(calls, [(0, 0), (5, 2)]);
}

#[test]
fn a_window_that_rolls_on_is_no_new_epoch() {
    let (breaker, time) = with_rule(Trip::failures(1).over(Window::time(WINDOW)));
    let permit = breaker.try_acquire().unwrap();
    time.advance(100 * WINDOW);
    permit.failure();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn windows_start_empty_after_every_change_of_state() {
    let (breaker, _) = watching(Window::calls(64));
    record(&breaker, 20, Failure);
    breaker.reset();
    assert_eq!(seen(&breaker), (0, 0));
}

#[test]
fn windows_show_nothing_while_nothing_is_judged() {
    let (breaker, _) = watching(Window::calls(64));
    record(&breaker, 20, Failure);
    breaker.trip();
    let rule = breaker.snapshot().rules[0].clone();
    assert_eq!((rule.calls, rule.failures, rule.slow, rule.rate), (0, 0, 0, None));
}

#[test]
fn an_empty_window_has_no_rate() {
    let (breaker, _) = watching(Window::calls(64));
    assert_eq!(breaker.snapshot().rules[0].rate, None);
    record(&breaker, 1, Success);
    assert_eq!(breaker.snapshot().rules[0].rate, Some(0.0));
}

#[test]
fn the_largest_window_of_calls_is_exact() {
    let (breaker, _) = watching(Window::calls(Window::MAX_CALLS));
    record(&breaker, 3, Failure);
    record(&breaker, Window::MAX_CALLS - 1, Success);
    assert_eq!(seen(&breaker), (u64::from(Window::MAX_CALLS), 1));
}
