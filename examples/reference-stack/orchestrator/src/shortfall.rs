//! In what an answer is less than was asked for: noted while a task runs, said in its answer.

use std::collections::BTreeSet;

use mainstay::degrade::{ExecutionMode, Reason};

use crate::task::{Decided, Degradation};

#[derive(Debug)]
pub(crate) struct Shortfall {
    level: String,
    downgraded_from: Option<ExecutionMode>,
    reason: Option<String>,
    failed: BTreeSet<&'static str>,
    answered_from: &'static str,
    parts: u32,
    succeeded: u32,
}

impl Shortfall {
    pub(crate) fn of(asked: ExecutionMode, decided: &Decided) -> Self {
        let downgraded_from = (decided.mode != asked).then_some(asked);
        Self {
            level: decided.level.clone(),
            downgraded_from,
            reason: decided.reason.clone(),
            failed: BTreeSet::new(),
            answered_from: "",
            parts: 0,
            succeeded: 0,
        }
    }

    /// A dependency did not do its part.
    pub(crate) fn failed(&mut self, dependency: &'static str) {
        self.failed.insert(dependency);
    }

    /// Why, unless a better reason is known.
    pub(crate) fn because(&mut self, reason: Reason) {
        self.reason.get_or_insert_with(|| reason.as_str().to_owned());
    }

    /// One of the parts that the answer is made of.
    pub(crate) fn part(&mut self, succeeded: bool) {
        self.parts += 1;
        self.succeeded += u32::from(succeeded);
    }

    /// What answered in place of the language model; empty if it did.
    pub(crate) fn answered_from(&mut self, what: &'static str) {
        self.answered_from = what;
    }

    /// Nothing if the answer is what was asked for.
    pub(crate) fn finish(self) -> Option<Degradation> {
        let completeness =
            if self.parts == 0 { 1.0 } else { f64::from(self.succeeded) / f64::from(self.parts) };
        let full = self.downgraded_from.is_none()
            && self.failed.is_empty()
            && self.answered_from.is_empty()
            && self.succeeded == self.parts;
        if full {
            return None;
        }
        Some(Degradation {
            level: self.level,
            downgraded_from: self.downgraded_from,
            reason: self.reason.unwrap_or_else(|| Reason::DependencyFailure.as_str().to_owned()),
            failed: self.failed.into_iter().map(str::to_owned).collect(),
            answered_from: self.answered_from.to_owned(),
            completeness,
        })
    }
}
