use std::time::Duration;

use mainstay_benches::Path;
use mainstay_benches::workers::Workers;

use crate::live::Live;
use mainstay_benches::rounds::{calibrate, median, per_call};

/// How many threads share a subject at once.
pub(crate) const THREADS: [usize; 2] = [2, 8];

/// The throughput of so many threads over that of one.
pub(crate) type Scaling = [f64; THREADS.len()];

/// The throughput of [`THREADS`] that share a subject over that of one, for the paths where it matters.
///
/// One thread and the others take turns, and the median is taken of the ratios, so that both halves of each ratio saw the
/// same machine.
pub(crate) fn measure(
    subjects: &[Box<dyn Live>],
    workers: &Workers,
    rounds: usize,
    round: Duration,
) -> Vec<Option<Scaling>> {
    let round = round * 2;
    let calibrated = |subject: &dyn Live| {
        let calls = |threads| calibrate(round, |n| subject.threads(workers, threads, n));
        (calls(1), THREADS.map(calls))
    };
    let calls: Vec<_> = subjects
        .iter()
        .map(|subject| scales(subject.id().path).then(|| calibrated(subject.as_ref())))
        .collect();
    let mut ratios = vec![THREADS.map(|_| Vec::with_capacity(rounds)); subjects.len()];
    for _ in 0..rounds {
        for ((subject, calls), ratios) in subjects.iter().zip(&calls).zip(&mut ratios) {
            let Some((alone, shared)) = calls else { continue };
            let one = per_call(subject.threads(workers, 1, *alone), *alone);
            for ((threads, shared), ratios) in THREADS.into_iter().zip(*shared).zip(ratios) {
                let many = per_call(subject.threads(workers, threads, shared), threads as u64 * shared);
                ratios.push(one / many);
            }
        }
    }
    let medians = |mut ratios: [Vec<f64>; THREADS.len()]| ratios.each_mut().map(|ratios| median(ratios));
    ratios.into_iter().zip(&calls).map(|(ratios, calls)| calls.is_some().then(|| medians(ratios))).collect()
}

fn scales(path: Path) -> bool {
    matches!(path, Path::Closed | Path::OnePercent | Path::Open | Path::Cloned | Path::Keyed)
}
