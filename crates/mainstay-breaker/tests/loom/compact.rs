//! The breakers of a keyed set, which have no rows and make what they need when they first need it.

use std::time::Duration;

use mainstay_breaker::{Settings, State, Trip, Window};

use crate::explore::{Do, Model};

fn two_in_a_row(settings: Settings) -> Settings {
    settings.trip(Trip::consecutive_failures(2))
}

#[test]
fn a_success_racing_with_the_tripping_failure_comes_before_it_or_is_late() {
    Model::new(two_in_a_row)
        .compact()
        .before(&[Do::Acquire, Do::Acquire, Do::Acquire, Do::Fail])
        .threads(&[&[Do::Fail], &[Do::Succeed]])
        .check(2);
}

#[test]
fn a_success_ends_one_run_of_failures_and_only_one() {
    Model::new(two_in_a_row)
        .compact()
        .before(&[Do::Acquire, Do::Acquire, Do::Acquire, Do::Acquire, Do::Fail])
        .threads(&[&[Do::Fail, Do::Fail], &[Do::Succeed]])
        .always(|outcome| assert_eq!(outcome.end.state, State::Open))
        .check(1);
}

#[test]
fn a_success_of_an_epoch_that_ends_is_in_no_window_of_the_next() {
    Model::new(|settings| settings.trip(Trip::failure_rate(1.0).over(Window::calls(10)).min_calls(10)))
        .compact()
        .before(&[Do::Acquire, Do::Acquire, Do::Succeed])
        .threads(&[&[Do::Reset], &[Do::Succeed]])
        .always(|outcome| assert_eq!((outcome.end.rules[0].calls, outcome.end.totals.success), (0, 2)))
        .check(1);
}

#[test]
fn no_verdict_is_lost() {
    Model::new(|settings| {
        settings.trip(Trip::failure_rate(1.0).over(Window::time(Duration::from_secs(12))).min_calls(10))
    })
    .compact()
    .threads(&[&[Do::Acquire, Do::Succeed, Do::Pass(1), Do::Acquire, Do::Ignore], &[Do::Acquire, Do::Fail]])
    .always(|outcome| assert_eq!(outcome.end.rules[0].calls, 2))
    .check(2);
}

#[test]
fn a_call_that_meets_the_first_trip_is_admitted_or_rejected_until_its_deadline() {
    Model::new(two_in_a_row)
        .compact()
        .before(&[Do::Acquire, Do::Acquire, Do::Fail])
        .threads(&[&[Do::FailAsking(60)], &[Do::Acquire]])
        .check(2);
}

#[test]
fn two_rejections_beside_a_late_result_are_all_counted() {
    Model::new(two_in_a_row)
        .compact()
        .before(&[Do::Acquire, Do::Trip])
        .threads(&[&[Do::Acquire], &[Do::Fail, Do::Acquire]])
        .check(1);
}

#[test]
fn a_failure_sees_the_successes_that_came_before_it_and_no_others() {
    Model::new(|settings| settings.trip(Trip::failure_rate(0.5).over(Window::calls(4)).min_calls(3)))
        .compact()
        .before(&[Do::Acquire, Do::Acquire, Do::Acquire])
        .threads(&[&[Do::Succeed], &[Do::Succeed, Do::Fail]])
        .always(|outcome| assert_eq!(outcome.end.rules[0].calls, 3))
        .check(2);
}
