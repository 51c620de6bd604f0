//! Counts allocations, by an allocator that counts. Prints for each call its key or name and how often it allocates,
//! and for what is held in memory its bytes; fields are separated by tabs. An argument names one of the groups: `breaker`, `degrade`,
//! `gather`, `health`, `settings`, `stack`, `memory`.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Duration;

use allocation_counter::measure;
use mainstay_benches::call::{Call, Failure};
use mainstay_benches::calls::{degrade, gather, health, settings, stack};
use mainstay_benches::{Id, Subject, Visitor, catalog, keys};
use mainstay_breaker::{
    Breaker, BreakerBuilder, OpenFor, OwnedPermit, Permit, Rejected, Settings, Trip, Window,
};
use mainstay_core::Striped;
use mainstay_degrade::DegradationManager;
use mainstay_health::{Check, HealthManager};
use tokio::runtime::Builder;

fn main() -> Result<(), Failure> {
    let group = std::env::args().nth(1);
    let wanted = |name: &str| group.as_ref().is_none_or(|group| group == name);
    if wanted("breaker") {
        catalog::visit(&mut Calls);
    }
    let groups: [(&str, &[Call]); 5] = [
        ("degrade", &degrade::CALLS),
        ("gather", &gather::CALLS),
        ("health", &health::CALLS),
        ("settings", &settings::CALLS),
        ("stack", &stack::CALLS),
    ];
    for (name, calls) in groups {
        if wanted(name) {
            calls.iter().try_for_each(count)?;
        }
    }
    if wanted("memory") {
        memory()?;
    }
    Ok(())
}

/// A call that is no subject of the catalog; fewer times, since some of them take a while.
fn count(call: &Call) -> Result<(), Failure> {
    const TIMES: u64 = 20;
    let mut repeat = (call.make)()?;
    repeat(TIMES);
    let counted = measure(|| _ = repeat(TIMES));
    println!("{}\t{}", call.name, counted.count_total as f64 / TIMES as f64);
    Ok(())
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

fn memory() -> Result<(), Failure> {
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
    say("compact, in a keyed set, more than a counter in the same map", keyed(&keys::consecutive()));
    say("compact with the default rules, one of which has a window of time", keyed(&Settings::new()));
    say("its first probe, kept from then on", half_open());
    say("`Breaker`, the handle", size_of::<Breaker>() as f64);
    say("`Permit`", size_of::<Permit<'_>>() as f64);
    say("`OwnedPermit`", size_of::<OwnedPermit>() as f64);
    say("`Rejected`", size_of::<Rejected>() as f64);

    let (none, many) = (checks(0)?, checks(MANY_CHECKS)?);
    say("`HealthManager` that runs, without a check", none);
    say("a check that runs, of 1,000", (many - none) / f64::from(MANY_CHECKS));
    say("`DegradationManager`", bytes(|| DegradationManager::builder().build()));
    Ok(())
}

const MANY_CHECKS: u32 = 1_000;

/// What a manager holds with so many checks that have passed, and their tasks.
fn checks(count: u32) -> Result<f64, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let start = || {
        let mut builder = HealthManager::builder("memory").runtime(runtime.handle().clone());
        for index in 0..count {
            builder = builder.check(Check::exclusive(format!("check-{index}"), || async {}).critical());
        }
        let health = builder.build()?;
        health.start()?;
        runtime.block_on(async {
            let mut changes = health.subscribe();
            while !health.is_ready() {
                changes.changed().await;
            }
        });
        Ok::<_, Failure>(health)
    };
    let mut kept = None;
    let counted = measure(|| kept = Some(start()));
    kept.transpose()?;
    Ok(counted.bytes_current as f64)
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
fn keyed(settings: &Settings) -> f64 {
    const MANY: u64 = 100_000;
    (bytes(|| keys::filled(MANY, settings.clone())) - bytes(|| keys::counters(MANY))) / MANY as f64
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
