use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::table::{self, Grave};
use super::{Store, Unsound};
use crate::row::Row;
use crate::{Fault, Finding, FindingKind};

/// An opened store, and what had to be done for it.
pub(crate) struct Salvaged {
    pub(crate) store: Store,
    pub(crate) finding: Option<Finding>,
}

/// What belongs to a database beside its own file.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How far behind an unreadable row the next readable one is looked for. Beyond it, there is none.
const FARTHEST: i64 = 1 << 40;

impl Store {
    /// Opens `dir/name`. A file that cannot be used is set aside, and what is whole in it is taken over.
    pub(crate) fn salvage(dir: &Path, name: &str, bound: u64, vfs: Option<&str>) -> Result<Salvaged, Fault> {
        let path = dir.join(name);
        let unsound = match Self::open(&path, bound, vfs) {
            Ok(store) => return Ok(Salvaged { store, finding: None }),
            Err(Unsound::Fault(fault)) => return Err(fault),
            Err(unsound) => unsound,
        };
        let aside = set_aside(dir, name)?;
        let mut store = Self::open(&path, bound, vfs).map_err(|unsound| match unsound {
            Unsound::Fault(fault) => fault,
            _ => Fault::Corrupt,
        })?;
        let (kind, recovered) = match unsound {
            Unsound::Newer => (FindingKind::Newer, 0),
            Unsound::Foreign => (FindingKind::Foreign, 0),
            _ => (FindingKind::Corrupt, store.take_over(&aside.join(name))?),
        };
        Ok(Salvaged { store, finding: Some(Finding { kind, set_aside: aside, recovered }) })
    }

    /// Copies every row that can be read and is whole.
    fn take_over(&mut self, from: &Path) -> Result<u64, Fault> {
        let Ok(old) = open_damaged(from) else {
            return Ok(0);
        };
        // More was accepted than the bound now allows, perhaps.
        self.pragma("max_page_count = 4294967294")?;
        let mut recovered = 0;
        let mut place = i64::MIN;
        while let Some((row, grave)) = next_readable(&old, place) {
            place = row.place;
            if row.is_sound() && self.write(false, |store| store.insert(&row, grave.as_ref())).is_ok() {
                recovered += 1;
            }
            if place == i64::MAX {
                break;
            }
        }
        self.sync()?;
        self.limit()?;
        Ok(recovered)
    }
}

/// Moves a file, and what belongs to it, into a directory of its own.
fn set_aside(dir: &Path, name: &str) -> Result<PathBuf, Fault> {
    let root = dir.join("aside");
    std::fs::create_dir_all(&root)?;
    let mut number = 1_u64;
    let aside = loop {
        let aside = root.join(number.to_string());
        match std::fs::create_dir(&aside) {
            Ok(()) => break aside,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error.into()),
        }
    };
    std::fs::rename(dir.join(name), aside.join(name))?;
    for companion in COMPANIONS {
        let companion = format!("{name}{companion}");
        match std::fs::rename(dir.join(&companion), aside.join(&companion)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(aside)
}

fn open_damaged(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let old = Connection::open_with_flags(path, flags)?;
    // It stays as it is, for whoever wants to look at it.
    old.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    old.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    old.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))?;
    Ok(old)
}

/// The first row behind a place that can be read.
///
/// A damaged page hides the rows on it. The first readable place behind it is found by leaping ever farther, and then by
/// halving: rows of one page stand side by side.
fn next_readable(old: &Connection, after: i64) -> Option<(Row, Option<Grave>)> {
    if let Ok(found) = table::first_behind(old, after) {
        return found;
    }
    let start = after.max(0);
    let (mut unreadable, mut leap) = (start, 1_i64);
    let (mut readable, mut found) = loop {
        let behind = start.saturating_add(leap);
        match table::first_behind(old, behind) {
            Ok(found) => break (behind, found),
            Err(_) if leap >= FARTHEST => return None,
            Err(_) => (unreadable, leap) = (behind, leap * 2),
        }
    };
    while readable - unreadable > 1 {
        let middle = unreadable + (readable - unreadable) / 2;
        match table::first_behind(old, middle) {
            Ok(nearer) => (readable, found) = (middle, nearer),
            Err(_) => unreadable = middle,
        }
    }
    found.filter(|(row, _)| row.place > after)
}
