//! What the README says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::command::{Ended, Place};

const README: &str = include_str!("../../README.md");

#[test]
fn the_readmes_example_prints_what_it_says() {
    let (_, after) = README.split_once("```console\n$ mainstay ").unwrap();
    let (example, _) = after.split_once("```").unwrap();
    let (arguments, expected) = example.split_once('\n').unwrap();
    let wrong = "circuit_breakers:\n  redis:\n    open_fro: 10s\n    max_requests: many\n";
    let place = Place::with(&[("mainstay.yaml", wrong)]);
    let arguments: Vec<&str> = arguments.split(' ').collect();
    assert_eq!(place.run(&arguments), Ended::new(78, "", expected));
}
