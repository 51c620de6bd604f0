use std::hint::black_box;
use std::time::{Duration, Instant};

use mainstay_benches::workers::Workers;
use mainstay_benches::{Id, Subject, Visitor, catalog};

/// A subject that was made, its type forgotten; the loops inside still know it.
pub(crate) trait Live {
    fn id(&self) -> Id;

    /// The time of so many calls.
    fn round(&mut self, calls: u64) -> Duration;

    /// The time of so many calls on each of so many threads at once.
    fn threads(&self, workers: &Workers, threads: usize, calls: u64) -> Duration;
}

struct Made<S> {
    id: Id,
    subject: S,
}

impl<S: Subject> Live for Made<S> {
    fn id(&self) -> Id {
        self.id
    }

    fn round(&mut self, calls: u64) -> Duration {
        let begun = Instant::now();
        repeat(&mut self.subject, calls);
        begun.elapsed()
    }

    fn threads(&self, workers: &Workers, threads: usize, calls: u64) -> Duration {
        workers.time(&self.subject, threads, calls)
    }
}

#[inline(never)]
fn repeat<S: Subject>(subject: &mut S, calls: u64) {
    for _ in 0..calls {
        black_box(subject.call());
    }
}

/// Makes all subjects, or those whose key contains a text.
pub(crate) fn all(only: &Option<String>) -> Vec<Box<dyn Live>> {
    struct Making<'a>(&'a Option<String>, Vec<Box<dyn Live>>);

    impl Visitor for Making<'_> {
        fn subject<S: Subject>(&mut self, id: Id, make: impl Fn() -> S) {
            if wanted(id, self.0) {
                self.1.push(Box::new(Made { id, subject: make() }));
            }
        }
    }

    let mut making = Making(only, Vec::new());
    catalog::visit(&mut making);
    making.1
}

/// The keys of all subjects, or of those that contain a text.
pub(crate) fn keys(only: &Option<String>) -> Vec<String> {
    struct Keys<'a>(&'a Option<String>, Vec<String>);

    impl Visitor for Keys<'_> {
        fn subject<S: Subject>(&mut self, id: Id, _: impl Fn() -> S) {
            if wanted(id, self.0) {
                self.1.push(id.key());
            }
        }
    }

    let mut keys = Keys(only, Vec::new());
    catalog::visit(&mut keys);
    keys.1
}

/// Makes the subject with this key, alone, and calls it.
pub(crate) fn call(key: &str, calls: u64) -> Result<(), String> {
    struct Calling<'a>(&'a str, u64, bool);

    impl Visitor for Calling<'_> {
        fn subject<S: Subject>(&mut self, id: Id, make: impl Fn() -> S) {
            if id.key() == self.0 {
                repeat(&mut make(), self.1);
                self.2 = true;
            }
        }
    }

    let mut calling = Calling(key, calls, false);
    catalog::visit(&mut calling);
    if calling.2 { Ok(()) } else { Err(format!("no subject has the key {key}; `breaker list` prints them")) }
}

fn wanted(id: Id, only: &Option<String>) -> bool {
    only.as_ref().is_none_or(|text| id.key().contains(text.as_str()))
}
