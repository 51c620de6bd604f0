//! What every call counts, without sharing a cache line.
//!
//! Each thread has a row (see `mainstay_core::Rows`). Beside the totals a row knows how many of its successes
//! belong to the current epoch: `TAG` says of which epoch (by its healthy word, which spares a call the shift) `BASE` is the number of successes before it. A success whose
//! epoch is the row's bumps one counter and is done. Otherwise the row is *rolled*, by its owner, under the breaker's
//! lock.
//!
//! Why that is exact: only the lock's holder changes the epoch, and rows are rolled only under the lock, so while it
//! is held `TAG` and `BASE` stand still, and a reader can sum `SUCCESS - BASE` over the rows of the current epoch. A
//! success that was delayed between its look at the word and its bump finds the row still in its own, old epoch (no
//! one else rolls it), so it never counts in a later one.
//!
//! A lane is the same for one width of time slices: `TAG` says for which epoch and which use of the lane the slices
//! are, `LATEST` which one is current, `END` when it ends, and `SLOT` in which column it is.
//!
//! The compact form has no rows: successes are counted in one cell and under the lock (see `pace`), and what else there is to
//! count goes into the row that the threads without one share, which is made when it is first needed.

use mainstay_core::sync::{AtomicU64, OnceBox, Ordering};
use mainstay_core::{Row, Rows};

use crate::{Window, word};

const TAG: usize = 0;
const BASE: usize = 1;
/// Successes, of every epoch, that were counted in time.
const SUCCESS: usize = 2;
/// Successes that decided nothing: late, forced, let through; and those of probes.
const UNJUDGED: usize = 3;
pub(crate) const FAILURE: usize = 4;
pub(crate) const IGNORED: usize = 5;
pub(crate) const CANCELLED: usize = 6;
pub(crate) const REJECTED: usize = 7;
const COLUMNS: usize = 8;

const SLICES: usize = Window::SLICES as usize;
const END: usize = 1;
const SLOT: usize = 2;
const LATEST: usize = 3;
const FIRST: usize = 4;
const LANE_COLUMNS: usize = FIRST + SLICES;

pub(crate) const LANES: usize = crate::Settings::MAX_RULES;

#[repr(C)]
pub(crate) struct Tally {
    rows: Rows<COLUMNS>,
    /// The row of all threads that have none of their own.
    overflow: OnceBox<Row<COLUMNS>>,
    /// None in the compact form, nor without a window of time.
    lanes: OnceBox<[OnceBox<Lane>; LANES]>,
}

/// The slices of one width.
struct Lane {
    /// Which use of the lane this is; 0 when it is out of use. It never repeats for a breaker.
    term: AtomicU64,
    rows: Rows<LANE_COLUMNS>,
}

/// A lane as a call finds it.
#[derive(Clone, Copy)]
struct LaneInUse<'a> {
    rows: &'a Rows<LANE_COLUMNS>,
    term: u32,
}

/// A lane as the lock's holder knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneKey {
    pub(crate) index: usize,
    pub(crate) term: u32,
    pub(crate) width: u64,
}

impl Tally {
    pub(crate) fn new(striped: bool) -> Self {
        let rows = if striped { Rows::new() } else { Rows::with_rows(0) };
        Self { rows, overflow: OnceBox::new(), lanes: OnceBox::new() }
    }

    /// Whether no thread has a row.
    #[inline]
    pub(crate) fn is_compact(&self) -> bool {
        self.rows.is_empty()
    }

    #[inline]
    pub(crate) fn bump(&self, column: usize) {
        match self.rows.mine() {
            Some(row) => row.bump(column),
            None => self.overflow.get_or_init(Box::default).bump_shared(column),
        }
    }

    pub(crate) fn bump_unjudged(&self) {
        self.bump(UNJUDGED);
    }

    pub(crate) fn total(&self, column: usize) -> u64 {
        let overflow = self.overflow.get().map_or(0, |row| row.get(column));
        self.rows.iter().map(|row| row.get(column)).fold(overflow, u64::wrapping_add)
    }

    pub(crate) fn successes(&self) -> u64 {
        self.total(SUCCESS).wrapping_add(self.total(UNJUDGED))
    }

    /// Counts a success in the calling thread's row, in the epoch of a healthy word. False if the row must be rolled
    /// first, or if the thread has none.
    #[inline(always)]
    pub(crate) fn count(&self, healthy: u64) -> bool {
        match self.rows.row(mainstay_core::stripe_slot()) {
            Some(row) if row.get(TAG) == healthy => {
                row.bump(SUCCESS);
                true
            }
            _ => false,
        }
    }

    /// The same, with the time slices of every lane in use: all of them, or nothing.
    #[inline]
    pub(crate) fn count_timed(&self, epoch: u32, now: u64) -> bool {
        // One lane is the rule, and then one look is enough.
        let Some([first, second, ..]) = self.lanes.get() else { return false };
        let Some(lane) = first.get().filter(|_| second.get().is_none()) else {
            return self.count_in_lanes(epoch, now);
        };
        let slot = mainstay_core::stripe_slot();
        let (Some(row), Some(slices)) = (self.rows.row(slot), lane.rows.row(slot)) else { return false };
        // Relaxed: a lane that is given another term in between keeps this row's count under the old one.
        let term = lane.term.load(Ordering::Relaxed);
        // That the lane's row is in the epoch says that the thread's own row is: they are rolled together, and a row that
        // was rolled without this lane since then, in a later epoch, was so by an owner who has seen that epoch's word.
        if slices.get(TAG) != word::healthy_in(epoch) | term || now >= slices.get(END) {
            return false;
        }
        bump_slice(slices);
        row.bump(SUCCESS);
        true
    }

    #[cold]
    #[inline(never)]
    fn count_in_lanes(&self, epoch: u32, now: u64) -> bool {
        let Some(row) = self.rows.mine() else { return false };
        if row.get(TAG) != word::healthy_in(epoch) {
            return false;
        }
        if !self.lanes_in_use().all(|lane| lane.current(epoch, now).is_some()) {
            return false;
        }
        self.lanes_in_use().filter_map(|lane| lane.current(epoch, now)).for_each(bump_slice);
        row.bump(SUCCESS);
        true
    }

    fn lanes_in_use(&self) -> impl Iterator<Item = LaneInUse<'_>> + Clone {
        self.lanes.get().into_iter().flatten().map_while(OnceBox::get).filter_map(|lane| {
            // Relaxed: a lane that is given another term in between keeps this row's count under the old one.
            let term = lane.term.load(Ordering::Relaxed) as u32;
            (term != 0).then_some(LaneInUse { rows: &lane.rows, term })
        })
    }

    // === Under the breaker's lock ===

    /// Rolls the calling thread's row to `epoch` and each of its lanes to `now`. False if the thread has no row.
    pub(crate) fn roll(&self, epoch: u32, now: u64, lanes: impl Iterator<Item = LaneKey>) -> bool {
        let Some(row) = self.rows.mine() else { return false };
        if row.get(TAG) != word::healthy_in(epoch) {
            row.set(BASE, row.get(SUCCESS));
            row.set(TAG, word::healthy_in(epoch));
        }
        for key in lanes {
            if let Some(row) = self.lane(key.index).and_then(|lane| lane.rows.mine()) {
                roll_lane(row, epoch, key, now);
            }
        }
        true
    }

    /// How many successes of `epoch` are in the rows.
    pub(crate) fn judged(&self, epoch: u32) -> u64 {
        let of_epoch = self.rows.iter().filter(|row| row.get(TAG) == word::healthy_in(epoch));
        of_epoch.map(|row| row.get(SUCCESS).wrapping_sub(row.get(BASE))).sum()
    }

    /// How many successes of `epoch` are in the window of a lane that ends with the slice of `now`.
    pub(crate) fn judged_in(&self, key: LaneKey, epoch: u32, now: u64) -> u64 {
        let Some(lane) = self.lane(key.index) else { return 0 };
        let of_epoch = lane.rows.iter().filter(|row| row.get(TAG) == tag(epoch, key.term));
        of_epoch.map(|row| lane_sum(row, now / key.width)).sum()
    }

    /// Takes a lane into use. It is visible to calls before the word says that there are lanes.
    pub(crate) fn open_lane(&self, key: LaneKey) {
        let lanes = self.lanes.get_or_init(|| Box::new(std::array::from_fn(|_| OnceBox::new())));
        if let Some(cell) = lanes.get(key.index) {
            let lane = cell.get_or_init(|| Box::new(Lane { term: AtomicU64::new(0), rows: Rows::new() }));
            lane.term.store(u64::from(key.term), Ordering::Relaxed);
        }
    }

    pub(crate) fn close_lane(&self, index: usize) {
        if let Some(lane) = self.lane(index) {
            lane.term.store(0, Ordering::Relaxed);
        }
    }

    fn lane(&self, index: usize) -> Option<&Lane> {
        self.lanes.get()?.get(index)?.get()
    }
}

impl<'a> LaneInUse<'a> {
    /// The calling thread's row, if it counts in the slice of `now`.
    #[inline]
    fn current(self, epoch: u32, now: u64) -> Option<&'a Row<LANE_COLUMNS>> {
        self.rows.mine().filter(|row| row.get(TAG) == tag(epoch, self.term) && now < row.get(END))
    }
}

#[inline]
fn bump_slice(row: &Row<LANE_COLUMNS>) {
    row.bump(row.get(SLOT) as usize);
}

fn tag(epoch: u32, term: u32) -> u64 {
    u64::from(epoch) << 32 | u64::from(term)
}

fn roll_lane(row: &Row<LANE_COLUMNS>, epoch: u32, key: LaneKey, now: u64) {
    let (tag, slice) = (tag(epoch, key.term), now / key.width);
    let current = row.get(TAG) == tag;
    let latest = if current { row.get(LATEST) } else { 0 };
    if current && slice <= latest {
        // Readings of a coarse clock may lag behind; slices never go back.
        return;
    }
    if !current || slice - latest >= SLICES as u64 {
        (0..SLICES).for_each(|place| row.set(FIRST + place, 0));
    } else {
        (latest + 1..=slice).for_each(|passed| row.set(column(passed), 0));
    }
    row.set(TAG, tag);
    row.set(LATEST, slice);
    row.set(SLOT, column(slice) as u64);
    row.set(END, slice.saturating_add(1).saturating_mul(key.width));
}

/// The sum over the window that ends with `slice`. Under the lock a row's latest slice stands still.
fn lane_sum(row: &Row<LANE_COLUMNS>, slice: u64) -> u64 {
    let latest = row.get(LATEST);
    // What the reader's window has left behind of the row's own.
    let behind = slice.saturating_sub(latest).min(SLICES as u64) as usize;
    let place = latest as usize % SLICES;
    let kept = (0..SLICES - behind).map(|back| FIRST + (place + SLICES - back) % SLICES);
    kept.map(|column| row.get(column)).sum()
}

fn column(slice: u64) -> usize {
    FIRST + (slice % SLICES as u64) as usize
}
