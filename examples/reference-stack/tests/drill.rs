//! The outage drill as people run it: it sets itself up, breaks everything, loses nothing, and says so.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn drill() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-stack"));
    command.arg("drill");
    command
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn list<'a>(value: &'a Value, field: &str) -> &'a Vec<Value> {
    value[field].as_array().unwrap_or_else(|| panic!("no list {field} in {value}"))
}

#[test]
fn the_short_drill_loses_nothing_and_reports_everything() {
    let place = tempfile::tempdir().unwrap();
    let (json, html) = (place.path().join("report.json"), place.path().join("report.html"));
    let mut command = drill();
    command.args(["--short", "--rate", "8"]).arg("--json").arg(&json).arg("--html").arg(&html);
    let output = command.output().unwrap();
    // Whether it was quick enough for its verdicts is the machine's matter here; that it ran, and what it found, is not.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", said(&output));

    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let phases: Vec<_> =
        list(&report, "phases").iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(phases.first(), Some(&"healthy"), "{phases:?}");
    assert_eq!(phases.last(), Some(&"all restored"), "{phases:?}");
    let stacks = list(&report, "stacks");
    assert_eq!(stacks.len(), 2);
    for stack in stacks {
        let tasks = &stack["tasks"];
        assert!(tasks["accepted"].as_u64() > Some(100), "{tasks}");
        assert_eq!(tasks["stored"], tasks["accepted"], "{tasks}");
        assert_eq!(list(stack, "phases").len(), phases.len());
        for (phase, figures) in phases.iter().zip(list(stack, "phases")) {
            let classes = list(figures, "classes");
            assert_eq!(classes.len(), 6, "{phase}");
            for class in classes {
                let count = |field: &str| class[field].as_u64().unwrap();
                assert!(count("requests") > 0, "{phase}: {class}");
                assert_eq!(
                    count("requests"),
                    count("answered") + count("refused") + count("failed"),
                    "{phase}: {class}"
                );
                assert!(class["p99_ms"].as_f64() > Some(0.0), "{phase}: {class}");
            }
        }
    }
    let changes = list(&stacks[0], "changes");
    let happened = |what: &str, to: &str| changes.iter().any(|it| it["what"] == what && it["to"] == to);
    assert!(happened("redis", "open") && happened("redis", "closed"), "{changes:?}");
    assert!(happened("database", "open") && happened("level", "none"), "{changes:?}");
    assert!(changes.windows(2).all(|two| two[0]["at_ms"].as_u64() <= two[1]["at_ms"].as_u64()));
    assert_eq!(list(&stacks[1], "changes").len(), 0, "a stack without the layers has none that change");

    let verdicts = list(&report, "verdicts");
    for name in ["no task that was accepted is lost", "no task has ended twice"] {
        let verdict = verdicts.iter().find(|verdict| verdict["name"] == name).expect(name);
        assert_eq!(verdict["holds"], true, "{verdict}");
    }
    assert_eq!(report["passed"], verdicts.iter().all(|verdict| verdict["holds"] == true));
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(phases.iter().all(|phase| page.contains(phase)), "a phase is missing in the page");
    assert!(said(&output).contains("all restored"));
}

#[test]
fn a_drill_that_is_interrupted_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let mut child = drill()
        .args(["--short", "--rate", "2"])
        .current_dir(place.path())
        .env("TMPDIR", place.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    // The first outage has begun.
    lines
        .find(|line| line.as_ref().is_ok_and(|line| line.contains("Redis killed")))
        .expect("an outage")
        .unwrap();
    assert!(!running_in(place.path()).is_empty());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(2));
    let deadline = Instant::now() + Duration::from_secs(30);
    while !running_in(place.path()).is_empty() {
        assert!(Instant::now() < deadline, "still there: {:?}", running_in(place.path()));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The processes that have this directory in their command line or among their variables.
fn running_in(place: &Path) -> Vec<String> {
    let place = place.to_string_lossy();
    let of = |entry: std::fs::DirEntry| {
        let read = |file: &str| std::fs::read(entry.path().join(file)).ok();
        let (line, variables) = (read("cmdline")?, read("environ")?);
        let [line, variables] = [line, variables].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (line.contains(&*place) || variables.contains(&*place)).then_some(line)
    };
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter_map(of).collect()
}

#[test]
fn a_plan_that_makes_no_sense_is_refused_with_its_fields() {
    let place = tempfile::tempdir().unwrap();
    let plan = place.path().join("plan.yaml");
    let refused = |phase: &str| {
        std::fs::write(&plan, format!("name: mine\nphases:\n{phase}")).unwrap();
        let output = drill().arg("--plan").arg(&plan).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{phase}\n{}", said(&output));
        String::from_utf8(output.stderr).unwrap()
    };
    let phase = |more: &str| refused(&format!("  - {{ name: one, story: it, {more} }}\n"));
    for (more, field, rule) in [
        ("for: 5", "phases[0].for", "a duration with a unit"),
        ("for: 5s, brake: []", "phases[0].brake", "unknown field"),
        ("for: 100ms", "phases[0].for", "from 1s to 1h"),
        ("for: 5s, then: 5s", "phases[0].then", "where nothing is broken"),
        ("for: 5s, break: [{ server: mongo, how: kill }]", "phases[0].break[0].server", "unknown variant"),
        ("for: 5s, break: [{ server: redis }]", "phases[0].break[0].how", "one of kill, stop, cut, slow"),
        ("for: 5s, break: [{ server: redis, how: slow }]", "phases[0].break[0].by", "a duration"),
        (
            "for: 5s, break: [{ service: agent-core, faults: { error_rate: 2 } }]",
            "faults.error_rate",
            "from 0 to 1",
        ),
        ("for: 5s, break: [{ service: orchestrator, how: kill, number: 9 }]", "phases[0].break[0]", "1 to 2"),
        ("for: 5s, break: [{ command: 'true' }]", "phases[0].break[0].restore", "ends what"),
        (
            "for: 5s, break: [{ server: redis, how: kill, after: 9s }]",
            "phases[0].break[0].after",
            "before the end",
        ),
        ("for: 5s, break: [{}]", "phases[0].break[0]", "one of `server`, `service`, `command`"),
    ] {
        let told = phase(more);
        assert!(told.contains(field) && told.contains(rule), "{more}: {told}");
    }
    let two = refused("  - { name: one, story: it, for: 5s }\n  - { name: one, story: it, for: 5s }\n");
    assert!(two.contains("phases[1].name") && two.contains("\"one\""), "{two}");
    assert!(refused("  []\n").contains("phases"), "an empty list");
}
