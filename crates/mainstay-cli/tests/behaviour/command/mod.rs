//! The real command, in a directory of its own, with no variables but those that it is given.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The sample file of the repository.
pub(crate) const SAMPLE: &str = include_str!("../../../../../examples/settings/mainstay.yaml");

/// A directory with files.
pub(crate) struct Place {
    directory: TempDir,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The command, without variables.
pub(crate) fn mainstay(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    // Where its coverage is measured, it is told so.
    command.envs(std::env::vars_os().filter(|(name, _)| name == "LLVM_PROFILE_FILE"));
    command
}

impl Place {
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(directory.path().join(name), text).unwrap());
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The command, in this directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = mainstay(arguments);
        command.current_dir(self.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        ended(&mut self.command(arguments))
    }
}

pub(crate) fn run(arguments: &[&str]) -> Ended {
    ended(&mut mainstay(arguments))
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    Ended::from(command.output().unwrap())
}

/// The command with a text on its standard input.
pub(crate) fn piped(command: &mut Command, text: impl AsRef<[u8]>) -> Ended {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(text.as_ref());
    Ended::from(child.wait_with_output().unwrap())
}

impl Ended {
    pub(crate) fn new(code: i32, out: &str, err: &str) -> Self {
        Self { code, out: out.to_owned(), err: err.to_owned() }
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}
