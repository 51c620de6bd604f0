//! Trips, runs of failures, and what belongs to an epoch.

use std::time::Duration;

use mainstay_breaker::{Settings, State, Trip, Window};

use crate::explore::{Do, Model};

fn one_failure(settings: Settings) -> Settings {
    settings.trip(Trip::consecutive_failures(1))
}

fn two_in_a_row(settings: Settings) -> Settings {
    settings.trip(Trip::consecutive_failures(2))
}

fn three_in_a_row(settings: Settings) -> Settings {
    settings.trip(Trip::consecutive_failures(3))
}

const TWO_CALLS: &[Do] = &[Do::Acquire, Do::Acquire];
/// And two more calls.
const RUN_OF_ONE: &[Do] = &[Do::Acquire, Do::Acquire, Do::Acquire, Do::Fail];

#[test]
fn a_success_racing_with_the_tripping_failure_comes_before_it_or_is_late() {
    Model::new(two_in_a_row).before(RUN_OF_ONE).threads(&[&[Do::Fail], &[Do::Succeed]]).check(2);
}

#[test]
fn a_call_racing_with_the_tripping_failure_is_made_before_it_or_is_late_or_rejected() {
    Model::new(two_in_a_row)
        .before(&[Do::Acquire, Do::Acquire, Do::Fail])
        .threads(&[&[Do::Fail], &[Do::Acquire, Do::Succeed]])
        .check(3);
}

#[test]
fn a_call_that_meets_the_trip_and_fails_too_opens_nothing_more() {
    Model::new(one_failure)
        .before(&[Do::Acquire])
        .threads(&[&[Do::Fail], &[Do::Acquire, Do::Fail]])
        .preemptions(3)
        .always(|outcome| assert_eq!(outcome.end.epoch, 1))
        .check(2);
}

#[test]
fn a_success_ends_one_run_of_failures_and_only_one() {
    // In an epoch in which no row has counted yet, so that the success needs the lock too.
    Model::new(two_in_a_row)
        .before(&[Do::Reset, Do::Acquire, Do::Acquire, Do::Acquire, Do::Acquire, Do::Fail])
        .threads(&[&[Do::Fail, Do::Fail], &[Do::Succeed]])
        .always(|outcome| assert_eq!(outcome.end.state, State::Open))
        .check(1);
}

#[test]
fn a_success_among_three_threads_ends_one_run_of_failures_and_only_one() {
    Model::new(two_in_a_row)
        .before(&[Do::Acquire, Do::Acquire, Do::Acquire, Do::Acquire, Do::Fail])
        .threads(&[&[Do::Fail], &[Do::Succeed], &[Do::Fail]])
        .preemptions(3)
        .always(|outcome| assert_eq!(outcome.end.state, State::Open))
        .check(1);
}

#[test]
fn two_successes_racing_with_a_failure_leave_a_run_of_one_or_none() {
    Model::new(three_in_a_row)
        .before(&[Do::Acquire, Do::Acquire, Do::Acquire, Do::Acquire, Do::Fail])
        .threads(&[&[Do::Succeed], &[Do::Fail], &[Do::Succeed]])
        .preemptions(3)
        .always(|outcome| assert!(outcome.end.consecutive_failures <= 1))
        .check(2);
}

#[test]
fn of_two_threads_that_record_the_last_two_failures_in_a_row_one_trips() {
    Model::new(two_in_a_row)
        .before(TWO_CALLS)
        .threads(&[&[Do::Fail], &[Do::Fail]])
        .always(|outcome| assert_eq!(outcome.end.epoch, 1))
        .check(1);
}

#[test]
fn of_two_threads_that_record_the_last_two_failures_of_a_window_of_calls_one_trips() {
    Model::new(|settings| settings.trip(Trip::failure_rate(0.5).over(Window::calls(4)).min_calls(4)))
        .before(&[Do::Acquire, Do::Succeed, Do::Acquire, Do::Succeed, Do::Acquire, Do::Acquire])
        .threads(&[&[Do::Fail], &[Do::Fail]])
        .always(|outcome| assert_eq!(outcome.end.epoch, 1))
        .check(1);
}

#[test]
fn of_two_threads_that_record_the_last_two_failures_of_a_window_of_time_one_trips() {
    Model::new(|settings| settings.trip(Trip::failures(2).over(Window::time(Duration::from_secs(12)))))
        .before(TWO_CALLS)
        .threads(&[&[Do::Fail], &[Do::Fail]])
        .always(|outcome| assert_eq!(outcome.end.epoch, 1))
        .check(1);
}

#[test]
fn of_three_threads_that_record_the_last_three_failures_one_trips() {
    Model::new(three_in_a_row)
        .before(&[Do::Acquire, Do::Acquire, Do::Acquire])
        .threads(&[&[Do::Fail], &[Do::Fail], &[Do::Fail]])
        .preemptions(3)
        .always(|outcome| assert_eq!(outcome.end.epoch, 1))
        .check(1);
}

#[test]
fn two_trips_with_different_retry_after_leave_the_deadline_of_the_first() {
    Model::new(one_failure)
        .before(TWO_CALLS)
        .threads(&[&[Do::FailAsking(30)], &[Do::FailAsking(60)], &[Do::Acquire]])
        .preemptions(3)
        .check(4);
}

#[test]
fn a_straggler_never_overwrites_the_deadline_of_a_later_period() {
    Model::new(one_failure)
        .before(TWO_CALLS)
        .threads(&[&[Do::FailAsking(30), Do::Reset, Do::Trip], &[Do::FailAsking(300)]])
        .always(|outcome| assert_eq!(outcome.end.retry_after, Some(Duration::from_secs(10))))
        .check(1);
}

#[test]
fn a_straggler_and_a_call_beside_the_end_of_a_period_see_it_or_the_next() {
    Model::new(one_failure)
        .before(&[Do::Acquire, Do::Acquire, Do::FailAsking(30)])
        .threads(&[&[Do::Reset], &[Do::FailAsking(300)], &[Do::Acquire]])
        .preemptions(2)
        .check(2);
}

#[test]
fn a_rejection_never_mixes_the_deadline_of_one_period_with_the_cause_of_another() {
    Model::new(one_failure)
        .before(&[Do::Acquire, Do::FailAsking(30)])
        .threads(&[&[Do::Reset, Do::Trip], &[Do::Acquire]])
        .preemptions(2)
        .check(3);
}

#[test]
fn a_failure_of_an_epoch_that_ends_starts_no_run_in_the_next() {
    Model::new(two_in_a_row)
        .before(&[Do::Acquire])
        .threads(&[&[Do::Reset, Do::Acquire, Do::Fail], &[Do::Fail]])
        .always(|outcome| assert_eq!(outcome.end.consecutive_failures, 1))
        .check(1);
}

#[test]
fn a_success_of_an_epoch_that_ends_ends_no_run_in_the_next() {
    Model::new(two_in_a_row)
        .before(&[Do::Acquire, Do::Acquire, Do::Fail])
        .threads(&[&[Do::Reset, Do::Acquire, Do::Fail], &[Do::Succeed]])
        .always(|outcome| assert_eq!(outcome.end.consecutive_failures, 1))
        .check(1);
}

#[test]
fn a_dropped_permit_that_counts_as_a_failure_is_counted_once_and_in_its_own_epoch() {
    Model::new(|settings| two_in_a_row(settings).count_dropped_as_failure(true))
        .before(&[Do::Acquire, Do::Acquire, Do::Fail])
        .threads(&[&[Do::Cancel], &[Do::Reset]])
        .always(|outcome| assert_eq!((outcome.end.totals.failure, outcome.end.totals.cancelled), (2, 1)))
        .check(2);
}
