//! Many threads, one breaker, exact totals.
#![allow(clippy::unwrap_used)]

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, scope};
use std::time::Duration;

use mainstay_breaker::{
    Breaker, Clock, HalfOpen, ManualClock, OpenFor, Permit, Settings, Totals, Trip, Window,
};

const OPEN: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

fn breaker(settings: Settings) -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    (Breaker::builder("threads").settings(settings).clock(clock).build().unwrap(), time)
}

/// Rules of every kind that these calls never reach.
fn never() -> Settings {
    Settings::new()
        .trip(Trip::consecutive_failures(u32::MAX))
        .trip(Trip::failure_rate(1.0).over(Window::calls(1000)))
        .trip(Trip::failures(u32::MAX).over(Window::time(HOUR)))
        .trip(Trip::slow_rate(1.0, HOUR).over(Window::time(2 * HOUR)))
}

/// Six verdicts in turn: three successes, a failure, an ignored call, and a drop.
fn one_of_each(permit: Permit<'_>, turn: usize) {
    match turn % 6 {
        0..3 => permit.success(),
        3 => permit.failure(),
        4 => permit.ignore(),
        _ => drop(permit),
    }
}

/// Runs `work` on so many threads that start together; each is given its number.
fn together(threads: usize, work: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(threads);
    scope(|scope| {
        for number in 0..threads {
            let (barrier, work) = (&barrier, &work);
            let start = move || {
                barrier.wait();
                work(number);
            };
            // Small stacks, so that a thousand of them are nothing special.
            Builder::new().stack_size(128 * 1024).spawn_scoped(scope, start).unwrap();
        }
    });
}

#[test]
fn eight_threads_of_mixed_verdicts_are_counted_exactly() {
    let (breaker, _) = breaker(never());
    together(8, |_| (0..100_002).for_each(|turn| one_of_each(breaker.try_acquire().unwrap(), turn)));
    let Totals { success, failure, ignored, cancelled, rejected, .. } = breaker.snapshot().totals;
    let each = 8 * 100_002 / 6;
    assert_eq!((success, failure, ignored, cancelled, rejected), (3 * each, each, 2 * each, each, 0));
}

#[test]
fn eight_threads_fill_the_windows_exactly() {
    let (breaker, _) = breaker(never());
    together(8, |_| (0..10_002).for_each(|turn| one_of_each(breaker.try_acquire().unwrap(), turn)));
    let each = 8 * 10_002 / 6;
    let rules = breaker.snapshot().rules;
    assert_eq!((rules[2].calls, rules[2].failures), (4 * each, each));
    assert_eq!((rules[3].calls, rules[3].failures), (4 * each, each));
    assert_eq!(rules[1].calls, 1000);
}

#[test]
fn more_threads_than_there_are_stripes_are_counted_exactly() {
    let (breaker, _) = breaker(never());
    together(300, |_| (0..600).for_each(|turn| one_of_each(breaker.try_acquire().unwrap(), turn)));
    let snapshot = breaker.snapshot();
    let each = 300 * 100;
    let totals = snapshot.totals;
    assert_eq!((totals.success, totals.failure, totals.ignored), (3 * each, each, 2 * each));
    assert_eq!((snapshot.rules[2].calls, snapshot.rules[2].failures), (4 * each, each));
}

#[test]
fn threads_that_end_leave_their_counts_behind() {
    let (breaker, _) = breaker(never());
    for _ in 0..50 {
        together(4, |_| (0..60).for_each(|turn| one_of_each(breaker.try_acquire().unwrap(), turn)));
    }
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.success, totals.failure, totals.ignored), (6000, 2000, 4000));
}

#[test]
fn successes_while_windows_roll_are_counted_exactly() {
    let (breaker, time) = breaker(never());
    together(4, |number| {
        for _ in 0..20_000 {
            breaker.try_acquire().unwrap().success();
            if number == 0 {
                time.advance(Duration::from_millis(20));
            }
        }
    });
    // 400 s have passed: slices have rolled, and the hour still holds every call.
    let snapshot = breaker.snapshot();
    assert_eq!(
        (snapshot.totals.success, snapshot.rules[2].calls, snapshot.rules[3].calls),
        (80_000, 80_000, 80_000)
    );
}

#[test]
fn every_attempt_is_counted_while_it_opens_and_closes() {
    let half_open = HalfOpen { close_after: 1, ..HalfOpen::default() };
    let settings = Settings::new().trip(Trip::failure_rate(0.2).over(Window::calls(20)));
    let (breaker, time) = breaker(settings.open_for(OpenFor::fixed(OPEN)).half_open(half_open).ramp(OPEN));
    let (admitted, turned_away) = (AtomicU64::new(0), AtomicU64::new(0));
    together(8, |_| {
        for turn in 0..20_000 {
            match breaker.try_acquire() {
                Ok(permit) => {
                    admitted.fetch_add(1, Ordering::Relaxed);
                    one_of_each(permit, turn);
                }
                Err(_) => _ = turned_away.fetch_add(1, Ordering::Relaxed),
            }
            time.advance(OPEN / 100);
        }
    });
    let Totals { success, failure, ignored, rejected, .. } = breaker.snapshot().totals;
    assert_eq!(success + failure + ignored, admitted.into_inner());
    assert_eq!(rejected, turned_away.into_inner());
}

#[test]
fn reconfiguring_meanwhile_loses_no_count() {
    let (breaker, _) = breaker(never());
    together(5, |number| match number {
        0 => {
            for round in 1..=300 {
                let other = Trip::failures(u32::MAX).over(Window::time(3 * HOUR + round * OPEN));
                breaker.reconfigure(never().trip(other)).unwrap();
            }
        }
        _ => (0..12_000).for_each(|turn| one_of_each(breaker.try_acquire().unwrap(), turn)),
    });
    let snapshot = breaker.snapshot();
    assert_eq!(
        (snapshot.totals.success, snapshot.totals.failure, snapshot.totals.ignored),
        (24_000, 8000, 16_000)
    );
    assert_eq!((snapshot.rules[2].calls, snapshot.rules[2].failures), (32_000, 8000));
}
