mod dead;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_core::{Clock, splitmix};
use tokio::sync::{Notify, oneshot};

use crate::figures::{Figures, add, set};
use crate::row::Row;
use crate::store::{Lock, Salvaged, Store, sync_dir};
use crate::ticket::Tickets;
use crate::{DeathCause, Fault, Finding, FsyncPolicy, ItemId, Refusal, SpoolSettings, Ticket, figures, log};

/// Both files, and what is told about them. Only the clerk has it.
pub(crate) struct Books {
    items: Store,
    dead: Store,
    fsync: FsyncPolicy,
    /// Drawn at this opening: half of each new item's id.
    origin: u64,
    /// The place of the next item; behind every place that either file has.
    next: i64,
    /// Something was written that is not synced yet.
    dirty: bool,
    /// Dead letters that are in the queue again, and could not be deleted.
    left_behind: Vec<i64>,
    clock: Clock,
    shared: Arc<Shared>,
    _end: End,
}

/// Whoever waits for a fate is told when the books are closed, and also when the thread that has them ends otherwise.
struct End(Arc<Tickets>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.resolve_all();
    }
}

/// What the clerk and everybody else see.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) figures: Figures,
    pub(crate) tickets: Arc<Tickets>,
    /// Something was added to the queue.
    pub(crate) news: Notify,
}

/// An item that somebody waits to see accepted.
pub(crate) struct Push {
    pub(crate) key: Option<Arc<str>>,
    pub(crate) version: u32,
    pub(crate) body: Vec<u8>,
    pub(crate) accepted: oneshot::Sender<Result<Ticket, Refusal>>,
}

/// What came of a delivery, for the files.
#[derive(Default)]
pub(crate) struct Settlement {
    pub(crate) delivered: Vec<i64>,
    pub(crate) tried: Vec<(i64, u32)>,
    pub(crate) dead: Vec<Death>,
}

#[derive(Clone, Debug)]
pub(crate) struct Death {
    pub(crate) place: i64,
    pub(crate) tries: u32,
    pub(crate) cause: DeathCause,
    pub(crate) error: String,
}

impl Push {
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.key.as_ref().map_or(0, |key| key.len())
    }
}

// === impl Books ===

impl Books {
    pub(crate) fn open(
        dir: Option<&Path>,
        settings: &SpoolSettings,
        shared: Arc<Shared>,
    ) -> Result<(Self, Vec<Finding>), Fault> {
        let (bounds, vfs) = ((settings.bound, settings.dead_bound), settings.vfs.as_deref());
        let (items, dead) = match dir {
            Some(dir) => {
                std::fs::create_dir_all(dir)?;
                let lock = Lock::take(dir)?;
                let items = Store::salvage(dir, "items.db", bounds.0, vfs)?;
                let mut dead = Store::salvage(dir, "dead.db", bounds.1, vfs)?;
                // The last that is closed.
                dead.store.hold(lock);
                // Those above it may be as new, also if an opening that made them was killed.
                dir.ancestors().for_each(sync_dir);
                (items, dead)
            }
            None => {
                let store =
                    |bound| Store::in_memory(bound).map(|store| Salvaged { store, findings: Vec::new() });
                (store(bounds.0)?, store(bounds.1)?)
            }
        };
        let findings = items.findings.into_iter().chain(dead.findings).collect();
        let mut books = Self {
            items: items.store,
            dead: dead.store,
            fsync: settings.fsync,
            origin: splitmix::random(),
            next: 1,
            dirty: false,
            left_behind: Vec::new(),
            clock: settings.clock.clone(),
            _end: End(shared.tickets.clone()),
            shared,
        };
        books.dead.index_ids()?;
        books.finish_deaths()?;
        let ((living, last), (dead, last_dead)) = (books.items.extent()?, books.dead.extent()?);
        books.next = last.max(last_dead).saturating_add(1);
        let figures = &books.shared.figures;
        set(&figures.backlog, living);
        set(&figures.dead_letters, dead);
        figures.last.store(last, Ordering::Release);
        books.measure();
        books.measure_dead();
        Ok((books, findings))
    }

    pub(crate) fn syncs_each(&self) -> bool {
        self.fsync == FsyncPolicy::EachItem
    }

    /// Within which what was written is synced, if it is not at once.
    pub(crate) fn sync_interval(&self) -> Option<Duration> {
        match self.fsync {
            FsyncPolicy::Interval(interval) if !self.items.is_in_memory() => Some(interval),
            _ => None,
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether pushes share a sync, so that more of them together are cheaper.
    pub(crate) fn groups(&self) -> bool {
        self.fsync == FsyncPolicy::EachBatch && !self.items.is_in_memory()
    }

    /// Stores items, and tells each caller; before them, that they are stored.
    pub(crate) fn accept(&mut self, pushes: Vec<Push>, stored: impl FnOnce()) {
        self.accept_group(pushes, stored);
        self.measure();
    }

    fn accept_group(&mut self, pushes: Vec<Push>, stored: impl FnOnce()) {
        let (bound, used) = (self.items.bound(), self.shared.figures.used_bytes.load(Ordering::Relaxed));
        let accepted = epoch_millis(&self.clock);
        let (mut rows, mut callers, mut estimate) = (Vec::new(), Vec::new(), used);
        for push in pushes {
            let row = self.row(push.key, push.version, accepted, push.body);
            if estimate.saturating_add(Store::estimate(&row)) > bound {
                self.refuse(push.accepted, Refusal::Full { bound });
                continue;
            }
            estimate += Store::estimate(&row);
            rows.push(row);
            callers.push(push.accepted);
        }
        let done = self.store(&rows);
        stored();
        match done {
            Ok(()) => {
                rows.iter().zip(callers).for_each(|(row, caller)| self.accepted(row, caller));
                self.tell_news();
            }
            // Some of them may find room.
            Err(Fault::DiskFull) if rows.len() > 1 => {
                for (row, caller) in rows.iter().zip(callers) {
                    match self.store(std::slice::from_ref(row)) {
                        Ok(()) => self.accepted(row, caller),
                        Err(fault) => self.refuse(caller, self.refusal(fault, Store::estimate(row))),
                    }
                }
                self.tell_news();
            }
            Err(fault) => {
                for (row, caller) in rows.iter().zip(callers) {
                    self.refuse(caller, self.refusal(fault, Store::estimate(row)));
                }
            }
        }
    }

    fn row(&mut self, key: Option<Arc<str>>, version: u32, accepted: i64, body: Vec<u8>) -> Row {
        let place = self.next;
        self.next = self.next.saturating_add(1);
        let id = ItemId::new(self.origin, place.cast_unsigned());
        let mut row = Row { place, id, key, version, tries: 0, accepted, body, sum: 0 };
        row.put_at(place);
        row
    }

    fn store(&mut self, rows: &[Row]) -> Result<(), Fault> {
        if rows.is_empty() {
            return Ok(());
        }
        let sync = !matches!(self.fsync, FsyncPolicy::Interval(_));
        self.items.write(sync, |items| items.insert_all(rows.iter().map(|row| (row, None))))?;
        self.dirty |= !sync;
        Ok(())
    }

    fn accepted(&self, row: &Row, caller: oneshot::Sender<Result<Ticket, Refusal>>) {
        let figures = &self.shared.figures;
        add(&figures.accepted, 1);
        add(&figures.backlog, 1);
        figures.last.fetch_max(row.place, Ordering::Release);
        // A caller who has gone has his ticket dropped here.
        let _ = caller.send(Ok(self.shared.tickets.issue(row.id, row.place)));
    }

    fn refuse(&self, caller: oneshot::Sender<Result<Ticket, Refusal>>, refusal: Refusal) {
        add(&self.shared.figures.refused, 1);
        log::refused(&self.shared.name, refusal);
        let _ = caller.send(Err(refusal));
    }

    fn refusal(&self, fault: Fault, needed: u64) -> Refusal {
        match fault {
            Fault::DiskFull if self.items.at_bound(needed) => Refusal::Full { bound: self.items.bound() },
            fault => Refusal::Store(fault),
        }
    }

    fn tell_news(&self) {
        self.shared.news.notify_one();
    }

    pub(crate) fn after(&self, place: i64, rows: usize, bytes: usize) -> Result<Vec<Row>, Fault> {
        self.items.after(place, rows, bytes)
    }

    /// The rows at these places, in their order, until they have so many bytes; one at least.
    pub(crate) fn get(&self, places: &[i64], bytes: usize) -> Result<Vec<Option<Row>>, Fault> {
        let (mut rows, mut total) = (Vec::new(), 0_usize);
        for place in places {
            if total >= bytes {
                break;
            }
            let row = self.items.get(*place)?;
            total = total.saturating_add(row.as_ref().map_or(0, Row::bytes));
            rows.push(row);
        }
        Ok(rows)
    }

    pub(crate) fn of_key(&self, key: &str, from: i64, to: i64) -> Result<(Option<i64>, Option<i64>), Fault> {
        self.items.of_key(key, from, to)
    }

    pub(crate) fn newest_of(&self, key: &str) -> Result<Option<Row>, Fault> {
        self.items.newest_of(key)
    }

    /// What an interval's end demands. False if it failed.
    pub(crate) fn sync(&mut self) -> bool {
        match self.items.sync() {
            Ok(()) => self.dirty = false,
            Err(fault) => self.shared.fault(fault),
        }
        !self.dirty
    }

    fn measure(&self) {
        let figures = &self.shared.figures;
        if let Ok((used, file)) = self.items.bytes() {
            set(&figures.used_bytes, used);
            set(&figures.file_bytes, file);
        }
    }

    fn measure_dead(&self) {
        if let Ok((dead, _)) = self.dead.bytes() {
            set(&self.shared.figures.dead_bytes, dead);
        }
    }

    pub(crate) fn close(self) -> Result<(), Fault> {
        let (items, dead) = (self.items.close(), self.dead.close());
        items.and(dead)
    }
}

fn epoch_millis(clock: &Clock) -> i64 {
    let since = clock.wall(clock.now()).duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn wall(millis: i64) -> std::time::SystemTime {
    let since = std::time::Duration::from_millis(millis.max(0).cast_unsigned());
    std::time::UNIX_EPOCH.checked_add(since).unwrap_or(std::time::UNIX_EPOCH)
}

impl Shared {
    pub(crate) fn fault(&self, fault: Fault) {
        figures::add(&self.figures.store_faults, 1);
        log::fault(&self.name, fault);
    }
}
