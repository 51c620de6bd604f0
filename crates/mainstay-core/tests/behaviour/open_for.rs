//! How long to stay away.

use std::collections::HashSet;
use std::time::Duration;

use mainstay_core::{MAX_DURATION, OpenFor};
use proptest::num::f64::ANY;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn seconds(open_for: OpenFor, attempts: u32) -> Vec<u64> {
    (0..attempts).map(|attempt| open_for.duration(attempt, 0, 0).as_secs()).collect()
}

#[test]
fn a_fixed_time_never_grows() {
    let fixed = OpenFor::fixed(15 * SECOND);
    assert!([0, 1, 2, 100, u32::MAX].iter().all(|attempt| fixed.duration(*attempt, 0, 0) == 15 * SECOND));
}

#[test]
fn an_exponential_time_doubles_up_to_its_cap() {
    assert_eq!(seconds(OpenFor::exponential(5 * SECOND, 60 * SECOND), 6), [5, 10, 20, 40, 60, 60]);
}

#[test]
fn another_factor_grows_otherwise() {
    assert_eq!(seconds(OpenFor::exponential(SECOND, 100 * SECOND).factor(3.0), 6), [1, 3, 9, 27, 81, 100]);
}

#[test]
fn a_factor_of_one_stays_at_the_first_time() {
    assert_eq!(seconds(OpenFor::exponential(5 * SECOND, 60 * SECOND).factor(1.0), 4), [5, 5, 5, 5]);
}

#[test]
fn any_attempt_is_fine() {
    let steep = OpenFor::exponential(Duration::from_nanos(1), MAX_DURATION).factor(100.0);
    for attempt in [0, 1, 500, i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX] {
        assert!(steep.duration(attempt, 0, 0) <= MAX_DURATION);
    }
    assert_eq!(steep.duration(u32::MAX, 0, 0), MAX_DURATION);
}

#[test]
fn jitter_shortens_by_at_most_its_part() {
    let jittered = OpenFor::fixed(10 * SECOND).jitter(0.2);
    for epoch in 0..10_000 {
        let time = jittered.duration(0, 42, epoch);
        assert!(time > 8 * SECOND && time <= 10 * SECOND, "{time:?} in epoch {epoch}");
    }
}

#[test]
fn jitter_uses_all_of_its_part() {
    let jittered = OpenFor::fixed(100 * SECOND).jitter(1.0);
    let deciles: HashSet<_> = (0..1000).map(|epoch| jittered.duration(0, 42, epoch).as_secs() / 10).collect();
    assert!((0..10).all(|decile| deciles.contains(&decile)), "{deciles:?}");
}

#[test]
fn jitter_differs_between_seeds_and_between_epochs() {
    let jittered = OpenFor::fixed(10 * SECOND).jitter(1.0);
    let seeds: HashSet<_> = (0..1000).map(|seed| jittered.duration(0, seed, 0)).collect();
    let epochs: HashSet<_> = (0..1000).map(|epoch| jittered.duration(0, 0, epoch)).collect();
    assert!(seeds.len() > 990 && epochs.len() > 990);
}

#[test]
fn without_jitter_seed_and_epoch_do_not_matter() {
    let plain = OpenFor::exponential(5 * SECOND, 60 * SECOND);
    assert_eq!(plain.duration(1, 1, 1), plain.duration(1, u64::MAX, u32::MAX));
}

#[test]
fn the_ends_of_every_range_are_accepted() {
    let nano = Duration::from_nanos(1);
    for open_for in [
        OpenFor::fixed(nano),
        OpenFor::fixed(MAX_DURATION),
        OpenFor::exponential(nano, MAX_DURATION).factor(1.0).jitter(0.0),
        OpenFor::exponential(SECOND, SECOND).factor(100.0).jitter(1.0),
    ] {
        assert_eq!(open_for.validate(), Ok(()));
    }
}

#[test]
fn what_is_beyond_a_range_is_refused_by_its_field() {
    let fine = OpenFor::exponential(SECOND, 60 * SECOND);
    for (open_for, field) in [
        (OpenFor::fixed(Duration::ZERO), "first"),
        (OpenFor::fixed(Duration::MAX), "first"),
        (OpenFor::exponential(2 * SECOND, SECOND), "cap"),
        (OpenFor::exponential(SECOND, Duration::MAX), "cap"),
        (fine.factor(0.9), "factor"),
        (fine.factor(f64::NAN), "factor"),
        (fine.factor(f64::INFINITY), "factor"),
        (fine.jitter(-0.1), "jitter"),
        (fine.jitter(1.1), "jitter"),
        (fine.jitter(f64::NAN), "jitter"),
    ] {
        assert_eq!(open_for.validate().unwrap_err().field, field, "{open_for:?}");
    }
}

fn duration() -> impl Strategy<Value = Duration> {
    let max = MAX_DURATION.as_nanos() as u64;
    // Evenly over the orders of magnitude, from a nanosecond to the maximum.
    (0..=54_u32, 0..=max).prop_map(|(shift, nanos)| Duration::from_nanos((nanos >> shift).max(1)))
}

prop_compose! {
    fn valid()(one in duration(), other in duration(), factor in 1.0..=100.0, jitter in 0.0..=1.0) -> OpenFor {
        OpenFor::exponential(one.min(other), one.max(other)).factor(factor).jitter(jitter)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn it_is_never_zero_and_never_above_its_cap(
        open_for in valid(), attempt: u32, few in 0..64_u32, seed: u64, epoch: u32,
    ) {
        prop_assert_eq!(open_for.validate(), Ok(()));
        for attempt in [attempt, few] {
            let time = open_for.duration(attempt, seed, epoch);
            prop_assert!(!time.is_zero() && time <= open_for.cap(), "{time:?} at attempt {attempt}");
        }
    }

    #[test]
    fn it_is_a_pure_function(open_for in valid(), attempt: u32, seed: u64, epoch: u32) {
        prop_assert_eq!(open_for.duration(attempt, seed, epoch), open_for.duration(attempt, seed, epoch));
    }

    #[test]
    fn without_jitter_it_never_falls(one in duration(), other in duration(), factor in 1.01..=100.0) {
        let open_for = OpenFor::exponential(one.min(other), one.max(other)).factor(factor);
        let times: Vec<_> = (0..200).map(|attempt| open_for.duration(attempt, 0, 0)).collect();
        prop_assert!(times.is_sorted(), "{times:?}");
        prop_assert_eq!(times[0], open_for.first());
    }

    #[test]
    fn full_jitter_leaves_a_hundredth(open_for in valid(), attempt in 0..64_u32, seed: u64, epoch: u32) {
        let full = open_for.jitter(0.0).duration(attempt, seed, epoch);
        prop_assert!(open_for.jitter(1.0).duration(attempt, seed, epoch) >= full / 100);
    }

    #[test]
    fn even_what_was_never_validated_panics_nothing(
        first: Duration, cap: Duration, factor in ANY, jitter in ANY, attempt: u32, seed: u64, epoch: u32,
    ) {
        let open_for = OpenFor::exponential(first, cap).factor(factor).jitter(jitter);
        let _ = (open_for.validate(), open_for.duration(attempt, seed, epoch));
    }
}
