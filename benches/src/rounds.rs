//! Rounds of calls: how many take how long, and what is typical of them.

use std::time::Duration;

/// How many calls take about as long as a round shall.
pub fn calibrate(round: Duration, mut time: impl FnMut(u64) -> Duration) -> u64 {
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

/// Nanoseconds for one of so many calls.
pub fn per_call(took: Duration, calls: u64) -> f64 {
    took.as_nanos() as f64 / calls as f64
}

/// The median. NaN if there are no figures.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Where the median of all rounds that could have been lies with a probability of 95 %: the figures of the two ranks between which it
/// does, whatever they are distributed like. The figures must be in order. The extremes, if there are too few of them.
pub fn interval(sorted: &[f64]) -> (f64, f64) {
    let figure = |rank: usize| sorted.get(rank).copied().unwrap_or(f64::NAN);
    let count = sorted.len();
    if count == 0 {
        return (f64::NAN, f64::NAN);
    }
    // How likely it is that so many of the figures lie below the median, or fewer: tosses of a coin.
    let (mut likely, mut below) = (0.5_f64.powi(count as i32), 0.0);
    let mut rank = 0;
    while rank < count / 2 {
        below += likely;
        if below > 0.025 {
            break;
        }
        likely *= (count - rank) as f64 / (rank + 1) as f64;
        rank += 1;
    }
    let rank = rank.saturating_sub(1);
    (figure(rank), figure(count - 1 - rank))
}
