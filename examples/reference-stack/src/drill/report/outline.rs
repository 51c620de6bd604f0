//! What both renderings say in the same words: totals, the sentence, the headline, changes without their repetitions.

use super::model::{Change, Class, Figures, Kind, Phase, Report, Stack};
use super::words::{count, millis, percent, several, span};

/// The class that is all of them together.
pub(super) const ALL: &str = "all";

/// A line of what the drill comes down to: what was measured, and its figure for each stack.
pub(super) struct Measure {
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) figures: Vec<String>,
}

/// A change, and how often it came again in its phase.
pub(super) struct Repeated<'r> {
    pub(super) stack: &'r str,
    pub(super) change: &'r Change,
    pub(super) times: usize,
    pub(super) last_ms: u64,
}

// === impl Report ===

impl Report {
    /// `Passed`, and how many verdicts hold.
    pub(super) fn headline(&self) -> (&'static str, String) {
        let failed = self.verdicts.iter().filter(|verdict| !verdict.holds).count();
        let all = self.verdicts.len();
        let word = if self.passed { "Passed" } else { "Failed" };
        let detail = match (all, failed) {
            (0, _) => "Nothing was judged.".into(),
            (1, 0) => "The one verdict holds.".into(),
            (_, 0) => format!("All {all} verdicts hold."),
            (_, 1) => format!("1 of {} does not hold.", several(all, "verdict", "verdicts")),
            _ => format!("{failed} of {all} verdicts do not hold."),
        };
        (word, detail)
    }

    /// What was done, in a sentence.
    pub(super) fn sentence(&self) -> String {
        let outages = self.phases.iter().filter(|phase| phase.kind == Kind::Outage).count();
        let load = match self.stacks.len() {
            0 => "nothing was asked".into(),
            1 => format!("the stack got {} requests a second", self.rate),
            stacks => format!("each of {stacks} stacks got {} requests a second", self.rate),
        };
        let length = span(self.length_ms);
        let against = &self.against;
        match outages {
            0 => format!("For {length}, {load}, against {against}. Nothing was broken."),
            1 => format!("In {length}, 1 outage was made and mended against {against}, while {load}."),
            _ => format!(
                "In {length}, {outages} outages were made and mended against {against}, while {load}."
            ),
        }
    }

    /// What it comes down to, side by side.
    pub(super) fn measures(&self) -> Vec<Measure> {
        let row = |what, unit, figure: &dyn Fn(&Stack) -> String| Measure {
            what,
            unit,
            figures: self.stacks.iter().map(figure).collect(),
        };
        let mut measures = Vec::new();
        if self.phases.iter().any(|phase| phase.kind == Kind::Outage) {
            let total = |stack: &Stack| stack.total(&self.phases, Kind::Outage);
            measures.push(row("answered during the outages", "%", &|stack| {
                let total = total(stack);
                percent(total.answered, total.requests)
            }));
            measures.push(row("answered within a second", "%", &|stack| {
                let total = total(stack);
                percent(total.quick, total.requests)
            }));
            measures.push(row("clearly refused during the outages", "%", &|stack| {
                let total = total(stack);
                percent(total.refused, total.requests)
            }));
            measures.push(row("failed during the outages", "", &|stack| count(total(stack).failed)));
            measures.push(row("worst p99 of an outage", "ms", &|stack| millis(total(stack).p99_ms)));
        }
        if self.stacks.iter().any(|stack| stack.tasks.is_some()) {
            measures.push(row("accepted tasks that are not stored exactly once", "", &|stack| {
                let tasks = stack.tasks.as_ref();
                tasks.map_or("–".into(), |tasks| count(tasks.accepted.saturating_sub(tasks.stored)))
            }));
        }
        measures
    }

    /// The changes of all stacks within a phase, by time, each once.
    pub(super) fn changes(&self, phase: &Phase) -> Vec<Repeated<'_>> {
        let last = self.phases.last().is_some_and(|last| last.from_ms == phase.from_ms);
        let first = self.phases.first().is_some_and(|first| first.from_ms == phase.from_ms);
        let within = |at| (first || phase.from_ms <= at) && (last || at < phase.to_ms);
        let mut changes: Vec<Repeated<'_>> = Vec::new();
        for stack in &self.stacks {
            let begin = changes.len();
            for change in stack.changes.iter().filter(|change| within(change.at_ms)) {
                let same = |known: &&mut Repeated<'_>| known.change.is_again(change);
                match changes.iter_mut().skip(begin).find(same) {
                    Some(known) => {
                        known.times += 1;
                        known.last_ms = change.at_ms;
                    }
                    None => {
                        changes.push(Repeated { stack: &stack.name, change, times: 1, last_ms: change.at_ms })
                    }
                }
            }
        }
        changes.sort_by_key(|repeated| repeated.change.at_ms);
        changes
    }
}

// === impl Stack ===

impl Stack {
    /// All requests in phases of a kind; of their latencies the worst.
    fn total(&self, phases: &[Phase], kind: Kind) -> Class {
        let figures = phases.iter().zip(&self.phases).filter(|(phase, _)| phase.kind == kind);
        figures.map(|(_, figures)| figures.all()).fold(Class::empty(), Class::add)
    }
}

// === impl Figures ===

impl Figures {
    /// Of all classes together.
    pub(crate) fn all(&self) -> Class {
        let all = self.classes.iter().find(|class| class.name == ALL).cloned();
        all.unwrap_or_else(|| self.classes.iter().cloned().fold(Class::empty(), Class::add))
    }
}

// === impl Class ===

impl Class {
    fn empty() -> Self {
        Self {
            name: ALL.into(),
            requests: 0,
            answered: 0,
            degraded: 0,
            partial: 0,
            quick: 0,
            refused: 0,
            failed: 0,
            p50_ms: None,
            p99_ms: None,
            p999_ms: None,
            max_ms: None,
            p99_open_ms: None,
        }
    }

    fn add(self, other: Self) -> Self {
        let worst = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        Self {
            name: self.name,
            requests: self.requests.saturating_add(other.requests),
            answered: self.answered.saturating_add(other.answered),
            degraded: self.degraded.saturating_add(other.degraded),
            partial: self.partial.saturating_add(other.partial),
            quick: self.quick.saturating_add(other.quick),
            refused: self.refused.saturating_add(other.refused),
            failed: self.failed.saturating_add(other.failed),
            p50_ms: worst(self.p50_ms, other.p50_ms),
            p99_ms: worst(self.p99_ms, other.p99_ms),
            p999_ms: worst(self.p999_ms, other.p999_ms),
            max_ms: worst(self.max_ms, other.max_ms),
            p99_open_ms: worst(self.p99_open_ms, other.p99_open_ms),
        }
    }
}

// === impl Change ===

impl Change {
    fn is_again(&self, other: &Self) -> bool {
        (&self.service, &self.what, &self.from, &self.to, &self.cause)
            == (&other.service, &other.what, &other.from, &other.to, &other.cause)
    }
}
