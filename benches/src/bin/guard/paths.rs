//! What is guarded.

use std::hint::black_box;

use allocation_counter::measure;
use mainstay_benches::call::{self, Call};
use mainstay_benches::calls::{degrade, guards, health, keyed};
use mainstay_benches::{Id, Subject, Visitor, catalog};

use crate::Failure;

/// The breaker's, by the keys of the report.
const BREAKER: [&str; 22] = [
    "sync/closed/mainstay/consecutive/permit-leaked",
    "sync/closed/mainstay/consecutive/permit-arc",
    "sync/closed/mainstay/consecutive/call-leaked",
    "sync/closed/mainstay/count-window/permit-leaked",
    "sync/closed/mainstay/count-window/call-leaked",
    "sync/closed/mainstay/time-window/permit-leaked",
    "sync/closed/mainstay/time-window/call-leaked",
    "sync/closed/mainstay/default/call-arc",
    "sync/1%-failures/mainstay/consecutive/permit-leaked",
    "sync/1%-failures/mainstay/count-window/permit-leaked",
    "sync/1%-failures/mainstay/time-window/permit-leaked",
    "sync/open/mainstay/consecutive/permit-leaked",
    "sync/open/mainstay/consecutive/call-leaked",
    "layer/closed/mainstay/consecutive/leaked",
    "layer/closed/mainstay/consecutive/arc",
    "layer/closed/mainstay/time-window/leaked",
    "layer/closed/mainstay/time-window/arc",
    "layer/1%-failures/mainstay/time-window/leaked",
    "layer/open/mainstay/consecutive/leaked",
    "layer/open/mainstay/consecutive/arc",
    "layer/cloned/mainstay/consecutive/leaked",
    "layer/cloned/mainstay/consecutive/arc",
];

/// Everybody else's; the first of `degrade` is the floor.
fn others() -> Vec<Call> {
    [degrade::CALLS.get(1..).unwrap_or_default(), &health::CALLS, &guards::CALLS, &keyed::CALLS].concat()
}

/// The names of all.
pub(crate) fn all() -> Vec<String> {
    let others = others();
    BREAKER.into_iter().chain(others.iter().map(|call| call.name)).map(str::to_owned).collect()
}

/// How often a call may allocate: a connection of Redis returns a boxed future, a guard's around it is another.
pub(crate) fn allowed(path: &str) -> f64 {
    match path {
        "redis, bare" => 1.0,
        "redis, guarded" => 2.0,
        _ => 0.0,
    }
}

/// Makes so many calls.
pub(crate) fn one(path: &str, calls: u64) -> Result<(), Failure> {
    struct One<'a>(&'a str, u64);

    impl Visitor for One<'_> {
        fn subject<S: Subject>(&mut self, id: Id, make: impl Fn() -> S) {
            if id.key() == self.0 {
                repeat(&mut make(), self.1);
            }
        }
    }

    if BREAKER.contains(&path) {
        catalog::visit(&mut One(path, calls));
        return Ok(());
    }
    call::one(&others(), path, calls)
}

#[inline(never)]
fn repeat<S: Subject>(subject: &mut S, calls: u64) {
    for _ in 0..calls {
        black_box(subject.call());
    }
}

/// Enough to set everything up.
const WARM_UP: u64 = 1_000;
const CALLS: u64 = 1_000;

/// How often a call allocates, once everything is warm.
pub(crate) fn allocations(path: &str) -> Result<f64, Failure> {
    struct Counting<'a>(&'a str, Option<u64>);

    impl Visitor for Counting<'_> {
        fn subject<S: Subject>(&mut self, id: Id, make: impl Fn() -> S) {
            if id.key() == self.0 {
                let mut subject = make();
                repeat(&mut subject, WARM_UP);
                self.1 = Some(measure(|| repeat(&mut subject, CALLS)).count_total);
            }
        }
    }

    let counted = if BREAKER.contains(&path) {
        let mut counting = Counting(path, None);
        catalog::visit(&mut counting);
        counting.1.ok_or_else(|| format!("no subject has the key {path}"))?
    } else {
        let call = others().into_iter().find(|call| call.name == path).ok_or("there is no such path")?;
        let mut call = (call.make)()?;
        call(WARM_UP);
        measure(|| _ = call(CALLS)).count_total
    };
    Ok(counted as f64 / CALLS as f64)
}
