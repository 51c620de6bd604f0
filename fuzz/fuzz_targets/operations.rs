//! Any sequence of operations: the breaker does what the model does. The first 32 bytes are the seed from which the
//! generators of the property tests draw settings and a stock of operations; each further byte picks one of them.
#![no_main]

#[path = "../../crates/mainstay-breaker/tests/model/mod.rs"]
#[allow(dead_code, reason = "the property tests use the rest")]
mod model;

use libfuzzer_sys::fuzz_target;
use model::drive::run;
use model::operation::{Family, Operation, sequence, side_by_side};
use model::visits::Visits;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fuzz_target!(|bytes: &[u8]| {
    let Some((seed, picks)) = bytes.split_first_chunk::<32>() else { return };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let family = Family { rules: side_by_side, ramp: true, operator: 10 };
    let Ok(tree) = sequence(family).new_tree(&mut runner) else { return };
    let mut sequence = tree.current();
    let stock = std::mem::take(&mut sequence.operations);
    if stock.is_empty() {
        return;
    }
    let picked = picks.iter().map(|pick| stock[usize::from(*pick) % stock.len()].clone());
    // Received often enough that the subscriber's queue never overflows.
    sequence.operations = picked.flat_map(|operation| [operation, Operation::Receive]).collect();
    if let Err(difference) = run(&sequence, &Visits::default()) {
        panic!("{difference}\n{sequence:#?}");
    }
});
