//! Many threads at the same place at the same time.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread::{Builder, scope};
use std::time::Duration;

use mainstay_breaker::{
    Breaker, Clock, Control, HalfOpen, ManualClock, OpenFor, Settings, State, Trip, Window,
};

const OPEN: Duration = Duration::from_secs(10);

fn breaker(settings: Settings) -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    (Breaker::builder("threads").settings(settings).clock(clock).build().unwrap(), time)
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
fn of_a_thousand_threads_exactly_as_many_get_in_as_there_are_slots() {
    let (breaker, time) = breaker(Settings::new().open_for(OpenFor::fixed(OPEN)));
    breaker.trip();
    // More than once: never fewer for ever after.
    for _ in 0..3 {
        time.advance(OPEN);
        let admitted = Mutex::new(Vec::new());
        together(1000, |_| {
            if let Ok(permit) = breaker.try_acquire_owned() {
                admitted.lock().unwrap().push(permit);
            }
        });
        let admitted = admitted.into_inner().unwrap();
        assert_eq!(admitted.len(), 3);
        admitted.into_iter().for_each(|permit| permit.failure());
        assert_eq!(breaker.state(), State::Open);
    }
}

#[test]
fn there_are_never_more_probes_under_way_than_slots() {
    let half_open = HalfOpen { close_after: u32::MAX, ..HalfOpen::default() };
    let (breaker, time) = breaker(Settings::new().open_for(OpenFor::fixed(OPEN)).half_open(half_open));
    breaker.trip();
    time.advance(OPEN);
    let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    together(8, |number| {
        for turn in 0..5000 {
            let Ok(permit) = breaker.try_acquire() else {
                continue;
            };
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            under_way.fetch_sub(1, Ordering::SeqCst);
            if (turn + number) % 2 == 0 { permit.success() } else { permit.ignore() }
        }
    });
    assert!(most.into_inner() <= 3);
    let stay = breaker.snapshot().half_open.unwrap();
    assert_eq!((stay.in_flight, u64::from(stay.successes)), (0, breaker.snapshot().totals.success));
    let probes: Vec<_> = std::iter::from_fn(|| breaker.try_acquire().ok()).collect();
    assert_eq!(probes.len(), 3);
}

#[test]
fn of_threads_that_record_the_last_failures_together_one_trips() {
    let rules = [
        Trip::consecutive_failures(4),
        Trip::failures(4),
        Trip::failures(4).over(Window::calls(100)),
        Trip::failure_rate(1.0).min_calls(4),
        Trip::failure_rate(1.0).over(Window::calls(100)).min_calls(4),
    ];
    for rule in rules {
        let (breaker, _) = breaker(Settings::new().trip(rule).open_for(OpenFor::fixed(OPEN)));
        for round in 1..=100 {
            let permits: [_; 4] = std::array::from_fn(|_| Mutex::new(breaker.try_acquire_owned().ok()));
            together(4, |number| permits[number].lock().unwrap().take().unwrap().failure());
            assert_eq!((breaker.state(), breaker.snapshot().epoch), (State::Open, 2 * round - 1), "{rule:?}");
            breaker.reset();
        }
    }
}

#[test]
fn transitions_made_by_many_threads_arrive_in_order() {
    let (breaker, _) = breaker(Settings::new());
    let mut transitions = breaker.subscribe();
    let done = AtomicUsize::new(0);
    let mut epochs = Vec::new();
    scope(|scope| {
        for number in 0..4 {
            let (breaker, done) = (&breaker, &done);
            scope.spawn(move || {
                (0..2000).for_each(|_| if number % 2 == 0 { breaker.trip() } else { breaker.reset() });
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        loop {
            let finished = done.load(Ordering::SeqCst) == 4;
            epochs.extend(std::iter::from_fn(|| transitions.try_recv()).map(|transition| transition.epoch));
            if finished {
                break;
            }
            std::thread::yield_now();
        }
    });
    assert!(epochs.is_sorted_by(|earlier, later| earlier < later));
    assert_eq!(epochs.len() as u64 + transitions.missed(), u64::from(breaker.snapshot().epoch));
}

#[test]
fn no_result_undoes_an_operators_force() {
    let settings = Settings::new().trip(Trip::consecutive_failures(1)).open_for(OpenFor::fixed(OPEN));
    let (breaker, time) = breaker(settings);
    for _ in 0..200 {
        breaker.set_control(Control::Automatic);
        breaker.trip();
        time.advance(OPEN);
        let probes: [_; 3] = std::array::from_fn(|_| Mutex::new(breaker.try_acquire_owned().ok()));
        together(4, |number| match probes.get(number) {
            Some(probe) => probe.lock().unwrap().take().unwrap().success(),
            None => breaker.set_control(Control::ForcedOpen),
        });
        assert_eq!(breaker.control(), Control::ForcedOpen);
        assert!(breaker.try_acquire().is_err());
    }
}
