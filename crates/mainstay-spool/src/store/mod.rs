//! One SQLite file of rows. See `docs/decisions/0014-spool-store.md` for why, and for what each setting here is needed.

mod aside;
mod salvage;
mod table;

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use crate::Fault;
use crate::row::Row;

pub(crate) use aside::{Lock, sync_dir};
pub(crate) use salvage::Salvaged;
pub(crate) use table::Grave;

/// `MSsp`, so that other databases are not taken for spools.
const APPLICATION_ID: i32 = 0x4d53_7370;
/// The version of the tables.
const FORMAT: i32 = 1;
/// After how many pages the write-ahead file is copied into the database and used from its start again.
const CHECKPOINT_PAGES: i64 = 4_000;

/// Bytes of the first bytes of every SQLite file.
const MAGIC: &[u8] = b"SQLite format 3\0";

pub(crate) struct Store {
    connection: Connection,
    bound: u64,
    page: u64,
    syncs: bool,
    in_memory: bool,
    lock: Option<Lock>,
}

/// Why a file cannot be used as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsound {
    Corrupt,
    Foreign,
    Newer,
    Fault(Fault),
}

impl From<rusqlite::Error> for Unsound {
    fn from(error: rusqlite::Error) -> Self {
        let memory = error.sqlite_error_code() == Some(ErrorCode::OutOfMemory);
        match Fault::from(error) {
            // A damaged schema makes all kinds of errors.
            Fault::Corrupt | Fault::Other if !memory => Self::Corrupt,
            fault => Self::Fault(fault),
        }
    }
}

// === impl Store ===

impl Store {
    pub(crate) fn in_memory(bound: u64) -> Result<Self, Fault> {
        let mut store = Self::with(Connection::open_in_memory()?, bound, true);
        store.create()?;
        store.limit()?;
        Ok(store)
    }

    /// Opens a file as it is, or creates it.
    fn open(path: &Path, bound: u64, vfs: Option<&str>) -> Result<Self, Unsound> {
        // With another file system nothing can be said about what this one has.
        if vfs.is_none() {
            look_at(path)?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let connection = match vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
            None => Connection::open_with_flags(path, flags),
        }?;
        let mut store = Self::with(connection, bound, false);
        store.lock()?;
        // Before anything is written: what is not ours, or damaged, stays as it is.
        let is_new = match store.application()? {
            (0, 0) if store.is_empty()? => true,
            (APPLICATION_ID, FORMAT) => false,
            (APPLICATION_ID, version) if version > FORMAT => return Err(Unsound::Newer),
            // Ours, but for these few bytes.
            _ if store.has_tables()? => return Err(Unsound::Corrupt),
            _ => return Err(Unsound::Foreign),
        };
        // A new one, too: its head alone may be there, and be damaged.
        let is_sound = store.is_whole()? && (is_new || store.has_tables()? && store.has_places()?);
        if !is_sound {
            return Err(Unsound::Corrupt);
        }
        store.configure()?;
        if is_new {
            store.create()?;
        }
        store.limit()?;
        store.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        Ok(store)
    }

    fn with(connection: Connection, bound: u64, in_memory: bool) -> Self {
        connection.set_prepared_statement_cache_capacity(64);
        Self { connection, bound, page: 4096, syncs: true, in_memory, lock: None }
    }

    fn lock(&self) -> Result<(), rusqlite::Error> {
        // A file that is given up keeps its write-ahead file.
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Without this, a statement with `place > ?` is prepared anew for each place: its plan might be better for another one.
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // Nobody waits for a lock: whoever has it keeps it.
        self.connection.busy_timeout(std::time::Duration::ZERO)?;
        // Before anything is read: the index of the write-ahead file is then in memory, and the lock is never given back.
        self.pragma("locking_mode = EXCLUSIVE")?;
        // What a damaged or hostile file says is not believed.
        self.pragma("trusted_schema = OFF")?;
        self.pragma("cell_size_check = ON")
    }

    fn configure(&self) -> Result<(), rusqlite::Error> {
        self.pragma("auto_vacuum = INCREMENTAL")?;
        self.pragma("journal_mode = WAL")?;
        self.pragma("synchronous = FULL")?;
        // Where `fsync` does not reach the disk.
        self.pragma("fullfsync = ON")?;
        self.pragma("checkpoint_fullfsync = ON")?;
        self.pragma(&format!("wal_autocheckpoint = {CHECKPOINT_PAGES}"))?;
        // The places at which a thousand keys or so grow stay in memory: with the default of 2 MB each push would read and write pages.
        self.pragma("cache_size = -16384")?;
        // A write-ahead file that a large batch made large is cut when it is used from its start again.
        self.pragma("journal_size_limit = 33554432")?;
        // Takes the lock now rather than at the first push.
        self.connection.execute_batch("BEGIN EXCLUSIVE; COMMIT")
    }

    fn application(&self) -> Result<(i32, i32), rusqlite::Error> {
        let id = self.connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let version = self.connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok((id, version))
    }

    fn is_empty(&self) -> Result<bool, rusqlite::Error> {
        let tables: i64 =
            self.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let pages: i64 = self.connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        Ok(tables == 0 && pages <= 1)
    }

    fn create(&mut self) -> Result<(), rusqlite::Error> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.create_tables()?;
        self.connection.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT"
        ))
    }

    fn is_whole(&self) -> Result<bool, rusqlite::Error> {
        let verdict: Option<String> =
            self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).optional()?;
        Ok(verdict.as_deref() == Some("ok"))
    }

    /// The bound is the engine's, so that no reckoning of ours can be wrong about it.
    fn limit(&mut self) -> Result<(), rusqlite::Error> {
        self.page = self.number("PRAGMA page_size")?.max(512);
        self.pragma(&format!("max_page_count = {}", (self.bound / self.page).clamp(1, 4_294_967_294)))
    }

    fn pragma(&self, pragma: &str) -> Result<(), rusqlite::Error> {
        // Some answer, some do not.
        self.connection.query_row(&format!("PRAGMA {pragma}"), [], |_| Ok(())).optional().map(|_| ())
    }

    fn number(&self, query: &str) -> Result<u64, rusqlite::Error> {
        let number: i64 = self.connection.prepare_cached(query)?.query_row([], |row| row.get(0))?;
        Ok(number.max(0) as u64)
    }

    /// Runs what writes, all of it or nothing. With `sync`, it is on the disk when this returns, and so is everything before it.
    pub(crate) fn write<R>(
        &mut self,
        sync: bool,
        work: impl FnOnce(&Self) -> Result<R, rusqlite::Error>,
    ) -> Result<R, Fault> {
        self.set_syncs(sync)?;
        self.execute("BEGIN IMMEDIATE")?;
        let done = work(self).and_then(|value| self.execute("COMMIT").map(|()| value));
        // Some errors have rolled back already.
        if done.is_err() && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        Ok(done?)
    }

    fn execute(&self, statement: &str) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached(statement)?.execute([]).map(|_| ())
    }

    fn set_syncs(&mut self, sync: bool) -> Result<(), rusqlite::Error> {
        if sync != self.syncs && !self.in_memory {
            self.pragma(if sync { "synchronous = FULL" } else { "synchronous = NORMAL" })?;
            self.syncs = sync;
        }
        Ok(())
    }

    /// Brings what was written without `sync` to the disk.
    pub(crate) fn sync(&mut self) -> Result<(), Fault> {
        if self.in_memory {
            return Ok(());
        }
        // A commit that syncs takes everything before it along, and one that writes nothing does not sync.
        self.write(true, Self::touch)
    }

    /// Bytes in use, and bytes of the file, without the write-ahead file. Both are at most the bound.
    pub(crate) fn bytes(&self) -> Result<(u64, u64), Fault> {
        let pages = self.number("PRAGMA page_count")?;
        let free = self.number("PRAGMA freelist_count")?;
        Ok((pages.saturating_sub(free) * self.page, pages * self.page))
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        self.in_memory
    }

    pub(crate) fn bound(&self) -> u64 {
        self.bound
    }

    /// Whether a write of so many bytes that found no room met the bound, and not the end of the disk.
    pub(crate) fn at_bound(&self, needed: u64) -> bool {
        // What one write needs beyond its own bytes.
        const ROOM: u64 = 8;
        self.bytes().is_ok_and(|(used, _)| used + needed + ROOM * self.page >= self.bound)
    }

    /// How much of the file a row takes at most, near enough to refuse it before it is tried. The key is in the index, too.
    pub(crate) fn estimate(row: &Row) -> u64 {
        let key = row.key.as_ref().map_or(0, |key| key.len() as u64 + 32);
        let bytes = row.bytes() as u64 + key + 96;
        // Long ones have pages of their own.
        if bytes > 2_000 { bytes + 8_192 } else { bytes }
    }

    /// Gives a part of the unused pages back to the file system, if they are many.
    pub(crate) fn shrink(&mut self) -> Result<(), Fault> {
        let (used, file) = self.bytes()?;
        let free = (file - used) / self.page;
        if free > 256 && file > 2 * used && !self.in_memory {
            self.set_syncs(false)?;
            let mut shrink = self.connection.prepare("PRAGMA incremental_vacuum(4096)")?;
            let mut rows = shrink.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(())
    }

    /// Keeps the lock of the directory until this is closed.
    pub(crate) fn hold(&mut self, lock: Lock) {
        self.lock = Some(lock);
    }

    /// Everything into the database file, and the file closed.
    pub(crate) fn close(mut self) -> Result<(), Fault> {
        self.sync()?;
        if !self.in_memory {
            self.pragma("wal_checkpoint(TRUNCATE)")?;
        }
        let closed = self.connection.close().map_err(|(_, error)| error.into());
        drop(self.lock);
        closed
    }
}

/// What is written at this path, as far as its first bytes tell. A file that is empty, or not there, is a new one.
fn look_at(path: &Path) -> Result<(), Unsound> {
    use std::io::Read;
    let io = |error: std::io::Error| Unsound::Fault(error.into());
    let length = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
        Ok(found) if !found.is_file() => return Err(Unsound::Foreign),
        Ok(found) if found.len() == 0 => return Ok(()),
        Ok(found) => found.len(),
    };
    let mut head = Vec::new();
    std::fs::File::open(path).map_err(io)?.take(20).read_to_end(&mut head).map_err(io)?;
    let page = match head.strip_prefix(MAGIC) {
        None => return Err(Unsound::Foreign),
        // The page's size, and what may write and read it: a file that is for reading only is none that this wrote.
        Some([0, 1, 0..=2, 0..=2]) => 65_536,
        Some([high, low, 0..=2, 0..=2]) => u64::from(u16::from_be_bytes([*high, *low])),
        Some(_) => return Err(Unsound::Corrupt),
    };
    let whole = length.checked_next_multiple_of(page).ok_or(Unsound::Corrupt)?;
    if whole != length {
        // A part of a page is what a loss of power leaves when the write-ahead file is copied: the rest is there. To SQLite a page that
        // is cut is one with zeroes, but not everywhere.
        if !aside::has_log(path).map_err(io)? {
            return Err(Unsound::Corrupt);
        }
        std::fs::File::options().write(true).open(path).and_then(|file| file.set_len(whole)).map_err(io)?;
    }
    Ok(())
}
