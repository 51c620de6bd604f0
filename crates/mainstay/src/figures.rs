use crate::Mainstay;

impl Mainstay {
    /// Says to the recorder of the [`metrics`] crate how it stands with all breakers and with degradation: to be called before a scrape is
    /// answered. The spool and the [`Reloader`](crate::Reloader) have a `publish` of their own.
    ///
    /// | name | kind | labels |
    /// | --- | --- | --- |
    /// | `mainstay_breaker_state` | gauge: 0 closed, 1 half-open, 2 open | breaker |
    /// | `mainstay_breaker_calls_total` | counter | breaker, outcome: `success`, `failure`, `ignored`, `cancelled` (each of them is also ignored, or a failure), `rejected` |
    /// | `mainstay_breaker_would_reject_total` | counter: admitted only because the breaker observes | breaker |
    ///
    #[cfg_attr(
        feature = "degrade",
        doc = "Those of degradation are at [`DegradationManager::publish`](mainstay_degrade::DegradationManager::publish)."
    )]
    pub fn publish(&self) {
        #[cfg(feature = "breaker")]
        self.breakers().iter().for_each(breaker);
        #[cfg(feature = "degrade")]
        self.degradation().publish();
    }
}

#[cfg(feature = "breaker")]
fn breaker(breaker: &mainstay_breaker::Breaker) {
    use mainstay_breaker::State;
    use metrics::{counter, gauge};

    let seen = breaker.snapshot();
    let name = seen.name.to_string();
    let state = match seen.state {
        State::Closed => 0.0,
        State::HalfOpen => 1.0,
        State::Open => 2.0,
    };
    gauge!("mainstay_breaker_state", "breaker" => name.clone()).set(state);
    let totals = seen.totals;
    let outcomes = [
        ("success", totals.success),
        ("failure", totals.failure),
        ("ignored", totals.ignored),
        ("cancelled", totals.cancelled),
        ("rejected", totals.rejected),
    ];
    for (outcome, total) in outcomes {
        counter!("mainstay_breaker_calls_total", "breaker" => name.clone(), "outcome" => outcome)
            .absolute(total);
    }
    counter!("mainstay_breaker_would_reject_total", "breaker" => name).absolute(totals.would_reject);
}
