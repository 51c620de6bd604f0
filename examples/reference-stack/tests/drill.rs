//! The outage drill as people run it: it sets itself up, breaks everything, loses nothing, and says so.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::Program;

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

/// A directory in memory, where there is one: how long a busy disk takes is not what is looked at.
fn quick_place() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn read(json: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap()
}

/// The verdicts whose names begin like this: at least one, and all of them hold.
fn holds(report: &Value, beginning: &str) {
    let is_one = |verdict: &&Value| verdict["name"].as_str().unwrap().starts_with(beginning);
    let verdicts: Vec<_> = list(report, "verdicts").iter().filter(is_one).collect();
    assert!(!verdicts.is_empty(), "no verdict {beginning:?}: {}", report["verdicts"]);
    assert!(verdicts.iter().all(|verdict| verdict["holds"] == true), "{verdicts:#?}");
}

#[test]
fn the_short_drill_loses_nothing_and_reports_everything() {
    let place = quick_place();
    let (json, html) = (place.path().join("report.json"), place.path().join("report.html"));
    let mut command = drill();
    command.args(["--short", "--rate", "8"]).arg("--json").arg(&json).arg("--html").arg(&html);
    // PostgreSQL may run as another user.
    std::fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let output = command.env("TMPDIR", place.path()).output().unwrap();
    // Whether it was quick enough for its verdicts is the machine's matter here; that it ran, and what it found, is not.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", said(&output));

    let report = read(&json);
    assert!(report["length_ms"].as_u64() < Some(80_000), "{}", report["length_ms"]);
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

    for beginning in [
        "no task that was accepted is lost",
        "no task has ended twice",
        "all is answered: healthy",
        "chat and submit are answered: Redis killed",
        "chat and submit are answered: Redis restarted",
        "chat and submit are answered: PostgreSQL killed",
        "chat and submit are answered: PostgreSQL restarted",
        "chat and submit are answered: all restored",
        "with a key, an answer or a refusal",
    ] {
        holds(&report, beginning);
    }
    let all_hold = list(&report, "verdicts").iter().all(|verdict| verdict["holds"] == true);
    assert_eq!(
        (&report["passed"], output.status.code()),
        (&Value::from(all_hold), Some(i32::from(!all_hold)))
    );
    for phase in list(&stacks[1], "phases") {
        assert_eq!(phase["recovered_after_ms"], Value::Null, "nothing there tells whether it has recovered");
    }
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(phases.iter().all(|phase| page.contains(phase)), "a phase is missing in the page");
    assert!(said(&output).contains("all restored"));
}

#[test]
fn servers_that_are_cut_off_or_slow_lose_nothing_either() {
    let place = tempfile::tempdir().unwrap();
    let (plan, json) = (place.path().join("plan.yaml"), place.path().join("report.json"));
    let phase = "{ name: one, story: it, for: 6s, break: [{ server: redis, how: cut }, \
                 { server: postgres, how: slow, by: 20ms, after: 1s, lasts: 3s }] }";
    std::fs::write(&plan, format!("name: mine\nphases:\n  - {phase}\n")).unwrap();
    let mut command = drill();
    command.args(["--rate", "4", "--no-comparison"]).arg("--plan").arg(&plan).arg("--json").arg(&json);
    let output = command.current_dir(place.path()).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", said(&output));
    let report = read(&json);
    holds(&report, "no task that was accepted is lost");
    holds(&report, "no task has ended twice");
    let changes = list(&report["stacks"][0], "changes");
    assert!(changes.iter().any(|it| it["what"] == "redis" && it["to"] == "open"), "{changes:?}");
    assert!(place.path().join("drill-report.html").exists());
}

/// A stack that runs already, on embedded stores.
struct Elsewhere {
    _program: Program,
    arguments: Vec<String>,
}

impl Elsewhere {
    fn start(data: &Path) -> Self {
        let services = ["AGENT_CORE", "LLM_SERVICE", "ORCHESTRATOR", "GATEWAY"];
        let names =
            services.iter().flat_map(|name| [format!("{name}_LISTEN"), format!("{name}_ADMIN_LISTEN")]);
        let mut variables: Vec<_> = names.map(|name| (name, "127.0.0.1:0".to_owned())).collect();
        variables.push(("RATE_LIMITS".to_owned(), "max:1000000:10000000:100000000".to_owned()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_reference-stack"));
        command.arg("up").arg("--data-dir").arg(data);
        let mut program = Program::start(command, variables.iter().map(|(name, value)| (name, value)));
        let agents = program.says("agent-core admin on ");
        let orchestrator = program.says("orchestrator admin on ");
        let gateway = program.says("gateway listens on ");
        let arguments = vec![
            format!("--agents-admin-url={agents}"),
            format!("--admin-url=orchestrator={orchestrator}"),
            format!("--url={gateway}"),
            format!("--token={}", program.says("TOKEN=")),
        ];
        Self { _program: program, arguments }
    }

    /// Drills it by these phases, with more arguments. Returns what was said, and the report if there is one.
    fn drill(&self, phases: &[&str], more: &[&str]) -> (Output, Option<Value>) {
        let place = tempfile::tempdir().unwrap();
        let plan = place.path().join("plan.yaml");
        let phases: String = phases.iter().map(|phase| format!("  - {{ story: it, {phase} }}\n")).collect();
        std::fs::write(&plan, format!("name: mine\nphases:\n{phases}")).unwrap();
        let mut command = drill();
        command.args(&self.arguments).args(["--rate", "10"]).args(more).arg("--plan").arg(&plan);
        let output = command.current_dir(place.path()).output().unwrap();
        let json = place.path().join("drill-report.json");
        let report = json.exists().then(|| read(&json));
        assert_eq!(report.is_some(), place.path().join("drill-report.html").exists());
        (output, report)
    }
}

#[test]
fn a_stack_that_runs_elsewhere_is_broken_by_commands_and_switches_and_asked_for_its_tasks() {
    let place = quick_place();
    let stack = Elsewhere::start(&place.path().join("data"));
    let file = place.path().join("broken").display().to_string();
    // What it leaves in the background is not waited for.
    let command = format!(
        "break: [{{ command: 'touch {file}; sleep 50 & echo $! > {file}', restore: 'kill $(cat {file}); rm {file}' }}]"
    );
    let commands = format!("name: by a command, for: 2s, then: 2s, opens: false, {command}");
    let switches = "name: slow agents, for: 2s, opens: false, \
                    break: [{ service: agent-core, faults: { delay: 5ms }, after: 200ms }]";
    let (output, report) = stack.drill(&["name: healthy, for: 2s", &commands, switches], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!Path::new(&file).exists(), "restored");
    let report = report.unwrap();
    holds(&report, "chat and submit are answered: by a command");
    holds(&report, "no task that was accepted is lost");
    let tasks = &report["stacks"][0]["tasks"];
    assert!(tasks["accepted"].as_u64() > Some(10) && tasks["accepted"] == tasks["stored"], "{tasks}");
    assert_eq!(tasks["twice"], Value::Null, "nobody could look");
    let named = |word: &str| list(&report, "verdicts").iter().any(|it| it["name"].to_string().contains(word));
    assert!(!named("twice") && !named("p99"), "{}", report["verdicts"]);

    // What was seen is told although it ends badly.
    let phases =
        ["name: healthy, for: 1s", "name: for good, for: 1s, break: [{ command: 'true', restore: 'false' }]"];
    let (output, report) = stack.drill(&phases, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("for good") && said(&output).contains("the whole plan is played"));
    assert_eq!(report.unwrap()["passed"], false);

    // A breaker has to open where nothing else is said, and what is not seen has not recovered.
    let phases = [
        "name: healthy, for: 2s",
        "name: nothing, for: 2s, then: 2s, break: [{ command: 'true', restore: 'true' }]",
    ];
    let (output, report) = stack.drill(&phases, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let failed = |it: &&Value| it["holds"] == false;
    let failed: Vec<_> = list(report.as_ref().unwrap(), "verdicts").iter().filter(failed).collect();
    let [p99, level] = failed.as_slice() else { panic!("{failed:#?}") };
    assert!(
        p99["figure"].to_string().contains("no breaker") && level["figure"].to_string().contains("not known")
    );

    // Small mistakes are found before the load begins.
    for more in [["--database-url", "postgres://127.0.0.1:1/none"], ["--html", "/proc/none/report.html"]] {
        let (output, report) = stack.drill(&["name: healthy, for: 59m"], &more);
        assert_eq!((output.status.code(), report), (Some(2), None), "{}", said(&output));
    }
    for [name, value] in
        [["--llm-admin-url", "https://127.0.0.1"], ["--relax-after", "18446744073709551615s"]]
    {
        let (output, report) = stack.drill(&["name: healthy, for: 59m"], &[name, value]);
        assert_eq!((output.status.code(), report), (Some(2), None), "{}", said(&output));
        assert!(said(&output).contains(name) && said(&output).contains("must be"), "{}", said(&output));
    }
}

#[test]
fn a_drill_that_is_interrupted_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let (plan, scratch) = (place.path().join("plan.yaml"), place.path().join("scratch"));
    let phase = "{ name: Redis killed, story: it, for: 59m, break: [{ server: redis, how: kill }] }";
    std::fs::write(&plan, format!("name: mine\nphases:\n  - {phase}\n")).unwrap();
    std::fs::create_dir(&scratch).unwrap();
    // PostgreSQL may run as another user.
    for directory in [place.path(), &scratch] {
        std::fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    }
    let mut child = drill()
        .args(["--rate", "2", "--plan"])
        .arg(&plan)
        .current_dir(place.path())
        .env("TMPDIR", &scratch)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    // The outage has begun.
    lines
        .find(|line| line.as_ref().is_ok_and(|line| line.contains("Redis killed")))
        .expect("an outage")
        .unwrap();
    let files = |directory: &Path| std::fs::read_dir(directory).unwrap().count();
    assert!(!running_in(&scratch).is_empty() && files(&scratch) > 1);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(2));
    let deadline = Instant::now() + Duration::from_secs(30);
    while !running_in(&scratch).is_empty() || files(&scratch) > 0 {
        let left: Vec<_> = std::fs::read_dir(&scratch).unwrap().collect();
        assert!(Instant::now() < deadline, "still there: {:?} {left:?}", running_in(&scratch));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(files(place.path()), 2, "the plan and the empty directory: no report of nothing");
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
        (
            "for: 5s, break: [{ server: redis, how: kill, after: 1s, lasts: 18446744073709551615s }]",
            "phases[0].break[0].lasts",
            "over by the end",
        ),
        ("for: 5s, break: [{ server: redis, how: slow, by: 2h }]", "phases[0].break[0].by", "at most 1h"),
        ("for: 5s, opens: false", "phases[0].opens", "where nothing is broken"),
        ("for: 5s, break: [{}]", "phases[0].break[0]", "one of `server`, `service`, `command`"),
    ] {
        let told = phase(more);
        assert!(told.contains(field) && told.contains(rule), "{more}: {told}");
    }
    let two = refused("  - { name: one, story: it, for: 5s }\n  - { name: one, story: it, for: 5s }\n");
    assert!(two.contains("phases[1].name") && two.contains("\"one\""), "{two}");
    assert!(refused("  []\n").contains("phases"), "an empty list");
}
