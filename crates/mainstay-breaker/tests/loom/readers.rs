//! What those see who only look, or look while others write.

use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use mainstay_breaker::{Breaker, Clock, Settings, State, Trip, Window};

use crate::explore::{Do, Model, explore};

fn one_failure(settings: Settings) -> Settings {
    settings.trip(Trip::consecutive_failures(1))
}

#[test]
fn the_state_that_is_read_beside_a_trip_is_the_one_before_or_after_and_never_goes_back() {
    Model::new(one_failure)
        .before(&[Do::Acquire])
        .threads(&[&[Do::Fail], &[Do::Look, Do::Look]])
        .preemptions(3)
        .check(3);
}

#[test]
fn the_state_that_is_read_beside_a_recovery_is_one_that_it_went_through() {
    Model::new(one_failure)
        .before(&[Do::Trip])
        .threads(&[&[Do::Pass(10), Do::Acquire, Do::Fail], &[Do::Look]])
        .preemptions(2)
        .check(2);
}

fn breaker(rule: Trip) -> Breaker {
    let (clock, _) = Clock::manual();
    Breaker::builder("loom").trip(rule).clock(clock).build().unwrap()
}

#[test]
fn snapshots_beside_successes_count_only_upwards() {
    explore(None, || {
        let breaker = breaker(Trip::failure_rate(1.0).over(Window::calls(10)).min_calls(10));
        let other = breaker.clone();
        let other = thread::spawn(move || (0..2).for_each(|_| other.try_acquire().unwrap().success()));
        let (first, second) = (breaker.snapshot(), breaker.snapshot());
        other.join().unwrap();
        let last = breaker.snapshot();
        let totals = [&first, &second, &last].map(|snapshot| snapshot.totals.success);
        let calls = [&first, &second, &last].map(|snapshot| snapshot.rules[0].calls);
        assert!(totals.is_sorted() && totals[2] == 2, "{totals:?}");
        assert!(calls.is_sorted() && calls[2] == 2, "{calls:?}");
    });
}

#[test]
fn a_success_that_happened_before_a_failure_is_in_its_judgement() {
    explore(None, || {
        let breaker = breaker(Trip::failure_rate(0.5).over(Window::calls(2)).min_calls(2));
        let done = Arc::new(AtomicBool::new(false));
        let (other, tell) = (breaker.clone(), done.clone());
        let other = thread::spawn(move || {
            other.try_acquire().unwrap().success();
            tell.store(true, Ordering::Release);
        });
        let permit = breaker.try_acquire().unwrap();
        if done.load(Ordering::Acquire) {
            permit.failure();
            assert_eq!(breaker.state(), State::Open);
        } else {
            permit.ignore();
        }
        other.join().unwrap();
    });
}

#[test]
fn a_success_that_happened_after_a_failure_ends_its_run() {
    explore(None, || {
        let breaker = breaker(Trip::consecutive_failures(2));
        let failed = Arc::new(AtomicBool::new(false));
        let (other, tell) = (breaker.clone(), failed.clone());
        let permit = breaker.try_acquire().unwrap();
        let other = thread::spawn(move || {
            other.try_acquire().unwrap().failure();
            tell.store(true, Ordering::Release);
        });
        let ends = failed.load(Ordering::Acquire);
        permit.success();
        other.join().unwrap();
        let run = breaker.snapshot().consecutive_failures;
        assert!(if ends { run == 0 } else { run <= 1 });
    });
}

#[test]
fn whoever_hears_that_it_opened_is_rejected_with_the_deadline_of_that_period() {
    explore(None, || {
        let breaker = breaker(Trip::consecutive_failures(1));
        let opened = Arc::new(AtomicBool::new(false));
        let (other, tell) = (breaker.clone(), opened.clone());
        let other = thread::spawn(move || {
            other.try_acquire().unwrap().failure_retry_after(Duration::from_secs(60));
            tell.store(true, Ordering::Release);
        });
        if opened.load(Ordering::Acquire) {
            let rejected = breaker.try_acquire().unwrap_err();
            assert_eq!(rejected.retry_after(), Some(Duration::from_secs(60)));
            assert!(rejected.cause().is_some());
        }
        other.join().unwrap();
    });
}
