//! Settings change while the breaker runs.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use Verdict::{Failure, Success};
use mainstay_breaker::{
    Breaker, Cause, Clock, HalfOpen, ManualClock, OpenFor, Settings, State, Trip, Verdict, Window,
};

const OPEN: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

fn settings(rules: &[Trip]) -> Settings {
    rules.iter().fold(Settings::new().open_for(OpenFor::fixed(OPEN)), |settings, rule| settings.trip(*rule))
}

fn breaker(rules: &[Trip]) -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    (Breaker::builder("live").settings(settings(rules)).clock(clock).build().unwrap(), time)
}

fn record(breaker: &Breaker, times: usize, verdict: Verdict) {
    for _ in 0..times {
        breaker.try_acquire().unwrap().record(verdict);
    }
}

fn seen(breaker: &Breaker) -> Vec<(u64, u64)> {
    breaker.snapshot().rules.iter().map(|rule| (rule.calls, rule.failures)).collect()
}

fn rate(rate: f64, window: Window) -> Trip {
    Trip::failure_rate(rate).over(window).min_calls(50)
}

#[test]
fn the_settings_in_force_can_be_read_back() {
    let (breaker, _) = breaker(&[Trip::failures(3)]);
    assert_eq!(breaker.settings(), settings(&[Trip::failures(3)]));
    let other = settings(&[Trip::failures(4)]).ramp(OPEN);
    breaker.reconfigure(other.clone()).unwrap();
    assert_eq!(breaker.settings(), other);
}

#[test]
fn state_epoch_and_totals_stay() {
    let (breaker, time) = breaker(&[Trip::failures(3)]);
    record(&breaker, 5, Success);
    breaker.trip();
    time.advance(OPEN);
    record(&breaker, 1, Success);
    let before = breaker.snapshot();
    breaker.reconfigure(settings(&[Trip::failures(4)])).unwrap();
    assert_eq!(breaker.snapshot(), before);
}

#[test]
fn a_window_of_the_same_kind_and_size_keeps_its_contents() {
    for window in [Window::calls(100), Window::time(HOUR)] {
        let (breaker, _) = breaker(&[rate(1.0, window)]);
        record(&breaker, 10, Success);
        record(&breaker, 7, Failure);
        breaker.reconfigure(settings(&[rate(0.9, window)])).unwrap();
        assert_eq!(seen(&breaker), [(17, 7)], "{window:?}");
        record(&breaker, 3, Success);
        record(&breaker, 1, Failure);
        assert_eq!(seen(&breaker), [(21, 8)], "{window:?}");
    }
}

#[test]
fn a_window_finds_its_contents_in_another_place_and_under_another_rule() {
    let (calls, hour) = (Window::calls(100), Window::time(HOUR));
    let (breaker, _) = breaker(&[rate(1.0, calls), rate(1.0, hour)]);
    record(&breaker, 4, Failure);
    let rules =
        [Trip::consecutive_failures(90), Trip::failures(80).over(hour), Trip::failures(90).over(calls)];
    breaker.reconfigure(settings(&rules)).unwrap();
    assert_eq!(seen(&breaker), [(0, 4), (4, 4), (4, 4)]);
}

#[test]
fn a_window_of_another_size_starts_empty() {
    for (old, new) in [(Window::calls(100), Window::calls(101)), (Window::time(HOUR), Window::time(2 * HOUR))]
    {
        let (breaker, _) = breaker(&[rate(1.0, old)]);
        record(&breaker, 10, Success);
        record(&breaker, 10, Failure);
        breaker.reconfigure(settings(&[rate(1.0, new)])).unwrap();
        assert_eq!(seen(&breaker), [(0, 0)]);
        record(&breaker, 2, Success);
        record(&breaker, 1, Failure);
        assert_eq!(seen(&breaker), [(3, 1)]);
    }
}

#[test]
fn a_window_that_was_gone_for_a_while_starts_empty() {
    for window in [Window::calls(100), Window::time(HOUR)] {
        let (breaker, _) = breaker(&[rate(1.0, window)]);
        record(&breaker, 10, Success);
        record(&breaker, 10, Failure);
        breaker.reconfigure(settings(&[Trip::consecutive_failures(90)])).unwrap();
        record(&breaker, 5, Success);
        breaker.reconfigure(settings(&[rate(1.0, window)])).unwrap();
        assert_eq!(seen(&breaker), [(0, 0)], "{window:?}");
    }
}

#[test]
fn the_run_of_failures_stays() {
    let (breaker, _) = breaker(&[Trip::consecutive_failures(5)]);
    record(&breaker, 3, Failure);
    breaker.reconfigure(settings(&[Trip::consecutive_failures(4)])).unwrap();
    record(&breaker, 1, Failure);
    let cause = Cause::ConsecutiveFailures { rule: 0, failures: 4, limit: 4 };
    assert_eq!(breaker.snapshot().last_trip, Some(cause));
}

#[test]
fn a_rule_that_is_reached_already_trips_at_the_next_failure_and_not_before() {
    let (breaker, _) = breaker(&[Trip::consecutive_failures(5)]);
    record(&breaker, 4, Failure);
    breaker.reconfigure(settings(&[Trip::consecutive_failures(2)])).unwrap();
    assert_eq!(breaker.state(), State::Closed);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn the_present_open_time_stays_and_the_next_is_new() {
    let (breaker, time) = breaker(&[Trip::consecutive_failures(1)]);
    breaker.trip();
    breaker.reconfigure(settings(&[]).open_for(OpenFor::fixed(HOUR))).unwrap();
    assert_eq!(breaker.snapshot().retry_after, Some(OPEN));
    time.advance(OPEN);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.snapshot().retry_after, Some(HOUR));
}

#[test]
fn probes_under_way_keep_their_slots_and_deadlines() {
    let (breaker, time) = breaker(&[Trip::consecutive_failures(1)]);
    breaker.trip();
    time.advance(OPEN);
    let probe = breaker.try_acquire().unwrap();
    let patient = HalfOpen { max_in_flight: 2, probe_timeout: HOUR, ..HalfOpen::default() };
    breaker.reconfigure(settings(&[]).half_open(patient)).unwrap();
    let second = breaker.try_acquire().unwrap();
    assert_eq!(breaker.try_acquire().unwrap_err().retry_after(), Some(HalfOpen::default().probe_timeout));
    drop((probe, second));
}

#[test]
fn a_probe_that_began_later_may_be_due_earlier() {
    let (breaker, time) = breaker(&[Trip::consecutive_failures(1)]);
    breaker.trip();
    time.advance(OPEN);
    std::mem::forget(breaker.try_acquire().unwrap());
    let hasty = HalfOpen { probe_timeout: OPEN / 10, reopen_after: 2, ..HalfOpen::default() };
    breaker.reconfigure(settings(&[]).half_open(hasty)).unwrap();
    std::mem::forget(breaker.try_acquire().unwrap());
    time.advance(OPEN / 10);
    assert_eq!(breaker.snapshot().half_open.unwrap().failures, 1);
    time.advance(OPEN);
    assert_eq!(breaker.snapshot().since, OPEN + HalfOpen::default().probe_timeout);
}

#[test]
fn a_probe_under_way_still_decides() {
    let (breaker, time) = breaker(&[Trip::consecutive_failures(1)]);
    breaker.trip();
    time.advance(OPEN);
    let probe = breaker.try_acquire().unwrap();
    breaker.reconfigure(settings(&[]).half_open(HalfOpen { close_after: 1, ..HalfOpen::default() })).unwrap();
    probe.success();
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn fewer_slots_than_probes_under_way_admit_nobody_until_they_are_fewer() {
    let (breaker, time) = breaker(&[Trip::consecutive_failures(1)]);
    breaker.trip();
    time.advance(OPEN);
    let mut probes: Vec<_> = (0..3).map(|_| breaker.try_acquire().unwrap()).collect();
    breaker
        .reconfigure(settings(&[]).half_open(HalfOpen { max_in_flight: 1, ..HalfOpen::default() }))
        .unwrap();
    for _ in 0..3 {
        assert!(breaker.try_acquire().is_err());
        drop(probes.pop());
    }
    assert!(breaker.try_acquire().is_ok());
}

#[test]
fn a_ramp_under_way_keeps_its_length() {
    let (clock, time) = Clock::manual();
    let ramping = settings(&[]).ramp(HOUR).half_open(HalfOpen { close_after: 1, ..HalfOpen::default() });
    let breaker = Breaker::builder("live").settings(ramping.clone()).clock(clock).build().unwrap();
    breaker.trip();
    time.advance(OPEN);
    record(&breaker, 1, Success);
    breaker.reconfigure(ramping.ramp(2 * HOUR)).unwrap();
    time.advance(HOUR);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn another_slow_limit_forgets_what_was_slow_and_keeps_the_calls() {
    let slow = |limit| Trip::slow_rate(1.0, limit).over(Window::calls(100)).min_calls(50);
    let (breaker, time) = breaker(&[slow(OPEN)]);
    for _ in 0..5 {
        let permit = breaker.try_acquire().unwrap();
        time.advance(OPEN);
        permit.success();
    }
    breaker.reconfigure(settings(&[slow(OPEN).min_calls(60)])).unwrap();
    assert_eq!(breaker.snapshot().rules[0].slow, 5);
    breaker.reconfigure(settings(&[slow(HOUR)])).unwrap();
    let rule = breaker.snapshot().rules[0].clone();
    assert_eq!((rule.calls, rule.slow), (5, 0));
}

#[test]
fn what_drops_mean_changes_for_permits_that_were_taken_before() {
    let (breaker, _) = breaker(&[Trip::consecutive_failures(1)]);
    let permit = breaker.try_acquire().unwrap();
    breaker.reconfigure(settings(&[Trip::consecutive_failures(1)]).count_dropped_as_failure(true)).unwrap();
    drop(permit);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn invalid_settings_are_refused_and_the_running_ones_stay_in_force() {
    let (breaker, _) = breaker(&[Trip::consecutive_failures(3)]);
    record(&breaker, 2, Failure);
    let before = breaker.snapshot();
    let error = breaker.reconfigure(settings(&[Trip::failure_rate(f64::NAN)])).unwrap_err();
    assert_eq!((error.field.as_str(), error.value.as_str()), ("trip[0].failure_rate", "NaN"));
    assert_eq!(breaker.settings(), settings(&[Trip::consecutive_failures(3)]));
    assert_eq!(breaker.snapshot(), before);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_reconfiguration_is_no_transition() {
    let (breaker, _) = breaker(&[Trip::consecutive_failures(3)]);
    let mut transitions = breaker.subscribe();
    breaker.reconfigure(settings(&[Trip::failures(3)])).unwrap();
    assert_eq!((transitions.try_recv(), breaker.snapshot().epoch), (None, 0));
}

#[test]
fn a_thousand_reconfigurations_lose_no_call() {
    let (hour, calls) = (Window::time(HOUR), Window::calls(10_000));
    let (breaker, _) = breaker(&[rate(1.0, hour), rate(1.0, calls)]);
    for round in 0..1000_u64 {
        record(&breaker, 2, Success);
        record(&breaker, 1, Failure);
        // Windows come and go beside the two that stay.
        let other = Window::time(HOUR + Duration::from_secs(round + 1));
        breaker.reconfigure(settings(&[rate(1.0, other), rate(1.0, calls), rate(1.0, hour)])).unwrap();
    }
    assert_eq!(seen(&breaker), [(0, 0), (3000, 1000), (3000, 1000)]);
}
