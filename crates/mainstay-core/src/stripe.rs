//! Counters that many threads bump without sharing a cache line.
//!
//! The problem: one shared read-modify-write per call makes every design slower with a second core. The idea:
//! each thread owns a row of counters, on a cache line of its own, and bumps it with a plain load and store; a
//! reader sums the rows. What breaks the naive version is a row with two owners, which loses counts, so a row
//! belongs to a *slot*, and a slot to one living thread at a time: a thread takes the lowest free slot at its
//! first bump and gives it back when it ends. Taking and giving back go through one lock, which orders the last
//! store of the old owner before the first load of the new one. Threads beyond the rows share one overflow row
//! and bump it with `fetch_add`.

use std::fmt;

use crate::sync::{AtomicU64, Ordering};

/// A row of counters on cache lines of its own.
#[repr(align(64))]
pub struct Row<const N: usize>([AtomicU64; N]);

/// One [`Row`] for each of a number of threads; the others have none.
pub struct Rows<const N: usize>(Box<[Row<N>]>);

/// One [`Row`] for each of a number of threads, and an overflow row that all others share.
pub struct Striped<const N: usize> {
    rows: Rows<N>,
    overflow: Row<N>,
}

/// A counter that many threads bump.
///
/// ```
/// use mainstay_core::StripedCounter;
///
/// let served = StripedCounter::new();
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| (0..1000).for_each(|_| served.bump()));
///     }
/// });
/// assert_eq!(served.sum(), 4000);
/// ```
#[derive(Debug)]
pub struct StripedCounter(Striped<1>);

/// The calling thread's slot, the same for all [`Rows`]; of no row before the thread's first bump.
#[inline]
pub fn stripe_slot() -> usize {
    slot::current()
}

// === impl Row ===

impl<const N: usize> Row<N> {
    /// A row of zeros.
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// The value of a column; 0 for a column that does not exist.
    #[inline]
    pub fn get(&self, column: usize) -> u64 {
        // Relaxed: a counter orders nothing. Who needs more loads something else with Acquire.
        self.0.get(column).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// Like [`get`](Self::get), and what its writer did before the value was [`publish`](Self::publish)ed is seen.
    #[inline]
    pub fn observe(&self, column: usize) -> u64 {
        self.0.get(column).map_or(0, |cell| cell.load(Ordering::Acquire))
    }

    /// Sets a column. Only the row's owner may.
    #[inline]
    pub fn set(&self, column: usize, value: u64) {
        if let Some(cell) = self.0.get(column) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    /// Sets a column after everything that its owner wrote before.
    #[inline]
    pub fn publish(&self, column: usize, value: u64) {
        if let Some(cell) = self.0.get(column) {
            cell.store(value, Ordering::Release);
        }
    }

    /// Adds 1 with a plain load and store. Only the row's owner may, else counts are lost.
    #[inline]
    pub fn bump(&self, column: usize) {
        if let Some(cell) = self.0.get(column) {
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Adds 1 with an atomic read-modify-write. Anybody may, if nobody [`bump`](Self::bump)s.
    #[inline]
    pub fn bump_shared(&self, column: usize) {
        if let Some(cell) = self.0.get(column) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<const N: usize> Default for Row<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for Row<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..N).map(|column| self.get(column))).finish()
    }
}

// === impl Rows ===

impl<const N: usize> Rows<N> {
    /// Rows for four threads per core, between 32 and 256.
    pub fn new() -> Self {
        Self::with_rows(default_rows())
    }

    /// A number of rows; with 0 no thread has one.
    pub fn with_rows(rows: usize) -> Self {
        Self((0..rows).map(|_| Row::new()).collect())
    }

    /// The calling thread's own row, unless the rows are all taken.
    #[inline]
    pub fn mine(&self) -> Option<&Row<N>> {
        match self.0.get(slot::current()) {
            Some(row) => Some(row),
            None => self.first_of_mine(),
        }
    }

    /// Apart, so that the usual way keeps nothing for it.
    #[cold]
    #[inline(never)]
    fn first_of_mine(&self) -> Option<&Row<N>> {
        self.0.get(slot::assign())
    }

    /// The row of a slot; see [`stripe_slot`].
    #[inline]
    pub fn row(&self, slot: usize) -> Option<&Row<N>> {
        self.0.get(slot)
    }

    /// All rows.
    pub fn iter(&self) -> std::slice::Iter<'_, Row<N>> {
        self.0.iter()
    }

    /// Whether no thread has a row.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<const N: usize> Default for Rows<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, const N: usize> IntoIterator for &'a Rows<N> {
    type Item = &'a Row<N>;
    type IntoIter = std::slice::Iter<'a, Row<N>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<const N: usize> fmt::Debug for Rows<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

// === impl Striped ===

impl<const N: usize> Striped<N> {
    /// Rows for four threads per core, between 32 and 256.
    pub fn new() -> Self {
        Self::with_rows(default_rows())
    }

    /// A number of rows; with 0 every thread shares the overflow row.
    pub fn with_rows(rows: usize) -> Self {
        Self { rows: Rows::with_rows(rows), overflow: Row::new() }
    }

    /// The calling thread's own row, unless the rows are all taken.
    #[inline]
    pub fn mine(&self) -> Option<&Row<N>> {
        self.rows.mine()
    }

    /// The row of the threads that have none of their own.
    #[inline]
    pub fn overflow(&self) -> &Row<N> {
        &self.overflow
    }

    /// Adds 1 to a column, in whichever row is the calling thread's.
    #[inline]
    pub fn bump(&self, column: usize) {
        match self.mine() {
            Some(row) => row.bump(column),
            None => self.overflow.bump_shared(column),
        }
    }

    /// The sum of a column. Exact once the bumps that it shall hold happened before; concurrent ones may be in it
    /// or not.
    pub fn sum(&self, column: usize) -> u64 {
        self.rows().map(|row| row.get(column)).fold(self.overflow.get(column), u64::wrapping_add)
    }

    /// The rows that threads own, without the overflow row.
    pub fn rows(&self) -> impl Iterator<Item = &Row<N>> {
        self.rows.iter()
    }
}

impl<const N: usize> Default for Striped<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for Striped<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..N).map(|column| self.sum(column))).finish()
    }
}

// === impl StripedCounter ===

impl StripedCounter {
    /// A counter at 0.
    pub fn new() -> Self {
        Self(Striped::new())
    }

    /// Adds 1.
    #[inline]
    pub fn bump(&self) {
        self.0.bump(0);
    }

    /// What was counted so far; exact once the bumps happened before.
    pub fn sum(&self) -> u64 {
        self.0.sum(0)
    }
}

impl Default for StripedCounter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(loom))]
fn default_rows() -> usize {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    (4 * cores).clamp(32, 256)
}

#[cfg(loom)]
fn default_rows() -> usize {
    2
}

/// Which row is whose.
#[cfg(not(loom))]
mod slot {
    use std::cell::Cell;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::sync::{Mutex, PoisonError};

    /// Not asked for yet. No row has this index, so the fast path needs no further test.
    const UNASSIGNED: usize = usize::MAX;
    /// The thread is ending and has given its slot back: no row either, and never assigned again.
    const GONE: usize = usize::MAX - 1;

    thread_local! {
        // Two locals: the first has no destructor, so reading it is one load and works to a thread's very end; the
        // second gives the slot back.
        static SLOT: Cell<usize> = const { Cell::new(UNASSIGNED) };
        static LEASE: Lease = Lease::take();
    }

    struct Slots {
        free: BinaryHeap<Reverse<usize>>,
        next: usize,
    }

    static SLOTS: Mutex<Slots> = Mutex::new(Slots { free: BinaryHeap::new(), next: 0 });

    struct Lease(usize);

    #[inline]
    pub(super) fn current() -> usize {
        SLOT.get()
    }

    #[cold]
    pub(super) fn assign() -> usize {
        match SLOT.get() {
            UNASSIGNED => {
                let slot = LEASE.try_with(|lease| lease.0).unwrap_or(GONE);
                SLOT.set(slot);
                slot
            }
            slot => slot,
        }
    }

    impl Lease {
        fn take() -> Self {
            let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = match slots.free.pop() {
                Some(Reverse(slot)) => slot,
                None => {
                    slots.next += 1;
                    slots.next - 1
                }
            };
            Self(slot)
        }
    }

    impl Drop for Lease {
        fn drop(&mut self) {
            // First stop using the slot, then let others have it: later destructors of this thread may still count.
            SLOT.set(GONE);
            SLOTS.lock().unwrap_or_else(PoisonError::into_inner).free.push(Reverse(self.0));
        }
    }
}

/// The same under loom, where a model begins with all slots free, and statics are gone before the main thread's
/// locals are.
#[cfg(loom)]
mod slot {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use crate::sync::{Mutex, lock};

    /// The slots that are taken.
    type Slots = BTreeSet<usize>;

    loom::lazy_static! {
        static ref SLOTS: Arc<Mutex<Slots>> = Arc::new(Mutex::new(Slots::new()));
    }

    loom::thread_local! {
        static LEASE: Lease = Lease::take();
    }

    struct Lease {
        slot: usize,
        slots: Arc<Mutex<Slots>>,
    }

    pub(super) fn current() -> usize {
        // A thread that has given its slot back has no row.
        LEASE.try_with(|lease| lease.slot).unwrap_or(usize::MAX)
    }

    pub(super) fn assign() -> usize {
        current()
    }

    impl Lease {
        fn take() -> Self {
            let slots = SLOTS.clone();
            let mut taken = lock(&slots);
            let slot = (0..).find(|slot| !taken.contains(slot)).unwrap_or(usize::MAX);
            taken.insert(slot);
            drop(taken);
            Self { slot, slots }
        }
    }

    impl Drop for Lease {
        fn drop(&mut self) {
            // After a panic there may be no model any more to do it in.
            if !std::thread::panicking() {
                lock(&self.slots).remove(&self.slot);
            }
        }
    }
}
