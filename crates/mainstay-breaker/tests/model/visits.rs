//! Counts how often the sequences get to where something interesting happens, so that the generators cannot go
//! blind unnoticed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use mainstay_breaker::{Cause, Control, Stage, State};

use super::Model;

/// How often the sequences got where something interesting happens.
#[derive(Debug, Default)]
pub(crate) struct Visits(RefCell<BTreeMap<&'static str, u64>>);

impl Visits {
    pub(crate) fn of(&self, what: &str) -> u64 {
        self.0.borrow().get(what).copied().unwrap_or(0)
    }

    pub(crate) fn note(&self, what: &'static str) {
        *self.0.borrow_mut().entry(what).or_default() += 1;
    }

    pub(crate) fn note_all(&self, model: &Model) {
        for transition in &model.transitions {
            self.note(match transition.cause {
                Cause::ConsecutiveFailures { .. } => "cause: consecutive failures",
                Cause::FailureRate { .. } => "cause: failure rate",
                Cause::SlowRate { .. } => "cause: slow rate",
                Cause::Failures { .. } => "cause: failures",
                Cause::ProbeFailed { .. } => "cause: probe failed",
                Cause::ProbeSlow { .. } => "cause: probe slow",
                Cause::ProbeTimedOut { .. } => "cause: probe timed out",
                Cause::Manual => "cause: manual",
                Cause::Reset => "cause: reset",
                Cause::OpenElapsed => "cause: open elapsed",
                Cause::ProbesSucceeded { .. } => "cause: probes succeeded",
                Cause::RampCompleted => "cause: ramp completed",
                _ => "cause: otherwise",
            });
            self.note(match (transition.to, transition.stage) {
                (State::Closed, _) => "state: closed",
                (State::Open, _) => "state: open",
                (State::HalfOpen, Some(Stage::Ramping)) => "state: ramping",
                (State::HalfOpen, _) => "state: probing",
            });
        }
        if model.totals.would_reject > 0 {
            self.note("would reject");
        }
        if model.attempt > 1 {
            self.note("backed off");
        }
        if matches!(model.control, Control::ForcedClosed) {
            self.note("forced closed");
        }
    }
}
