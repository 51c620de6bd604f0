//! Loses PostgreSQL and Redis, restores them, and reads the report.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a failed expectation is the point")]

mod support;

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::leaves_nothing_behind;

fn restore(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reference-stack"))
        .arg("restore")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

#[test]
fn postgresql_and_redis_are_restored_and_what_is_lost_is_what_a_dump_cannot_have() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("report.json");
    let json = file.to_str().expect("a path");
    let short = ["--rate", "6", "--before", "4s", "--after", "4s", "--json", json];
    // How fast it is, is not the test's matter.
    let patient = ["--rto", "5m", "--redis-rto", "5m", "--well", "5m", "--rpo", "5m"];
    let output = restore(&[&short[..], &patient[..]].concat());
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}", output.status);

    let report: Value = serde_json::from_slice(&std::fs::read(&file).expect("the report")).expect("JSON");
    assert_eq!(report["passed"], true, "{text}");
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).expect("a number");
    assert!(number("/postgres/rto_ms") > 0, "{text}");
    assert!(number("/postgres/lost") > 0, "what was delivered after the dump is gone\n{text}");
    assert!(number("/postgres/rpo_ms") > 0, "{text}");
    assert_eq!(number("/postgres/lost_of_dump"), 0, "{text}");
    assert_eq!(number("/postgres/lost_after_destruction"), 0, "{text}");
    assert!(
        number("/postgres/accepted_after_destruction") > number("/postgres/accepted_while_away"),
        "{text}"
    );
    assert!(number("/postgres/accepted_while_away") > 0, "{text}");
    assert_eq!(number("/postgres/refused_while_away"), 0, "{text}");
    assert!(number("/redis/accepted_while_away") > 0, "{text}");
    assert_eq!(number("/redis/refused_while_away"), 0, "{text}");
    assert!(
        number("/redis/refused_with_key_while_away") > 0,
        "nobody knows whether they ran already\n{text}"
    );
    assert!(number("/redis/last_write_ms") <= 500, "{text}");
    assert_eq!(number("/postgres/unfinished_after_restart"), 0, "{text}");
    assert!(number("/redis/writes") > 0 && number("/redis/keys") > 0, "{text}");
    assert_eq!(number("/redis/writes_lost") + number("/redis/keys_lost"), 0, "{text}");
    let steps = report["postgres"]["steps"].as_array().expect("steps");
    let times: Vec<_> = steps.iter().map(|step| step["at_ms"].as_i64().expect("a time")).collect();
    assert!(times.is_sorted() && times.first() < Some(&0), "{times:?}");
}

#[test]
fn an_interrupted_restore_leaves_no_process_behind() {
    leaves_nothing_behind(&["restore", "--rate", "2", "--before", "1m"], "[1/2]");
}

#[test]
fn a_target_without_a_unit_is_refused() {
    let output = restore(&["--rto", "30"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("a duration with a unit"), "{text}");
}
