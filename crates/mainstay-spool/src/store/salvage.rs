use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::aside::{self, Place};
use super::table::{self, Grave, Walk};
use super::{Store, Unsound};
use crate::row::Row;
use crate::{Fault, Finding, FindingKind};

/// An opened store, and what had to be done for it.
pub(crate) struct Salvaged {
    pub(crate) store: Store,
    pub(crate) findings: Vec<Finding>,
}

/// How far behind an unreadable row the next readable one is looked for: a power of two. Beyond it, there is none.
const FARTHEST: u32 = 40;
/// How many places behind an unreadable row are tried one by one. A page between two damaged ones may have a single row.
const ONE_BY_ONE: i64 = 1 << 16;
/// A row whose place is as near to the one before it is believed to be there.
const NEAR: i64 = 1 << 20;
/// Farther, no row has ever been: there is room behind it for all that will come.
const LAST: i64 = 1 << 61;
/// What is copied with one commit: rows, and bytes.
const BATCH: (usize, usize) = (1_000, 4 << 20);
/// Bytes of a file for each row that it may have, at least: a damaged tree may lead round and round.
const LEAST_ROW: u64 = 16;

impl Store {
    /// Opens `dir/name`. A file that cannot be used is set aside, and what is whole in it is taken over. What an earlier opening began
    /// is finished, or begun anew. The caller has the [`Lock`](super::Lock) of the directory.
    ///
    /// A disk that is too full for the copy is an error: the damaged file stays where it is, for the next opening.
    pub(crate) fn salvage(dir: &Path, name: &str, bound: u64, vfs: Option<&str>) -> Result<Salvaged, Fault> {
        let place = Place::new(dir, name);
        let fault = |unsound| match unsound {
            Unsound::Fault(fault) => fault,
            _ => Fault::Corrupt,
        };
        // With another file system nothing can be moved.
        if vfs.is_some() {
            let store = Self::open(&place.main(), bound, vfs).map_err(fault)?;
            return Ok(Salvaged { store, findings: Vec::new() });
        }
        let mut gone = place.finish()?;
        let (store, recovered) = match Self::open(&place.main(), bound, None) {
            Ok(store) => {
                let recovered = if gone.is_empty() { 0 } else { store.extent()?.0 };
                (store, recovered)
            }
            Err(Unsound::Fault(fault)) => return Err(fault),
            Err(unsound) => {
                let (kind, recovered) = match unsound {
                    Unsound::Newer => (FindingKind::Newer, 0),
                    Unsound::Foreign => (FindingKind::Foreign, 0),
                    _ => (FindingKind::Corrupt, recover(&place).inspect_err(|_| place.discard())?),
                };
                place.begin(kind)?;
                gone.extend(place.finish()?);
                (Self::open(&place.main(), bound, None).map_err(fault)?, recovered)
            }
        };
        // What is there now came from the last one, unless that had nothing to give.
        let last = gone.len().saturating_sub(1);
        let findings = gone.into_iter().enumerate().map(|(index, gone)| {
            let gives = index == last && gone.kind == FindingKind::Corrupt;
            Finding { kind: gone.kind, set_aside: gone.to, recovered: if gives { recovered } else { 0 } }
        });
        Ok(Salvaged { store, findings: findings.collect() })
    }

    /// Copies every row that can be read and is whole.
    fn take_over(&mut self, old: &Connection, most: u64) -> Result<u64, Fault> {
        let (mut recovered, mut visited, mut bytes) = (0, 0, 0);
        let (mut from, mut point, mut batch) = (i64::MIN, 0, Vec::new());
        loop {
            let walked = table::walk(old, from, |mut row, grave| {
                visited += 1;
                // One whose place is damaged does not lead away from the rest.
                let is_near =
                    row.place == row.id.seq().cast_signed() || row.place.saturating_sub(point) < NEAR;
                if row.place > point && is_near {
                    point = row.place;
                }
                if is_whole(&mut row) {
                    bytes += row.bytes();
                    batch.push((row, grave));
                }
                if batch.len() >= BATCH.0 || bytes >= BATCH.1 {
                    recovered += self.keep(&mut batch)?;
                    bytes = 0;
                }
                Ok(visited < most)
            });
            match walked {
                Walk::Ended => break,
                Walk::Faulted(fault) => return Err(fault),
                Walk::Unreadable => match next_readable(old, point) {
                    Some(next) if visited < most => (from, point) = (next, next),
                    _ => break,
                },
            }
        }
        recovered += self.keep(&mut batch)?;
        Ok(recovered)
    }

    fn keep(&mut self, batch: &mut Vec<(Row, Option<Grave>)>) -> Result<u64, Fault> {
        let mut kept = 0;
        self.write(false, |store| {
            for (row, grave) in batch.iter_mut() {
                if !(1..=LAST).contains(&row.place) {
                    row.put_at(store.end()?);
                }
                loop {
                    match store.insert(row, grave.as_ref()) {
                        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                            if store.row(row.place)?.is_none_or(|there| there.id == row.id) {
                                break;
                            }
                            row.put_at(store.end()?);
                        }
                        done => {
                            done?;
                            kept += 1;
                            break;
                        }
                    }
                }
            }
            Ok(())
        })?;
        batch.clear();
        Ok(kept)
    }
}

/// Whether a row is as it was written. One whose place alone is damaged gets it back: most stand where their ids were given out.
fn is_whole(row: &mut Row) -> bool {
    if row.is_sound() {
        return true;
    }
    let found = std::mem::replace(&mut row.place, row.id.seq().cast_signed());
    let is_whole = row.is_sound();
    if !is_whole {
        row.place = found;
    }
    is_whole
}

/// Makes a database of everything that is whole, beside the damaged one, which stays as it is.
fn recover(place: &Place<'_>) -> Result<u64, Fault> {
    let copy = place.recovered();
    let mut store = Store::open(&copy, u64::MAX, None).map_err(|unsound| match unsound {
        Unsound::Fault(fault) => fault,
        _ => Fault::Corrupt,
    })?;
    let recovered = match open_damaged(&place.main()) {
        Ok(old) => {
            let most = place.bytes() / LEAST_ROW + 1;
            let recovered = store.take_over(&old, most)?;
            if table::has_ids(&old) {
                // It takes room that the bound may not leave later.
                store.index_ids()?;
            }
            recovered
        }
        Err(_) => 0,
    };
    store.close()?;
    // Complete, and without companions, before the damaged one goes.
    std::fs::File::open(&copy)?.sync_all()?;
    aside::sync_dir(place.dir());
    Ok(recovered)
}

fn open_damaged(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let old = Connection::open_with_flags(path, flags)?;
    // It stays as it is, for whoever wants to look at it, and for the next opening if this one does not come to its end.
    old.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    old.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    old.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))?;
    Ok(old)
}

/// The first place behind this one from which rows can be read again.
///
/// A damaged page hides the rows on it. If anything farther is readable, the first of it is found one by one; what is very far, by
/// halving.
fn next_readable(old: &Connection, after: i64) -> Option<i64> {
    let mut far = (0..=FARTHEST).map(|power| after.saturating_add(1 << power));
    let mut readable = far.find(|place| table::is_readable(old, *place))?;
    let mut unreadable = after.saturating_add(ONE_BY_ONE);
    let mut near = after.saturating_add(1)..=readable.min(unreadable);
    if let Some(place) = near.find(|place| table::is_readable(old, *place)) {
        return Some(place);
    }
    while readable - unreadable > 1 {
        let middle = unreadable + (readable - unreadable) / 2;
        if table::is_readable(old, middle) {
            readable = middle;
        } else {
            unreadable = middle;
        }
    }
    (readable > after).then_some(readable)
}
