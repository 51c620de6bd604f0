//! What came of a delivery, and those who died.

use std::sync::atomic::Ordering;

use super::{Books, Death, Settlement, epoch_millis};
use crate::figures::{add, less};
use crate::row::Row;
use crate::store::{Grave, Store};
use crate::{Fate, Fault, ItemId, Refusal, Ticket, log};

impl Books {
    /// An item is among the dead letters before it leaves the queue, and in the queue before it leaves the dead letters, so that a crash in
    /// between loses nothing. Then it is in both.
    pub(super) fn finish_deaths(&mut self) -> Result<(), Fault> {
        for (old, new, id) in self.dead.moved()? {
            let has_arrived = self.items.get(new).is_ok_and(|row| row.is_some_and(|row| row.id == id));
            self.dead.write(true, |dead| match has_arrived {
                true => dead.delete(old).map(|_| ()),
                false => dead.set_moved(old, None),
            })?;
        }
        let mut after = i64::MIN;
        loop {
            let graves = self.dead.ids(after, 1_000)?;
            let Some((last, _)) = graves.last() else {
                return Ok(());
            };
            after = *last;
            self.items.write(false, |items| {
                graves.iter().try_for_each(|(place, id)| items.delete_item(*place, *id).map(|_| ()))
            })?;
        }
    }

    /// Records what came of a delivery. Returns the places of those dead who could not be put among the dead letters: they are still in
    /// the queue.
    pub(crate) fn settle(&mut self, settlement: &Settlement) -> Result<Vec<i64>, Fault> {
        let unburied = self.bury_all(&settlement.dead);
        let (stay, buried): (Vec<_>, Vec<_>) =
            settlement.dead.iter().partition(|death| unburied.contains(&death.place));
        let buried_places = buried.iter().map(|death| death.place);
        let gone: Vec<i64> = settlement.delivered.iter().copied().chain(buried_places).collect();
        if !gone.is_empty() {
            self.items.write(false, |items| items.delete_all(&gone))?;
            self.dirty = true;
        }
        self.note_tries(settlement, &stay);

        let figures = &self.shared.figures;
        less(&figures.backlog, gone.len() as u64);
        add(&figures.delivered, settlement.delivered.len() as u64);
        add(&figures.dead_lettered, buried.len() as u64);
        add(&figures.dead_letters, buried.len() as u64);
        for death in buried {
            log::died(&self.shared.name, death.cause, death.tries);
            let fate = || Fate::DeadLettered { error: death.error.clone() };
            self.shared.tickets.resolve(death.place, fate);
        }
        if self.items.shrink().is_err() {
            add(&figures.store_faults, 1);
        }
        self.measure();
        if !settlement.dead.is_empty() {
            self.measure_dead();
        }
        Ok(unburied)
    }

    /// How often each was tried is for the next opening; what is going on has it in memory. So nothing waits for this to succeed.
    fn note_tries(&mut self, settlement: &Settlement, stay: &[&Death]) {
        let tried = settlement.tried.iter().copied();
        let tried: Vec<_> = tried.chain(stay.iter().map(|death| (death.place, death.tries))).collect();
        if tried.is_empty() {
            return;
        }
        let noted = self.items.write(false, |items| {
            tried.iter().try_for_each(|(place, tries)| items.set_tries(*place, *tries))
        });
        match noted {
            Ok(()) => self.dirty = true,
            Err(fault) => self.shared.fault(fault),
        }
    }

    /// Returns the places of those who are not among the dead letters. What is wrong with that file keeps nobody else from going on.
    fn bury_all(&mut self, deaths: &[Death]) -> Vec<i64> {
        let buried = self.bury(deaths);
        let one_by_one = match buried {
            Ok(()) => return Vec::new(),
            // Some may find room, or be readable.
            Err(Fault::DiskFull | Fault::Corrupt) => deaths.len() > 1,
            Err(_) => false,
        };
        let mut unburied = Vec::new();
        for death in deaths {
            let again = if one_by_one { self.bury(std::slice::from_ref(death)) } else { buried };
            match again {
                Ok(()) => continue,
                Err(Fault::DiskFull) => add(&self.shared.figures.dead_letters_full, 1),
                Err(fault) => self.shared.fault(fault),
            }
            unburied.push(death.place);
        }
        unburied
    }

    /// Puts copies among the dead letters, on the disk.
    fn bury(&mut self, deaths: &[Death]) -> Result<(), Fault> {
        let died = epoch_millis(&self.clock);
        let mut rows = Vec::new();
        for death in deaths {
            // One that is gone was buried before.
            if let Some(mut row) = self.items.get(death.place)? {
                row.tries = death.tries;
                rows.push((row, Grave { cause: death.cause, died, error: death.error.clone() }));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.dead.write(true, |dead| {
            rows.iter().try_for_each(|(row, grave)| {
                // From an earlier time, when the rest of it failed.
                dead.delete_item(row.place, row.id)?;
                dead.insert(row, Some(grave))
            })
        })
    }

    /// Deletes what is in the queue again.
    fn follow_up(&mut self) {
        if self.left_behind.is_empty() {
            return;
        }
        let places = &self.left_behind;
        let deleted = self.dead.write(true, |dead| dead.delete_all(places));
        if deleted.is_ok() {
            less(&self.shared.figures.dead_letters, self.left_behind.len() as u64);
            self.left_behind.clear();
        }
    }

    pub(crate) fn dead_letters(
        &mut self,
        after: Option<ItemId>,
        most: usize,
        bytes: usize,
    ) -> Result<Vec<(Row, Grave)>, Fault> {
        self.follow_up();
        let place = match after {
            // One that is gone meanwhile stood where it was accepted, or behind.
            Some(id) => self.dead.find(id)?.unwrap_or(id.seq().cast_signed()),
            None => i64::MIN,
        };
        self.dead.graves(place, most, bytes)
    }

    /// Puts a dead letter at the end of the queue, with its id and no tries.
    pub(crate) fn requeue(&mut self, id: ItemId) -> Result<Option<Ticket>, Refusal> {
        self.follow_up();
        let found = self.dead.find(id).and_then(|place| place.map(|place| self.dead.get(place)).transpose());
        let Some(mut row) = found.map_err(Refusal::Store)?.flatten() else {
            return Ok(None);
        };
        let old = row.place;
        // What is damaged stays so.
        if row.is_sound() {
            row.put_at(self.next);
        } else {
            row.place = self.next;
        }
        self.next = self.next.saturating_add(1);
        row.tries = 0;
        let bound = self.items.bound();
        if self.items.bytes().map_or(0, |(used, _)| used) + Store::estimate(&row) > bound {
            return Err(Refusal::Full { bound });
        }
        // In the queue before it leaves the dead letters; each on the disk. The mark tells the next opening where to look.
        self.dead.write(true, |dead| dead.set_moved(old, Some(row.place))).map_err(Refusal::Store)?;
        let stored = self.items.write(true, |items| items.insert(&row, None));
        stored.map_err(|fault| self.refusal(fault, Store::estimate(&row)))?;
        let figures = &self.shared.figures;
        add(&figures.requeued, 1);
        add(&figures.backlog, 1);
        match self.dead.write(true, |dead| dead.delete(old)) {
            Ok(_) => less(&figures.dead_letters, 1),
            Err(fault) => {
                // What cannot be synced may be there all the same after a crash, so that nothing can be taken back any more.
                self.shared.fault(fault);
                self.left_behind.push(old);
            }
        }
        let ticket = self.shared.tickets.issue(row.id, row.place);
        self.shared.figures.last.fetch_max(row.place, Ordering::Release);
        self.tell_news();
        self.measure();
        self.measure_dead();
        Ok(Some(ticket))
    }

    pub(crate) fn drop_dead_letter(&mut self, id: ItemId) -> Result<bool, Fault> {
        self.follow_up();
        let Some(place) = self.dead.find(id)? else {
            return Ok(false);
        };
        let dropped = self.dead.write(true, |dead| dead.delete(place))?;
        if dropped {
            less(&self.shared.figures.dead_letters, 1);
        }
        self.dead.shrink()?;
        self.measure_dead();
        Ok(dropped)
    }
}
