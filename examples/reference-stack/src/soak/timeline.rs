//! What happened around what should not have, by time.

use std::time::Duration;

use tokio::time::Instant;

use crate::drill::changes::Event;
use crate::drill::conductor::{Deed, Zero};
use crate::drill::load::Failure;
use crate::soak::judge::{Mishap, Rule};

/// How long before and after a mishap is told of.
const AROUND: Duration = Duration::from_secs(12);
/// How many mishaps are told of, and how many lines.
const MOST_MISHAPS: usize = 8;
const MOST_LINES: usize = 400;

/// Lines of what was broken and restored, what breakers and levels did, which requests failed, and what was wrong.
pub(crate) fn around(
    found: &[Mishap],
    deeds: &[Deed],
    events: &[Event],
    failures: &[Failure],
    zero: Zero,
) -> Vec<String> {
    let mut lines: Vec<(Instant, String)> = Vec::new();
    for Deed { fault, begins, from, .. } in deeds {
        let what = if *begins { format!("broken: {fault}") } else { format!("restored: no longer {fault}") };
        lines.push((*from, what));
    }
    for event in events {
        if let Some(change) = event.change() {
            let what = format!(
                "{}: {} {} -> {} ({})",
                change.service, change.what, change.from, change.to, change.cause
            );
            lines.push((zero.instant + event.at, what));
        }
    }
    for Failure { sample, why } in failures {
        let (class, ms) = (sample.class.name(), sample.latency.as_millis());
        lines.push((sample.due + sample.latency, format!("failed: {class}, after {ms} ms: {why}")));
    }
    // Requests are told of already.
    let others = found.iter().filter(|mishap| !matches!(mishap.rule, Rule::Answered | Rule::InTime));
    lines.extend(others.map(|mishap| (mishap.at, format!("MUST NOT BE: {}", mishap.what))));
    lines.sort_by_key(|(at, _)| *at);
    let mut told: Vec<Instant> = found.iter().map(|mishap| mishap.at).collect();
    told.sort_unstable();
    told.dedup_by_key(|at| at.saturating_duration_since(zero.instant).as_secs() / AROUND.as_secs());
    told.truncate(MOST_MISHAPS);
    let is_near = |at: Instant| told.iter().any(|mishap| at + AROUND >= *mishap && at <= *mishap + AROUND);
    let near = lines.into_iter().filter(|(at, _)| is_near(*at)).take(MOST_LINES);
    near.map(|(at, what)| {
        format!("{:>9.3} s  {what}", at.saturating_duration_since(zero.instant).as_secs_f64())
    })
    .collect()
}
