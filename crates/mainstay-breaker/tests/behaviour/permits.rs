//! A permit: admission and outcome in one object.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mainstay_breaker::{
    Breaker, Clock, HalfOpen, ManualClock, OpenFor, OwnedPermit, Permit, State, Totals, Trip, Verdict,
};

const OPEN: Duration = Duration::from_secs(10);

fn closed() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("permits").trip(Trip::consecutive_failures(3));
    (builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap(), time)
}

fn half_open() -> (Breaker, ManualClock) {
    let (breaker, time) = closed();
    breaker.trip();
    time.advance(OPEN);
    (breaker, time)
}

fn counted(breaker: &Breaker) -> (u64, u64, u64, u64) {
    let Totals { success, failure, ignored, cancelled, .. } = breaker.snapshot().totals;
    (success, failure, ignored, cancelled)
}

fn in_flight(breaker: &Breaker) -> u32 {
    breaker.snapshot().half_open.unwrap().in_flight
}

#[test]
fn each_way_to_record_counts_once() {
    let (breaker, _) = closed();
    let borrowed: [fn(Permit<'_>); 5] = [
        |permit| permit.success(),
        |permit| permit.failure(),
        |permit| permit.ignore(),
        |permit| permit.failure_retry_after(OPEN),
        |permit| permit.record(Verdict::Success),
    ];
    for record in borrowed {
        record(breaker.try_acquire().unwrap());
    }
    assert_eq!(counted(&breaker), (2, 2, 1, 0));
}

#[test]
fn an_owned_permit_counts_like_a_borrowed_one() {
    let (breaker, _) = closed();
    let owned: [fn(OwnedPermit); 5] = [
        |permit| permit.success(),
        |permit| permit.failure(),
        |permit| permit.ignore(),
        |permit| permit.failure_retry_after(OPEN),
        |permit| permit.record(Verdict::Success),
    ];
    for record in owned {
        record(breaker.try_acquire_owned().unwrap());
    }
    assert_eq!(counted(&breaker), (2, 2, 1, 0));
}

#[test]
fn an_owned_permit_outlives_every_handle() {
    let (breaker, _) = closed();
    let mut transitions = breaker.subscribe();
    let permits: Vec<_> = (0..3).map(|_| breaker.try_acquire_owned().unwrap()).collect();
    drop(breaker);
    permits.into_iter().for_each(OwnedPermit::failure);
    assert_eq!(transitions.try_recv().unwrap().to, State::Open);
}

#[test]
fn an_owned_permit_is_recorded_on_another_thread() {
    let (breaker, _) = closed();
    let permit = breaker.try_acquire_owned().unwrap();
    std::thread::spawn(move || permit.success()).join().unwrap();
    assert_eq!(counted(&breaker), (1, 0, 0, 0));
}

#[test]
fn a_permit_dropped_without_a_verdict_is_ignored() {
    let (breaker, _) = closed();
    drop(breaker.try_acquire().unwrap());
    assert_eq!(counted(&breaker), (0, 0, 1, 1));
}

#[test]
fn a_dropped_permit_ends_no_run_of_failures() {
    let (breaker, _) = closed();
    breaker.try_acquire().unwrap().failure();
    breaker.try_acquire().unwrap().failure();
    drop(breaker.try_acquire().unwrap());
    breaker.try_acquire().unwrap().failure();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_dropped_permit_is_a_failure_where_the_settings_say_so() {
    let builder = Breaker::builder("strict").trip(Trip::consecutive_failures(2));
    let breaker = builder.count_dropped_as_failure(true).build().unwrap();
    drop(breaker.try_acquire().unwrap());
    drop(breaker.try_acquire_owned().unwrap());
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(counted(&breaker), (0, 2, 0, 2));
}

#[test]
fn a_dropped_probe_gives_its_slot_back_and_decides_nothing() {
    let (breaker, _) = half_open();
    let probe = breaker.try_acquire().unwrap();
    assert_eq!(in_flight(&breaker), 1);
    drop(probe);
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(in_flight(&breaker), 0);
}

#[test]
fn a_dropped_probe_reopens_where_drops_are_failures() {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("strict").count_dropped_as_failure(true).clock(clock);
    let breaker = builder.open_for(OpenFor::fixed(OPEN)).build().unwrap();
    breaker.trip();
    time.advance(OPEN);
    drop(breaker.try_acquire().unwrap());
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn an_ignored_probe_gives_its_slot_back_and_decides_nothing() {
    let (breaker, _) = half_open();
    breaker.try_acquire().unwrap().ignore();
    let stay = breaker.snapshot().half_open.unwrap();
    assert_eq!((stay.in_flight, stay.successes, stay.failures), (0, 0, 0));
}

#[test]
fn a_forgotten_permit_of_a_closed_breaker_holds_nothing() {
    let (breaker, _) = closed();
    for _ in 0..100 {
        std::mem::forget(breaker.try_acquire().unwrap());
    }
    assert!(breaker.try_acquire().is_ok());
}

#[test]
fn the_head_of_an_answer_frees_the_slot_and_counts_for_half_open() {
    let (breaker, _) = half_open();
    let mut probe = breaker.try_acquire().unwrap();
    probe.answered(Verdict::Success);
    let stay = breaker.snapshot().half_open.unwrap();
    assert_eq!((stay.in_flight, stay.successes), (0, 1));
}

#[test]
fn a_dependency_that_only_streams_closes_the_breaker_while_the_streams_go_on() {
    let (breaker, time) = half_open();
    let mut streams = [breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap()];
    streams.iter_mut().for_each(|stream| stream.answered(Verdict::Success));
    time.advance(Duration::from_secs(600));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn the_probe_time_out_does_not_hit_a_probe_that_has_answered() {
    let (breaker, time) = half_open();
    let mut probe = breaker.try_acquire().unwrap();
    probe.answered(Verdict::Success);
    time.advance(HalfOpen::default().probe_timeout);
    assert_eq!(breaker.snapshot().half_open.unwrap().failures, 0);
}

#[test]
fn the_head_of_an_answer_is_counted_once() {
    let (breaker, _) = half_open();
    let mut probe = breaker.try_acquire().unwrap();
    probe.answered(Verdict::Success);
    probe.answered(Verdict::Success);
    probe.success();
    assert_eq!(breaker.snapshot().half_open.unwrap().successes, 1);
}

#[test]
fn the_end_of_an_answered_probe_counts_in_the_totals_only() {
    let (breaker, _) = half_open();
    let mut probe = breaker.try_acquire().unwrap();
    probe.answered(Verdict::Success);
    probe.failure();
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(counted(&breaker), (0, 1, 0, 0));
}

#[test]
fn a_bad_head_reopens_at_once() {
    let (breaker, _) = half_open();
    let mut probe = breaker.try_acquire_owned().unwrap();
    probe.answered(Verdict::Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_head_that_says_nothing_frees_the_slot_and_decides_nothing() {
    let (breaker, _) = half_open();
    let mut probe = breaker.try_acquire().unwrap();
    probe.answered(Verdict::Ignore);
    let stay = breaker.snapshot().half_open.unwrap();
    assert_eq!((stay.in_flight, stay.successes, stay.failures), (0, 0, 0));
}

#[test]
fn the_head_of_an_answer_decides_nothing_while_closed() {
    let (breaker, _) = closed();
    let mut permits: Vec<_> = (0..3).map(|_| breaker.try_acquire().unwrap()).collect();
    permits.iter_mut().for_each(|permit| permit.answered(Verdict::Failure));
    assert_eq!(breaker.state(), State::Closed);
    permits.into_iter().for_each(Permit::failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn the_head_of_an_answer_stops_the_duration_that_makes_a_call_slow() {
    let (clock, time) = Clock::manual();
    let limit = Duration::from_secs(1);
    let breaker = Breaker::builder("slow").trip(Trip::slow_rate(1.0, limit)).clock(clock).build().unwrap();
    let mut streaming = breaker.try_acquire().unwrap();
    let whole = breaker.try_acquire().unwrap();
    streaming.answered(Verdict::Success);
    time.advance(limit);
    streaming.success();
    assert_eq!(breaker.snapshot().totals.slow, 0);
    whole.success();
    assert_eq!(breaker.snapshot().totals.slow, 1);
}
