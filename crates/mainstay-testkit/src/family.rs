use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

/// A server's process and all that descend from it, by process id.
///
/// PostgreSQL's backends put themselves into sessions of their own, so that no signal to a process group reaches
/// them all.
#[derive(Debug)]
pub(crate) struct Family {
    members: Vec<Member>,
}

/// A process as the system's table of processes has it. Ids are given again; an id and its start time are not.
#[derive(Clone, Copy, Debug)]
struct Member {
    pid: Pid,
    parent: i32,
    state: char,
    started: u64,
}

/// How long signals may take to show.
const PATIENCE: Duration = Duration::from_secs(10);

// === impl Family ===

impl Family {
    /// Stops a process and its descendants, and returns when they all stand still.
    pub(crate) fn stop(head: Pid) -> Self {
        let mut stopped: Vec<Member> = Vec::new();
        // A process that stands still has no more children: after a round that finds nobody new nobody is missing.
        loop {
            let table = table();
            let found: Vec<_> = descendants(&table, head)
                .into_iter()
                .filter(|member| !stopped.iter().any(|known| known.is(member)))
                .collect();
            if found.is_empty() {
                return Self { members: stopped };
            }
            for member in &found {
                member.signal(Signal::STOP);
            }
            settle(&found, |member| matches!(member.state, 'T' | 't' | 'Z' | 'X'));
            stopped.extend(found);
        }
    }

    /// Lets a process and its descendants go on.
    pub(crate) fn resume(head: Pid) {
        let table = table();
        // Children first: else the head might see them as they were.
        for member in descendants(&table, head).iter().rev() {
            member.signal(Signal::CONT);
        }
    }

    /// Kills them. The head remains as a zombie until its parent, we, waits for it.
    pub(crate) fn kill(&self) {
        for member in &self.members {
            member.signal(Signal::KILL);
        }
    }

    /// Returns when none of them runs any more.
    pub(crate) fn gone(&self) {
        settle(&self.members, |member| matches!(member.state, 'Z' | 'X'));
    }
}

// === impl Member ===

impl Member {
    fn is(&self, other: &Member) -> bool {
        self.pid == other.pid && self.started == other.started
    }

    fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = kill_process(self.pid, signal);
    }

    /// From a line of `/proc/<pid>/stat`.
    fn from_stat(line: &str) -> Option<Self> {
        // The name, in parentheses, may have spaces and parentheses itself.
        let (start, rest) = line.rsplit_once(')')?;
        let (pid, _) = start.split_once(' ')?;
        let mut fields = rest.split_whitespace();
        Some(Self {
            pid: Pid::from_raw(pid.parse().ok()?)?,
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            started: fields.nth(17)?.parse().ok()?,
        })
    }

    /// From a line of `ps -o pid=,ppid=,state=`, which tells no precise start.
    fn from_ps(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        Some(Self {
            pid: Pid::from_raw(fields.next()?.parse().ok()?)?,
            parent: fields.next()?.parse().ok()?,
            state: fields.next()?.chars().next()?,
            started: 0,
        })
    }
}

// === the table of processes ===

/// All processes there are.
fn table() -> Vec<Member> {
    if !has_proc() {
        return from_ps(&["-A"]);
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| Member::from_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// The process with an id, if there is one.
fn look_up(pid: Pid) -> Option<Member> {
    let pid = pid.as_raw_nonzero().to_string();
    if !has_proc() {
        return from_ps(&["-p", &pid]).pop();
    }
    Member::from_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn has_proc() -> bool {
    Path::new("/proc/self/stat").exists()
}

fn from_ps(which: &[&str]) -> Vec<Member> {
    let output = Command::new("ps").args(which).args(["-o", "pid=,ppid=,state="]).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).lines().filter_map(Member::from_ps).collect())
        .unwrap_or_default()
}

/// A process and its descendants, parents before their children.
fn descendants(table: &[Member], head: Pid) -> Vec<Member> {
    let mut family: Vec<_> = table.iter().filter(|member| member.pid == head).copied().collect();
    let mut next = 0;
    while let Some(parent) = family.get(next).map(|member| member.pid.as_raw_nonzero().get()) {
        family.extend(table.iter().filter(|member| member.parent == parent && member.pid != head));
        next += 1;
    }
    family
}

/// Waits until all of the processes are so, or gone.
fn settle(members: &[Member], is_so: impl Fn(&Member) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let now = members.iter().filter_map(|member| look_up(member.pid).filter(|now| now.is(member)));
        if now.into_iter().all(|member| is_so(&member)) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
