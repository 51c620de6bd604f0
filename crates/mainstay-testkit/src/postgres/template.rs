//! `initdb` takes seconds, so it is done once for each version and user, and its result is copied.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::error::During;
use crate::postgres::account::Account;
use crate::postgres::installation::Installation;
use crate::{TestkitError, place};

/// What `initdb` is told. A change makes a new template.
const OPTIONS: [&str; 6] = [
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
    // Small files to copy.
    "--wal-segsize=1",
];

/// Copies the template to a directory that does not exist yet. Makes the template if there is none.
pub(super) fn copy(installation: &Installation, to: &Path) -> Result<(), TestkitError> {
    let template = Template::find(installation)?;
    // Twice: what cleans /tmp may have taken some of an old template away.
    for _ in 0..2 {
        let lock = template.lock()?;
        lock.lock_shared().during(|| "locking the template of PostgreSQL's data".into())?;
        if template.is_whole() {
            return copy_tree(&template.data(), to, installation.account);
        }
        drop(lock);
        template.make(installation)?;
    }
    Err(TestkitError::Failed {
        what: format!("the template of PostgreSQL's data in {} does not last", template.directory.display()),
        output: String::new(),
    })
}

struct Template {
    directory: PathBuf,
}

// === impl Template ===

impl Template {
    fn find(installation: &Installation) -> Result<Self, TestkitError> {
        let mut hasher = DefaultHasher::new();
        (installation.version()?, installation.account.id(), OPTIONS).hash(&mut hasher);
        Ok(Self { directory: place::shared()?.join(format!("postgres-{:016x}", hasher.finish())) })
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The file to be locked: shared to copy, exclusively to make.
    fn lock(&self) -> Result<File, TestkitError> {
        let path = self.directory.with_extension("lock");
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .during(|| format!("opening {}", path.display()))
    }

    /// Whether nothing of it is missing.
    fn is_whole(&self) -> bool {
        let expected = fs::read_to_string(self.directory.join("entries")).ok();
        expected
            .is_some_and(|expected| entries(&self.data()).is_ok_and(|found| found.to_string() == expected))
    }

    fn make(&self, installation: &Installation) -> Result<(), TestkitError> {
        let lock = self.lock()?;
        lock.lock().during(|| "locking the template of PostgreSQL's data".into())?;
        if self.is_whole() {
            // Somebody else has made it while we waited.
            return Ok(());
        }
        // Nobody else works on it, so that what lies there is of somebody who was killed.
        let making = self.directory.with_extension("making");
        for leftover in [&making, &self.directory] {
            remove(leftover)?;
        }
        fs::create_dir(&making).during(|| format!("making {}", making.display()))?;
        fs::set_permissions(&making, fs::Permissions::from_mode(0o755))
            .during(|| format!("opening {}", making.display()))?;
        installation.account.give(&making)?;
        let data = making.join("data");
        let output = installation
            .command("initdb")
            .args(OPTIONS)
            .arg("-D")
            .arg(&data)
            .current_dir(&making)
            .stdin(Stdio::null())
            .output()
            .during(|| "starting initdb".into())?;
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            return Err(TestkitError::Failed {
                what: format!("initdb failed: {}", output.status),
                output: String::from_utf8_lossy(&text).into_owned(),
            });
        }
        entries(&data)
            .and_then(|entries| fs::write(making.join("entries"), entries.to_string()))
            .and_then(|()| fs::rename(&making, &self.directory))
            .during(|| format!("keeping {}", self.directory.display()))
    }
}

fn remove(directory: &Path) -> Result<(), TestkitError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
    .during(|| format!("removing {}", directory.display()))
}

/// How many files and directories there are below a directory.
fn entries(directory: &Path) -> io::Result<u64> {
    let mut count = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        count += 1;
        if entry.file_type()?.is_dir() {
            count += entries(&entry.path())?;
        }
    }
    Ok(count)
}

/// Copies a directory and all in it, and gives the copy to the account.
fn copy_tree(from: &Path, to: &Path, account: Account) -> Result<(), TestkitError> {
    let failed = || format!("copying {} to {}", from.display(), to.display());
    fs::create_dir(to).during(failed)?;
    let permissions = fs::metadata(from).during(failed)?.permissions();
    fs::set_permissions(to, permissions).during(failed)?;
    account.give(to)?;
    for entry in fs::read_dir(from).during(failed)? {
        let entry = entry.during(failed)?;
        let target = to.join(entry.file_name());
        if entry.file_type().during(failed)?.is_dir() {
            copy_tree(&entry.path(), &target, account)?;
        } else {
            fs::copy(entry.path(), &target).during(failed)?;
            account.give(&target)?;
        }
    }
    Ok(())
}
