//! Rolls out good builds and bad ones, and reads the report.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

mod support;

use std::process::{Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};

use serde_json::Value;
use support::leaves_nothing_behind;

/// For a test that measures how long answers take, and those that disturb it.
static QUIET: RwLock<()> = RwLock::new(());

fn rollout(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reference-stack"))
        .arg("rollout")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

/// The rollouts of a drill that passed, and what it said.
fn rollouts(arguments: &[&str]) -> (Vec<Value>, String) {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("report.json");
    let output = rollout(&[arguments, &["--json", file.to_str().expect("a path")]].concat());
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(text.contains("The rollout drill passed"), "{text}");
    let report: Value = serde_json::from_slice(&std::fs::read(&file).expect("the report")).expect("JSON");
    assert_eq!(report["passed"], true, "{text}");
    (report["rollouts"].as_array().expect("rollouts").clone(), text)
}

fn assert_rolled_back(bad: &Value, because: &str, text: &str) {
    assert_eq!(bad["outcome"], "rolled_back", "{text}");
    assert!(bad["why"].as_str().is_some_and(|why| why.contains(because)), "{because}\n{text}");
    assert!(bad["noticed_after_ms"].is_number() && bad["rolled_back_after_ms"].is_number(), "{text}");
    assert_eq!(bad["cost"]["failed"], bad["cost"]["failed_by_new"], "{text}");
}

#[test]
fn a_good_build_is_promoted_without_a_lost_request() {
    let _quiet = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    let (all, text) = rollouts(&["--rate", "16", "--share", "50", "--build", "good"]);
    let [good] = all.as_slice() else { panic!("{} rollouts\n{text}", all.len()) };

    assert_eq!(good["outcome"], "promoted", "{text}");
    assert_eq!(good["cost"]["failed"], 0, "{text}");
    assert!(good["drained_after_ms"].is_number(), "{text}");
    let names: Vec<_> =
        good["stages"].as_array().expect("stages").iter().map(|stage| &stage["name"]).collect();
    assert_eq!(names, ["before", "canary", "all", "after"]);
    let canary = &good["stages"][1];
    let requests = |version: &str| canary[version]["requests"].as_u64().expect("a number");
    // Half of them, give or take what was not answered within the stage.
    let share = requests("new") as f64 / (requests("old") + requests("new")) as f64;
    assert!((0.4..=0.6).contains(&share), "{share}\n{text}");
}

#[test]
fn a_slow_build_is_rolled_back_by_its_level() {
    let _quiet = QUIET.read().unwrap_or_else(PoisonError::into_inner);
    let (all, text) = rollouts(&["--rate", "16", "--share", "50", "--build", "slow"]);
    let [slow] = all.as_slice() else { panic!("{} rollouts\n{text}", all.len()) };
    assert_rolled_back(slow, "95 % of requests take up to", &text);
    assert!(slow["cost"]["slow"].as_u64().is_some_and(|slow| slow > 0), "{text}");
}

#[test]
fn a_build_that_answers_nothing_is_rolled_back_by_its_breaker() {
    let _quiet = QUIET.read().unwrap_or_else(PoisonError::into_inner);
    let (all, text) = rollouts(&["--rate", "16", "--share", "50", "--build", "hangs"]);
    let [hangs] = all.as_slice() else { panic!("{} rollouts\n{text}", all.len()) };
    assert_rolled_back(hangs, "breaker open", &text);
    assert!(hangs["cost"]["failed_by_new"].as_u64().is_some_and(|failed| failed >= 5), "{text}");
}

#[test]
fn a_bad_build_costs_a_few_of_the_requests_at_the_default_share() {
    let _quiet = QUIET.read().unwrap_or_else(PoisonError::into_inner);
    let (all, text) = rollouts(&["--rate", "40", "--build", "cuts"]);
    let [cuts] = all.as_slice() else { panic!("{} rollouts\n{text}", all.len()) };
    assert_rolled_back(cuts, "breaker open", &text);
    let canary = &cuts["stages"][1];
    let requests = |version: &str| canary[version]["requests"].as_u64().expect("a number");
    let share = requests("new") as f64 / (requests("old") + requests("new")) as f64;
    assert!((0.02..=0.1).contains(&share), "{share}, and 0.05 is the default\n{text}");
}

#[test]
fn an_interrupted_rollout_leaves_no_process_behind() {
    let _quiet = QUIET.read().unwrap_or_else(PoisonError::into_inner);
    leaves_nothing_behind(&["rollout", "--rate", "10", "--build", "good"], "[1/1]");
}

#[test]
fn a_share_that_says_nothing_is_refused() {
    for (arguments, rule) in
        [(["--share", "0.1"], "from 1 to 50"), (["--rate", "1"], "10..=1000"), (["--build", "fine"], "good")]
    {
        let output = rollout(&arguments);
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(rule), "{text}");
    }
}
