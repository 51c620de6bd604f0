//! The operator's hand against calls and results.

use std::time::Duration;

use mainstay_breaker::{Control, Settings, State, Trip};

use crate::explore::{Do, Model};

fn two_in_a_row(settings: Settings) -> Settings {
    settings.trip(Trip::consecutive_failures(2))
}

/// And one more call.
const RUN_OF_ONE: &[Do] = &[Do::Acquire, Do::Acquire, Do::Fail];

#[test]
fn a_failure_racing_with_forcing_open_trips_before_it_or_counts_in_the_totals_only() {
    Model::new(two_in_a_row)
        .before(RUN_OF_ONE)
        .threads(&[&[Do::Control(Control::ForcedOpen)], &[Do::Fail]])
        .always(|outcome| assert_eq!(outcome.end.control, Control::ForcedOpen))
        .check(2);
}

#[test]
fn a_success_racing_with_forcing_closed_ends_the_run_before_it_or_counts_in_the_totals_only() {
    Model::new(two_in_a_row)
        .before(RUN_OF_ONE)
        .threads(&[&[Do::Control(Control::ForcedClosed)], &[Do::Succeed]])
        .check(2);
}

#[test]
fn a_success_racing_with_a_force_that_is_taken_back_is_counted_once() {
    Model::new(two_in_a_row)
        .before(RUN_OF_ONE)
        .threads(&[&[Do::Control(Control::ForcedOpen), Do::Control(Control::Automatic)], &[Do::Succeed]])
        .always(|outcome| assert_eq!(outcome.end.totals.success, 1))
        .check(2);
}

#[test]
fn a_call_under_a_force_that_is_taken_back_decides_nothing() {
    Model::new(two_in_a_row)
        .before(&[Do::Acquire, Do::Fail])
        .threads(&[
            &[Do::Control(Control::ForcedClosed), Do::Control(Control::Automatic)],
            &[Do::Acquire, Do::Fail],
        ])
        .check(3);
}

#[test]
fn forcing_survives_a_transition_that_it_races_with() {
    Model::new(two_in_a_row)
        .before(RUN_OF_ONE)
        .threads(&[&[Do::Control(Control::ForcedClosed)], &[Do::Fail], &[Do::Trip]])
        .preemptions(3)
        .always(|outcome| {
            assert_eq!((outcome.end.control, outcome.end.state), (Control::ForcedClosed, State::Open))
        })
        .check(2);
}

#[test]
fn a_call_that_is_rejected_while_the_control_changes_is_rejected_by_one_of_the_two() {
    Model::new(two_in_a_row)
        .before(&[Do::Trip])
        .threads(&[
            &[Do::Control(Control::ForcedOpen), Do::Control(Control::ObserveOnly)],
            &[Do::Acquire, Do::Acquire],
        ])
        .check(6);
}

#[test]
fn forcing_survives_new_settings_that_it_races_with() {
    Model::new(two_in_a_row)
        .threads(&[
            &[Do::Control(Control::ForcedClosed)],
            &[Do::Reconfigure(|settings| settings.ramp(Duration::from_secs(5)))],
        ])
        .always(|outcome| assert_eq!(outcome.end.control, Control::ForcedClosed))
        .check(1);
}

#[test]
fn a_rejection_by_force_tells_the_cause_of_the_trip_that_came_before_it() {
    // The force is written over the word that the trip has published.
    Model::new(two_in_a_row)
        .threads(&[&[Do::Trip, Do::Control(Control::ForcedOpen)], &[Do::Acquire]])
        .preemptions(3)
        .check(3);
}

#[test]
fn a_call_that_is_only_observed_decides_nothing_after_the_release() {
    Model::new(two_in_a_row)
        .before(&[Do::Control(Control::ObserveOnly), Do::Trip])
        .threads(&[&[Do::Control(Control::Automatic), Do::Reset], &[Do::Acquire, Do::Fail]])
        .preemptions(3)
        .check(3);
}

#[test]
fn a_failure_racing_with_a_reset_trips_before_it_or_is_late() {
    Model::new(two_in_a_row)
        .before(RUN_OF_ONE)
        .threads(&[&[Do::Reset], &[Do::Fail]])
        .always(|outcome| assert_eq!(outcome.end.state, State::Closed))
        .check(2);
}

#[test]
fn a_trip_by_hand_racing_with_a_trip_by_rule_opens_once() {
    Model::new(two_in_a_row)
        .before(RUN_OF_ONE)
        .threads(&[&[Do::Trip], &[Do::Fail]])
        .always(|outcome| assert_eq!(outcome.end.epoch, 1))
        .check(2);
}

#[test]
fn a_run_of_failures_survives_new_settings_that_come_in_its_midst() {
    Model::new(two_in_a_row)
        .before(RUN_OF_ONE)
        .threads(&[&[Do::Reconfigure(|settings| settings.ramp(Duration::from_secs(5)))], &[Do::Fail]])
        .always(|outcome| assert_eq!(outcome.end.state, State::Open))
        .check(1);
}
