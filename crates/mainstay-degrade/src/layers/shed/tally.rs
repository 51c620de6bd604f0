use std::sync::atomic::{AtomicU64, Ordering};

use crate::Criticality;

/// One whole request, in the parts that shares are added up in.
const WHOLE: u64 = 1 << 32;

/// What was shed so far, and what was not, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShedCounts {
    /// How many requests were let through, in the order of [`Criticality::ALL`].
    pub admitted: [u64; 4],
    /// How many were shed, in the same order.
    pub shed: [u64; 4],
}

impl ShedCounts {
    /// How many requests of a class were let through.
    pub fn admitted(&self, class: Criticality) -> u64 {
        self.admitted.get(class as usize).copied().unwrap_or_default()
    }

    /// How many requests of a class were shed.
    pub fn shed(&self, class: Criticality) -> u64 {
        self.shed.get(class as usize).copied().unwrap_or_default()
    }
}

/// The books of all services of one layer.
#[derive(Debug, Default)]
pub(super) struct Tally([ClassTally; 4]);

#[derive(Debug, Default)]
struct ClassTally {
    /// The shares of all requests added up; a request that carries the sum past a whole is shed. No dice, so that half is every
    /// second one.
    sum: AtomicU64,
    admitted: AtomicU64,
    shed: AtomicU64,
}

impl Tally {
    /// Whether the next request of a class is one of its share. Counts it.
    pub(super) fn sheds(&self, class: Criticality, share: f64) -> bool {
        let Some(tally) = self.0.get(class as usize) else { return false };
        let sheds = share > 0.0 && tally.passes_whole(share);
        let count = if sheds { &tally.shed } else { &tally.admitted };
        count.fetch_add(1, Ordering::Relaxed);
        sheds
    }

    pub(super) fn counts(&self) -> ShedCounts {
        let read = |count: fn(&ClassTally) -> &AtomicU64| {
            Criticality::ALL.map(|class| {
                self.0.get(class as usize).map_or(0, |tally| count(tally).load(Ordering::Relaxed))
            })
        };
        ShedCounts { admitted: read(|tally| &tally.admitted), shed: read(|tally| &tally.shed) }
    }
}

impl ClassTally {
    /// Relaxed: the sum alone decides, and nothing else is read by it. It wraps at a whole number of requests.
    fn passes_whole(&self, share: f64) -> bool {
        let step = (share * WHOLE as f64) as u64;
        let before = self.sum.fetch_add(step, Ordering::Relaxed);
        before / WHOLE != before.wrapping_add(step) / WHOLE
    }
}
