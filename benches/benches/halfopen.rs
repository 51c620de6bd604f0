//! Half-open: single probes, and whole periods from the trip to the probe that closes; one thread.

use std::time::Duration;

use criterion::Criterion;
use mainstay_benches::{Id, Path, Subject, Visitor, catalog};

fn main() {
    let criterion = Criterion::default();
    let criterion =
        criterion.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let mut benches = Benches(criterion.configure_from_args());
    catalog::visit(&mut benches);
    benches.0.final_summary();
}

struct Benches(Criterion);

impl Visitor for Benches {
    fn subject<S: Subject>(&mut self, id: Id, make: impl Fn() -> S) {
        if !matches!(id.path, Path::HalfOpen | Path::Period) {
            return;
        }
        self.0.bench_function(&id.key(), |bencher| {
            let mut subject = make();
            bencher.iter(|| subject.call());
        });
    }
}
