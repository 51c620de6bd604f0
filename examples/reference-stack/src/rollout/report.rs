//! What a rollout drill found out, as it is printed and written as JSON.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::apart::{Verdict, verdicts};
use crate::rollout::load::Call;
use crate::rollout::scene::Build;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) passed: bool,
    /// Requests a second.
    pub(crate) rate: u32,
    /// Of the canary, from 0 to 1.
    pub(crate) share: f64,
    pub(crate) rollouts: Vec<Rollout>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// One rollout of one build.
#[derive(Debug, Serialize)]
pub(crate) struct Rollout {
    pub(crate) build: Build,
    pub(crate) story: String,
    pub(crate) outcome: Outcome,
    pub(crate) stages: Vec<Stage>,
    /// Why it was taken back.
    pub(crate) why: Option<String>,
    /// From the canary's first request until it was known to be bad.
    pub(crate) noticed_after_ms: Option<f64>,
    /// From then until nothing was under way at it any more.
    pub(crate) rolled_back_after_ms: Option<f64>,
    /// From SIGTERM to the end of the version that was replaced or taken back; `None` if it did not end well.
    pub(crate) drained_after_ms: Option<f64>,
    /// The longest that 95 of 100 answers of the new version may take to begin.
    pub(crate) limit_ms: f64,
    pub(crate) cost: Cost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Promoted,
    RolledBack,
}

/// What callers paid.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Cost {
    pub(crate) requests: usize,
    /// Not answered, or not as they should be.
    pub(crate) failed: usize,
    /// Of these, those that the new version had.
    pub(crate) failed_by_new: usize,
    /// Answered by the new version, but their answers began later than the limit.
    pub(crate) slow: usize,
    /// Failed or slow because of the new version, of all.
    pub(crate) share: f64,
    /// What went wrong, at most ten.
    pub(crate) examples: Vec<String>,
}

/// A part of a rollout.
#[derive(Debug, Serialize)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) seconds: f64,
    pub(crate) old: Side,
    pub(crate) new: Side,
}

/// A version in a stage.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Side {
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    /// Until answers began.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

// === impl Report ===

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{} requests a second, the canary gets {:.0} % of them; times are until an answer begins",
            self.rate,
            self.share * 100.0
        )?;
        self.rollouts.iter().try_for_each(|rollout| write!(f, "{rollout}"))?;
        write!(f, "\nWhat had to hold:\n\n{}", verdicts(&self.verdicts))?;
        let failed = self.verdicts.iter().filter(|verdict| !verdict.holds).count();
        match failed {
            0 => writeln!(f, "\nThe rollout drill passed: {0} of {0}.", self.verdicts.len()),
            _ => writeln!(f, "\nThe rollout drill FAILED: {failed} of {} do not hold.", self.verdicts.len()),
        }
    }
}

// === impl Rollout ===

impl fmt::Display for Rollout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n--- {}: {}\n", self.build.name(), self.story)?;
        writeln!(f, "    stage      seconds  version  requests  failed   p50 ms   p99 ms")?;
        let ms = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
        for stage in &self.stages {
            let mut head = format!("{:<10} {:>7.1}", stage.name, stage.seconds);
            for (name, side) in [("old", &stage.old), ("new", &stage.new)] {
                if side.requests > 0 {
                    let Side { requests, failed, p50_ms, p99_ms } = side;
                    let (p50, p99) = (ms(*p50_ms), ms(*p99_ms));
                    writeln!(f, "    {head:<18}  {name:<7}  {requests:>8}  {failed:>6}  {p50:>7}  {p99:>7}")?;
                    head.clear();
                }
            }
        }
        writeln!(f)?;
        match self.outcome {
            Outcome::Promoted => {
                writeln!(f, "    promoted; the old one drained in {} ms", ms(self.drained_after_ms))?
            }
            Outcome::RolledBack => {
                writeln!(f, "    rolled back: {}", self.why.as_deref().unwrap_or_default())?;
                let (noticed, back) = (ms(self.noticed_after_ms), ms(self.rolled_back_after_ms));
                writeln!(f, "    noticed after {noticed} ms, nothing under way at it {back} ms later")?;
            }
        }
        let Cost { requests, failed, failed_by_new, slow, share, examples } = &self.cost;
        write!(
            f,
            "    cost: {failed} of {requests} requests failed, {failed_by_new} of them at the new version"
        )?;
        writeln!(f, "; {slow} began later than after {:.0} ms there: {:.2} %", self.limit_ms, share * 100.0)?;
        examples.first().map_or(Ok(()), |first| writeln!(f, "    for example: {first}"))
    }
}

// === impl Cost ===

impl Cost {
    pub(crate) fn of(calls: &[Call], new: &str, limit: Duration) -> Self {
        let is_new = |call: &&Call| call.by.as_deref() == Some(new);
        let failed = || calls.iter().filter(|call| call.wrong.is_some());
        let failed_by_new = failed().filter(is_new).count();
        let is_slow = |call: &&Call| call.wrong.is_none() && call.latency > limit;
        let slow = calls.iter().filter(is_new).filter(is_slow).count();
        Self {
            requests: calls.len(),
            failed: failed().count(),
            failed_by_new,
            slow,
            share: (failed_by_new + slow) as f64 / calls.len().max(1) as f64,
            examples: failed().take(10).filter_map(|call| call.wrong.clone()).collect(),
        }
    }
}

// === impl Side ===

impl Side {
    pub(crate) fn of<'c>(calls: impl Iterator<Item = &'c Call> + Clone) -> anyhow::Result<Self> {
        let latencies = latencies(calls.clone().map(|call| call.latency))?;
        let at =
            |quantile| (!latencies.is_empty()).then(|| latencies.value_at_quantile(quantile) as f64 / 1e3);
        Ok(Self {
            requests: calls.clone().count(),
            failed: calls.filter(|call| call.wrong.is_some()).count(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
        })
    }
}

/// In microseconds.
pub(crate) fn latencies(all: impl Iterator<Item = Duration>) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = Histogram::new(3)?;
    for latency in all {
        latencies.record(latency.as_micros().try_into()?)?;
    }
    Ok(latencies)
}

/// Milliseconds with one decimal.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
