use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_core::{Clock, splitmix};
use tokio::sync::{Notify, oneshot};

use crate::figures::{Figures, add, less, set};
use crate::row::Row;
use crate::store::{Grave, Salvaged, Store};
use crate::ticket::Tickets;
use crate::{
    DeathCause, Fate, Fault, Finding, FsyncPolicy, ItemId, Refusal, SpoolSettings, Ticket, figures, log,
};

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
    clock: Clock,
    shared: Arc<Shared>,
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
                // The lock is on the first: nothing of the second is touched without it.
                let items = Store::salvage(dir, "items.db", bounds.0, vfs)?;
                let dead = Store::salvage(dir, "dead.db", bounds.1, vfs)?;
                sync_dir(dir);
                (items, dead)
            }
            None => {
                let store = |bound| Store::in_memory(bound).map(|store| Salvaged { store, finding: None });
                (store(bounds.0)?, store(bounds.1)?)
            }
        };
        let findings = items.finding.into_iter().chain(dead.finding).collect();
        let mut books = Self {
            items: items.store,
            dead: dead.store,
            fsync: settings.fsync,
            origin: splitmix::random(),
            next: 1,
            dirty: false,
            clock: settings.clock.clone(),
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
        Ok((books, findings))
    }

    /// An item is among the dead letters before it leaves the queue, so that a crash in between loses nothing. Then it is in both.
    fn finish_deaths(&mut self) -> Result<(), Fault> {
        let mut after = i64::MIN;
        loop {
            let graves = self.dead.graves(after, 1_000)?;
            let Some((last, _)) = graves.last() else {
                return Ok(());
            };
            after = last.place;
            self.items.write(false, |items| {
                graves.iter().try_for_each(|(row, _)| items.delete_item(row.place, row.id).map(|_| ()))
            })?;
        }
    }

    /// Stores items, and tells each caller.
    pub(crate) fn accept(&mut self, pushes: Vec<Push>) {
        if self.fsync == FsyncPolicy::EachItem {
            pushes.into_iter().for_each(|push| self.accept_group(vec![push]));
        } else {
            self.accept_group(pushes);
        }
        self.measure();
    }

    fn accept_group(&mut self, pushes: Vec<Push>) {
        let (bound, used) = (self.items.bound(), self.items.bytes().map_or(0, |(used, _)| used));
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
        match self.store(&rows) {
            Ok(()) => {
                rows.iter().zip(callers).for_each(|(row, caller)| self.accepted(row, caller));
                self.tell_news();
            }
            // Some of them may find room.
            Err(Fault::DiskFull) if rows.len() > 1 => {
                for (row, caller) in rows.iter().zip(callers) {
                    match self.store(std::slice::from_ref(row)) {
                        Ok(()) => self.accepted(row, caller),
                        Err(fault) => self.refuse(caller, self.refusal(fault)),
                    }
                }
                self.tell_news();
            }
            Err(fault) => {
                let refusal = self.refusal(fault);
                callers.into_iter().for_each(|caller| self.refuse(caller, refusal));
            }
        }
    }

    fn row(&mut self, key: Option<Arc<str>>, version: u32, accepted: i64, body: Vec<u8>) -> Row {
        let place = self.next;
        self.next = self.next.saturating_add(1);
        let id = ItemId::new(self.origin, place.cast_unsigned());
        let mut row = Row { place, id, key, version, tries: 0, accepted, body, sum: 0 };
        row.sum = row.checksum();
        row
    }

    fn store(&mut self, rows: &[Row]) -> Result<(), Fault> {
        if rows.is_empty() {
            return Ok(());
        }
        let sync = !matches!(self.fsync, FsyncPolicy::Interval(_));
        self.items.write(sync, |items| rows.iter().try_for_each(|row| items.insert(row, None)))?;
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

    fn refusal(&self, fault: Fault) -> Refusal {
        match fault {
            Fault::DiskFull if self.items.at_bound() => Refusal::Full { bound: self.items.bound() },
            fault => Refusal::Store(fault),
        }
    }

    fn tell_news(&self) {
        self.shared.news.notify_one();
    }

    /// Records what came of a delivery. Returns the places of those dead for which there was no room: they are still in the queue.
    pub(crate) fn settle(&mut self, settlement: &Settlement) -> Result<Vec<i64>, Fault> {
        let mut unburied = Vec::new();
        let mut gone = settlement.delivered.clone();
        for death in &settlement.dead {
            match self.bury(death) {
                Ok(()) => gone.push(death.place),
                Err(Fault::DiskFull) => unburied.push(death.place),
                Err(fault) => return Err(fault),
            }
        }
        let tried = settlement.tried.iter().copied();
        let stay = settlement.dead.iter().filter(|death| unburied.contains(&death.place));
        let tried: Vec<_> = tried.chain(stay.map(|death| (death.place, death.tries))).collect();
        self.items.write(false, |items| {
            gone.iter().try_for_each(|place| items.delete(*place).map(|_| ()))?;
            tried.iter().try_for_each(|(place, tries)| items.set_tries(*place, *tries))
        })?;
        self.dirty = true;

        let figures = &self.shared.figures;
        let died = settlement.dead.len() - unburied.len();
        less(&figures.backlog, gone.len() as u64);
        add(&figures.delivered, settlement.delivered.len() as u64);
        add(&figures.dead_lettered, died as u64);
        add(&figures.dead_letters, died as u64);
        add(&figures.dead_letters_full, unburied.len() as u64);
        for death in settlement.dead.iter().filter(|death| !unburied.contains(&death.place)) {
            log::died(&self.shared.name, death.cause, death.tries);
            let fate = || Fate::DeadLettered { error: death.error.clone() };
            self.shared.tickets.resolve(death.place, fate);
        }
        if self.items.shrink().is_err() {
            add(&figures.store_faults, 1);
        }
        self.measure();
        Ok(unburied)
    }

    /// Puts a copy among the dead letters, on the disk.
    fn bury(&mut self, death: &Death) -> Result<(), Fault> {
        let Some(mut row) = self.items.get(death.place)? else {
            return Ok(());
        };
        row.tries = death.tries;
        let grave = Grave { cause: death.cause, died: epoch_millis(&self.clock), error: death.error.clone() };
        self.dead.write(true, |dead| {
            // From an earlier time, when the rest of it failed.
            dead.delete(row.place)?;
            dead.insert(&row, Some(&grave))
        })
    }

    pub(crate) fn after(&self, place: i64, rows: usize, bytes: usize) -> Result<Vec<Row>, Fault> {
        self.items.after(place, rows, bytes)
    }

    pub(crate) fn get(&self, places: &[i64]) -> Result<Vec<Row>, Fault> {
        let rows = places.iter().map(|place| self.items.get(*place));
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    pub(crate) fn of_key(&self, key: &str, from: i64, to: i64) -> Result<(Option<Row>, Option<i64>), Fault> {
        self.items.of_key(key, from, to)
    }

    pub(crate) fn dead_letters(
        &self,
        after: Option<ItemId>,
        most: usize,
    ) -> Result<Vec<(Row, Grave)>, Fault> {
        let place = match after {
            Some(id) => self.dead.find(id)?.unwrap_or(i64::MAX),
            None => i64::MIN,
        };
        self.dead.graves(place, most)
    }

    /// Puts a dead letter at the end of the queue, with its id and no tries.
    pub(crate) fn requeue(&mut self, id: ItemId) -> Result<Option<Ticket>, Refusal> {
        let found = self.dead.find(id).and_then(|place| place.map(|place| self.dead.get(place)).transpose());
        let Some(mut row) = found.map_err(Refusal::Store)?.flatten() else {
            return Ok(None);
        };
        let old = std::mem::replace(&mut row.place, self.next);
        self.next = self.next.saturating_add(1);
        row.tries = 0;
        // In the queue before it leaves the dead letters; both on the disk.
        let bound = self.items.bound();
        if self.items.bytes().map_or(0, |(used, _)| used) + Store::estimate(&row) > bound {
            return Err(Refusal::Full { bound });
        }
        self.items.write(true, |items| items.insert(&row, None)).map_err(|fault| self.refusal(fault))?;
        let removed = self.dead.write(true, |dead| dead.delete(old)).map_err(Refusal::Store);
        if let Err(error) = removed {
            let _ = self.items.write(false, |items| items.delete(row.place));
            return Err(error);
        }
        let figures = &self.shared.figures;
        add(&figures.requeued, 1);
        add(&figures.backlog, 1);
        less(&figures.dead_letters, 1);
        let ticket = self.shared.tickets.issue(row.id, row.place);
        figures.last.fetch_max(row.place, Ordering::Release);
        self.tell_news();
        self.measure();
        Ok(Some(ticket))
    }

    pub(crate) fn drop_dead_letter(&mut self, id: ItemId) -> Result<bool, Fault> {
        let Some(place) = self.dead.find(id)? else {
            return Ok(false);
        };
        let dropped = self.dead.write(true, |dead| dead.delete(place))?;
        if dropped {
            less(&self.shared.figures.dead_letters, 1);
        }
        self.dead.shrink()?;
        self.measure();
        Ok(dropped)
    }

    /// What an interval's end demands.
    pub(crate) fn sync(&mut self) -> Result<(), Fault> {
        if self.dirty {
            self.items.sync()?;
            self.dirty = false;
        }
        Ok(())
    }

    fn measure(&self) {
        let figures = &self.shared.figures;
        if let (Ok((used, file)), Ok((dead, _))) = (self.items.bytes(), self.dead.bytes()) {
            set(&figures.used_bytes, used);
            set(&figures.file_bytes, file);
            set(&figures.dead_bytes, dead);
        }
    }

    pub(crate) fn close(self) -> Result<(), Fault> {
        let (items, dead) = (self.items.close(), self.dead.close());
        self.shared.tickets.resolve_all();
        items.and(dead)
    }
}

/// New files are safe only when their directory is on the disk too. Where directories cannot be synced it is not needed.
fn sync_dir(dir: &Path) {
    for dir in [Some(dir), dir.parent()].into_iter().flatten() {
        let _ = std::fs::File::open(dir).and_then(|dir| dir.sync_all());
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
