//! How long it stays open.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::time::Duration;

use mainstay_breaker::{
    Breaker, BreakerBuilder, Classified, Clock, HalfOpen, ManualClock, OpenFor, State, Trip,
};

const FIRST: Duration = Duration::from_secs(10);
const CAP: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);

fn fragile(open_for: OpenFor) -> (BreakerBuilder, ManualClock) {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { close_after: 1, ..HalfOpen::default() };
    let builder = Breaker::builder("open").trip(Trip::consecutive_failures(1)).half_open(half_open);
    (builder.open_for(open_for).clock(clock), time)
}

fn build(open_for: OpenFor) -> (Breaker, ManualClock) {
    let (builder, time) = fragile(open_for);
    (builder.build().unwrap(), time)
}

fn doubling() -> (Breaker, ManualClock) {
    build(OpenFor::exponential(FIRST, CAP))
}

fn fail(breaker: &Breaker) {
    breaker.try_acquire().unwrap().failure();
}

/// What is left of the open time.
fn left(breaker: &Breaker) -> Duration {
    breaker.snapshot().retry_after.unwrap()
}

/// Fails, and waits until just half-open; returns the open time.
fn reopen(breaker: &Breaker, time: &ManualClock) -> Duration {
    fail(breaker);
    let open = left(breaker);
    time.advance(open);
    open
}

#[test]
fn a_fixed_open_time_is_the_same_every_time() {
    let (breaker, time) = build(OpenFor::fixed(FIRST));
    assert!((0..10).all(|_| reopen(&breaker, &time) == FIRST));
}

#[test]
fn the_open_time_doubles_with_every_reopening_up_to_its_cap() {
    let (breaker, time) = doubling();
    let seconds: Vec<_> = (0..6).map(|_| reopen(&breaker, &time).as_secs()).collect();
    assert_eq!(seconds, [10, 20, 40, 60, 60, 60]);
}

#[test]
fn a_thousand_reopenings_stay_at_the_cap() {
    let (breaker, time) = doubling();
    (0..1000).for_each(|_| _ = reopen(&breaker, &time));
    assert_eq!(reopen(&breaker, &time), CAP);
}

#[test]
fn the_open_time_goes_on_growing_if_the_breaker_was_closed_too_shortly() {
    let (breaker, time) = doubling();
    reopen(&breaker, &time);
    breaker.try_acquire().unwrap().success();
    time.advance(FIRST - NANO);
    fail(&breaker);
    assert_eq!(left(&breaker), 2 * FIRST);
}

#[test]
fn the_open_time_starts_again_once_the_breaker_was_closed_for_as_long() {
    let (breaker, time) = doubling();
    reopen(&breaker, &time);
    reopen(&breaker, &time);
    breaker.try_acquire().unwrap().success();
    time.advance(2 * FIRST);
    fail(&breaker);
    assert_eq!(left(&breaker), FIRST);
}

#[test]
fn a_reset_starts_the_open_time_again() {
    let (breaker, time) = doubling();
    reopen(&breaker, &time);
    reopen(&breaker, &time);
    breaker.reset();
    fail(&breaker);
    assert_eq!(left(&breaker), FIRST);
}

#[test]
fn tripping_by_hand_takes_the_same_open_times() {
    let (breaker, time) = doubling();
    let open = || {
        breaker.trip();
        let open = left(&breaker);
        time.advance(open);
        open.as_secs()
    };
    assert_eq!([open(), open(), open()], [10, 20, 40]);
}

#[test]
fn an_expired_probe_lengthens_the_open_time_as_a_failed_one_does() {
    let (breaker, time) = doubling();
    reopen(&breaker, &time);
    std::mem::forget(breaker.try_acquire().unwrap());
    time.advance(HalfOpen::default().probe_timeout);
    assert_eq!(left(&breaker), 2 * FIRST);
}

#[test]
fn breakers_with_different_seeds_come_back_at_different_times() {
    let after = |seed| {
        let (builder, _) = fragile(OpenFor::fixed(FIRST).jitter(0.5));
        let breaker = builder.jitter_seed(seed).build().unwrap();
        fail(&breaker);
        left(&breaker)
    };
    let times: HashSet<_> = (0..100).map(after).collect();
    assert!(times.len() > 90);
    assert!(times.iter().all(|time| (FIRST / 2..=FIRST).contains(time)));
}

#[test]
fn breakers_without_a_seed_do_not_come_back_all_at_once() {
    let after = |_| {
        let (breaker, _) = build(OpenFor::fixed(FIRST).jitter(0.5));
        fail(&breaker);
        left(&breaker)
    };
    assert!((0..100).map(after).collect::<HashSet<_>>().len() > 90);
}

#[test]
fn the_same_seed_repeats_the_same_open_times() {
    let run = || {
        let (builder, time) = fragile(OpenFor::exponential(FIRST, CAP).jitter(1.0));
        let breaker = builder.jitter_seed(7).build().unwrap();
        (0..20).map(|_| reopen(&breaker, &time)).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn the_jitter_of_one_breaker_differs_from_one_open_time_to_the_next() {
    let (builder, time) = fragile(OpenFor::fixed(FIRST).jitter(1.0));
    let breaker = builder.jitter_seed(7).build().unwrap();
    assert!((0..20).map(|_| reopen(&breaker, &time)).collect::<HashSet<_>>().len() > 15);
}

#[test]
fn full_jitter_never_gives_zero_open_time() {
    for seed in 0..1000 {
        let (builder, _) = fragile(OpenFor::exponential(FIRST, CAP).jitter(1.0));
        let breaker = builder.jitter_seed(seed).build().unwrap();
        fail(&breaker);
        assert_eq!(breaker.state(), State::Open, "seed {seed}");
        assert!(left(&breaker) > Duration::ZERO);
    }
}

#[test]
fn the_shortest_open_time_with_full_jitter_is_still_time() {
    let (breaker, _) = build(OpenFor::fixed(NANO).jitter(1.0));
    fail(&breaker);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_retry_after_lengthens_the_open_time() {
    let (breaker, _) = build(OpenFor::fixed(FIRST));
    breaker.try_acquire().unwrap().failure_retry_after(3 * FIRST);
    assert_eq!(left(&breaker), 3 * FIRST);
}

#[test]
fn a_retry_after_never_shortens_the_open_time() {
    let (breaker, _) = build(OpenFor::fixed(FIRST));
    breaker.try_acquire().unwrap().failure_retry_after(FIRST / 2);
    assert_eq!(left(&breaker), FIRST);
}

#[test]
fn a_retry_after_is_capped_at_five_minutes() {
    let (breaker, _) = build(OpenFor::fixed(FIRST));
    breaker.try_acquire().unwrap().failure_retry_after(Duration::MAX);
    assert_eq!(left(&breaker), Duration::from_secs(5 * 60));
}

#[test]
fn the_cap_of_the_retry_after_can_be_set() {
    let (builder, _) = fragile(OpenFor::fixed(FIRST));
    let breaker = builder.retry_after_cap(2 * FIRST).build().unwrap();
    breaker.try_acquire().unwrap().failure_retry_after(3 * FIRST);
    assert_eq!(left(&breaker), 2 * FIRST);
}

#[test]
fn a_cap_below_the_own_open_time_does_not_shorten_it() {
    let (builder, _) = fragile(OpenFor::fixed(FIRST));
    let breaker = builder.retry_after_cap(NANO).build().unwrap();
    breaker.try_acquire().unwrap().failure_retry_after(3 * FIRST);
    assert_eq!(left(&breaker), FIRST);
}

#[test]
fn only_the_failure_that_opens_can_ask_for_time() {
    let (clock, _) = Clock::manual();
    let builder = Breaker::builder("open").trip(Trip::consecutive_failures(2)).clock(clock);
    let breaker = builder.open_for(OpenFor::fixed(FIRST)).build().unwrap();
    breaker.try_acquire().unwrap().failure_retry_after(3 * FIRST);
    fail(&breaker);
    assert_eq!(left(&breaker), FIRST);
}

#[test]
fn a_failed_probe_can_ask_for_time() {
    let (breaker, time) = build(OpenFor::fixed(FIRST));
    reopen(&breaker, &time);
    breaker.try_acquire().unwrap().failure_retry_after(3 * FIRST);
    assert_eq!(left(&breaker), 3 * FIRST);
}

#[test]
fn a_classifier_can_pass_a_retry_after_on() {
    let (breaker, _) = build(OpenFor::fixed(FIRST));
    let busy = |_: &Result<(), &str>| Classified::failure().retry_after(3 * FIRST);
    let _ = breaker.call_with(busy, || Err("busy"));
    assert_eq!(left(&breaker), 3 * FIRST);
}

#[test]
fn a_breaker_must_have_been_well_for_as_long_as_the_retry_after_kept_it_open() {
    let (breaker, time) = doubling();
    breaker.try_acquire().unwrap().failure_retry_after(5 * FIRST);
    time.advance(5 * FIRST);
    breaker.try_acquire().unwrap().success();
    time.advance(5 * FIRST - NANO);
    fail(&breaker);
    assert_eq!(left(&breaker), 2 * FIRST);
}

#[test]
fn a_retry_after_on_a_success_has_no_effect() {
    let (breaker, _) = build(OpenFor::fixed(FIRST));
    breaker.try_acquire().unwrap().record(Classified::success().retry_after(3 * FIRST));
    assert_eq!(breaker.state(), State::Closed);
}
