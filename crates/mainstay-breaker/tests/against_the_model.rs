//! The breaker against a sequential model of its semantics: the same operations must give the same admissions,
//! states, causes and counts.
//!
//! The sequences are drawn from a fixed seed, so that a build that passed passes again. `MAINSTAY_MODEL_CASES` (how
//! many, over all families; default 10,000) and `MAINSTAY_MODEL_SEED` (a number) make a long run of other sequences:
//!
//! ```text
//! MAINSTAY_MODEL_CASES=1000000 MAINSTAY_MODEL_SEED=$RANDOM cargo test --release -p mainstay-breaker --test against_the_model
//! ```

#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test that panics fails, as it should")]

mod model;

use mainstay_testkit::models::Cases;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestError;

use model::compare::Agreed;
use model::drive::{run, run_keyed};
use model::operation::{Family, Sequence, consecutive, over_calls, over_time, sequence, side_by_side};
use model::visits::Visits;

const CASES: u64 = 10_000;
const FAMILIES: u64 = 7;

/// A family must get to each of these once in fifty sequences, on average, or its generator has gone blind. Fewer
/// sequences than [`ENOUGH`] prove nothing of the kind.
const ALWAYS: &[&str] = &[
    "state: closed",
    "state: open",
    "state: probing",
    "cause: probe failed",
    "cause: probe timed out",
    "cause: manual",
    "cause: reset",
    "cause: open elapsed",
    "cause: probes succeeded",
    "rejected: open",
    "rejected: probes busy",
    "rejected: forced",
    "late result",
    "would reject",
    "backed off",
    "blind",
];

const ENOUGH: u64 = 1_000;

#[test]
fn a_consecutive_rule() {
    let family = Family { rules: || vec(consecutive(), 1).boxed(), ramp: false, operator: 4 };
    agree(1, family, &["cause: consecutive failures"]);
}

#[test]
fn rules_over_count_windows() {
    let family = Family { rules: || vec(over_calls(), 1).boxed(), ramp: false, operator: 4 };
    agree(2, family, &["cause: failure rate", "cause: slow rate", "cause: failures", "cause: probe slow"]);
}

#[test]
fn rules_over_time_windows() {
    let family = Family { rules: || vec(over_time(), 1).boxed(), ramp: false, operator: 4 };
    agree(3, family, &["cause: failure rate", "cause: slow rate", "cause: failures", "cause: probe slow"]);
}

#[test]
fn rules_side_by_side() {
    let family = Family { rules: side_by_side, ramp: false, operator: 4 };
    agree(
        4,
        family,
        &[
            "cause: consecutive failures",
            "cause: failure rate",
            "cause: slow rate",
            "cause: failures",
            "cause: probe slow",
        ],
    );
}

#[test]
fn a_ramp_after_half_open() {
    let family = Family { rules: side_by_side, ramp: true, operator: 4 };
    agree(5, family, &["state: ramping", "cause: ramp completed", "rejected: ramping"]);
}

#[test]
fn control_and_settings_that_change() {
    let family = Family { rules: side_by_side, ramp: false, operator: 30 };
    agree(
        6,
        family,
        &[
            "state: ramping",
            "forced closed",
            "window taken over",
            "cause: consecutive failures",
            "cause: failure rate",
        ],
    );
}

/// Its breaker is of the compact form, which counts in other ways.
#[test]
fn a_breaker_of_a_keyed_set() {
    let family = Family { rules: side_by_side, ramp: false, operator: 10 };
    agree_on(
        run_keyed,
        7,
        family,
        &[
            "window taken over",
            "cause: consecutive failures",
            "cause: failure rate",
            "cause: slow rate",
            "cause: failures",
            "cause: probe slow",
        ],
    );
}

fn agree(number: u8, family: Family, expected: &[&str]) {
    agree_on(run, number, family, expected);
}

fn agree_on(run: fn(&Sequence, &Visits) -> Agreed, number: u8, family: Family, expected: &[&str]) {
    let shared = Cases::or(CASES).share(FAMILIES, number);
    let cases = shared.cases;
    let visits = Visits::default();
    match shared.run(&sequence(family), |sequence| run(&sequence, &visits)) {
        Ok(()) => {}
        Err(TestError::Fail(reason, sequence)) => panic!(
            "breaker and model disagree\n{reason}\nsmallest sequence found, {sequence}\n{}",
            shared.again()
        ),
        Err(TestError::Abort(reason)) => panic!("aborted: {reason}\n{}", shared.again()),
    }
    for what in ALWAYS.iter().chain(expected).filter(|_| cases >= ENOUGH) {
        let visited = visits.of(what);
        assert!(visited >= cases / 50, "only {visited} times in {cases} sequences: {what}\n{visits:#?}");
    }
}
