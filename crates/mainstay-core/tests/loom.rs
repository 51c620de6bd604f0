//! Every way in which a few threads can fall together on a striped counter.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p mainstay-core --release --test loom
//! ```
#![cfg(loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as Std};
use std::time::Instant;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use mainstay_core::{Striped, StripedCounter};

/// Explores all runs, and says how many there were.
fn explore(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let (started, runs) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let counted = runs.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        counted.fetch_add(1, Std::Relaxed);
        model();
    });
    println!("{} runs, {:.1?}", runs.load(Std::Relaxed), started.elapsed());
}

#[test]
fn threads_with_rows_of_their_own_lose_no_count() {
    explore(None, || {
        let counter = Arc::new(StripedCounter::new());
        let other = counter.clone();
        let other = thread::spawn(move || (0..3).for_each(|_| other.bump()));
        (0..3).for_each(|_| counter.bump());
        other.join().unwrap();
        assert_eq!(counter.sum(), 6);
    });
}

#[test]
fn threads_beyond_the_rows_share_one_and_lose_no_count() {
    // Whoever comes first has the row; the others share the overflow row.
    explore(Some(3), || {
        let counter = Arc::new(Striped::<1>::with_rows(1));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let counter = counter.clone();
                thread::spawn(move || (0..2).for_each(|_| counter.bump(0)))
            })
            .collect();
        (0..2).for_each(|_| counter.bump(0));
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(counter.sum(0), 6);
    });
}

#[test]
fn a_row_that_goes_from_a_thread_that_ends_to_one_that_begins_loses_no_count() {
    // One row, and nothing but its hand-over orders the two threads.
    explore(None, || {
        let counter = Arc::new(Striped::<1>::with_rows(1));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let counter = counter.clone();
                thread::spawn(move || {
                    counter.bump(0);
                    counter.bump(0);
                    counter.mine().is_some()
                })
            })
            .collect();
        let owners = others.into_iter().map(|other| other.join().unwrap()).filter(|owner| *owner).count();
        assert!(owners >= 1);
        assert_eq!(counter.sum(0), 4);
    });
}

#[test]
fn a_reader_beside_the_writers_sees_sums_that_only_grow() {
    explore(Some(3), || {
        let counter = Arc::new(StripedCounter::new());
        let others: Vec<_> = (0..2)
            .map(|_| {
                let counter = counter.clone();
                thread::spawn(move || counter.bump())
            })
            .collect();
        let (first, second) = (counter.sum(), counter.sum());
        assert!(first <= second && second <= 2, "{first}, then {second}");
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(counter.sum(), 2);
    });
}

#[test]
fn a_bump_that_happened_before_a_sum_is_in_it() {
    explore(None, || {
        let (counter, done) = (Arc::new(StripedCounter::new()), Arc::new(AtomicBool::new(false)));
        let (counter2, done2) = (counter.clone(), done.clone());
        let other = thread::spawn(move || {
            counter2.bump();
            done2.store(true, Ordering::Release);
        });
        if done.load(Ordering::Acquire) {
            assert_eq!(counter.sum(), 1);
        }
        other.join().unwrap();
    });
}

#[test]
fn whoever_observes_a_published_value_sees_what_was_set_before_it() {
    explore(None, || {
        let stripes = Arc::new(Striped::<2>::with_rows(1));
        let own = stripes.clone();
        let owner = thread::spawn(move || {
            let row = own.mine().unwrap();
            for round in 1..=2 {
                row.set(0, round);
                row.publish(1, round);
            }
        });
        for row in stripes.rows() {
            let published = row.observe(1);
            assert!(row.get(0) >= published);
        }
        owner.join().unwrap();
    });
}
