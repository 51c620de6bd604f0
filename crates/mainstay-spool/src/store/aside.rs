use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::{Fault, FindingKind};

/// What belongs to a database beside its own file.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A database's place in a directory, and where it goes when it cannot be used.
///
/// It goes to `aside/NAME.KIND` first, which becomes `aside/N` when all that belongs to it has arrived. So an opening that finds the
/// former knows what a crash has interrupted.
pub(super) struct Place<'a> {
    dir: &'a Path,
    name: &'a str,
}

/// Something that was set aside completely.
pub(super) struct Gone {
    pub(super) kind: FindingKind,
    pub(super) to: PathBuf,
}

/// The lock of a directory. Nobody else opens it until this is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not used")] File);

// === impl Lock ===

impl Lock {
    /// The lock of a database is on a file that may move, and is lost when anything in this process closes that file.
    pub(crate) fn take(dir: &Path) -> Result<Self, Fault> {
        let file = File::options().create(true).append(true).open(dir.join("lock"))?;
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => Err(Fault::InUse),
            // Where files cannot be locked, the databases say whether they can.
            Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(Self(file)),
        }
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    pub(super) fn new(dir: &'a Path, name: &'a str) -> Self {
        Self { dir, name }
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir
    }

    /// Of the file and what belongs to it.
    pub(super) fn bytes(&self) -> u64 {
        let files = companions(&self.main()).into_iter().chain([self.main()]);
        files.filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum()
    }

    pub(super) fn main(&self) -> PathBuf {
        self.dir.join(self.name)
    }

    /// Where what was recovered is written, before it takes the place of the damaged file.
    pub(super) fn recovered(&self) -> PathBuf {
        self.dir.join(format!("{}.recovered", self.name))
    }

    fn unfinished(&self, kind: FindingKind) -> PathBuf {
        let kind = match kind {
            FindingKind::Corrupt => "corrupt",
            FindingKind::Foreign => "foreign",
            FindingKind::Newer => "newer",
        };
        self.dir.join("aside").join(format!("{}.{kind}", self.name))
    }

    /// Begins to set the file aside: from here on [`finish`](Self::finish) does the rest, now or after a crash.
    pub(super) fn begin(&self, kind: FindingKind) -> Result<(), Fault> {
        let to = self.prepare(kind)?;
        self.carry(&self.main(), &to)?;
        self.sync(&to);
        Ok(())
    }

    /// Sets aside what belongs to a file that has gone, puts what was recovered in its place, and removes what is half done.
    pub(super) fn finish(&self) -> Result<Vec<Gone>, Fault> {
        let kinds = [FindingKind::Corrupt, FindingKind::Foreign, FindingKind::Newer];
        let interrupted = kinds.into_iter().find(|kind| self.unfinished(*kind).join(self.name).exists());
        if is_there(&self.main())? {
            // A copy beside the file is not complete, or nobody knows that it is.
            self.remove_copy()?;
            self.evict(FindingKind::Corrupt, |companion| Ok(is_odd(companion)))?;
        } else {
            let complete = is_there(&self.recovered())? && !is_odd(&self.recovered());
            // A write-ahead file never meets another database than its own.
            if complete || interrupted.is_some() || has_log(&self.main())? {
                self.evict(interrupted.unwrap_or(FindingKind::Corrupt), is_there)?;
            }
            if complete {
                remove(&self.main())?;
                fs::rename(self.recovered(), self.main())?;
                sync_dir(self.dir);
            }
        }
        let mut gone = Vec::new();
        for kind in kinds {
            let from = self.unfinished(kind);
            // An empty one is from a crash before anything was moved.
            if from.is_dir() && fs::remove_dir(&from).is_err() {
                gone.push(Gone { kind, to: self.number(&from)? });
            }
        }
        Ok(gone)
    }

    /// Gives the room of a copy back that will not be completed.
    pub(super) fn discard(&self) {
        let _ = self.remove_copy();
    }

    fn remove_copy(&self) -> io::Result<()> {
        let copy = self.recovered();
        companions(&copy).into_iter().chain([copy]).try_for_each(|file| remove(&file))
    }

    /// Sets aside those companions that are told.
    fn evict(&self, kind: FindingKind, which: impl Fn(&Path) -> io::Result<bool>) -> Result<(), Fault> {
        let (mut to, copy) = (None, self.recovered());
        let copies = companions(&copy).into_iter().chain([copy]);
        for companion in companions(&self.main()).into_iter().chain(copies.filter(|path| is_odd(path))) {
            if which(&companion)? {
                let to = match &to {
                    Some(to) => to,
                    None => to.insert(self.prepare(kind)?),
                };
                self.carry(&companion, to)?;
            }
        }
        if let Some(to) = to {
            self.sync(&to);
        }
        Ok(())
    }

    fn prepare(&self, kind: FindingKind) -> Result<PathBuf, Fault> {
        let to = self.unfinished(kind);
        fs::create_dir_all(&to)?;
        sync_dir(self.dir);
        sync_dir(&self.dir.join("aside"));
        Ok(to)
    }

    fn carry(&self, from: &Path, to: &Path) -> io::Result<()> {
        match from.file_name() {
            Some(name) => fs::rename(from, to.join(name)),
            None => Ok(()),
        }
    }

    /// Where it arrives is on the disk before it is known to have left.
    fn sync(&self, to: &Path) {
        sync_dir(to);
        sync_dir(self.dir);
    }

    fn number(&self, from: &Path) -> Result<PathBuf, Fault> {
        let aside = self.dir.join("aside");
        let mut number = 1_u64;
        let to = loop {
            let to = aside.join(number.to_string());
            match fs::symlink_metadata(&to) {
                Err(error) if error.kind() == ErrorKind::NotFound => break to,
                _ => number += 1,
            }
        };
        fs::rename(from, &to)?;
        sync_dir(&aside);
        Ok(to)
    }
}

/// The directory's entries are on the disk when this returns. Where directories cannot be synced it is not needed.
pub(crate) fn sync_dir(dir: &Path) {
    // The parent of `spool` is here.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let _ = File::open(dir).and_then(|dir| dir.sync_all());
}

/// Whether a database has a write-ahead file that is not empty.
pub(super) fn has_log(of: &Path) -> io::Result<bool> {
    is_there(&companion(of, "-wal"))
}

fn companion(of: &Path, suffix: &str) -> PathBuf {
    let mut path = of.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn companions(of: &Path) -> [PathBuf; 3] {
    COMPANIONS.map(|suffix| companion(of, suffix))
}

/// Whether there is more than an empty file.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(!found.is_file() || found.len() > 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is something other than a file, with which SQLite can do nothing.
fn is_odd(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| !found.is_file())
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound && !is_odd(path) => Err(error),
        _ => Ok(()),
    }
}
