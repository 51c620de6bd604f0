//! Half-open: slots, deadlines, and how a stay ends.

use std::time::Duration;

use mainstay_breaker::{Control, HalfOpen, Settings, State, Trip, Verdict};

use crate::explore::{Do, Model, Outcome, Saw};

fn half_open(settings: Settings, max_in_flight: u32, close_after: u32) -> Settings {
    let probe_timeout = Duration::from_secs(10);
    settings.half_open(HalfOpen { max_in_flight, close_after, reopen_after: 1, probe_timeout })
}

fn one_slot(settings: Settings) -> Settings {
    half_open(settings, 1, 1)
}

fn two_slots(settings: Settings) -> Settings {
    half_open(settings, 2, 2)
}

fn two_slots_one_success(settings: Settings) -> Settings {
    half_open(settings, 2, 1)
}

fn ramp(settings: Settings) -> Settings {
    half_open(settings, 1, 1).ramp(Duration::from_secs(10))
}

/// Opens at the second failure of a stay.
fn patient(settings: Settings, max_in_flight: u32) -> Settings {
    let mut settings = half_open(settings, max_in_flight, 1);
    settings.half_open.reopen_after = 2;
    settings
}

fn admitted(outcome: &Outcome) -> usize {
    outcome.saw.iter().flatten().filter(|saw| matches!(saw, Saw::Admitted { .. })).count()
}

const DUE: &[Do] = &[Do::Trip, Do::Pass(10)];
const ONE_PROBE: &[Do] = &[Do::Trip, Do::Pass(10), Do::Acquire];
const TWO_PROBES: &[Do] = &[Do::Trip, Do::Pass(10), Do::Acquire, Do::Acquire];

#[test]
fn of_two_calls_that_find_the_open_time_over_one_gets_the_only_slot() {
    Model::new(one_slot)
        .before(DUE)
        .threads(&[&[Do::Acquire], &[Do::Acquire]])
        .preemptions(3)
        .always(|outcome| assert_eq!(admitted(outcome), 1))
        .check(2);
}

#[test]
fn of_three_calls_that_find_two_slots_free_two_get_them() {
    Model::new(two_slots)
        .before(&[Do::Trip, Do::Pass(10), Do::Poll])
        .threads(&[&[Do::Acquire], &[Do::Acquire], &[Do::Acquire]])
        .preemptions(2)
        .always(|outcome| assert_eq!(admitted(outcome), 2))
        .check(3);
}

#[test]
fn a_call_that_meets_a_slot_being_given_back_gets_it_or_is_told_when_the_probe_ends() {
    Model::new(one_slot).before(ONE_PROBE).threads(&[&[Do::Ignore], &[Do::Acquire]]).check(2);
}

#[test]
fn a_call_that_meets_a_probe_being_dropped_gets_its_slot_or_is_told_when_the_probe_ends() {
    Model::new(one_slot).before(ONE_PROBE).threads(&[&[Do::Cancel], &[Do::Acquire]]).check(2);
}

#[test]
fn a_rejection_while_a_slot_is_given_back_and_taken_again_tells_one_of_the_two_deadlines() {
    Model::new(one_slot)
        .before(&[Do::Trip, Do::Pass(10), Do::Acquire, Do::Pass(1)])
        .threads(&[&[Do::Ignore, Do::Acquire], &[Do::Acquire]])
        .check(3);
}

#[test]
fn a_rejection_while_slots_go_round_tells_the_earliest_deadline_of_when_they_were_taken() {
    // In 8 s and in 9 s; then only the later one, and a free slot, and two; then both in 10 s.
    Model::new(two_slots)
        .before(&[Do::Trip, Do::Pass(10), Do::Acquire, Do::Pass(1), Do::Acquire, Do::Pass(1)])
        .threads(&[&[Do::Ignore, Do::Ignore, Do::Acquire, Do::Acquire], &[Do::Acquire]])
        .preemptions(3)
        .check(3);
}

#[test]
fn two_probes_that_succeed_at_once_close_together() {
    Model::new(two_slots)
        .before(TWO_PROBES)
        .threads(&[&[Do::Succeed], &[Do::Succeed]])
        .always(|outcome| assert_eq!((outcome.end.state, outcome.end.epoch), (State::Closed, 3)))
        .check(1);
}

#[test]
fn a_probe_that_succeeds_closes_or_one_that_fails_opens_whichever_comes_first() {
    Model::new(two_slots_one_success)
        .before(TWO_PROBES)
        .threads(&[&[Do::Succeed], &[Do::Fail]])
        .always(|outcome| assert_eq!(outcome.end.epoch, 3))
        .check(2);
}

#[test]
fn a_call_racing_with_the_probe_that_closes_is_rejected_or_goes_through() {
    Model::new(one_slot)
        .before(ONE_PROBE)
        .threads(&[&[Do::Succeed], &[Do::Acquire, Do::Succeed]])
        .preemptions(3)
        .check(2);
}

#[test]
fn a_call_racing_with_the_probe_that_opens_is_rejected_for_one_of_the_two_reasons() {
    Model::new(one_slot)
        .before(ONE_PROBE)
        .threads(&[&[Do::FailAsking(30)], &[Do::Acquire]])
        .preemptions(4)
        .check(2);
}

#[test]
fn a_probe_answers_before_its_deadline_or_is_late() {
    Model::new(one_slot)
        .before(ONE_PROBE)
        .threads(&[&[Do::Pass(10), Do::Poll], &[Do::Succeed]])
        .always(|outcome| assert!(outcome.end.state == State::Closed || outcome.end.state == State::Open))
        .check(2);
}

#[test]
fn a_probe_that_expires_beside_one_that_closes_opens_or_counts_for_nothing() {
    Model::new(two_slots_one_success)
        .before(&[Do::Trip, Do::Pass(10), Do::Acquire, Do::Pass(1), Do::Acquire])
        .threads(&[&[Do::Pass(9), Do::Poll, Do::Succeed], &[Do::Succeed]])
        .check(2);
}

#[test]
fn a_probe_whose_head_is_in_gives_its_slot_back_once() {
    Model::new(two_slots)
        .before(ONE_PROBE)
        .threads(&[&[Do::Answer(Verdict::Success), Do::Succeed], &[Do::Acquire, Do::Acquire]])
        .check(2);
}

#[test]
fn a_probe_racing_with_a_force_counts_for_the_stay_before_it_or_not_at_all() {
    Model::new(one_slot)
        .before(ONE_PROBE)
        .threads(&[&[Do::Control(Control::ForcedClosed)], &[Do::Succeed]])
        .check(2);
}

#[test]
fn a_probe_of_a_stay_that_was_ended_by_hand_is_late() {
    Model::new(one_slot)
        .before(ONE_PROBE)
        .threads(&[&[Do::Trip, Do::Pass(10), Do::Acquire], &[Do::Fail]])
        .preemptions(3)
        .check(2);
}

#[test]
fn a_probe_that_expires_frees_its_slot_and_its_answer_comes_before_that_or_counts_for_nothing() {
    Model::new(|settings| patient(settings, 1))
        .before(ONE_PROBE)
        .threads(&[&[Do::Pass(10), Do::Poll], &[Do::Succeed]])
        .preemptions(3)
        .always(|outcome| assert!(outcome.end.half_open.as_ref().is_none_or(|stay| stay.in_flight == 0)))
        .check(2);
}

#[test]
fn a_probe_that_fails_while_another_expires_counts_beside_it_and_the_second_failure_opens() {
    Model::new(|settings| patient(settings, 2))
        .before(&[Do::Trip, Do::Pass(10), Do::Acquire, Do::Pass(1), Do::Acquire, Do::Pass(8)])
        .threads(&[&[Do::Pass(1), Do::Poll, Do::Fail], &[Do::Fail]])
        .preemptions(3)
        .always(|outcome| assert_eq!((outcome.end.state, outcome.end.epoch), (State::Open, 3)))
        .check(2);
}

#[test]
fn a_ramp_admits_the_same_share_however_its_calls_fall_together() {
    Model::new(ramp)
        .before(&[Do::Trip, Do::Pass(10), Do::Acquire, Do::Succeed, Do::Pass(5)])
        .threads(&[&[Do::Acquire], &[Do::Acquire]])
        .always(|outcome| assert_eq!(admitted(outcome), 2, "the probe and one of the two"))
        .check(2);
}

#[test]
fn a_ramp_admits_the_same_share_of_three_calls_too() {
    Model::new(ramp)
        .before(&[Do::Trip, Do::Pass(10), Do::Acquire, Do::Succeed, Do::Pass(5), Do::Acquire])
        .threads(&[&[Do::Acquire], &[Do::Acquire], &[Do::Acquire]])
        .preemptions(3)
        .always(|outcome| assert_eq!(admitted(outcome), 3, "the probe and two of four"))
        .check(3);
}

#[test]
fn a_failure_at_the_end_of_a_ramp_opens_before_it_or_is_late() {
    Model::new(|settings| ramp(settings).trip(Trip::consecutive_failures(1)))
        .before(&[Do::Trip, Do::Pass(10), Do::Acquire, Do::Succeed, Do::Pass(5), Do::Acquire, Do::Acquire])
        .threads(&[&[Do::Pass(5), Do::Poll], &[Do::Fail]])
        .check(2);
}

#[test]
fn a_call_at_the_end_of_a_ramp_goes_through() {
    Model::new(ramp)
        .before(&[Do::Trip, Do::Pass(10), Do::Acquire, Do::Succeed, Do::Pass(10)])
        .threads(&[&[Do::Acquire, Do::Succeed], &[Do::Acquire, Do::Succeed]])
        .always(|outcome| assert_eq!((admitted(outcome), outcome.end.state), (3, State::Closed)))
        .check(1);
}
