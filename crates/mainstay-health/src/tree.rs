use std::sync::Arc;
use std::time::Duration;

use mainstay_core::Name;

use crate::report::Summary;
use crate::{CheckReport, Effect, Reason, Status};

/// How many checks a leaf has. With n checks a new result costs about `LEAF + n / LEAF` steps.
const LEAF: usize = 64;

/// The reports of all checks, as a value that is cheap to copy and cheap to change in one place: two levels of shared
/// leaves, each with the sum of what is in it. So a result among ten thousand checks costs a microsecond and not a millisecond,
/// and a reader keeps a report for as long as it likes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    leaves: Vec<Arc<Leaf>>,
}

#[derive(Clone, Debug, Default)]
struct Leaf {
    checks: Vec<Option<Arc<CheckReport>>>,
    sum: Sum,
}

/// What all checks make together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    pub(crate) summary: Summary,
    /// Checks that fail readiness.
    pub(crate) unready: u32,
    /// Checks that fail liveness.
    pub(crate) dead: u32,
    /// Checks that startup waits for.
    pub(crate) starting: u32,
    /// Checks that make the whole unhealthy, and those that make it degraded.
    pub(crate) unhealthy: u32,
    pub(crate) degraded: u32,
    /// When the first result that readiness rests on is too old.
    pub(crate) ready_until: Duration,
    /// When the first result that liveness rests on is too old.
    pub(crate) live_until: Duration,
    /// When the first of all changes by time alone.
    pub(crate) changes_at: Duration,
}

// === impl Tree ===

impl Tree {
    /// Puts a report in its place, or empties the place.
    pub(crate) fn put(&mut self, position: usize, check: Option<Arc<CheckReport>>) {
        let (leaf, place) = (position / LEAF, position % LEAF);
        while self.leaves.len() <= leaf {
            self.leaves.push(Arc::default());
        }
        let Some(leaf) = self.leaves.get_mut(leaf) else { return };
        let leaf = Arc::make_mut(leaf);
        if leaf.checks.len() <= place {
            leaf.checks.resize(place + 1, None);
        }
        if let Some(slot) = leaf.checks.get_mut(place) {
            *slot = check;
        }
        leaf.sum = leaf.checks.iter().flatten().fold(Sum::default(), |sum, check| sum.and(&Sum::of(check)));
    }

    pub(crate) fn get(&self, position: usize) -> Option<&Arc<CheckReport>> {
        self.leaves.get(position / LEAF)?.checks.get(position % LEAF)?.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<CheckReport>> {
        self.leaves.iter().flat_map(|leaf| leaf.checks.iter().flatten())
    }

    /// Every name with its place.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (Name, usize)> {
        let places = self.leaves.iter().enumerate().flat_map(|(index, leaf)| {
            leaf.checks.iter().enumerate().map(move |(place, check)| (index * LEAF + place, check))
        });
        places.filter_map(|(position, check)| Some((check.as_ref()?.name, position)))
    }

    pub(crate) fn sum(&self) -> Sum {
        self.leaves.iter().fold(Sum::default(), |sum, leaf| sum.and(&leaf.sum))
    }
}

// === impl Sum ===

impl Default for Sum {
    /// Of no checks.
    fn default() -> Self {
        Self {
            summary: Summary::default(),
            unready: 0,
            dead: 0,
            starting: 0,
            unhealthy: 0,
            degraded: 0,
            ready_until: Duration::MAX,
            live_until: Duration::MAX,
            changes_at: Duration::MAX,
        }
    }
}

impl Sum {
    /// Of one check.
    pub(crate) fn of(check: &CheckReport) -> Self {
        let mut sum = Self::default();
        if !check.enabled {
            sum.summary.disabled = 1;
            return sum;
        }
        sum.summary.total = 1;
        *(if check.critical { &mut sum.summary.critical } else { &mut sum.summary.non_critical }) = 1;
        let down =
            if check.critical { &mut sum.summary.critical_down } else { &mut sum.summary.non_critical_down };
        match check.status {
            Status::Healthy => sum.summary.healthy = 1,
            Status::Degraded => sum.summary.degraded = 1,
            Status::Unknown => sum.summary.unknown = 1,
            Status::Unhealthy if check.reason == Reason::Blocked => sum.summary.blocked = 1,
            Status::Unhealthy => (sum.summary.unhealthy, *down) = (1, 1),
        }
        sum.unready = u32::from(check.readiness == Effect::Fails);
        sum.dead = u32::from(check.fails_liveness);
        sum.starting = u32::from(check.starting);
        sum.unhealthy = u32::from(check.overall == Status::Unhealthy);
        sum.degraded = u32::from(check.overall == Status::Degraded);
        sum.changes_at = check.changes_at;
        if check.gates {
            sum.ready_until = check.stale_at;
        }
        if check.watched_for_life {
            sum.live_until = check.stale_at;
        }
        sum
    }

    /// Of two sets of checks together.
    fn and(mut self, other: &Self) -> Self {
        let (mine, its) = (&mut self.summary, &other.summary);
        mine.total += its.total;
        mine.healthy += its.healthy;
        mine.degraded += its.degraded;
        mine.unhealthy += its.unhealthy;
        mine.unknown += its.unknown;
        mine.blocked += its.blocked;
        mine.critical += its.critical;
        mine.non_critical += its.non_critical;
        mine.critical_down += its.critical_down;
        mine.non_critical_down += its.non_critical_down;
        mine.disabled += its.disabled;
        self.unready += other.unready;
        self.dead += other.dead;
        self.starting += other.starting;
        self.unhealthy += other.unhealthy;
        self.degraded += other.degraded;
        self.ready_until = self.ready_until.min(other.ready_until);
        self.live_until = self.live_until.min(other.live_until);
        self.changes_at = self.changes_at.min(other.changes_at);
        self
    }
}
