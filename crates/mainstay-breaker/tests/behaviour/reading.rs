//! Reading is time-aware and free of effects.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use mainstay_breaker::{Breaker, Cause, Clock, HalfOpen, ManualClock, OpenFor, Stage, State, Trip};

const OPEN: Duration = Duration::from_secs(10);
const PROBE: Duration = Duration::from_secs(10);
const RAMP: Duration = Duration::from_secs(30);
const NANO: Duration = Duration::from_nanos(1);

fn breaker() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { close_after: 1, probe_timeout: PROBE, ..HalfOpen::default() };
    let builder =
        Breaker::builder("read").trip(Trip::consecutive_failures(1)).half_open(half_open).ramp(RAMP);
    (builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap(), time)
}

#[test]
fn a_breaker_is_half_open_from_exactly_the_open_time_on_though_nobody_called() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN - NANO);
    assert_eq!(breaker.state(), State::Open);
    time.advance(NANO);
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn a_caller_who_looks_at_the_state_before_each_call_still_lets_it_recover() {
    let (breaker, time) = breaker();
    breaker.trip();
    let recovered = (0..100).any(|_| {
        time.advance(Duration::from_secs(1));
        if breaker.state() != State::Open {
            let _ = breaker.call(|| Ok::<_, &str>(()));
        }
        breaker.state() == State::Closed
    });
    assert!(recovered);
}

#[test]
fn reading_delivers_nothing() {
    let (breaker, time) = breaker();
    breaker.trip();
    let mut transitions = breaker.subscribe();
    time.advance(OPEN);
    for _ in 0..10 {
        assert_eq!((breaker.state(), breaker.snapshot().state), (State::HalfOpen, State::HalfOpen));
        let _ = (format!("{breaker:?}"), breaker.settings(), breaker.control());
    }
    assert_eq!(transitions.try_recv(), None);
}

#[test]
fn reading_twice_gives_the_same_answer() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    std::mem::forget(breaker.try_acquire().unwrap());
    time.advance(PROBE + OPEN / 2);
    assert_eq!(breaker.snapshot(), breaker.snapshot());
}

#[test]
fn what_a_read_shows_is_what_the_next_call_delivers() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    std::mem::forget(breaker.try_acquire().unwrap());
    time.advance(PROBE + 3 * OPEN);
    let seen = breaker.snapshot();
    breaker.poll();
    let delivered = breaker.snapshot();
    assert_eq!((seen.epoch, seen.since, &seen.recent), (delivered.epoch, delivered.since, &delivered.recent));
    assert_eq!(seen, delivered);
}

#[test]
fn what_a_read_shows_with_jitter_is_what_is_delivered() {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("jitter").clock(clock).jitter_seed(3);
    let breaker = builder.open_for(OpenFor::fixed(OPEN).jitter(1.0)).build().unwrap();
    breaker.trip();
    time.advance(OPEN);
    std::mem::forget(breaker.try_acquire().unwrap());
    time.advance(PROBE);
    let seen = breaker.snapshot();
    breaker.poll();
    assert_eq!(seen, breaker.snapshot());
}

#[test]
fn a_due_transition_is_delivered_by_the_next_call_and_dated_when_it_was_due() {
    let (breaker, time) = breaker();
    breaker.trip();
    let mut transitions = breaker.subscribe();
    time.advance(10 * OPEN);
    drop(breaker.try_acquire());
    let half_open = transitions.try_recv().unwrap();
    assert_eq!((half_open.from, half_open.to), (State::Open, State::HalfOpen));
    assert_eq!((half_open.at, half_open.cause), (OPEN, Cause::OpenElapsed));
    assert_eq!(half_open.stage, Some(Stage::Probing));
}

#[test]
fn polling_delivers_what_is_due_without_a_call() {
    let (breaker, time) = breaker();
    breaker.trip();
    let mut transitions = breaker.subscribe();
    time.advance(OPEN - NANO);
    breaker.poll();
    assert_eq!(transitions.try_recv(), None);
    time.advance(NANO);
    breaker.poll();
    assert_eq!(transitions.try_recv().unwrap().to, State::HalfOpen);
}

#[test]
fn several_due_transitions_are_delivered_in_order_each_with_its_own_date() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    std::mem::forget(breaker.try_acquire().unwrap());
    let mut transitions = breaker.subscribe();
    time.advance(PROBE + OPEN);
    breaker.poll();
    let delivered: Vec<_> =
        std::iter::from_fn(|| transitions.try_recv()).map(|t| (t.to, t.epoch, t.at)).collect();
    assert_eq!(delivered, [(State::Open, 3, OPEN + PROBE), (State::HalfOpen, 4, OPEN + PROBE + OPEN)]);
}

#[test]
fn a_read_sees_the_end_of_a_ramp() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    breaker.try_acquire().unwrap().success();
    time.advance(RAMP);
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.epoch, snapshot.since), (State::Closed, 4, OPEN + RAMP));
    assert_eq!(snapshot.half_open, None);
}

#[test]
fn a_snapshot_of_a_fresh_breaker_is_all_zeros() {
    let (breaker, _) = breaker();
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.name.as_str(), snapshot.state, snapshot.epoch), ("read", State::Closed, 0));
    assert_eq!(snapshot.totals, Default::default());
    assert_eq!((snapshot.consecutive_failures, snapshot.half_open, snapshot.retry_after), (0, None, None));
    assert_eq!((snapshot.last_trip, snapshot.recent.len(), snapshot.blind), (None, 0, false));
}

#[test]
fn a_snapshot_says_since_when() {
    let (breaker, time) = breaker();
    time.advance(3 * OPEN);
    breaker.trip();
    time.advance(NANO);
    let snapshot = breaker.snapshot();
    assert_eq!(snapshot.since, 3 * OPEN);
    assert_eq!(snapshot.since_wall, SystemTime::UNIX_EPOCH + 3 * OPEN);
}

#[test]
fn a_breaker_built_later_is_closed_since_then() {
    let (clock, time) = Clock::manual();
    time.advance(OPEN);
    let breaker = Breaker::builder("later").clock(clock).build().unwrap();
    assert_eq!(breaker.snapshot().since, OPEN);
}

#[test]
fn a_snapshot_counts_the_run_of_failures_whatever_the_rules() {
    let (clock, _) = Clock::manual();
    let breaker = Breaker::builder("rate").trip(Trip::failure_rate(1.0)).clock(clock).build().unwrap();
    for _ in 0..3 {
        breaker.try_acquire().unwrap().failure();
    }
    assert_eq!(breaker.snapshot().consecutive_failures, 3);
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.snapshot().consecutive_failures, 0);
}

#[test]
fn a_snapshot_of_an_open_breaker_shows_no_run() {
    let (breaker, _) = breaker();
    breaker.try_acquire().unwrap().failure();
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.consecutive_failures), (State::Open, 0));
}

#[test]
fn a_snapshot_tells_what_a_rejection_would() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN / 4);
    let rejected = breaker.try_acquire().unwrap_err();
    let snapshot = breaker.snapshot();
    assert_eq!(
        (snapshot.retry_after, snapshot.last_trip.as_ref()),
        (rejected.retry_after(), rejected.cause())
    );
}

#[test]
fn a_snapshot_tells_no_wait_while_a_probe_slot_is_free() {
    let (breaker, time) = breaker();
    breaker.trip();
    time.advance(OPEN);
    let probes = [breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap()];
    assert_eq!(breaker.snapshot().retry_after, None);
    let last = breaker.try_acquire().unwrap();
    assert_eq!(breaker.snapshot().retry_after, Some(PROBE));
    drop((probes, last));
}

#[test]
fn a_snapshot_remembers_the_last_sixteen_transitions_oldest_first() {
    let (breaker, _) = breaker();
    (0..10).for_each(|_| {
        breaker.trip();
        breaker.reset();
    });
    let epochs: Vec<_> = breaker.snapshot().recent.iter().map(|transition| transition.epoch).collect();
    assert_eq!(epochs, (5..=20).collect::<Vec<_>>());
}

#[test]
fn a_due_transition_has_its_place_among_the_last_sixteen() {
    let (breaker, time) = breaker();
    (0..8).for_each(|_| {
        breaker.reset();
        breaker.trip();
    });
    time.advance(OPEN);
    let epochs: Vec<_> = breaker.snapshot().recent.iter().map(|transition| transition.epoch).collect();
    assert_eq!(epochs, (2..=17).collect::<Vec<_>>());
}
