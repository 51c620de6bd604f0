//! The breakers' figures for the recorder of the process.

use mainstay::breaker::{Breaker, State};

/// Tells the recorder how it stands with a breaker.
pub(crate) fn publish(breaker: &Breaker) {
    let seen = breaker.snapshot();
    let name = seen.name.to_string();
    let state = match seen.state {
        State::Closed => 0.0,
        State::HalfOpen => 1.0,
        _ => 2.0,
    };
    metrics::gauge!("mainstay_breaker_state", "breaker" => name.clone()).set(state);
    let totals = [
        ("success", seen.totals.success),
        ("failure", seen.totals.failure),
        ("ignored", seen.totals.ignored),
        ("rejected", seen.totals.rejected),
        ("cancelled", seen.totals.cancelled),
    ];
    for (outcome, total) in totals {
        let labels = [("breaker", name.clone()), ("outcome", outcome.to_owned())];
        metrics::counter!("mainstay_breaker_calls_total", &labels).absolute(total);
    }
}
