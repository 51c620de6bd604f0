use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::TestkitError;
use crate::error::During;
use crate::package::{Package, in_path, is_program};
use crate::postgres::account::Account;

/// Where PostgreSQL's programs are, and who runs them.
#[derive(Debug)]
pub(super) struct Installation {
    binaries: PathBuf,
    pub(super) account: Account,
}

const PACKAGE: Package = Package {
    apt: "postgresql",
    dnf: "postgresql-server",
    pacman: "postgresql",
    apk: "postgresql",
    brew: "postgresql",
};

/// Where distributions put it: a directory, how the entry for a version begins, and what follows.
const PLACES: [(&str, &str, &str); 8] = [
    // Debian, Ubuntu.
    ("/usr/lib/postgresql", "", "bin"),
    // Fedora and its kin, with PostgreSQL's own packages.
    ("/usr", "pgsql-", "bin"),
    // Alpine.
    ("/usr/libexec", "postgresql", ""),
    ("/usr/lib", "postgresql", "bin"),
    // Homebrew.
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    // Built from source.
    ("/usr/local", "pgsql", "bin"),
];

// === impl Installation ===

impl Installation {
    /// The one in a directory.
    pub(super) fn at(binaries: PathBuf) -> Result<Self, TestkitError> {
        if !is_complete(&binaries) {
            return Err(PACKAGE.missing(binaries.join("postgres")));
        }
        Ok(Self { binaries, account: Account::find()? })
    }

    /// The one that is installed.
    pub(super) fn find() -> Result<Self, TestkitError> {
        let in_path = in_path("initdb").and_then(|initdb| initdb.parent().map(Path::to_path_buf));
        let binaries = in_path
            .into_iter()
            .chain(configured())
            .chain(PLACES.into_iter().flat_map(|(directory, prefix, rest)| versions(directory, prefix, rest)))
            .find(|binaries| is_complete(binaries))
            .ok_or_else(|| PACKAGE.missing("postgres"))?;
        Self::at(binaries)
    }

    /// A program of it, run as the right user.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        // What a user's shell says about another server.
        for name in ["PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGDATABASE", "PGOPTIONS"] {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C");
        self.account.run(&mut command);
        command
    }

    /// Which version it is, in its own words.
    pub(super) fn version(&self) -> Result<String, TestkitError> {
        let output = Command::new(self.binaries.join("postgres"))
            .arg("--version")
            .output()
            .during(|| "asking postgres for its version".into())?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
    }
}

fn is_complete(binaries: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| is_program(&binaries.join(program)))
}

/// What `pg_config` says, which may belong to the client's package alone.
fn configured() -> Option<PathBuf> {
    let output = Command::new(in_path("pg_config")?).arg("--bindir").stderr(Stdio::null()).output().ok()?;
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// The directories of all versions in one place, the newest first.
fn versions(directory: &str, prefix: &str, rest: &str) -> Vec<PathBuf> {
    let mut found: Vec<(f64, PathBuf)> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.trim_start_matches(['@', '-']);
            Some((version.parse().unwrap_or(0.0), entry.path().join(rest)))
        })
        .collect();
    found.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    found.into_iter().map(|(_, path)| path).collect()
}
