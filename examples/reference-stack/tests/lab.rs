//! Runs the drill of the lab, short, and reads its report.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

use std::process::{Command, Output, Stdio};

use mainstay_testkit::RedisServer;
use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reference-stack"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

#[test]
fn a_short_drill_passes_and_reports_every_phase_and_transition() {
    // Without redis-server the drill leaves Redis out, and says so; a test must not.
    drop(RedisServer::start().expect("redis-server"));
    let output = run(&["lab", "drill", "--seconds-per-phase", "4", "--json"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}", output.status);

    let report: Value = serde_json::from_slice(&output.stdout).expect("standard output is JSON");
    assert_eq!(report["passed"], true, "{text}");
    let parts = report["dependencies"].as_array().expect("dependencies");
    let [upstream, redis] = parts.as_slice() else { panic!("{} dependencies\n{text}", parts.len()) };
    let http = ["healthy", "killed", "restarted", "hanging", "resumed", "erroring", "repaired"];
    reports(upstream, "upstream", &http, &text);
    reports(redis, "redis", &http[..5], &text);
}

fn reports(part: &Value, dependency: &str, expected: &[&str], text: &str) {
    assert_eq!(part["dependency"], dependency);
    let phases = part["phases"].as_array().expect("phases");
    let names: Vec<_> = phases.iter().map(|phase| phase["phase"].as_str().expect("a name")).collect();
    assert_eq!(names, expected);
    let mut outages = 0;
    for phase in phases {
        for side in ["guarded", "unguarded"] {
            assert_eq!(phase[side]["requests"], 400, "{phase:#}");
            assert!(phase[side]["p99_ms"].is_number(), "{phase:#}");
        }
        match phase["kind"].as_str().expect("a kind") {
            "outage" => {
                outages += 1;
                assert!(phase["time_to_trip_ms"].is_number(), "{phase:#}");
            }
            "recovery" => assert!(phase["time_to_recover_ms"].is_number(), "{phase:#}"),
            kind => assert_eq!(kind, "calm"),
        }
    }

    let timeline = part["timeline"].as_array().expect("a timeline");
    let happened = |from: &str, to: &str| {
        timeline.iter().filter(|event| event["from"] == from && event["to"] == to).count()
    };
    assert!(happened("closed", "open") >= outages, "{text}");
    assert!(happened("open", "half-open") >= outages, "{text}");
    assert!(happened("half-open", "closed") >= outages, "{text}");
    assert!(timeline.iter().all(|event| event["cause"].as_str().is_some_and(|cause| !cause.is_empty())));
}

#[test]
fn a_drill_that_could_not_be_right_is_refused() {
    let output = run(&["lab", "drill", "--seconds-per-phase", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("3..=10"));
}
