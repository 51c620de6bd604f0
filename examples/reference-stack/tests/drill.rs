//! Runs the drill itself, short, and reads its report.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

#[allow(clippy::expect_used)]
fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reference-stack"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

#[test]
fn a_short_drill_passes_and_reports_every_phase_and_transition() {
    let output = run(&["drill", "--seconds-per-phase", "3", "--json"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}", output.status);

    let report: Value = serde_json::from_slice(&output.stdout).expect("standard output is JSON");
    assert_eq!(report["passed"], true, "{text}");
    assert!(report["verdicts"].as_array().expect("verdicts").len() >= 16, "{text}");

    let phases = report["phases"].as_array().expect("phases");
    let names: Vec<_> = phases.iter().map(|phase| phase["phase"].as_str().expect("a name")).collect();
    assert_eq!(names, ["healthy", "killed", "restarted", "hanging", "resumed", "erroring", "repaired"]);
    for phase in phases {
        for side in ["guarded", "unguarded"] {
            assert_eq!(phase[side]["requests"], 300, "{phase:#}");
            assert!(phase[side]["p99_ms"].is_number(), "{phase:#}");
        }
        match phase["kind"].as_str().expect("a kind") {
            "outage" => assert!(phase["time_to_trip_ms"].is_number(), "{phase:#}"),
            "recovery" => assert!(phase["time_to_recover_ms"].is_number(), "{phase:#}"),
            kind => assert_eq!(kind, "calm"),
        }
    }

    let timeline = report["timeline"].as_array().expect("a timeline");
    let happened = |from: &str, to: &str| {
        timeline.iter().filter(|event| event["from"] == from && event["to"] == to).count()
    };
    assert!(happened("closed", "open") >= 3, "{text}");
    assert!(happened("open", "half-open") >= 3, "{text}");
    assert!(happened("half-open", "closed") >= 3, "{text}");
    assert!(timeline.iter().all(|event| event["cause"].as_str().is_some_and(|cause| !cause.is_empty())));
}

#[test]
fn a_drill_that_could_not_be_right_is_refused() {
    let output = run(&["drill", "--seconds-per-phase", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("3..=10"));
}
