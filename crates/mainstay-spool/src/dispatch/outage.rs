use std::time::Duration;

use crate::OpenFor;

/// How long the sink is left alone.
#[derive(Default)]
pub(super) struct Outage {
    /// Until then.
    until: Duration,
    /// Deliveries, one after the other, that found it unavailable.
    failures: u32,
    /// When the pause was last made longer.
    noticed: Option<Duration>,
}

impl Outage {
    pub(super) fn until(&self) -> Duration {
        self.until
    }

    /// A delivery found the sink unavailable. Returns how long it is left alone from now on.
    pub(super) fn goes_on(
        &mut self,
        begun: Duration,
        now: Duration,
        backoff: &OpenFor,
        after: Option<Duration>,
    ) -> Duration {
        // What began before the pause tells nothing new: several deliveries are under way when a sink goes down.
        if self.noticed.is_none_or(|noticed| begun > noticed) {
            let pause = backoff.duration(self.failures, 0, self.failures);
            self.failures = self.failures.saturating_add(1);
            self.noticed = Some(now);
            self.until = self.until.max(now.saturating_add(pause));
        }
        self.until = self.until.max(now.saturating_add(after.unwrap_or_default()));
        self.until.saturating_sub(now)
    }

    pub(super) fn ends(&mut self, now: Duration) {
        *self = Self { until: self.until.min(now), failures: 0, noticed: None };
    }
}
