use std::time::Duration;

use mainstay_benches::Path;
use mainstay_benches::rounds::{calibrate, median, per_call};

use crate::live::Live;

/// The median time of a call of each subject, in nanoseconds.
///
/// The rounds of all subjects are interleaved, and each begins with another one, so that what disturbs the machine
/// for a while disturbs all of them alike.
pub(crate) fn measure(subjects: &mut [Box<dyn Live>], rounds: usize, round: Duration) -> Vec<f64> {
    let calls: Vec<u64> = subjects.iter_mut().map(|subject| calibrate(round, |n| subject.round(n))).collect();
    let mut nanos: Vec<Vec<f64>> = vec![Vec::with_capacity(rounds); subjects.len()];
    for turn in 0..rounds {
        for n in (turn..subjects.len()).chain(0..turn.min(subjects.len())) {
            if let (Some(subject), Some(&calls), Some(nanos)) =
                (subjects.get_mut(n), calls.get(n), nanos.get_mut(n))
            {
                subject.round(warm_up(subject.id().path).max(calls / 4));
                nanos.push(per_call(subject.round(calls), calls));
            }
        }
    }
    nanos.iter_mut().map(|rounds| median(rounds)).collect()
}

/// How many calls bring back into the caches what the other subjects have driven out: each of the hot keys must have
/// been asked for.
fn warm_up(path: Path) -> u64 {
    if path == Path::Keyed { 20_000 } else { 64 }
}
