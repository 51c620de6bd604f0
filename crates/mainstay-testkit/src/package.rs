use std::env;
use std::path::{Path, PathBuf};

use crate::TestkitError;

/// A program that a package brings, under its name in each package manager.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) apt: &'static str,
    pub(crate) dnf: &'static str,
    pub(crate) pacman: &'static str,
    pub(crate) apk: &'static str,
    pub(crate) brew: &'static str,
}

// === impl Package ===

impl Package {
    /// The error for a binary of this package that was not found.
    pub(crate) fn missing(&self, binary: impl Into<PathBuf>) -> TestkitError {
        TestkitError::MissingBinary { binary: binary.into(), install: self.install() }
    }

    /// The command for the package manager that is here.
    fn install(&self) -> String {
        let managers = [
            ("apt-get", "apt-get install", self.apt),
            ("dnf", "dnf install", self.dnf),
            ("pacman", "pacman -S", self.pacman),
            ("apk", "apk add", self.apk),
            ("brew", "brew install", self.brew),
        ];
        managers
            .iter()
            .find(|(manager, ..)| in_path(manager).is_some())
            .map(|(_, command, package)| format!("{command} {package}"))
            .unwrap_or_else(|| format!("apt-get install {}", self.apt))
    }
}

// === binaries ===

/// Where a command is found by its name, as a shell would.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let directories = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&directories)
        // Some shells of users and some runners of jobs leave these out.
        .chain(
            ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin", "/opt/homebrew/bin"]
                .map(PathBuf::from),
        )
        .map(|directory| directory.join(name))
        .find(|path| is_program(path))
}

/// Whether there is a file that may be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
