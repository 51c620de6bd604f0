//! One call: whether it is admitted, and what its end says.

use std::time::Duration;

use mainstay_breaker::{Control, RejectReason, Verdict};

use super::rules::is_slow;
use super::{Model, Outcome, Permit, Phase, Probe, Rejection, Right};

impl Model {
    // --- admission ----------------------------------------------------------------------------------------

    pub(crate) fn acquire(&mut self) -> Result<Permit, Rejection> {
        match self.control {
            Control::ForcedClosed => Ok(self.permit(Right::Bypass)),
            Control::ForcedOpen => {
                self.totals.rejected += 1;
                Err(Rejection { reason: RejectReason::Forced, retry_after: None, cause: self.last_trip })
            }
            Control::ObserveOnly => match self.admit() {
                Ok(right) => Ok(self.permit(right)),
                Err(_) => {
                    self.totals.would_reject += 1;
                    Ok(self.permit(Right::Bypass))
                }
            },
            Control::Automatic => match self.admit() {
                Ok(right) => Ok(self.permit(right)),
                Err((reason, retry_after)) => {
                    self.totals.rejected += 1;
                    Err(Rejection { reason, retry_after: Some(retry_after), cause: self.last_trip })
                }
            },
        }
    }

    /// What the state alone says to one more call.
    fn admit(&mut self) -> Result<Right, (RejectReason, Duration)> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        match &mut self.phase {
            Phase::Closed => Ok(Right::Ordinary),
            Phase::Open { .. } => unreachable!("an open breaker refuses"),
            Phase::Probing { in_flight } => {
                let number = self.next_probe;
                self.next_probe += 1;
                in_flight.push(Probe { number, deadline: self.now + self.plan.probe_timeout });
                Ok(Right::Probe(number))
            }
            Phase::Ramping { length, shares } => {
                // Shares are counted in units of 2^-32. The share grows from 5 % (rounded up) to all.
                const ALL: u128 = 1 << 32;
                const FLOOR: u128 = ALL.div_ceil(20);
                let elapsed = (self.now - self.since).as_nanos();
                let before = *shares / ALL;
                *shares += FLOOR + (ALL - FLOOR) * elapsed / length.as_nanos();
                let crossed = *shares / ALL > before;
                if crossed { Ok(Right::Ordinary) } else { Err((RejectReason::Ramping, *length / 20)) }
            }
        }
    }

    /// Why any call at all would be refused in this state now, and for how long.
    pub(crate) fn refusal(&self) -> Option<(RejectReason, Duration)> {
        match &self.phase {
            Phase::Closed | Phase::Ramping { .. } => None,
            Phase::Open { until } => Some((RejectReason::Open, *until - self.now)),
            Phase::Probing { in_flight } if in_flight.len() < self.plan.max_in_flight as usize => None,
            Phase::Probing { .. } => Some((RejectReason::ProbesBusy, self.earliest_deadline()? - self.now)),
        }
    }

    fn permit(&self, right: Right) -> Permit {
        let timed = self.plan.lowest_slow_limit().is_some();
        Permit { epoch: self.epoch, right, acquired: self.now, timed, answered: None }
    }

    // --- verdicts -----------------------------------------------------------------------------------------

    /// The final verdict of a call.
    pub(crate) fn record(&mut self, permit: Permit, verdict: Verdict, retry_after: Option<Duration>) {
        self.drops_in_a_row = 0;
        self.end(permit, verdict, retry_after);
    }

    /// The end of a call, with a verdict or with what stands for one.
    fn end(&mut self, permit: Permit, verdict: Verdict, retry_after: Option<Duration>) {
        let outcome = self.outcome(&permit, verdict, retry_after);
        match &outcome {
            None => self.totals.ignored += 1,
            Some(Outcome { failed: true, .. }) => self.totals.failure += 1,
            Some(Outcome { failed: false, .. }) => self.totals.success += 1,
        }
        if outcome.as_ref().is_some_and(|outcome| is_slow(outcome, self.plan.lowest_slow_limit())) {
            self.totals.slow += 1;
        }
        let had_slot = self.free_slot(&permit);
        if let Some(outcome) = outcome.filter(|_| self.decides(&permit)) {
            match permit.right {
                Right::Ordinary => self.judge_call(outcome),
                Right::Probe(_) if had_slot => self.judge_probe(outcome),
                // Answered before, or given up at its deadline: it counted then.
                Right::Probe(_) => {}
                Right::Bypass => unreachable!("a bypass decides nothing"),
            }
        }
    }

    /// The head of a long answer is in: slowness is settled, and a probe counts now.
    pub(crate) fn answered(&mut self, permit: &mut Permit, verdict: Verdict) {
        permit.answered.get_or_insert(self.now);
        let had_slot = self.free_slot(permit);
        if let Some(outcome) = self.outcome(permit, verdict, None)
            && had_slot
            && self.decides(permit)
        {
            self.judge_probe(outcome);
        }
    }

    /// Dropped without a verdict: cancelled. Where that counts as a failure it is as good as a verdict.
    pub(crate) fn dropped(&mut self, permit: Permit) {
        self.totals.cancelled += 1;
        if self.plan.dropped_is_failure {
            self.record(permit, Verdict::Failure, None);
        } else {
            // A call whose head was answered did say something.
            if permit.answered.is_none() {
                self.drops_in_a_row += 1;
            }
            self.end(permit, Verdict::Ignore, None);
        }
    }

    /// Dropped by a panic that began while the call ran.
    pub(crate) fn dropped_by_panic(&mut self, permit: Permit) {
        self.record(permit, Verdict::Failure, None);
    }

    /// Nothing for Ignore, which says nothing about the dependency.
    fn outcome(&self, permit: &Permit, verdict: Verdict, retry_after: Option<Duration>) -> Option<Outcome> {
        let took = permit.answered.unwrap_or(self.now) - permit.acquired;
        let took = permit.timed.then_some(took);
        match verdict {
            Verdict::Ignore => None,
            Verdict::Success => Some(Outcome { failed: false, took, retry_after: None }),
            Verdict::Failure => Some(Outcome { failed: true, took, retry_after }),
        }
    }

    /// A verdict of an earlier epoch, of a call that was let through, or one that is recorded while the control
    /// is forced, is for the totals only.
    fn decides(&self, permit: &Permit) -> bool {
        let forced = matches!(self.control, Control::ForcedOpen | Control::ForcedClosed);
        permit.epoch == self.epoch && permit.right != Right::Bypass && !forced
    }
}
