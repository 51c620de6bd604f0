//! Half-open: bounded in count and in time.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use Verdict::{Failure, Success};
use mainstay_breaker::{
    Breaker, Cause, Clock, HalfOpen, ManualClock, OpenFor, Permit, RejectReason, State, Trip, Verdict,
};

const OPEN: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
const PROBE: Duration = Duration::from_secs(10);

fn half_open(max_in_flight: u32, close_after: u32, reopen_after: u32) -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { max_in_flight, close_after, reopen_after, probe_timeout: PROBE };
    let builder = Breaker::builder("probing").trip(Trip::consecutive_failures(1)).half_open(half_open);
    let breaker = builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap();
    breaker.trip();
    time.advance(OPEN);
    (breaker, time)
}

fn record(breaker: &Breaker, verdicts: &[Verdict]) {
    for verdict in verdicts {
        breaker.try_acquire().unwrap().record(*verdict);
    }
}

/// Successes by traffic alone: a call every second, for as long as it takes, at most a minute.
fn recovers(breaker: &Breaker, time: &ManualClock) -> bool {
    (0..60).any(|_| {
        time.advance(SECOND);
        let _ = breaker.call(|| Ok::<_, &str>(()));
        breaker.state() == State::Closed
    })
}

#[test]
fn at_most_so_many_probes_are_under_way_at_once() {
    let (breaker, _) = half_open(3, 2, 1);
    let probes: Vec<_> = (0..3).map(|_| breaker.try_acquire().unwrap()).collect();
    assert_eq!(breaker.try_acquire().unwrap_err().reason(), RejectReason::ProbesBusy);
    assert_eq!(breaker.snapshot().half_open.unwrap().in_flight, 3);
    drop(probes);
}

#[test]
fn a_probe_that_ends_makes_room_for_the_next() {
    let (breaker, _) = half_open(1, 3, 1);
    for _ in 0..2 {
        let probe = breaker.try_acquire().unwrap();
        assert!(breaker.try_acquire().is_err());
        probe.success();
    }
    assert!(breaker.try_acquire().is_ok());
}

#[test]
fn enough_successes_close() {
    let (breaker, _) = half_open(3, 2, 1);
    record(&breaker, &[Success]);
    assert_eq!(breaker.state(), State::HalfOpen);
    record(&breaker, &[Success]);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().recent.last().unwrap().cause, Cause::ProbesSucceeded { successes: 2 });
}

#[test]
fn one_failure_opens_by_default() {
    let (breaker, _) = half_open(3, 2, 1);
    record(&breaker, &[Success, Failure]);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.snapshot().last_trip, Some(Cause::ProbeFailed { failures: 1, limit: 1 }));
}

#[test]
fn successes_of_the_stay_are_added_up_across_failures() {
    let (breaker, _) = half_open(1, 2, 3);
    record(&breaker, &[Failure, Success, Failure, Success]);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn failures_of_the_stay_are_added_up_across_successes() {
    let (breaker, _) = half_open(1, 5, 3);
    record(&breaker, &[Failure, Success, Failure, Success, Failure]);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_new_stay_starts_from_zero() {
    let (breaker, time) = half_open(1, 3, 2);
    record(&breaker, &[Success, Success, Failure, Failure]);
    time.advance(OPEN);
    record(&breaker, &[Success, Success]);
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn slots_bound_only_what_is_under_way_and_not_the_stay() {
    let (breaker, _) = half_open(2, 1000, 1);
    record(&breaker, &[Success; 999]);
    assert_eq!(breaker.snapshot().half_open.unwrap().successes, 999);
}

#[test]
fn a_probe_without_an_answer_counts_as_a_failure_at_its_deadline() {
    let (breaker, time) = half_open(3, 2, 1);
    let probe = breaker.try_acquire().unwrap();
    time.advance(PROBE - Duration::from_nanos(1));
    assert_eq!(breaker.state(), State::HalfOpen);
    time.advance(Duration::from_nanos(1));
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.snapshot().last_trip, Some(Cause::ProbeTimedOut { failures: 1, limit: 1 }));
    drop(probe);
}

#[test]
fn an_expired_probe_is_dated_when_it_was_due_and_not_when_it_was_noticed() {
    let (breaker, time) = half_open(3, 2, 1);
    std::mem::forget(breaker.try_acquire().unwrap());
    time.advance(PROBE + 2 * SECOND);
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.since), (State::Open, OPEN + PROBE));
    assert_eq!(snapshot.retry_after, Some(OPEN - 2 * SECOND));
}

#[test]
fn several_probes_expire_in_the_order_of_their_deadlines() {
    let (breaker, time) = half_open(3, 2, 2);
    for _ in 0..3 {
        std::mem::forget(breaker.try_acquire().unwrap());
        time.advance(SECOND);
    }
    time.advance(PROBE);
    let snapshot = breaker.snapshot();
    // The second of them opens, a second after the first was due.
    assert_eq!(snapshot.last_trip, Some(Cause::ProbeTimedOut { failures: 2, limit: 2 }));
    assert_eq!(snapshot.since, OPEN + PROBE + SECOND);
}

#[test]
fn an_open_time_that_began_at_a_deadline_may_be_over_when_somebody_looks() {
    let (breaker, time) = half_open(3, 2, 1);
    std::mem::forget(breaker.try_acquire().unwrap());
    time.advance(PROBE + OPEN);
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.since), (State::HalfOpen, OPEN + PROBE + OPEN));
    assert_eq!(snapshot.last_trip, Some(Cause::ProbeTimedOut { failures: 1, limit: 1 }));
}

#[test]
fn the_slot_of_an_expired_probe_is_free() {
    let (breaker, time) = half_open(1, 2, 2);
    std::mem::forget(breaker.try_acquire().unwrap());
    assert!(breaker.try_acquire().is_err());
    time.advance(PROBE);
    assert!(breaker.try_acquire().is_ok());
}

#[test]
fn late_answers_of_the_probes_whose_expiry_reopened_it_change_nothing() {
    let (breaker, time) = half_open(3, 2, 2);
    let [first, second] = [breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap()];
    time.advance(PROBE);
    let before = breaker.snapshot();
    first.failure();
    second.success();
    let after = breaker.snapshot();
    assert_eq!((before.state, before.epoch), (State::Open, 3));
    assert_eq!((after.state, after.epoch, after.retry_after), (State::Open, 3, before.retry_after));
}

#[test]
fn an_expired_probe_that_succeeds_after_all_closes_nothing() {
    let (breaker, time) = half_open(3, 1, 2);
    let probe = breaker.try_acquire().unwrap();
    time.advance(PROBE);
    probe.success();
    let stay = breaker.snapshot().half_open.unwrap();
    assert_eq!((stay.successes, stay.failures, stay.in_flight), (0, 1, 0));
}

#[test]
fn an_expired_probe_that_fails_after_all_is_one_failure_and_not_two() {
    let (breaker, time) = half_open(3, 1, 2);
    let probe = breaker.try_acquire().unwrap();
    time.advance(PROBE);
    probe.failure();
    assert_eq!(breaker.snapshot().half_open.unwrap().failures, 1);
    assert_eq!(breaker.snapshot().totals.failure, 1);
}

#[test]
fn an_expired_probe_frees_its_own_slot_only_once() {
    let (breaker, time) = half_open(1, 2, 2);
    let expired = breaker.try_acquire().unwrap();
    time.advance(PROBE);
    let second = breaker.try_acquire().unwrap();
    expired.ignore();
    assert_eq!(breaker.try_acquire().unwrap_err().reason(), RejectReason::ProbesBusy);
    drop(second);
}

#[test]
fn recovers_after_cancelled_probes() {
    let (breaker, time) = half_open(3, 2, 1);
    for _ in 0..100 {
        drop(breaker.try_acquire().unwrap());
    }
    assert!(recovers(&breaker, &time));
}

#[test]
fn recovers_after_panicking_probes() {
    let (breaker, time) = half_open(3, 2, 1);
    let panics = || breaker.call(|| -> Result<(), &str> { panic!("the probe's own") });
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
    assert_eq!(breaker.state(), State::Open);
    assert!(recovers(&breaker, &time));
}

#[test]
fn recovers_after_leaked_probes() {
    let (breaker, time) = half_open(3, 2, 1);
    for _ in 0..3 {
        std::mem::forget(breaker.try_acquire().unwrap());
    }
    assert!(breaker.try_acquire().is_err());
    assert!(recovers(&breaker, &time));
}

#[test]
fn recovers_while_its_first_probes_never_return() {
    let (breaker, time) = half_open(3, 2, 1);
    let hanging: Vec<_> = (0..3).map(|_| breaker.try_acquire_owned().unwrap()).collect();
    assert!(recovers(&breaker, &time));
    drop(hanging);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn recovers_though_every_stay_leaks_all_its_probes_for_a_while() {
    let (breaker, time) = half_open(3, 2, 1);
    for _ in 0..10 {
        (0..3).for_each(|_| std::mem::forget(breaker.try_acquire().unwrap()));
        time.advance(PROBE + OPEN);
        assert_eq!(breaker.state(), State::HalfOpen);
    }
    assert!(recovers(&breaker, &time));
}

#[test]
fn half_open_lasts_while_nobody_calls() {
    let (breaker, time) = half_open(3, 2, 1);
    time.advance(Duration::from_secs(365 * 24 * 3600));
    assert_eq!(breaker.state(), State::HalfOpen);
    let probes: Vec<Permit<'_>> = (0..3).map(|_| breaker.try_acquire().unwrap()).collect();
    probes.into_iter().for_each(Permit::success);
    assert_eq!(breaker.state(), State::Closed);
}
