//! The soak as people run it, in less than a minute: random faults, and nothing is lost, gets stuck, or grows.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

mod support;

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::leaves_nothing_behind;

fn soak(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-stack"));
    command.arg("soak").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn list<'a>(value: &'a Value, field: &str) -> &'a Vec<Value> {
    value[field].as_array().unwrap()
}

/// What has to hold on any machine. The rest is about times, and counts where the machine is quick enough.
const ALWAYS: [&str; 6] = [
    "no task that was accepted is lost",
    "no task, accepted or not, ends twice",
    "no task, accepted or not, is left",
    "nothing panics",
    "gateway: memory",
    "orchestrator 2: memory",
];

#[test]
fn three_rounds_of_random_faults_break_no_promise() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("report.json");
    // The same faults each time; the report says how to play them again.
    let output =
        soak(&["--minutes", "0.85", "--seed", SEED, "--rate", "10", "--json", file.to_str().unwrap()]);
    assert!(matches!(output.status.code(), Some(0 | 1)), "seed {SEED}: {}", said(&output));
    assert!(said(&output).contains(&format!("soak --minutes 0.85 --seed {SEED} --rate 10")));

    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(report["passed"], output.status.success());
    let verdicts = list(&report, "verdicts");
    for name in ALWAYS {
        let verdict = verdicts.iter().find(|verdict| verdict["name"].as_str().unwrap().starts_with(name));
        assert_eq!(verdict.map(|it| &it["holds"]), Some(&Value::Bool(true)), "{name}\n{}", said(&output));
    }
    if report["machine_kept_up"] == true {
        assert_eq!(report["passed"], true, "seed {SEED}: {}", said(&output));
    }
    let rounds = list(&report, "rounds");
    assert_eq!(rounds.len(), 4, "nothing, and three times something is broken: {rounds:?}");
    let all = list(&report, "requests").iter().find(|class| class["name"] == "all").unwrap();
    assert!(all["requests"].as_u64() > Some(300), "{all}");
    let tasks = &report["tasks"];
    assert!(tasks["accepted"].as_u64() > Some(100) && tasks["stored"] == tasks["accepted"], "{tasks}");
}

#[test]
fn the_same_seed_makes_the_same_plan_which_can_be_looked_at_and_played_by_the_drill() {
    let plan = |seed: &str| {
        let output = soak(&["--print-plan", "--seed", seed]);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(plan("7"), plan("7"));
    assert_ne!(plan("7"), plan("8"));
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("plan.yaml");
    std::fs::write(&file, plan("7")).unwrap();
    let read = soak(&["--print-plan", "--plan", file.to_str().unwrap()]);
    assert_eq!(String::from_utf8(read.stdout).unwrap(), plan("7"));
}

#[test]
fn an_interrupted_soak_leaves_no_process_behind() {
    leaves_nothing_behind(&["soak", "--minutes", "5", "--rate", "2"], "soak of seed 1:");
}

#[test]
fn a_length_that_makes_no_sense_is_refused() {
    for minutes in ["0", "-1", "many", "NaN"] {
        let output = soak(&[&format!("--minutes={minutes}")]);
        assert_eq!(output.status.code(), Some(2), "{minutes}");
        assert!(said(&output).contains("0.5 to 600"), "{}", said(&output));
    }
}

/// Of the test's faults: Redis, PostgreSQL, an orchestrator and both services are among them.
const SEED: &str = "1";
