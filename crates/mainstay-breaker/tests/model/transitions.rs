//! What happens by time and by the operator's hand: one function for each arrow of the state diagram.

use std::time::Duration;

use mainstay_breaker::{Cause, Control};

use super::{Model, Phase, Transition};

impl Model {
    // --- time ---------------------------------------------------------------------------------------------

    /// Time passes; what is due on the way happens on the way.
    pub(crate) fn advance_to(&mut self, then: Duration) {
        while let Some(due) = self.next_due().filter(|due| *due <= then) {
            self.now = due;
            self.happen();
        }
        self.now = then;
    }

    /// When something happens by time alone.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Closed => None,
            Phase::Open { until } => Some(*until),
            Phase::Probing { .. } => self.earliest_deadline(),
            Phase::Ramping { length, .. } => Some(self.since + *length),
        }
    }

    fn happen(&mut self) {
        match self.phase {
            Phase::Closed => {}
            Phase::Open { .. } => self.open_to_probing(),
            Phase::Probing { .. } => self.probe_expires(),
            Phase::Ramping { .. } => self.ramping_to_closed(),
        }
    }

    // --- transitions --------------------------------------------------------------------------------------

    /// Closed -> Open, HalfOpen -> Open: a rule, too many failed probes, or an operator.
    pub(crate) fn open(&mut self, cause: Cause, retry_after: Option<Duration>) {
        let rested = match (&self.phase, self.last_open_time) {
            (Phase::Closed, Some(last)) => self.now - self.since >= last,
            (_, None) => true,
            (_, Some(_)) => false,
        };
        self.attempt = if rested { 0 } else { self.attempt + 1 };
        let own = self.plan.open.own(self.attempt, self.epoch + 1);
        let asked = retry_after.unwrap_or_default().min(self.plan.retry_after_cap);
        let open_time = own.max(asked);
        self.last_open_time = Some(open_time);
        self.last_trip = Some(cause);
        self.enter(Phase::Open { until: self.now + open_time }, cause);
    }

    /// Open -> HalfOpen: the open time is over.
    fn open_to_probing(&mut self) {
        self.successes = 0;
        self.failures = 0;
        self.enter(Phase::Probing { in_flight: Vec::new() }, Cause::OpenElapsed);
    }

    /// HalfOpen -> Closed, or HalfOpen -> HalfOpen where a ramp comes first: enough probes succeeded.
    pub(crate) fn probing_to_closed(&mut self) {
        let next = match self.plan.ramp {
            Some(length) => Phase::Ramping { length, shares: 0 },
            None => Phase::Closed,
        };
        self.enter(next, Cause::ProbesSucceeded { successes: self.successes });
    }

    /// HalfOpen -> Closed: the ramp is over.
    fn ramping_to_closed(&mut self) {
        self.enter(Phase::Closed, Cause::RampCompleted);
    }

    /// Any -> Closed: an operator forgets the past, but neither the totals nor the control.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
        self.last_open_time = None;
        self.last_trip = None;
        self.enter(Phase::Closed, Cause::Reset);
    }

    /// Closed -> Open, HalfOpen -> Open: an operator.
    pub(crate) fn trip(&mut self) {
        if !matches!(self.phase, Phase::Open { .. }) {
            self.open(Cause::Manual, None);
        }
    }

    /// Every transition starts a new epoch with empty windows and no run.
    fn enter(&mut self, phase: Phase, cause: Cause) {
        let from = self.state();
        self.phase = phase;
        self.since = self.now;
        self.epoch += 1;
        self.windows = vec![Vec::new(); self.plan.rules.len()];
        self.run = 0;
        self.last_failure = None;
        self.transitions.push(Transition {
            from,
            to: self.state(),
            stage: self.stage(),
            epoch: self.epoch,
            cause,
            at: self.now,
        });
    }

    pub(crate) fn set_control(&mut self, control: Control) {
        self.control = control;
    }
}
