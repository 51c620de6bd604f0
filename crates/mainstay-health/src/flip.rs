use crate::status::Severity;

/// When results become a status.
///
/// A status gets at least as bad as all of the last `failure_threshold` results are, and at most as bad as all of the last
/// `success_threshold` results are; between these two it stays what it was. So alternating results change nothing, and a
/// result that disagrees for once neither.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flips {
    status: Option<Severity>,
    latest: Option<Severity>,
    /// How many of the latest results, without a gap, were at least as bad as that.
    degraded_or_worse: u32,
    unhealthy: u32,
    /// How many of the latest results, without a gap, were at most as bad as that.
    degraded_or_better: u32,
    healthy: u32,
}

impl Flips {
    /// The status; nothing before the first result.
    pub(crate) fn status(&self) -> Option<Severity> {
        self.status
    }

    /// What the latest result would make it, if that is something else.
    pub(crate) fn pending(&self) -> Option<Severity> {
        self.latest.filter(|latest| Some(*latest) != self.status)
    }

    /// How many of the latest results in a row were the same as the latest, or further from the status.
    pub(crate) fn streak(&self) -> u32 {
        match self.latest {
            None => 0,
            Some(Severity::Healthy) => self.healthy,
            Some(Severity::Unhealthy) => self.unhealthy,
            Some(Severity::Degraded) if self.status == Some(Severity::Unhealthy) => self.degraded_or_better,
            Some(Severity::Degraded) => self.degraded_or_worse,
        }
    }

    /// Takes a result; the first one is the status at once. After a gap in which nothing was known, a result that is worse
    /// than the status counts at once too, because nothing speaks against it.
    pub(crate) fn record(&mut self, result: Severity, failures: u32, successes: u32, after_gap: bool) {
        let run =
            |length: &mut u32, goes_on: bool| *length = if goes_on { length.saturating_add(1) } else { 0 };
        run(&mut self.degraded_or_worse, result >= Severity::Degraded);
        run(&mut self.unhealthy, result >= Severity::Unhealthy);
        run(&mut self.degraded_or_better, result <= Severity::Degraded);
        run(&mut self.healthy, result <= Severity::Healthy);
        self.latest = Some(result);

        let Some(status) = self.status else {
            self.status = Some(result);
            return;
        };
        let at_least = match () {
            () if self.unhealthy >= failures => Severity::Unhealthy,
            () if self.degraded_or_worse >= failures => Severity::Degraded,
            () => Severity::Healthy,
        };
        let at_most = match () {
            () if self.healthy >= successes => Severity::Healthy,
            () if self.degraded_or_better >= successes => Severity::Degraded,
            () => Severity::Unhealthy,
        };
        // The latest result is in both runs, so that `at_least` is never above `at_most`.
        let settled = status.max(at_least).min(at_most);
        self.status = Some(if after_gap { settled.max(result) } else { settled });
    }
}
