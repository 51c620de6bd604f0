//! Processes that others have started, and whether they are gone.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// A process, and when it began, since numbers are given again.
type Process = (u32, u64);

/// Starts the program, and ends it by SIGTERM when it has said something on standard error: then no process is left that it had started.
pub fn leaves_nothing_behind(arguments: &[&str], when_said: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_reference-stack"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with(when_said)), "it did not say {when_said:?}");
    let started = descendants(child.id());
    assert!(started.len() >= 4, "agents, a language model, an orchestrator, a gateway: {started:?}");
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    let last: Vec<_> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{last:?}");
    assert!(last.iter().any(|line| line.contains("ended by SIGTERM")), "{last:?}");
    let deadline = Instant::now() + PATIENCE;
    let left = || started.iter().filter(|process| is_running(process)).collect::<Vec<_>>();
    while !left().is_empty() {
        assert!(Instant::now() < deadline, "they run still: {:?}", left());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// All that a process has started, and those have.
fn descendants(of: u32) -> Vec<Process> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some((_, parent, began)) = stat(pid) {
            parents.insert((pid, began), parent);
        }
    }
    let mut found: Vec<Process> = Vec::new();
    let mut of = vec![of];
    while let Some(parent) = of.pop() {
        let children = parents.iter().filter(|(_, of)| **of == parent).map(|(process, _)| *process);
        let children: Vec<_> = children.collect();
        of.extend(children.iter().map(|(pid, _)| *pid));
        found.extend(children);
    }
    found
}

fn is_running((pid, began): &Process) -> bool {
    // One that has ended may wait for somebody who asks how.
    stat(*pid).is_some_and(|(state, _, at)| at == *began && state != "Z")
}

/// Its state, its parent, and when it began.
fn stat(pid: u32) -> Option<(String, u32, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have anything in it.
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some(((*fields.first()?).to_owned(), fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}
