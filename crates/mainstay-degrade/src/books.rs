use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mainstay_core::Name;

use crate::stats::Counts;
use crate::{
    Behavior, BehaviorDecision, DegradationStats, DowngradeCount, EventCount, FallbackCount, Level, Mode,
    ModeDecision, PartialCount, PartialDecision, Reason, Settings,
};

/// What a manager has decided so far. As many counts as its rules have names, whatever is asked.
#[derive(Debug)]
pub(crate) struct Books {
    /// From and to, by reason.
    downgrades: Counts,
    /// Operations, by behavior.
    fallbacks: Rows,
    unknown: AtomicU64,
    /// Workflows, by reason and by whether the answer was given.
    partial: Rows,
    /// The same for all workflows that have no policy of their own.
    other: PartialBook,
}

/// Counts by name. A name that was known once stays, because counts never go back.
#[derive(Debug, Default)]
struct Rows(ArcSwap<BTreeMap<Name, Arc<Counts>>>);

/// Where the answers of a workflow are counted.
#[derive(Clone, Debug)]
pub(crate) struct PartialBook(Arc<Counts>);

/// What is less than to proceed.
const LESS: [Behavior; 4] = [Behavior::Degrade, Behavior::UseCache, Behavior::Skip, Behavior::Fail];

impl Rows {
    fn know(&self, names: impl Iterator<Item = Name>, columns: usize) {
        let names: Vec<_> = names.collect();
        self.0.rcu(|known| {
            let mut known = BTreeMap::clone(known);
            for name in &names {
                known.entry(*name).or_insert_with(|| Arc::new(Counts::new(1, columns)));
            }
            known
        });
    }

    fn get(&self, name: &str) -> Option<Arc<Counts>> {
        self.0.load().get(name).cloned()
    }

    /// Each count that is not zero, with its name and column.
    fn list(&self) -> Vec<(Name, usize, u64)> {
        let rows = self.0.load();
        let of_row = |(name, row): (&Name, &Arc<Counts>)| {
            row.list().map(|(_, column, count)| (*name, column, count)).collect()
        };
        rows.iter().flat_map::<Vec<_>, _>(of_row).collect()
    }
}

impl Books {
    pub(crate) fn new<M: Mode>(settings: &Settings<M>) -> Self {
        let modes = M::LADDER.len();
        let books = Self {
            downgrades: Counts::new(modes.saturating_mul(modes), Reason::ALL.len()),
            fallbacks: Rows::default(),
            unknown: AtomicU64::new(0),
            partial: Rows::default(),
            other: PartialBook(Arc::new(Counts::new(1, Reason::ALL.len() * 2))),
        };
        books.know(settings);
        books
    }

    /// From now on there are counts for the names of these settings as well.
    pub(crate) fn know<M: Mode>(&self, settings: &Settings<M>) {
        self.fallbacks.know(settings.behaviors.operations(), LESS.len());
        self.partial.know(settings.partial.workflows(), Reason::ALL.len() * 2);
    }

    pub(crate) fn partial(&self, workflow: &str) -> PartialBook {
        self.partial.get(workflow).map_or_else(|| self.other.clone(), PartialBook)
    }

    pub(crate) fn mode<M: Mode>(&self, decision: &ModeDecision<M>) {
        let step = |mode: M| M::LADDER.iter().position(|known| *known == mode);
        if let (Some(reason), Some(from), Some(to)) =
            (decision.reason(), step(decision.requested), step(decision.granted))
        {
            self.downgrades.add(from * M::LADDER.len() + to, column(reason));
        }
    }

    pub(crate) fn behavior(&self, decision: &BehaviorDecision) {
        let Some(operation) = decision.operation else {
            self.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Some(column) = LESS.iter().position(|less| *less == decision.behavior)
            && let Some(row) = self.fallbacks.0.load().get(&operation)
        {
            row.add(0, column);
        }
    }

    pub(crate) fn read<M: Mode>(&self, events: &Counts) -> DegradationStats {
        let reason = |column: usize| Reason::ALL.get(column).copied();
        let mode = |step: usize| Some(M::LADDER.get(step)?.name());
        let modes = M::LADDER.len().max(1);
        let events = events.list().filter_map(|(row, column, count)| {
            Some(EventCount { level: Level::ALL.get(row).copied()?, reason: reason(column)?, count })
        });
        let downgrades = self.downgrades.list().filter_map(|(row, column, count)| {
            let (from, to) = (mode(row / modes)?, mode(row % modes)?);
            Some(DowngradeCount { from, to, reason: reason(column)?, count })
        });
        let fallbacks = self.fallbacks.list().into_iter().filter_map(|(operation, column, count)| {
            Some(FallbackCount { operation, behavior: *LESS.get(column)?, count })
        });
        let named = self.partial.list().into_iter().map(|(name, column, count)| (Some(name), column, count));
        let other = self.other.0.list().map(|(_, column, count)| (None, column, count));
        let partial_results = named.chain(other).filter_map(|(workflow, column, count)| {
            Some(PartialCount { workflow, reason: reason(column / 2)?, accepted: column % 2 == 1, count })
        });
        DegradationStats {
            events: events.collect(),
            downgrades: downgrades.collect(),
            fallbacks: fallbacks.collect(),
            unknown_operations: self.unknown.load(Ordering::Relaxed),
            partial_results: partial_results.collect(),
        }
    }
}

impl PartialBook {
    /// Counts what is less than a whole answer.
    pub(crate) fn note(&self, decision: &PartialDecision) {
        if !decision.accept || decision.failed > 0 {
            let reason =
                decision.reason.as_ref().map_or(Reason::DependencyFailure, |cause| cause.what.reason());
            self.0.add(0, column(reason) * 2 + usize::from(decision.accept));
        }
    }
}

pub(crate) fn column(reason: Reason) -> usize {
    reason as usize
}
