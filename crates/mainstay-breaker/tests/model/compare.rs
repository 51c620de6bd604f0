//! Compares everything that can be seen of a breaker with the model.

use std::time::SystemTime;

use mainstay_breaker::{RejectReason, Rejected};
use proptest::prop_assert_eq;
use proptest::test_runner::TestCaseError;

use super::drive::SideBySide;
use super::{Counts, Rejection, Transition};

pub(crate) type Agreed<T = ()> = Result<T, TestCaseError>;

/// A snapshot shows at most so many of the transitions that happened, the latest.
const RECENT: usize = 16;

impl SideBySide<'_> {
    /// Everything that can be read must be the same, and must still be after it has been read.
    pub(crate) fn compare(&self) -> Agreed {
        self.compare_once()?;
        self.compare_once()
    }

    fn compare_once(&self) -> Agreed {
        let model = &self.model;
        prop_assert_eq!(self.breaker.state(), model.state(), "state()");
        prop_assert_eq!(self.breaker.control(), model.control, "control()");

        let real = self.breaker.snapshot();
        prop_assert_eq!(real.name.as_str(), "modelled");
        prop_assert_eq!(real.state, model.state(), "state of the snapshot");
        prop_assert_eq!(real.control, model.control, "control of the snapshot");
        prop_assert_eq!(real.epoch, model.epoch, "epoch");
        prop_assert_eq!(real.since, model.since, "since");
        prop_assert_eq!(real.since_wall, SystemTime::UNIX_EPOCH + model.since, "since_wall");
        prop_assert_eq!(real.blind, model.blind(), "blind");
        prop_assert_eq!(real.retry_after, model.retry_after(), "retry_after");
        prop_assert_eq!(real.last_trip, model.last_trip, "last_trip");
        prop_assert_eq!(real.consecutive_failures, model.consecutive_failures(), "consecutive_failures");

        let half_open = real.half_open.as_ref().map(|stay| (stay.in_flight, stay.successes, stay.failures));
        prop_assert_eq!(half_open, model.half_open(), "half_open");
        prop_assert_eq!(real.half_open.map(|stay| stay.stage), model.stage(), "stage");

        prop_assert_eq!(real.totals.success, model.totals.success, "totals.success");
        prop_assert_eq!(real.totals.failure, model.totals.failure, "totals.failure");
        prop_assert_eq!(real.totals.ignored, model.totals.ignored, "totals.ignored");
        prop_assert_eq!(real.totals.rejected, model.totals.rejected, "totals.rejected");
        prop_assert_eq!(real.totals.slow, model.totals.slow, "totals.slow");
        prop_assert_eq!(real.totals.cancelled, model.totals.cancelled, "totals.cancelled");
        prop_assert_eq!(real.totals.would_reject, model.totals.would_reject, "totals.would_reject");

        prop_assert_eq!(real.rules.len(), model.plan.rules.len(), "number of rules");
        for (index, rule) in real.rules.iter().enumerate() {
            let counts =
                Counts { calls: rule.calls, failures: rule.failures, slow: rule.slow, rate: rule.rate };
            prop_assert_eq!(counts, model.counts(index), "rule {}", index);
        }

        let happened = &model.transitions;
        prop_assert_eq!(real.recent.len(), happened.len().min(RECENT), "number of recent transitions");
        let recent = &happened[happened.len() - real.recent.len()..];
        for (real, model) in real.recent.iter().zip(recent) {
            same_transition(real, model)?;
        }
        Ok(())
    }

    /// After a poll, a subscriber has received every transition once, in order.
    pub(crate) fn receive(&mut self) -> Agreed {
        self.breaker.poll();
        while let Some(real) = self.subscriber.try_recv() {
            let Some(model) = self.model.transitions.get(self.received) else {
                return Err(TestCaseError::fail(format!(
                    "a transition of which the model knows nothing: {real:?}"
                )));
            };
            same_transition(&real, model)?;
            self.received += 1;
        }
        prop_assert_eq!(self.subscriber.missed(), 0, "missed transitions");
        prop_assert_eq!(self.received, self.model.transitions.len(), "number of transitions received");
        Ok(())
    }

    pub(crate) fn same_rejection(&self, real: &Rejected, model: &Rejection) -> Agreed {
        let said = Rejection {
            reason: real.reason(),
            retry_after: real.retry_after(),
            cause: real.cause().copied(),
        };
        prop_assert_eq!(&said, model, "rejection");
        let name = real.name();
        prop_assert_eq!(name.as_str(), "modelled");
        self.visits.note(match model.reason {
            RejectReason::Open => "rejected: open",
            RejectReason::ProbesBusy => "rejected: probes busy",
            RejectReason::Ramping => "rejected: ramping",
            RejectReason::Forced => "rejected: forced",
            _ => "rejected: otherwise",
        });
        Ok(())
    }
}

fn same_transition(real: &mainstay_breaker::Transition, model: &Transition) -> Agreed {
    let said = Transition {
        from: real.from,
        to: real.to,
        stage: real.stage,
        epoch: real.epoch,
        cause: real.cause,
        at: real.at,
    };
    prop_assert_eq!(&said, model, "transition");
    prop_assert_eq!(real.wall, SystemTime::UNIX_EPOCH + model.at, "wall time of a transition");
    prop_assert_eq!(real.name.as_str(), "modelled");
    Ok(())
}
