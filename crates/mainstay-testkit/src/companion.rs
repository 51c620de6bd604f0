use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::daemon::{Daemon, Plan, Site};
use crate::{TestkitError, workshop};

/// One of the servers in this crate's own binary.
#[derive(Debug)]
pub(crate) struct Companion {
    binary: PathBuf,
    kind: &'static str,
    arguments: Vec<String>,
}

// === impl Companion ===

impl Companion {
    /// Starts a kind of server, with arguments that it knows.
    pub(crate) fn start(kind: &'static str, arguments: Vec<String>) -> Result<Daemon, TestkitError> {
        Daemon::start(Self { binary: workshop::binary()?, kind, arguments })
    }
}

impl Plan for Companion {
    fn name(&self) -> &'static str {
        self.kind
    }

    fn command(&self, site: &Site) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(self.kind).arg(site.addr.to_string()).args(&self.arguments);
        command
    }

    fn is_ready(&self, site: &Site, _pid: u32) -> bool {
        // The log is of this start, and only written to by this process.
        fs::read_to_string(&site.log).is_ok_and(|log| log.contains(&format!("listening on {}\n", site.addr)))
    }
}
