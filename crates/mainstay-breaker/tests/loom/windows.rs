//! Windows: no success is lost, whatever rolls, ends or changes meanwhile.

use std::time::Duration;

use mainstay_breaker::{Settings, Trip, Window};

use crate::explore::{Do, Model, Outcome};

fn calls(settings: Settings) -> Settings {
    settings.trip(Trip::failure_rate(1.0).over(Window::calls(10)).min_calls(10))
}

fn over(seconds: u64) -> Trip {
    Trip::failure_rate(1.0).over(Window::time(Duration::from_secs(seconds))).min_calls(10)
}

/// Twelve slices of a second.
fn time(settings: Settings) -> Settings {
    settings.trip(over(12))
}

fn two_times(settings: Settings) -> Settings {
    settings.trip(over(12)).trip(over(60))
}

/// Every rule has so many verdicts in its window.
fn holds(outcome: &Outcome, calls: u64) {
    assert!(outcome.end.rules.iter().all(|rule| rule.calls == calls), "{outcome:?}");
}

const CALL: &[Do] = &[Do::Acquire, Do::Succeed];
const FAILED_CALL: &[Do] = &[Do::Acquire, Do::Fail];
const TWO_CALLS: &[Do] = &[Do::Acquire, Do::Succeed, Do::Acquire, Do::Succeed];

#[test]
fn successes_of_two_threads_are_all_in_a_window_of_calls() {
    Model::new(calls).threads(&[TWO_CALLS, TWO_CALLS]).always(|outcome| holds(outcome, 4)).check(1);
}

#[test]
fn successes_of_more_threads_than_rows_are_all_in_a_window_of_calls() {
    Model::new(calls)
        .threads(&[CALL, CALL, CALL])
        .preemptions(3)
        .always(|outcome| holds(outcome, 3))
        .check(1);
}

#[test]
fn successes_and_failures_are_all_in_a_window_of_calls() {
    Model::new(calls).threads(&[TWO_CALLS, FAILED_CALL]).always(|outcome| holds(outcome, 3)).check(2);
}

#[test]
fn successes_of_two_threads_are_all_in_a_window_of_time() {
    Model::new(time).threads(&[TWO_CALLS, CALL]).always(|outcome| holds(outcome, 3)).check(1);
}

#[test]
fn successes_and_failures_are_all_in_two_windows_of_time() {
    Model::new(two_times).threads(&[CALL, FAILED_CALL]).always(|outcome| holds(outcome, 2)).check(2);
}

#[test]
fn no_count_is_lost_when_a_slice_rolls() {
    Model::new(time)
        .before(&[Do::Acquire, Do::Succeed, Do::Pass(1)])
        .threads(&[TWO_CALLS, FAILED_CALL])
        .always(|outcome| holds(outcome, 4))
        .check(2);
}

#[test]
fn no_count_is_lost_when_a_slice_rolls_in_the_midst_of_calls() {
    Model::new(time)
        .before(&[Do::Acquire, Do::Succeed, Do::Acquire, Do::Acquire])
        .threads(&[&[Do::Succeed, Do::Pass(1), Do::Succeed], CALL])
        .always(|outcome| holds(outcome, 4))
        .check(1);
}

#[test]
fn what_is_older_than_the_window_goes_and_nothing_else() {
    Model::new(time)
        .before(&[Do::Acquire, Do::Succeed, Do::Pass(1), Do::Acquire, Do::Succeed, Do::Pass(11)])
        .threads(&[CALL, FAILED_CALL])
        .always(|outcome| holds(outcome, 3))
        .check(2);
}

#[test]
fn a_success_after_the_end_of_a_slice_is_in_the_next_one() {
    // Else it would be gone with the slice that ended.
    Model::new(time)
        .before(&[Do::Acquire, Do::Succeed, Do::Acquire, Do::Pass(1)])
        .threads(&[&[Do::Succeed], &[Do::Acquire, Do::Succeed, Do::Pass(11)]])
        .always(|outcome| holds(outcome, 2))
        .check(1);
}

#[test]
fn no_count_is_lost_when_more_threads_than_rows_roll_a_slice() {
    Model::new(time)
        .before(&[Do::Acquire, Do::Succeed, Do::Pass(1)])
        .threads(&[CALL, CALL, CALL])
        .preemptions(2)
        .always(|outcome| holds(outcome, 4))
        .check(1);
}

#[test]
fn successes_of_an_epoch_that_ends_are_not_counted_in_the_next() {
    Model::new(calls)
        .before(&[Do::Acquire, Do::Succeed])
        .threads(&[TWO_CALLS, &[Do::Reset]])
        .always(|outcome| assert_eq!(outcome.end.totals.success, 3))
        .check(3);
}

#[test]
fn successes_of_two_epochs_are_counted_each_in_its_own() {
    Model::new(calls)
        .before(&[Do::Acquire, Do::Succeed])
        .threads(&[CALL, &[Do::Acquire, Do::Reset, Do::Succeed, Do::Acquire, Do::Succeed]])
        .always(|outcome| assert_eq!(outcome.end.totals.success, 4))
        .check(2);
}

#[test]
fn successes_of_an_epoch_that_ends_are_not_in_the_next_ones_window_of_time() {
    Model::new(time)
        .before(&[Do::Acquire, Do::Succeed])
        .threads(&[TWO_CALLS, &[Do::Reset]])
        .always(|outcome| assert_eq!(outcome.end.totals.success, 3))
        .check(3);
}

#[test]
fn a_window_that_comes_with_new_settings_holds_what_came_after_them() {
    fn longer(mut settings: Settings) -> Settings {
        settings.trip = None;
        settings.trip(over(24)).trip(over(12))
    }
    Model::new(time)
        .before(&[Do::Acquire, Do::Succeed])
        .threads(&[TWO_CALLS, &[Do::Reconfigure(longer)]])
        .always(|outcome| assert_eq!(outcome.end.rules[1].calls, 3, "the window that stays"))
        .check(3);
}

#[test]
fn a_success_racing_with_the_end_of_the_only_window_of_time_is_in_the_window_of_calls() {
    // In an epoch in which no row has counted yet.
    fn calls_only(mut settings: Settings) -> Settings {
        settings.trip = None;
        calls(settings)
    }
    Model::new(|settings| calls(settings).trip(over(12)))
        .before(&[Do::Reset, Do::Acquire])
        .threads(&[&[Do::Succeed], &[Do::Reconfigure(calls_only)]])
        .always(|outcome| holds(outcome, 1))
        .check(1);
}

#[test]
fn a_slow_success_racing_with_others_is_slow_once() {
    Model::new(|settings| {
        settings.trip(Trip::slow_rate(1.0, Duration::from_secs(1)).over(Window::calls(10)).min_calls(10))
    })
    .before(&[Do::Acquire, Do::Pass(1)])
    .threads(&[&[Do::Succeed], CALL])
    .always(|outcome| assert_eq!((outcome.end.rules[0].slow, outcome.end.rules[0].calls), (1, 2)))
    .check(1);
}

#[test]
fn a_failure_is_judged_as_before_or_after_a_success_that_it_races_with() {
    // Half of two calls: it trips if the success is counted before it. A success that looked at the word before the
    // failure wrote there, and is counted after the failure looked at the counts, comes after it in the window; but
    // it does not end the failure's run, as one that began later would. This is all that a success without a lock
    // gets wrong.
    Model::new(|settings| settings.trip(Trip::failure_rate(0.5).over(Window::calls(2)).min_calls(2)))
        .before(&[Do::Acquire, Do::Acquire])
        .threads(&[&[Do::Succeed], &[Do::Fail]])
        .forgive(|outcome| outcome.end.consecutive_failures = 0)
        .check(2);
}

#[test]
fn of_two_failures_that_race_with_a_success_the_last_sees_it() {
    // Whatever the first of the two saw.
    Model::new(|settings| settings.trip(Trip::failure_rate(0.5).over(Window::calls(3)).min_calls(3)))
        .before(&[Do::Acquire, Do::Acquire, Do::Acquire])
        .threads(&[&[Do::Succeed, Do::Fail], &[Do::Fail]])
        .always(|outcome| assert_eq!(outcome.end.epoch, 1))
        .forgive(|outcome| outcome.end.last_trip = None)
        .check(1);
}
