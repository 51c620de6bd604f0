//! Rolls out a good build and a bad one, and reads the report.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn rollout(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reference-stack"))
        .arg("rollout")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

#[test]
fn a_good_build_is_promoted_without_a_lost_request_and_a_bad_one_is_rolled_back() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("report.json");
    let json = file.to_str().expect("a path");
    let output =
        rollout(&["--rate", "16", "--share", "50", "--build", "good", "--build", "cuts", "--json", json]);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}", output.status);

    let report: Value = serde_json::from_slice(&std::fs::read(&file).expect("the report")).expect("JSON");
    assert_eq!(report["passed"], true, "{text}");
    let rollouts = report["rollouts"].as_array().expect("rollouts");
    let [good, bad] = rollouts.as_slice() else { panic!("{} rollouts\n{text}", rollouts.len()) };

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

    assert_eq!(bad["outcome"], "rolled_back", "{text}");
    assert!(bad["why"].as_str().is_some_and(|why| !why.is_empty()), "{text}");
    assert!(bad["noticed_after_ms"].is_number() && bad["rolled_back_after_ms"].is_number(), "{text}");
    assert_eq!(bad["cost"]["failed"], bad["cost"]["failed_by_new"], "{text}");
    assert!(bad["cost"]["failed_by_new"].as_u64().is_some_and(|failed| failed > 0), "{text}");
    assert!(text.contains("rolled back: ") && text.contains("The rollout drill passed"), "{text}");
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
