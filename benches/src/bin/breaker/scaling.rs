use std::time::Duration;

use mainstay_benches::Path;
use mainstay_benches::workers::Workers;

use crate::live::Live;
use mainstay_benches::rounds::{calibrate, median, per_call};

/// The throughput of two threads that share a subject over that of one, for the paths where it matters.
///
/// One thread and two take turns, and the median is taken of the ratios, so that both halves of each ratio saw the
/// same machine.
pub(crate) fn measure(
    subjects: &[Box<dyn Live>],
    workers: &Workers,
    rounds: usize,
    round: Duration,
) -> Vec<Option<f64>> {
    let round = round * 2;
    let calls: Vec<Option<(u64, u64)>> = subjects
        .iter()
        .map(|subject| {
            let calls = |threads| calibrate(round, |n| subject.threads(workers, threads, n));
            scales(subject.id().path).then(|| (calls(1), calls(2)))
        })
        .collect();
    let mut ratios: Vec<Vec<f64>> = vec![Vec::with_capacity(rounds); subjects.len()];
    for _ in 0..rounds {
        for ((subject, calls), ratios) in subjects.iter().zip(&calls).zip(&mut ratios) {
            if let &Some((alone, shared)) = calls {
                let one = per_call(subject.threads(workers, 1, alone), alone);
                let two = per_call(subject.threads(workers, 2, shared), 2 * shared);
                ratios.push(one / two);
            }
        }
    }
    ratios.iter_mut().map(|ratios| (!ratios.is_empty()).then(|| median(ratios))).collect()
}

fn scales(path: Path) -> bool {
    matches!(path, Path::Closed | Path::OnePercent | Path::Open | Path::Cloned)
}
