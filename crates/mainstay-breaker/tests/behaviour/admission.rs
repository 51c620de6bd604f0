//! Who is let through, and what happens to those who are not.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use mainstay_breaker::{
    Breaker, BreakerError, Classified, Clock, OpenFor, RejectReason, State, Trip, Verdict,
};

fn fragile() -> Breaker {
    let (clock, _) = Clock::manual();
    Breaker::builder("fragile")
        .trip(Trip::consecutive_failures(1))
        .open_for(OpenFor::fixed(Duration::from_secs(10)))
        .clock(clock)
        .build()
        .unwrap()
}

#[test]
fn a_call_returns_what_the_work_returned() {
    let breaker = fragile();
    assert_eq!(breaker.call(|| Ok::<_, &str>(42)), Ok(42));
}

#[test]
fn an_error_comes_back_as_the_works_own() {
    let breaker = fragile();
    assert_eq!(breaker.call(|| Err::<(), _>("refused")), Err(BreakerError::Inner("refused")));
}

#[test]
fn an_open_breaker_does_not_run_the_work() {
    let breaker = fragile();
    breaker.trip();
    let ran = Cell::new(false);
    let result = breaker.call(|| {
        ran.set(true);
        Ok::<_, &str>(())
    });
    assert_eq!(result.unwrap_err().rejected().unwrap().reason(), RejectReason::Open);
    assert!(!ran.get());
}

#[test]
fn a_classifier_decides_what_an_error_says() {
    let breaker = fragile();
    let mistakes_are_ours = |result: &Result<(), u16>| match result {
        Err(400..500) => Verdict::Ignore,
        Err(_) => Verdict::Failure,
        Ok(()) => Verdict::Success,
    };
    let _ = breaker.call_with(mistakes_are_ours, || Err(404));
    assert_eq!(breaker.state(), State::Closed);
    let _ = breaker.call_with(mistakes_are_ours, || Err(503));
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_classifier_can_find_a_failure_in_an_ok() {
    let breaker = fragile();
    let loading = |result: &Result<&str, &str>| match result {
        Ok("LOADING") => Classified::failure(),
        _ => Classified::success(),
    };
    assert_eq!(breaker.call_with(loading, || Ok("LOADING")), Ok("LOADING"));
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn an_async_call_returns_what_the_work_returned() {
    let breaker = fragile();
    assert_eq!(breaker.run(ready(Ok::<_, &str>(42))).now_or_never(), Some(Ok(42)));
    assert_eq!(
        breaker.run(ready(Err::<(), _>("refused"))).now_or_never(),
        Some(Err(BreakerError::Inner("refused")))
    );
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn an_async_call_is_judged_by_its_classifier() {
    let breaker = fragile();
    let nothing = |_: &Result<(), &str>| Verdict::Ignore;
    let _ = breaker.run_with(nothing, ready(Err("refused"))).now_or_never();
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().totals.ignored, 1);
}

#[test]
fn an_async_call_asks_for_admission_when_it_is_polled_and_not_when_it_is_made() {
    let breaker = fragile();
    let call = breaker.run(ready(Ok::<_, &str>(())));
    breaker.trip();
    assert!(matches!(call.now_or_never(), Some(Err(BreakerError::Rejected(_)))));
}

#[test]
fn a_rejected_async_call_never_polls_the_work() {
    let breaker = fragile();
    breaker.trip();
    let polled = Cell::new(false);
    let work = async {
        polled.set(true);
        Ok::<_, &str>(())
    };
    assert!(breaker.run(work).now_or_never().unwrap().is_err());
    assert!(!polled.get());
}

#[test]
fn an_async_call_that_was_never_polled_took_no_permit() {
    let breaker = fragile();
    drop(breaker.run(ready(Ok::<_, &str>(()))));
    assert_eq!(breaker.snapshot().totals.cancelled, 0);
}

#[test]
fn an_async_call_that_is_dropped_under_way_counts_as_cancelled() {
    let breaker = fragile();
    {
        let mut call = pin!(breaker.run(std::future::pending::<Result<(), &str>>()));
        assert!(call.as_mut().now_or_never().is_none());
    }
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.cancelled, totals.ignored), (1, 1));
}

#[test]
fn clones_share_one_state() {
    let breaker = fragile();
    let clone = breaker.clone();
    let _ = clone.call(|| Err::<(), _>("refused"));
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_leaked_breaker_shares_its_state_with_the_clones_from_before() {
    let breaker = fragile();
    let clone = breaker.clone();
    let leaked = breaker.leak();
    let _ = leaked.clone().call(|| Err::<(), _>("refused"));
    assert_eq!((leaked.state(), clone.state()), (State::Open, State::Open));
}

#[test]
fn leaking_twice_is_leaking_once() {
    let breaker = fragile().leak().leak();
    breaker.trip();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn rejections_are_counted_and_nothing_else_is() {
    let breaker = fragile();
    breaker.trip();
    for _ in 0..7 {
        assert!(breaker.try_acquire().is_err());
    }
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.rejected, totals.success, totals.failure, totals.ignored), (7, 0, 0, 0));
}

#[test]
fn a_call_within_a_call_is_a_call_of_its_own() {
    let breaker = fragile();
    let outer = breaker.call(|| breaker.call(|| Ok::<_, &str>(42)));
    assert_eq!((outer, breaker.snapshot().totals.success), (Ok(42), 2));
}
