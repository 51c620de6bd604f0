use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::stats::Counts;
use crate::{
    Behavior, BehaviorDecision, BehaviorRules, DegradationStats, DowngradeCount, EventCount, FallbackCount,
    Level, Mode, ModeDecision, PartialCount, PartialDecision, PartialPolicies, Reason,
};

/// What a manager has decided so far. As many counts as the rules can need, whatever is asked.
#[derive(Debug)]
pub(crate) struct Books {
    /// From and to, by reason.
    downgrades: Counts,
    /// Operation, by behavior.
    fallbacks: Counts,
    unknown: AtomicU64,
    partial: Arc<PartialBook>,
}

/// Workflow, by reason and by whether the answer was given. The last row is for all workflows without a policy of their own.
#[derive(Debug)]
pub(crate) struct PartialBook(Counts);

/// What is less than to proceed.
const LESS: [Behavior; 4] = [Behavior::Degrade, Behavior::UseCache, Behavior::Skip, Behavior::Fail];

impl Books {
    pub(crate) fn new<M: Mode>(behaviors: &BehaviorRules, partial: &PartialPolicies) -> Self {
        let modes = M::LADDER.len();
        Self {
            downgrades: Counts::new(modes.saturating_mul(modes), Reason::ALL.len()),
            fallbacks: Counts::new(behaviors.operations().count(), LESS.len()),
            unknown: AtomicU64::new(0),
            partial: Arc::new(PartialBook(Counts::new(
                partial.workflows().count() + 1,
                Reason::ALL.len() * 2,
            ))),
        }
    }

    pub(crate) fn partial(&self) -> Arc<PartialBook> {
        self.partial.clone()
    }

    pub(crate) fn mode<M: Mode>(&self, decision: &ModeDecision<M>) {
        let step = |mode: M| M::LADDER.iter().position(|known| *known == mode);
        if let (Some(reason), Some(from), Some(to)) =
            (decision.reason(), step(decision.requested), step(decision.granted))
        {
            self.downgrades.add(from * M::LADDER.len() + to, column(reason));
        }
    }

    pub(crate) fn behavior(&self, rules: &BehaviorRules, decision: &BehaviorDecision) {
        let Some(operation) = decision.operation else {
            self.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let column = LESS.iter().position(|less| *less == decision.behavior);
        if let (Some(column), Some(row)) = (column, rules.place(operation)) {
            self.fallbacks.add(row, column);
        }
    }

    pub(crate) fn read<M: Mode>(
        &self,
        events: &Counts,
        behaviors: &BehaviorRules,
        partial: &PartialPolicies,
    ) -> DegradationStats {
        let reason = |column: usize| Reason::ALL.get(column).copied();
        let mode = |step: usize| Some(M::LADDER.get(step)?.name());
        let modes = M::LADDER.len().max(1);
        let operations: Vec<_> = behaviors.operations().collect();
        let workflows: Vec<_> = partial.workflows().collect();
        DegradationStats {
            events: events
                .list()
                .filter_map(|(row, column, count)| {
                    Some(EventCount { level: Level::ALL.get(row).copied()?, reason: reason(column)?, count })
                })
                .collect(),
            downgrades: self
                .downgrades
                .list()
                .filter_map(|(row, column, count)| {
                    let (from, to) = (mode(row / modes)?, mode(row % modes)?);
                    Some(DowngradeCount { from, to, reason: reason(column)?, count })
                })
                .collect(),
            fallbacks: self
                .fallbacks
                .list()
                .filter_map(|(row, column, count)| {
                    let (operation, behavior) = (*operations.get(row)?, *LESS.get(column)?);
                    Some(FallbackCount { operation, behavior, count })
                })
                .collect(),
            unknown_operations: self.unknown.load(Ordering::Relaxed),
            partial_results: self
                .partial
                .0
                .list()
                .filter_map(|(row, column, count)| {
                    let (workflow, accepted) = (workflows.get(row).copied(), column % 2 == 1);
                    Some(PartialCount { workflow, reason: reason(column / 2)?, accepted, count })
                })
                .collect(),
        }
    }
}

impl PartialBook {
    /// Counts what is less than a whole answer.
    pub(crate) fn note(&self, row: usize, decision: &PartialDecision) {
        if !decision.accept || decision.share < 1.0 {
            let reason =
                decision.reason.as_ref().map_or(Reason::DependencyFailure, |cause| cause.what.reason());
            self.0.add(row, column(reason) * 2 + usize::from(decision.accept));
        }
    }
}

pub(crate) fn column(reason: Reason) -> usize {
    reason as usize
}
