//! Striped counters: no count is lost.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::sync::{Arc, Barrier};
use std::thread::{ScopedJoinHandle, scope};

use mainstay_core::{Striped, StripedCounter};

/// So many threads, all alive at once, each bumping so often.
fn bump_together(counter: &Striped<2>, threads: usize, times: u64) {
    let barrier = Barrier::new(threads);
    scope(|scope| {
        let count = || {
            barrier.wait();
            (0..times).for_each(|_| counter.bump(0));
            // Nobody ends, and gives a row back, before all have counted.
            barrier.wait();
        };
        join((0..threads).map(|_| scope.spawn(count)).collect());
    });
}

/// Waits for the threads' last destructors too, which the end of a scope does not.
fn join(threads: Vec<ScopedJoinHandle<'_, ()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_fresh_counter_is_at_zero() {
    assert_eq!((StripedCounter::new().sum(), Striped::<2>::new().sum(1)), (0, 0));
}

#[test]
fn one_threads_bumps_are_summed() {
    let counter = StripedCounter::default();
    (0..1000).for_each(|_| counter.bump());
    assert_eq!(counter.sum(), 1000);
}

#[test]
fn many_threads_bumps_are_summed_exactly() {
    let counter = Striped::<2>::new();
    bump_together(&counter, 8, 100_000);
    assert_eq!(counter.sum(0), 800_000);
}

#[test]
fn threads_beyond_the_rows_are_counted_exactly() {
    let counter = Striped::<2>::with_rows(3);
    bump_together(&counter, 64, 2000);
    assert_eq!(counter.sum(0), 128_000);
}

#[test]
fn without_rows_every_thread_is_counted_exactly() {
    let counter = Striped::<2>::with_rows(0);
    bump_together(&counter, 8, 10_000);
    assert_eq!((counter.sum(0), counter.rows().count()), (80_000, 0));
    assert!(counter.mine().is_none());
    assert_eq!(counter.overflow().get(0), 80_000);
}

#[test]
fn the_counts_of_threads_that_ended_stay() {
    let counter = Striped::<2>::with_rows(4);
    (0..100).for_each(|_| bump_together(&counter, 2, 10));
    assert_eq!(counter.sum(0), 2000);
}

#[test]
fn rows_are_reused_by_later_threads_without_losing_a_count() {
    let counter = Striped::<2>::with_rows(8);
    // Generations overlap: threads end and begin while others count.
    scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let one_life = || (0..50).for_each(|_| counter.bump(0));
                    std::thread::scope(|scope| _ = scope.spawn(one_life));
                }
            });
        }
    });
    assert_eq!(counter.sum(0), 4 * 100 * 50);
}

#[test]
fn a_thread_that_begins_after_another_ended_needs_no_row_of_its_own() {
    let counter = Striped::<2>::with_rows(256);
    for _ in 0..1000 {
        bump_together(&counter, 1, 1);
    }
    let used = counter.rows().filter(|row| row.get(0) > 0).count();
    // Other tests run beside this one and hold rows meanwhile; a thousand it would be without reuse.
    assert!(used < 200, "{used}");
    assert_eq!(counter.sum(0), 1000);
}

#[test]
fn two_living_threads_never_own_the_same_row() {
    let counter = Striped::<2>::with_rows(256);
    let barrier = Barrier::new(32);
    let rows = scope(|scope| {
        let threads: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(|| {
                    let row = counter.mine().map(|row| std::ptr::from_ref(row).addr());
                    barrier.wait();
                    row
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let distinct: std::collections::HashSet<_> = rows.iter().collect();
    assert_eq!(distinct.len(), rows.len());
}

#[test]
fn what_is_counted_while_a_thread_ends_is_not_lost() {
    struct Last(Arc<StripedCounter>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.bump();
        }
    }
    thread_local!(static LAST: RefCell<Option<Last>> = const { RefCell::new(None) });
    for counted_before in [false, true] {
        let counter = Arc::new(StripedCounter::new());
        scope(|scope| {
            let count = || {
                // Before or after the counter's own thread-local: destroyed after or before it.
                if counted_before {
                    counter.bump();
                }
                LAST.set(Some(Last(counter.clone())));
                counter.bump();
            };
            join((0..32).map(|_| scope.spawn(count)).collect());
        });
        assert_eq!(counter.sum(), if counted_before { 96 } else { 64 });
    }
}

#[test]
fn columns_are_independent_and_those_that_do_not_exist_are_zero() {
    let counter = Striped::<2>::new();
    counter.bump(1);
    counter.bump(7);
    assert_eq!((counter.sum(0), counter.sum(1), counter.sum(7)), (0, 1, 0));
}

#[test]
fn two_counters_of_one_thread_are_independent() {
    let (one, other) = (StripedCounter::new(), StripedCounter::new());
    one.bump();
    assert_eq!((one.sum(), other.sum()), (1, 0));
}

#[test]
fn a_sum_taken_meanwhile_never_falls() {
    let counter = StripedCounter::new();
    scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..50_000).for_each(|_| counter.bump()));
        }
        let mut last = 0;
        while last < 150_000 {
            let sum = counter.sum();
            assert!(sum >= last && sum <= 150_000);
            last = sum;
            std::thread::yield_now();
        }
    });
}

#[test]
fn rows_lie_on_cache_lines_of_their_own() {
    let counter = Striped::<2>::with_rows(4);
    assert!(counter.rows().all(|row| std::ptr::from_ref(row).addr() % 64 == 0 && size_of_val(row) % 64 == 0));
}
