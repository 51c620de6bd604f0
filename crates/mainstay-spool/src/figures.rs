use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// How a spool is, and what it has done since it was opened. Counts never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolStats {
    /// Items that were accepted.
    pub accepted: u64,
    /// Items that were refused.
    pub refused: u64,
    /// Items that the sink has, those of earlier runs included.
    pub delivered: u64,
    /// Tries that failed, and counted.
    pub failed_tries: u64,
    /// Deliveries that said nothing about their items: the sink was unavailable, panicked or took too long.
    pub failed_deliveries: u64,
    /// Items that became dead letters.
    pub dead_lettered: u64,
    /// Dead letters that were put back into the queue.
    pub requeued: u64,
    /// Items that died while there was no room for dead letters: how often such an item stayed in the queue.
    pub dead_letters_full: u64,
    /// Writes of the store that failed, pushes not included.
    pub store_faults: u64,
    /// Items that are not delivered yet.
    pub backlog: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Items in memory, ready for delivery or under way.
    pub in_memory: u64,
    /// Deliveries under way.
    pub in_flight: u64,
    /// Items that wait for their next try.
    pub waiting: u64,
    /// Bytes of the file of undelivered items, without the write-ahead file.
    pub file_bytes: u64,
    /// Those of them that are in use: what the bound is compared with.
    pub used_bytes: u64,
    /// Bytes of the file of dead letters that are in use.
    pub dead_bytes: u64,
}

/// The figures while they change. Each is written where it changes; together they are near enough to one moment.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) failed_tries: AtomicU64,
    pub(crate) failed_deliveries: AtomicU64,
    pub(crate) dead_lettered: AtomicU64,
    pub(crate) requeued: AtomicU64,
    pub(crate) dead_letters_full: AtomicU64,
    pub(crate) store_faults: AtomicU64,
    pub(crate) backlog: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    pub(crate) in_memory: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) file_bytes: AtomicU64,
    pub(crate) used_bytes: AtomicU64,
    pub(crate) dead_bytes: AtomicU64,
    /// The last place in the queue that was given away and is on the log.
    pub(crate) last: AtomicI64,
}

impl Figures {
    pub(crate) fn stats(&self) -> SpoolStats {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        SpoolStats {
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            delivered: read(&self.delivered),
            failed_tries: read(&self.failed_tries),
            failed_deliveries: read(&self.failed_deliveries),
            dead_lettered: read(&self.dead_lettered),
            requeued: read(&self.requeued),
            dead_letters_full: read(&self.dead_letters_full),
            store_faults: read(&self.store_faults),
            backlog: read(&self.backlog),
            dead_letters: read(&self.dead_letters),
            in_memory: read(&self.in_memory),
            in_flight: read(&self.in_flight),
            waiting: read(&self.waiting),
            file_bytes: read(&self.file_bytes),
            used_bytes: read(&self.used_bytes),
            dead_bytes: read(&self.dead_bytes),
        }
    }
}

pub(crate) fn add(figure: &AtomicU64, by: u64) {
    figure.fetch_add(by, Ordering::Relaxed);
}

pub(crate) fn less(figure: &AtomicU64, by: u64) {
    let _ = figure.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(by)));
}

pub(crate) fn set(figure: &AtomicU64, to: u64) {
    figure.store(to, Ordering::Relaxed);
}
