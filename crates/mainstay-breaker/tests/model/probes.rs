//! Half-open: what the probes decide.

use std::time::Duration;

use mainstay_breaker::Cause;

use super::rules::is_slow;
use super::{Model, Outcome, Permit, Phase, Right};

impl Model {
    /// A slow success counts as a failure: else an always slow dependency would stay half-open for ever.
    pub(crate) fn judge_probe(&mut self, outcome: Outcome) {
        let limit = self.plan.reopen_after;
        if outcome.failed {
            let cause = |failures| Cause::ProbeFailed { failures, limit };
            self.probe_failed(cause, outcome.retry_after);
        } else if is_slow(&outcome, self.plan.lowest_slow_limit()) {
            self.probe_failed(|failures| Cause::ProbeSlow { failures, limit }, None);
        } else {
            self.successes += 1;
            if self.successes >= self.plan.close_after {
                self.probing_to_closed();
            }
        }
    }

    /// The probe with the earliest deadline has not answered in time: its slot is free.
    pub(crate) fn probe_expires(&mut self) {
        let deadline = self.earliest_deadline();
        if let Phase::Probing { in_flight } = &mut self.phase
            && let Some(late) = in_flight.iter().position(|probe| Some(probe.deadline) == deadline)
        {
            in_flight.remove(late);
            let limit = self.plan.reopen_after;
            self.probe_failed(|failures| Cause::ProbeTimedOut { failures, limit }, None);
        }
    }

    fn probe_failed(&mut self, cause: impl Fn(u32) -> Cause, retry_after: Option<Duration>) {
        self.failures += 1;
        if self.failures >= self.plan.reopen_after {
            self.open(cause(self.failures), retry_after);
        }
    }

    /// Frees the slot of a probe that still has one.
    pub(crate) fn free_slot(&mut self, permit: &Permit) -> bool {
        let Phase::Probing { in_flight } = &mut self.phase else {
            return false;
        };
        let before = in_flight.len();
        in_flight.retain(|probe| permit.right != Right::Probe(probe.number));
        in_flight.len() < before
    }

    pub(crate) fn earliest_deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Probing { in_flight } => in_flight.iter().map(|probe| probe.deadline).min(),
            _ => None,
        }
    }
}
