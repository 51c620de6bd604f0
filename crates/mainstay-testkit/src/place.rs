use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, io};

use rustix::fs::Access;
use tempfile::TempDir;

use crate::TestkitError;
use crate::error::During;

/// How many bytes must be free in memory to use that: a server of PostgreSQL takes 30 MB.
const ROOM: u64 = 2 << 30;

/// A temporary directory of one server; it is removed on drop.
pub(crate) fn home(server: &str) -> Result<TempDir, TestkitError> {
    let base = base();
    tempfile::Builder::new()
        .prefix(&format!("mainstay-{server}-"))
        .tempdir_in(&base)
        .during(|| format!("making a temporary directory in {}", base.display()))
}

/// A directory that outlives the process and is shared by all processes of this user: for locks and for what takes
/// long to make.
pub(crate) fn shared() -> Result<PathBuf, TestkitError> {
    let user = rustix::process::geteuid().as_raw();
    // Not by TMPDIR: ports are the machine's, and so must their locks be.
    let directory = Path::new("/tmp").join(format!("mainstay-testkit-{user}"));
    match fs::create_dir(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::symlink_metadata(&directory),
    }
    .and_then(|metadata| match metadata.is_dir() && metadata.uid() == user {
        true => Ok(()),
        false => Err(io::Error::other("it is somebody else's")),
    })
    // Whatever the umask: the user that PostgreSQL runs as passes through it.
    .and_then(|()| fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)))
    .during(|| format!("making {}", directory.display()))?;
    Ok(directory)
}

/// Where temporary directories go: where `TMPDIR` says, else into memory if there is enough, since a copy of
/// PostgreSQL's data is a thousand files to make and to remove.
fn base() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let usual = match env::var_os("TMPDIR") {
        None if is_roomy(&memory) => memory,
        _ => env::temp_dir(),
    };
    // PostgreSQL may have to run as another user.
    if !rustix::process::geteuid().is_root() || is_passable(&usual) { usual } else { PathBuf::from("/tmp") }
}

/// Whether a directory has room for many servers.
fn is_roomy(directory: &Path) -> bool {
    rustix::fs::statvfs(directory).is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) >= ROOM)
        && rustix::fs::access(directory, Access::WRITE_OK).is_ok()
}

fn is_passable(directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return false };
    directory
        .ancestors()
        .all(|directory| directory.metadata().is_ok_and(|metadata| metadata.mode() & 0o001 != 0))
}
