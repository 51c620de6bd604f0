//! The report: what callers, gateway, upstream and breaker saw, put together phase by phase.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::lab::counts::Counts;
use crate::lab::load::{Call, Outcome};
use crate::lab::phase::{Dependency, Kind, Phase, Route};
use crate::lab::timeline::Event;
use crate::lab::verdict::{self, Verdict};

/// From here on after the breaker closed, callers shall notice nothing any more.
const AFTERMATH: Duration = Duration::from_millis(50);

/// Everything that was seen while the drill ran.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) spans: &'a [Span],
    pub(crate) calls: &'a [Call],
    pub(crate) events: Vec<Event>,
    /// What the gateway sent to the dependency, or tried to.
    pub(crate) sent: &'a Counts,
    /// What arrived there, if that was counted.
    pub(crate) arrived: Option<&'a Counts>,
}

/// When a phase was, since the drill began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) phase: Phase,
    /// Before the dependency was touched.
    pub(crate) touched: Duration,
    /// When that was done and the phase's load began.
    pub(crate) begin: Duration,
    /// When its last call was due.
    pub(crate) end: Duration,
}

/// What was seen of every dependency.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) passed: bool,
    pub(crate) dependencies: Vec<Part>,
}

/// What was seen of one dependency.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) dependency: Dependency,
    pub(crate) passed: bool,
    pub(crate) phases: Vec<PhaseReport>,
    pub(crate) timeline: Vec<Event>,
    pub(crate) verdicts: Vec<Verdict>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PhaseReport {
    pub(crate) phase: Phase,
    pub(crate) kind: Kind,
    pub(crate) story: &'static str,
    /// When its load began, since the drill did.
    pub(crate) begin_ms: f64,
    /// Times the breaker opened.
    pub(crate) trips: usize,
    /// From the outage's begin until the breaker opened.
    pub(crate) time_to_trip_ms: Option<f64>,
    /// From the dependency's recovery until the breaker closed.
    pub(crate) time_to_recover_ms: Option<f64>,
    pub(crate) guarded: Side,
    pub(crate) unguarded: Side,
}

/// One route in one phase.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    pub(crate) requests: usize,
    pub(crate) successes: usize,
    pub(crate) errors: usize,
    /// Of the errors, those that the breaker answered at once.
    pub(crate) rejected: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// The same of calls sent after the breaker had tripped, in an outage.
    pub(crate) p99_once_open_ms: Option<f64>,
    /// The share of calls that succeeded once the breaker had closed again, in a recovery.
    pub(crate) success_once_closed: Option<f64>,
    /// Calls that the gateway sent to the dependency, or tried to.
    pub(crate) sent: u64,
    /// Calls that arrived there, by its own count.
    pub(crate) arrived: Option<u64>,
}

// === impl Report ===

impl Report {
    pub(crate) fn new(dependencies: Vec<Part>) -> Self {
        Self { passed: dependencies.iter().all(|part| part.passed), dependencies }
    }
}

// === impl Part ===

impl Part {
    pub(crate) fn new(dependency: Dependency, seen: Seen<'_>) -> anyhow::Result<Self> {
        let phases = seen.spans.iter().map(|&span| PhaseReport::new(span, &seen));
        let phases: Vec<_> = phases.collect::<anyhow::Result<_>>()?;
        let verdicts = verdict::all(&phases);
        let passed = verdicts.iter().all(|verdict| verdict.passed);
        Ok(Self { dependency, passed, phases, timeline: seen.events, verdicts })
    }
}

// === impl PhaseReport ===

impl PhaseReport {
    fn new(span: Span, seen: &Seen<'_>) -> anyhow::Result<Self> {
        let kind = span.phase.kind();
        let events = || seen.events.iter().filter(|event| (span.touched..span.end).contains(&event.at));
        let opened = || events().filter(|event| event.opens()).map(|event| event.at);
        let closed = || events().filter(|event| event.closes()).map(|event| event.at);
        let tripped = opened().next().filter(|_| kind == Kind::Outage);
        let recovered = closed().next().filter(|_| kind == Kind::Recovery);
        let side = |route| Side::new(seen, route, span.phase, tripped, recovered);
        Ok(Self {
            phase: span.phase,
            kind,
            story: span.phase.story(),
            begin_ms: millis(span.begin),
            trips: opened().count(),
            time_to_trip_ms: tripped.map(|at| millis(at.saturating_sub(span.begin))),
            time_to_recover_ms: recovered.map(|at| millis(at.saturating_sub(span.begin))),
            guarded: side(Route::Guarded)?,
            unguarded: side(Route::Unguarded)?,
        })
    }
}

// === impl Side ===

impl Side {
    fn new(
        seen: &Seen<'_>,
        route: Route,
        phase: Phase,
        tripped: Option<Duration>,
        recovered: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let calls = seen.calls.iter().filter(|call| (call.route, call.phase) == (route, phase));
        let calls: Vec<_> = calls.collect();
        let since = |at: Duration| calls.iter().copied().filter(move |call| call.at >= at);
        let all = latencies(calls.iter().copied())?;
        let once_open = tripped.map(|at| latencies(since(at))).transpose()?;
        let ended = |outcome| calls.iter().filter(|call| call.outcome == outcome).count();
        let successes = ended(Outcome::Success);
        Ok(Self {
            requests: calls.len(),
            successes,
            errors: calls.len() - successes,
            rejected: ended(Outcome::Rejected),
            p50_ms: quantile(&all, 0.5),
            p99_ms: quantile(&all, 0.99),
            p99_once_open_ms: once_open.map(|latencies| quantile(&latencies, 0.99)),
            success_once_closed: recovered.and_then(|at| success(since(at + AFTERMATH))),
            sent: seen.sent.get(route, phase),
            arrived: seen.arrived.map(|arrived| arrived.get(route, phase)),
        })
    }
}

/// The share of calls that succeeded; none if there were no calls.
fn success<'a>(calls: impl Iterator<Item = &'a Call> + Clone) -> Option<f64> {
    let all = calls.clone().count();
    let successes = calls.filter(|call| call.outcome == Outcome::Success).count();
    (all > 0).then(|| successes as f64 / all as f64)
}

/// The latencies of calls in microseconds.
fn latencies<'a>(calls: impl Iterator<Item = &'a Call>) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = Histogram::new(3)?;
    for call in calls {
        latencies.record(call.latency.as_micros().try_into()?)?;
    }
    Ok(latencies)
}

fn quantile(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    millis(Duration::from_micros(latencies.value_at_quantile(quantile)))
}

/// Milliseconds with one decimal.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
