//! The limits that a change must not pass unnoticed: what each hot path executes, as it was when somebody last looked.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::instructions::Executed;

/// How much more a path may execute, as a share: by the compiler that the limits were written with, and by another one.
const MARGIN: f64 = 0.05;
const MARGIN_OF_ANOTHER_COMPILER: f64 = 0.15;

/// What is always allowed, as a share of six instructions says nothing.
const ALWAYS: f64 = 2.0;

/// What a build is made with and for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// As `rustc --version` says it.
    pub compiler: String,
    /// The processor's architecture and the system.
    pub target: String,
}

/// What was counted of each path, and by which build.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The build.
    pub build: Build,
    paths: BTreeMap<String, Executed>,
}

/// What becomes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Within the margin.
    Kept,
    /// Less than the margin: the limit can come down.
    Fell,
    /// More than the margin.
    Rose,
    /// As many instructions, but more of them locked.
    MoreLocked,
    /// There is no limit for it.
    Unknown,
}

impl Limits {
    /// Of what was counted.
    pub fn new(build: Build, paths: impl IntoIterator<Item = (String, Executed)>) -> Self {
        Self { build, paths: paths.into_iter().collect() }
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// Which line is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut build = Build { compiler: String::new(), target: String::new() };
        let mut paths = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            if let Some(compiler) = line.strip_prefix("compiler: ") {
                compiler.clone_into(&mut build.compiler);
            } else if let Some(target) = line.strip_prefix("target: ") {
                target.clone_into(&mut build.target);
            } else {
                let (path, executed) = row(line).ok_or_else(|| format!("what is this? {line}"))?;
                paths.insert(path, executed);
            }
        }
        Ok(Self { build, paths })
    }

    /// Writes the file, under these lines of explanation.
    pub fn write(&self, explanation: &str) -> String {
        let mut text = String::new();
        explanation.lines().for_each(|line| _ = writeln!(text, "# {line}"));
        let _ = writeln!(text, "compiler: {}\ntarget: {}\n", self.build.compiler, self.build.target);
        for (path, executed) in &self.paths {
            let locked = executed.locked.map_or("?".to_owned(), |locked| format!("{locked:.0}"));
            let _ = writeln!(text, "{:>6.0} {locked:>2}  {path}", executed.instructions);
        }
        text
    }

    /// The limit of a path as it was counted, without the margin.
    pub fn of(&self, path: &str) -> Option<Executed> {
        self.paths.get(path).copied()
    }

    /// The paths that have a limit.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.keys().map(String::as_str)
    }

    /// The margin for what this build counts. None if its counts cannot be compared, because it is for other processors.
    pub fn margin(&self, build: &Build) -> Option<f64> {
        (build.target == self.build.target).then_some(match build.compiler == self.build.compiler {
            true => MARGIN,
            false => MARGIN_OF_ANOTHER_COMPILER,
        })
    }

    /// Judges what was counted by its limit and a margin.
    pub fn judge(&self, path: &str, counted: Executed, margin: f64) -> Judgement {
        let Some(limit) = self.of(path) else { return Judgement::Unknown };
        let allowed = (limit.instructions * margin).max(ALWAYS);
        let more = counted.instructions - limit.instructions;
        let more_locked = counted.locked.zip(limit.locked).is_some_and(|(now, then)| now > then + 0.5);
        match (more_locked, more > allowed, more < -allowed) {
            (_, true, _) => Judgement::Rose,
            (true, ..) => Judgement::MoreLocked,
            (_, _, true) => Judgement::Fell,
            _ => Judgement::Kept,
        }
    }
}

fn row(line: &str) -> Option<(String, Executed)> {
    let (instructions, rest) = line.trim_start().split_once(' ')?;
    let (locked, path) = rest.trim_start().split_once(' ')?;
    let executed = Executed { instructions: instructions.parse().ok()?, locked: locked.parse().ok() };
    Some((path.trim().to_owned(), executed))
}
