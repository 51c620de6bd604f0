//! One breaker shared by 1, 2 and 8 threads. The throughput is of all of them together.

use std::process::ExitCode;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use mainstay_benches::workers::Workers;
use mainstay_benches::{Id, Path, Subject, Visitor, catalog};

fn main() -> ExitCode {
    let workers = match Workers::start(8) {
        Ok(workers) => workers,
        Err(error) => {
            eprintln!("threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let criterion = Criterion::default().sample_size(20);
    let criterion =
        criterion.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
    let mut benches = Benches { criterion: criterion.configure_from_args(), workers };
    catalog::visit(&mut benches);
    benches.criterion.final_summary();
    ExitCode::SUCCESS
}

struct Benches {
    criterion: Criterion,
    workers: Workers,
}

impl Visitor for Benches {
    fn subject<S: Subject>(&mut self, id: Id, make: impl Fn() -> S) {
        if !matches!(id.path, Path::Closed | Path::OnePercent | Path::Open) {
            return;
        }
        let workers = &self.workers;
        let mut group = self.criterion.benchmark_group(id.key());
        for threads in [1, 2, 8] {
            group.throughput(Throughput::Elements(threads as u64));
            group.bench_function(format!("threads-{threads}"), |bencher| {
                let subject = make();
                bencher.iter_custom(|calls| workers.time(&subject, threads, calls));
            });
        }
        group.finish();
    }
}
