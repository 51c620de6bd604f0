use std::time::Duration;

use mainstay_breaker::{RejectReason, Rejected};

/// The breaker's last word. It is not asked again until it said that it may be, or has changed its mind: a ramp counts the questions.
#[derive(Default)]
pub(super) struct Rejection {
    until: Duration,
    probes_busy: bool,
}

/// How long a rejection counts that does not say how long.
const REJECTED: Duration = Duration::from_secs(1);

impl Rejection {
    pub(super) fn until(&self) -> Duration {
        self.until
    }

    pub(super) fn begins(&mut self, rejected: &Rejected, now: Duration) {
        let after = rejected.retry_after().unwrap_or(REJECTED).max(Duration::from_millis(1));
        let probes_busy = rejected.reason() == RejectReason::ProbesBusy;
        *self = Self { until: now.saturating_add(after), probes_busy };
    }

    /// A delivery has ended: it may have been the probe.
    pub(super) fn ended(&mut self) {
        if self.probes_busy {
            self.lifted();
        }
    }

    /// The breaker is in another state.
    pub(super) fn lifted(&mut self) {
        *self = Self::default();
    }
}
