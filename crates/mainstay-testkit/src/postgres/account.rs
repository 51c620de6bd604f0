use std::fs;
use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::TestkitError;
use crate::error::During;

/// Who runs the server: ourselves, or somebody else because we are root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    other: Option<Ids>,
}

#[derive(Clone, Copy, Debug)]
struct Ids {
    user: u32,
    group: u32,
}

/// Whom to be instead of root, by preference.
const OTHERS: [&str; 2] = ["postgres", "nobody"];

// === impl Account ===

impl Account {
    pub(super) fn find() -> Result<Self, TestkitError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { other: None });
        }
        let users = fs::read_to_string("/etc/passwd").during(|| "reading /etc/passwd".into())?;
        let other =
            OTHERS.iter().find_map(|name| ids_of(&users, name)).ok_or_else(|| TestkitError::Failed {
                what: "PostgreSQL does not run as root, and there is no other user to run it as".into(),
                output: format!("/etc/passwd has none of {OTHERS:?}\n"),
            })?;
        Ok(Self { other: Some(other) })
    }

    /// The user's id, if it is not ours.
    pub(super) fn id(self) -> Option<u32> {
        self.other.map(|other| other.user)
    }

    /// The command runs as this account.
    pub(super) fn run(self, command: &mut Command) {
        if let Some(Ids { user, group }) = self.other {
            command.uid(user).gid(group);
        }
    }

    /// Makes it the owner of a file or directory.
    pub(super) fn give(self, path: &Path) -> Result<(), TestkitError> {
        match self.other {
            Some(Ids { user, group }) => {
                lchown(path, Some(user), Some(group)).during(|| format!("giving away {}", path.display()))
            }
            None => Ok(()),
        }
    }
}

/// The ids of a user in `/etc/passwd`.
fn ids_of(users: &str, name: &str) -> Option<Ids> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(Ids { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
}
