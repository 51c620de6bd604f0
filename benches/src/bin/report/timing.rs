use std::time::Duration;

use mainstay_benches::Path;

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

/// How many calls take about as long as a round shall.
pub(crate) fn calibrate(round: Duration, mut time: impl FnMut(u64) -> Duration) -> u64 {
    let mut calls = 64;
    loop {
        let took = time(calls);
        if took * 4 >= round {
            // Once more, because the first calls of all were made with cold caches.
            let wanted = round.as_nanos() as f64 / time(calls).as_nanos().max(1) as f64;
            return ((calls as f64 * wanted) as u64).max(1);
        }
        calls *= 2;
    }
}

pub(crate) fn per_call(took: Duration, calls: u64) -> f64 {
    took.as_nanos() as f64 / calls as f64
}

pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
