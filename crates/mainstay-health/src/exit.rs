use std::fmt;
use std::process::ExitCode;

/// How a probe from outside ended, with the exit codes of `grpc_health_probe`, which container platforms know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeExit {
    /// 0: it answered, and serves.
    Healthy,
    /// 1: the arguments make no sense; nothing was asked.
    InvalidArguments,
    /// 2: no connection, or none in time.
    ConnectionFailed,
    /// 3: the call failed, or had no answer in time.
    CallFailed,
    /// 4: it answered, and does not serve.
    Unhealthy,
}

/// What a probe from outside found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProbeReply {
    /// How it ended.
    pub exit: ProbeExit,
    /// What it found, in one line.
    pub text: String,
}

impl ProbeExit {
    /// The exit code, 0 to 4.
    pub const fn code(self) -> u8 {
        match self {
            ProbeExit::Healthy => 0,
            ProbeExit::InvalidArguments => 1,
            ProbeExit::ConnectionFailed => 2,
            ProbeExit::CallFailed => 3,
            ProbeExit::Unhealthy => 4,
        }
    }
}

impl From<ProbeExit> for ExitCode {
    fn from(exit: ProbeExit) -> Self {
        exit.code().into()
    }
}

impl ProbeReply {
    /// A reply for a tool to print and to exit with.
    pub fn new(exit: ProbeExit, text: impl fmt::Display) -> Self {
        Self { exit, text: text.to_string() }
    }
}

impl fmt::Display for ProbeReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
