//! The gateway as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::variables;

/// It is killed when it is dropped.
pub struct GatewayProcess {
    pub url: String,
    pub admin: String,
    child: Child,
    _data: TempDir,
}

/// The binary, with nothing of our own environment.
pub fn command(more: impl IntoIterator<Item = (String, String)>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.env_clear().envs(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl GatewayProcess {
    pub fn start(orchestrators: &[String], more: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut variables = variables(orchestrators, more);
        variables.insert("DATA_DIR".to_owned(), data.path().to_str().unwrap().to_owned());
        variables.entry("RUST_LOG".to_owned()).or_insert("trace".to_owned());
        let log = std::fs::File::create(data.path().join("log")).unwrap();
        let mut child = command(variables).stderr(log).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut place = |what: &str| {
            let line = said.next().unwrap().unwrap();
            line.strip_prefix(what).unwrap_or_else(|| panic!("{line}")).to_owned()
        };
        let (url, admin) = (place("gateway listens on "), place("gateway admin on "));
        Self { url, admin, child, _data: data }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for its end, and gives back its status.
    pub fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    pub fn log(&self) -> String {
        let mut log = String::new();
        std::fs::File::open(self._data.path().join("log")).unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
