//! The operator's hand.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use Control::{Automatic, ForcedClosed, ForcedOpen, ObserveOnly};
use Verdict::{Failure, Success};
use mainstay_breaker::{
    Breaker, Clock, Control, HalfOpen, ManualClock, OpenFor, Outlook, Permit, RejectReason, State, Trip,
    Verdict,
};

const OPEN: Duration = Duration::from_secs(10);

fn breaker() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { max_in_flight: 1, close_after: 1, ..HalfOpen::default() };
    let builder = Breaker::builder("control").trip(Trip::consecutive_failures(2)).half_open(half_open);
    (builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap(), time)
}

fn record(breaker: &Breaker, times: usize, verdict: Verdict) {
    for _ in 0..times {
        breaker.try_acquire().unwrap().record(verdict);
    }
}

#[test]
fn forced_open_rejects_while_closed_open_and_half_open() {
    let (breaker, time) = breaker();
    breaker.set_control(ForcedOpen);
    let reason = || breaker.try_acquire().unwrap_err().reason();
    assert_eq!(reason(), RejectReason::Forced);
    breaker.trip();
    assert_eq!(reason(), RejectReason::Forced);
    time.advance(OPEN);
    assert_eq!(reason(), RejectReason::Forced);
}

#[test]
fn forced_closed_admits_while_open_and_half_open() {
    let (breaker, time) = breaker();
    breaker.set_control(ForcedClosed);
    breaker.trip();
    assert!(breaker.try_acquire().is_ok());
    time.advance(OPEN);
    let permits: Vec<_> = (0..10).map(|_| breaker.try_acquire().unwrap()).collect();
    assert_eq!(breaker.snapshot().half_open.unwrap().in_flight, 0);
    drop(permits);
}

#[test]
fn a_change_of_control_is_no_change_of_state() {
    let (breaker, _) = breaker();
    let mut transitions = breaker.subscribe();
    for control in [ForcedOpen, ForcedClosed, ObserveOnly, Automatic] {
        breaker.set_control(control);
        assert_eq!(breaker.control(), control);
        assert_eq!((breaker.state(), breaker.snapshot().epoch), (State::Closed, 0));
    }
    assert_eq!(transitions.try_recv(), None);
}

#[test]
fn forced_closed_counts_failures_in_the_totals_only() {
    let (breaker, _) = breaker();
    breaker.set_control(ForcedClosed);
    record(&breaker, 100, Failure);
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.consecutive_failures), (State::Closed, 0));
    assert_eq!((snapshot.rules[0].failures, snapshot.totals.failure), (0, 100));
}

#[test]
fn a_result_from_before_the_force_decides_nothing_under_it() {
    for forced in [ForcedOpen, ForcedClosed] {
        let (breaker, _) = breaker();
        let permits: Vec<_> = (0..5).map(|_| breaker.try_acquire().unwrap()).collect();
        breaker.set_control(forced);
        permits.into_iter().for_each(Permit::failure);
        assert_eq!((breaker.state(), breaker.control()), (State::Closed, forced));
        assert_eq!(breaker.snapshot().totals.failure, 5);
    }
}

#[test]
fn a_stale_success_does_not_undo_forced_open() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    let probe = breaker.try_acquire().unwrap();
    breaker.set_control(ForcedOpen);
    probe.success();
    assert_eq!((breaker.state(), breaker.control()), (State::HalfOpen, ForcedOpen));
    assert_eq!(breaker.try_acquire().unwrap_err().reason(), RejectReason::Forced);
}

#[test]
fn a_probe_that_ends_under_force_gives_its_slot_back() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    let probe = breaker.try_acquire().unwrap();
    breaker.set_control(ForcedOpen);
    probe.failure();
    breaker.set_control(Automatic);
    assert!(breaker.try_acquire().is_ok());
}

#[test]
fn a_success_under_force_does_not_end_the_run_from_before() {
    let (breaker, _) = breaker();
    record(&breaker, 1, Failure);
    breaker.set_control(ForcedClosed);
    record(&breaker, 1, Success);
    breaker.set_control(Automatic);
    record(&breaker, 1, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn the_state_goes_on_by_time_under_force() {
    for forced in [ForcedOpen, ForcedClosed] {
        let (breaker, time) = breaker();
        breaker.trip();
        breaker.set_control(forced);
        time.advance(OPEN);
        assert_eq!(breaker.state(), State::HalfOpen);
        let _ = breaker.try_acquire();
        assert_eq!(breaker.snapshot().epoch, 2);
    }
}

#[test]
fn a_probe_expires_under_force() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    std::mem::forget(breaker.try_acquire().unwrap());
    breaker.set_control(ForcedOpen);
    time.advance(HalfOpen::default().probe_timeout);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_force_holds_until_it_is_changed_by_hand() {
    let (breaker, time) = breaker();
    breaker.set_control(ForcedOpen);
    time.advance(Duration::from_secs(365 * 24 * 3600));
    breaker.reset();
    assert_eq!(breaker.control(), ForcedOpen);
    assert!(breaker.try_acquire().is_err());
}

#[test]
fn a_permit_taken_under_forced_closed_decides_nothing_after_release() {
    let (breaker, _) = breaker();
    breaker.set_control(ForcedClosed);
    let permits: Vec<_> = (0..5).map(|_| breaker.try_acquire().unwrap()).collect();
    breaker.set_control(Automatic);
    permits.into_iter().for_each(Permit::failure);
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.consecutive_failures), (State::Closed, 0));
    assert_eq!(snapshot.totals.failure, 5);
}

#[test]
fn a_success_under_forced_closed_ends_no_run_after_release() {
    let (breaker, _) = breaker();
    breaker.set_control(ForcedClosed);
    let permit = breaker.try_acquire().unwrap();
    breaker.set_control(Automatic);
    record(&breaker, 1, Failure);
    permit.success();
    assert_eq!(breaker.snapshot().consecutive_failures, 1);
}

#[test]
fn observing_admits_what_it_would_reject_and_counts_it() {
    let (breaker, _) = breaker();
    breaker.set_control(ObserveOnly);
    breaker.trip();
    (0..7).for_each(|_| breaker.try_acquire().unwrap().success());
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.would_reject, totals.rejected, totals.success), (7, 0, 7));
}

#[test]
fn observing_runs_the_whole_machine() {
    let (breaker, time) = breaker();
    breaker.set_control(ObserveOnly);
    record(&breaker, 2, Failure);
    assert_eq!(breaker.state(), State::Open);
    time.advance(OPEN);
    assert_eq!(breaker.state(), State::HalfOpen);
    record(&breaker, 1, Success);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().totals.would_reject, 0);
}

#[test]
fn a_call_let_through_by_observing_takes_no_slot() {
    let (breaker, time) = breaker();
    breaker.set_control(ObserveOnly);
    breaker.trip();
    time.advance(OPEN);
    let probe = breaker.try_acquire().unwrap();
    let let_through: Vec<_> = (0..10).map(|_| breaker.try_acquire().unwrap()).collect();
    assert_eq!(breaker.snapshot().half_open.unwrap().in_flight, 1);
    drop((probe, let_through));
}

#[test]
fn a_call_let_through_by_observing_decides_nothing() {
    for verdict in [Success, Failure] {
        let (breaker, time) = breaker();
        breaker.set_control(ObserveOnly);
        breaker.trip();
        time.advance(OPEN);
        let probe = breaker.try_acquire().unwrap();
        breaker.try_acquire().unwrap().record(verdict);
        assert_eq!(breaker.state(), State::HalfOpen, "{verdict:?}");
        drop(probe);
    }
}

#[test]
fn a_call_let_through_by_observing_decides_nothing_after_release() {
    let (breaker, time) = breaker();
    breaker.set_control(ObserveOnly);
    breaker.trip();
    let let_through = breaker.try_acquire().unwrap();
    breaker.set_control(Automatic);
    time.advance(OPEN);
    let_through.success();
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn observing_admits_all_of_a_ramp() {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { close_after: 1, ..HalfOpen::default() };
    let builder = Breaker::builder("ramp").half_open(half_open).ramp(OPEN).clock(clock);
    let breaker = builder.open_for(OpenFor::fixed(OPEN)).build().unwrap();
    breaker.set_control(ObserveOnly);
    breaker.trip();
    time.advance(OPEN);
    record(&breaker, 1, Success);
    record(&breaker, 100, Success);
    assert_eq!(breaker.snapshot().totals.would_reject, 95);
}

#[test]
fn a_permit_tells_whether_it_was_let_through_by_hand() {
    let (breaker, _) = breaker();
    assert!(!breaker.try_acquire().unwrap().is_bypass());
    breaker.set_control(ForcedClosed);
    assert!(breaker.try_acquire().unwrap().is_bypass());
}

#[test]
fn the_snapshot_promises_no_retry_under_a_hand() {
    let (breaker, _) = breaker();
    breaker.trip();
    assert_eq!(breaker.snapshot().retry_after, Some(OPEN));
    for control in [ForcedOpen, ForcedClosed, ObserveOnly] {
        breaker.set_control(control);
        assert_eq!(breaker.snapshot().retry_after, None, "{control:?}");
    }
}

#[test]
fn the_outlook_is_what_a_call_would_find() {
    let (breaker, time) = breaker();
    let by_control = || {
        [Automatic, ForcedOpen, ForcedClosed, ObserveOnly].map(|control| {
            breaker.set_control(control);
            breaker.outlook()
        })
    };
    assert_eq!(by_control(), [Outlook::Up, Outlook::Down, Outlook::Up, Outlook::Up]);
    breaker.trip();
    assert_eq!(by_control(), [Outlook::Down, Outlook::Down, Outlook::Up, Outlook::Up]);
    time.advance(OPEN);
    assert_eq!(by_control(), [Outlook::InDoubt, Outlook::Down, Outlook::Up, Outlook::Up]);
    breaker.set_control(Automatic);
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.outlook(), Outlook::Up);
}
