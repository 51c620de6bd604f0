//! Counts allocations, by an allocator that counts. Prints for each subject its key and how often one call allocates,
//! and for the parts of a breaker their bytes; fields are separated by tabs.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Duration;

use allocation_counter::measure;
use mainstay_benches::{Id, Subject, Visitor, catalog, keys};
use mainstay_breaker::{Breaker, BreakerBuilder, OpenFor, OwnedPermit, Permit, Rejected, Trip, Window};
use mainstay_core::Striped;

fn main() {
    catalog::visit(&mut Calls);
    memory();
}

struct Calls;

/// Enough to set everything up: lazily made stripes and slots, grown buffers, a clone's own `Arc`.
const WARM_UP: u32 = 1000;
const CALLS: u32 = 1000;

impl Visitor for Calls {
    fn subject<S: Subject>(&mut self, id: Id, make: impl Fn() -> S) {
        let mut subject = make();
        let mut call = |times| (0..times).for_each(|_| _ = black_box(subject.call()));
        call(WARM_UP);
        let counted = measure(|| call(CALLS));
        println!("{}\t{}", id.key(), counted.count_total as f64 / f64::from(CALLS));
    }
}

fn memory() {
    let rows = Striped::<1>::new().rows().count();
    let row = bytes(Striped::<8>::new) / rows as f64;
    let consecutive = breaker(|builder| builder.trip(Trip::consecutive_failures(5)));
    let one_time = breaker(|builder| builder.trip(over_time(30)));
    let two_times = breaker(|builder| builder.trip(over_time(30)).trip(over_time(10)));
    let count = breaker(|builder| builder.trip(Trip::failure_rate(0.5).over(Window::calls(100))));

    say("consecutive rule", consecutive);
    say("count window of 100", count);
    say("time window", one_time);
    say("default rules", breaker(|builder| builder));
    say("a second time window", two_times - one_time);
    say("the stripes of a breaker on this machine, 64 bytes each", row * rows as f64);
    say("all but the stripes, consecutive rule", consecutive - row * rows as f64);
    say("compact, in a keyed set, more than a counter in the same map", keyed());
    say("its first probe, kept from then on", half_open());
    say("`Breaker`, the handle", size_of::<Breaker>() as f64);
    say("`Permit`", size_of::<Permit<'_>>() as f64);
    say("`OwnedPermit`", size_of::<OwnedPermit>() as f64);
    say("`Rejected`", size_of::<Rejected>() as f64);
}

fn say(what: &str, bytes: f64) {
    println!("memory\t{what}\t{bytes}");
}

fn over_time(secs: u64) -> Trip {
    Trip::failure_rate(0.5).over(Window::time(Duration::from_secs(secs))).min_calls(20)
}

/// What is on the heap after `make`, until it is dropped.
fn bytes<T>(make: impl FnOnce() -> T) -> f64 {
    let mut kept = None;
    let counted = measure(|| kept = Some(make()));
    drop(kept);
    counted.bytes_current as f64
}

fn breaker(rules: impl Fn(BreakerBuilder) -> BreakerBuilder) -> f64 {
    // Names and seeds are made once for a process; and the first call of a thread takes its stripe.
    let make = || {
        rules(Breaker::builder("memory"))
            .build()
            .map(|breaker| breaker.call(|| Ok::<_, ()>(())).map(|()| breaker))
    };
    drop(make());
    bytes(make)
}

/// What a key costs, of many, more than a counter would in a map of the same kind.
fn keyed() -> f64 {
    const MANY: u64 = 100_000;
    (bytes(|| keys::filled(MANY)) - bytes(|| keys::counters(MANY))) / MANY as f64
}

fn half_open() -> f64 {
    let open_for = OpenFor::fixed(Duration::from_millis(1));
    let Ok(breaker) = Breaker::builder("memory").open_for(open_for).build() else {
        return f64::NAN;
    };
    breaker.trip();
    std::thread::sleep(Duration::from_millis(20));
    let counted = measure(|| drop(black_box(breaker.try_acquire())));
    counted.bytes_current as f64
}
