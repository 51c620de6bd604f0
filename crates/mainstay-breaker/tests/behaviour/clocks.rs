//! A clock that stands still, leaps, or comes to its end is only time.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use Verdict::{Failure, Success};
use mainstay_breaker::{
    Breaker, Clock, HalfOpen, ManualClock, OpenFor, Settings, State, Trip, Verdict, Window,
};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const OPEN: Duration = Duration::from_secs(10);

fn all_kinds_of_rules() -> Settings {
    Settings::new()
        .trip(Trip::consecutive_failures(3).within(OPEN))
        .trip(Trip::failure_rate(0.5).over(Window::time(OPEN)))
        .trip(Trip::slow_rate(0.5, OPEN).over(Window::calls(20)))
        .trip(Trip::failures(10).over(Window::time(Window::MAX_TIME)))
        .open_for(OpenFor::exponential(OPEN, YEAR).jitter(0.5))
}

fn breaker(settings: Settings) -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    (Breaker::builder("clocks").settings(settings).clock(clock).build().unwrap(), time)
}

fn record(breaker: &Breaker, times: usize, verdict: Verdict) {
    for _ in 0..times {
        breaker.try_acquire().unwrap().record(verdict);
    }
}

#[test]
fn a_clock_that_stands_still_trips_all_the_same() {
    let (breaker, _) = breaker(all_kinds_of_rules());
    record(&breaker, 1000, Success);
    record(&breaker, 3, Failure);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_clock_that_stands_still_keeps_it_open() {
    let (breaker, _) = breaker(all_kinds_of_rules());
    breaker.trip();
    assert!((0..1000).all(|_| breaker.try_acquire().is_err()));
}

#[test]
fn half_open_needs_no_time_to_close() {
    let (breaker, time) = breaker(all_kinds_of_rules());
    breaker.trip();
    time.advance(OPEN);
    record(&breaker, 2, Success);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn leaps_of_years_are_only_time() {
    let (breaker, time) = breaker(all_kinds_of_rules());
    for _ in 0..100 {
        record(&breaker, 3, Failure);
        assert_eq!(breaker.state(), State::Open);
        time.advance(2 * YEAR);
        assert_eq!(breaker.state(), State::HalfOpen);
        record(&breaker, 2, Success);
        assert_eq!(breaker.state(), State::Closed);
        time.advance(2 * YEAR);
    }
}

#[test]
fn deadlines_a_year_away_are_exact() {
    let half_open = HalfOpen { probe_timeout: YEAR, close_after: 1, ..HalfOpen::default() };
    let (breaker, time) =
        breaker(Settings::new().open_for(OpenFor::fixed(YEAR)).half_open(half_open).ramp(YEAR));
    let nano = Duration::from_nanos(1);
    let states_around = |before, after| {
        time.advance(YEAR - nano);
        assert_eq!(breaker.state(), before);
        time.advance(nano);
        assert_eq!(breaker.state(), after);
    };
    breaker.trip();
    states_around(State::Open, State::HalfOpen);
    std::mem::forget(breaker.try_acquire().unwrap());
    states_around(State::HalfOpen, State::Open);
    time.advance(YEAR);
    record(&breaker, 1, Success);
    states_around(State::HalfOpen, State::Closed);
}

#[test]
fn a_clock_at_its_end_panics_nothing() {
    let half_open = HalfOpen { close_after: 1, ..HalfOpen::default() };
    for settings in [all_kinds_of_rules(), all_kinds_of_rules().half_open(half_open).ramp(YEAR)] {
        let (breaker, time) = breaker(settings.clone());
        time.advance(Duration::MAX);
        for _ in 0..100 {
            let _ = breaker.call(|| Ok::<_, &str>(()));
            let _ = breaker.call(|| Err::<(), _>("refused"));
            std::mem::forget(breaker.try_acquire());
            let _ = (breaker.snapshot(), breaker.state());
            breaker.trip();
            breaker.poll();
            breaker.reconfigure(settings.clone()).unwrap();
        }
        breaker.reset();
        assert_eq!(breaker.state(), State::Closed);
    }
}

#[test]
fn a_clock_that_comes_to_its_end_while_it_is_open_leaves_reads_and_calls_of_one_mind() {
    let (breaker, time) = breaker(Settings::new().open_for(OpenFor::fixed(YEAR)));
    time.advance(Duration::from_nanos(u64::MAX) - OPEN);
    breaker.trip();
    assert!(breaker.try_acquire().is_err());
    time.advance(OPEN);
    assert_eq!(breaker.try_acquire().is_ok(), breaker.state() == State::HalfOpen);
}

#[test]
fn a_breaker_on_the_systems_clock_knows_the_time() {
    let clock = Clock::monotonic();
    let before = clock.now();
    let breaker = Breaker::builder("system").clock(clock.clone()).build().unwrap();
    let (since, now) = (breaker.snapshot().since, breaker.clock().now());
    assert!(before <= since && since <= now && now <= clock.now());
}

#[test]
fn the_default_clock_is_the_systems() {
    let breaker = Breaker::builder("system").open_for(OpenFor::fixed(YEAR)).build().unwrap();
    breaker.trip();
    let left = breaker.try_acquire().unwrap_err().retry_after().unwrap();
    assert!(left > YEAR - Duration::from_secs(60) && left <= YEAR + Duration::from_secs(1), "{left:?}");
}

#[test]
fn a_deadline_on_the_systems_clock_is_never_early() {
    let open = Duration::from_millis(3);
    for _ in 0..5 {
        let breaker = Breaker::builder("system").open_for(OpenFor::fixed(open)).build().unwrap();
        let earliest = breaker.clock().now() + open;
        breaker.trip();
        while breaker.state() == State::Open {
            std::hint::spin_loop();
        }
        assert!(breaker.clock().now() >= earliest);
    }
}
