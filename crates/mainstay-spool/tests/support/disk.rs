//! A disk from which the power can be taken, and that can be full: a SQLite VFS in memory that knows what was synced.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_core::splitmix::{GOLDEN_RATIO, scramble};

use sqlite_vfs::{DatabaseHandle, LockKind, OpenOptions, Vfs, WalDisabled};

#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Platters>>);

#[derive(Clone, Default)]
struct Platters {
    files: HashMap<String, File>,
    /// The most bytes of all files together; none is enough.
    room: Option<u64>,
    /// Of the files whose names begin so, after so many syncs more.
    fails_to_sync: Option<(String, u64)>,
    syncs: u64,
}

#[derive(Clone, Default)]
struct File {
    synced: Vec<u8>,
    /// As programs see it.
    now: Vec<u8>,
    /// What leads from one to the other.
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

pub(crate) struct Open {
    disk: Disk,
    path: String,
    lock: LockKind,
}

/// What power losses leave whole.
const SECTOR: usize = 512;

// === impl Disk ===

impl Disk {
    /// A disk that SQLite knows by this name.
    pub(crate) fn register(name: &str) -> Self {
        let disk = Self::default();
        sqlite_vfs::register(name, disk.clone(), false).unwrap();
        disk
    }

    pub(crate) fn set_room(&self, room: Option<u64>) {
        self.0.lock().unwrap().room = room;
    }

    pub(crate) fn used(&self) -> u64 {
        self.0.lock().unwrap().used()
    }

    pub(crate) fn fail_to_sync(&self, files: Option<&str>) {
        self.0.lock().unwrap().fails_to_sync = files.map(|files| (files.to_owned(), 0));
    }

    pub(crate) fn fail_to_sync_after(&self, files: &str, syncs: u64) {
        self.0.lock().unwrap().fails_to_sync = Some((files.to_owned(), syncs));
    }

    /// Kills the program, and writes to a real directory what the system has: all that was written.
    pub(crate) fn kill(&self, into: &Path) {
        for (path, file) in self.0.lock().unwrap().clone().files {
            std::fs::write(into.join(Path::new(&path).file_name().unwrap()), file.now).unwrap();
        }
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    /// Takes the power away, and writes to a real directory what is left then: all that was synced, and of the rest whatever chance
    /// leaves, sector by sector, in any order.
    pub(crate) fn lose_power(&self, seed: u64, into: &Path) {
        let platters = self.0.lock().unwrap().clone();
        let mut chance = Chance(seed);
        for (path, file) in platters.files {
            let mut left = file.synced;
            // Sometimes all of the rest was lucky, sometimes nothing.
            let luck = chance.next() % 5;
            for change in file.unsynced {
                match change {
                    Change::Length(length) if chance.lucky(luck) => left.resize(length as usize, 0),
                    Change::Length(_) => {}
                    Change::Write(offset, data) => {
                        for (index, sector) in data.chunks(SECTOR).enumerate() {
                            if chance.lucky(luck) {
                                put(&mut left, offset as usize + index * SECTOR, sector);
                            }
                        }
                    }
                }
            }
            let name = Path::new(&path).file_name().unwrap();
            std::fs::write(into.join(name), left).unwrap();
        }
    }
}

impl Platters {
    fn used(&self) -> u64 {
        self.files.values().map(|file| file.now.len() as u64).sum()
    }
}

struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        let number = scramble(self.0);
        self.0 = self.0.wrapping_add(GOLDEN_RATIO);
        number
    }

    fn lucky(&mut self, of_four: u64) -> bool {
        self.next() % 4 < of_four
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

impl Vfs for Disk {
    type Handle = Open;

    fn open(&self, path: &str, _: OpenOptions) -> Result<Open, Error> {
        self.0.lock().unwrap().files.entry(path.to_owned()).or_default();
        Ok(Open { disk: self.clone(), path: path.to_owned(), lock: LockKind::None })
    }

    fn delete(&self, path: &str) -> Result<(), Error> {
        self.0.lock().unwrap().files.remove(path).map(|_| ()).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &str) -> Result<bool, Error> {
        Ok(self.0.lock().unwrap().files.contains_key(path))
    }

    fn temporary_name(&self) -> String {
        "temporary".to_owned()
    }

    fn random(&self, buffer: &mut [i8]) {
        let mut chance = Chance(buffer.as_ptr() as u64);
        buffer.iter_mut().for_each(|byte| *byte = chance.next() as i8);
    }

    fn sleep(&self, duration: Duration) -> Duration {
        duration
    }
}

impl Open {
    fn with<R>(&self, work: impl FnOnce(&mut Platters, &str) -> R) -> R {
        work(&mut self.disk.0.lock().unwrap(), &self.path)
    }
}

impl DatabaseHandle for Open {
    type WalIndex = WalDisabled;

    fn size(&self) -> Result<u64, Error> {
        Ok(self.with(|platters, path| platters.files[path].now.len() as u64))
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        self.with(|platters, path| {
            let now = &platters.files[path].now;
            let from = now.get(offset as usize..).unwrap_or_default();
            let whole = from.len().min(buffer.len());
            buffer.fill(0);
            buffer[..whole].copy_from_slice(&from[..whole]);
            if whole < buffer.len() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
        })
    }

    fn write_all_at(&mut self, data: &[u8], offset: u64) -> Result<(), Error> {
        self.with(|platters, path| {
            let (used, room) = (platters.used(), platters.room);
            let file = platters.files.get_mut(path).unwrap();
            let grows = (offset + data.len() as u64).saturating_sub(file.now.len() as u64);
            if grows > 0 && room.is_some_and(|room| used + grows > room) {
                return Err(ErrorKind::WriteZero.into());
            }
            put(&mut file.now, offset as usize, data);
            file.unsynced.push(Change::Write(offset, data.to_vec()));
            Ok(())
        })
    }

    fn sync(&mut self, _: bool) -> Result<(), Error> {
        self.with(|platters, path| {
            let name = Path::new(path).file_name().unwrap().to_str().unwrap();
            if let Some((files, more)) = &mut platters.fails_to_sync
                && name.starts_with(files.as_str())
            {
                *more = more.checked_sub(1).ok_or(ErrorKind::Other)?;
            }
            platters.syncs += 1;
            let file = platters.files.get_mut(path).unwrap();
            file.synced = file.now.clone();
            file.unsynced.clear();
            Ok(())
        })
    }

    fn set_len(&mut self, size: u64) -> Result<(), Error> {
        self.with(|platters, path| {
            let file = platters.files.get_mut(path).unwrap();
            file.now.resize(size as usize, 0);
            file.unsynced.push(Change::Length(size));
            Ok(())
        })
    }

    fn lock(&mut self, lock: LockKind) -> Result<bool, Error> {
        self.lock = lock;
        Ok(true)
    }

    fn reserved(&mut self) -> Result<bool, Error> {
        Ok(self.lock == LockKind::Reserved)
    }

    fn current_lock(&self) -> Result<LockKind, Error> {
        Ok(self.lock)
    }

    fn wal_index(&self, _: bool) -> Result<WalDisabled, Error> {
        Ok(WalDisabled)
    }
}
