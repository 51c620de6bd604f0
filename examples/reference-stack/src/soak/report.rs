//! What a soak found out: as it is printed, and as JSON.

use std::fmt;

use serde::Serialize;

use crate::apart::{Verdict, verdicts};
use crate::drill::plan::Plan;
use crate::drill::report::model::{Change, Class, Tasks};
use crate::soak::flat::Growth;

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) passed: bool,
    /// Whether requests were sent when they were meant to be. If not, what is about times is the machine's matter.
    pub(crate) machine_kept_up: bool,
    /// What plays the same again.
    pub(crate) again: String,
    /// When it began, in RFC 3339.
    pub(crate) began: String,
    pub(crate) rate: u32,
    pub(crate) length_ms: u64,
    pub(crate) rounds: Vec<Round>,
    /// All requests, by their class and all together.
    pub(crate) requests: Vec<Class>,
    /// How many failed because their orchestrator was killed under them.
    pub(crate) cut_off: u64,
    pub(crate) tasks: Tasks,
    pub(crate) growth: Vec<Growth>,
    pub(crate) verdicts: Vec<Verdict>,
    /// All that levels and breakers did.
    pub(crate) changes: Vec<Change>,
    /// What happened around what should not have.
    pub(crate) timeline: Vec<String>,
    pub(crate) plan: Plan,
}

/// Something broken, and the quiet time after it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Round {
    pub(crate) name: String,
    pub(crate) story: String,
    pub(crate) at_ms: u64,
    pub(crate) outage_ms: u64,
    pub(crate) quiet_ms: u64,
    pub(crate) requests: u64,
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) slowest_ms: Option<f64>,
    /// After the restoration, until the level was none and all breakers were closed.
    pub(crate) well_after_ms: Option<u64>,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| ms as f64 / 1e3;
        let well = self.well_after_ms.map_or("-".to_owned(), |ms| format!("{:.1}", seconds(ms)));
        write!(
            f,
            "{:>7.1} {:>6.1} {:>6.1} {:>8} {:>8} {:>8} {:>7} {:>8.0} {:>5}  {}",
            seconds(self.at_ms),
            seconds(self.outage_ms),
            seconds(self.quiet_ms),
            self.requests,
            self.answered,
            self.refused,
            self.failed,
            self.slowest_ms.unwrap_or_default(),
            well,
            self.story
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, length_ms, rounds, .. } = self;
        writeln!(
            f,
            "{} rounds in {:.1} min, {rate} requests a second\n",
            rounds.len(),
            *length_ms as f64 / 6e4
        )?;
        writeln!(
            f,
            "   at s broken  quiet requests answered  refused  failed  slowest  well  what is broken"
        )?;
        rounds.iter().try_for_each(|round| writeln!(f, "{round}"))?;
        writeln!(
            f,
            "\nclass            requests answered degraded  refused  failed   p50 ms   p99 ms  slowest"
        )?;
        for class in &self.requests {
            let ms = |ms: Option<f64>| ms.unwrap_or_default();
            writeln!(
                f,
                "{:<16} {:>8} {:>8} {:>8} {:>8} {:>7} {:>8.0} {:>8.0} {:>8.0}",
                class.name,
                class.requests,
                class.answered,
                class.degraded,
                class.refused,
                class.failed,
                ms(class.p50_ms),
                ms(class.p99_ms),
                ms(class.max_ms)
            )?;
        }
        writeln!(f, "\n{} failed because their orchestrator was killed under them.", self.cut_off)?;
        writeln!(f, "\nWhat a process holds in quiet times: medians of four quarters, and the most\n")?;
        for Growth { service, what, quarters: [a, b, c, d], most, .. } in &self.growth {
            writeln!(f, "{service:<16} {what:<22} {a:>8} {b:>8} {c:>8} {d:>8} {most:>8}")?;
        }
        writeln!(f, "\nWhat had to hold:\n\n{}", verdicts(&self.verdicts))?;
        if !self.timeline.is_empty() {
            writeln!(f, "Around what did not:\n")?;
            self.timeline.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        }
        let word = if self.passed { "PASSED" } else { "FAILED" };
        writeln!(f, "{word}. The same again:\n  {}", self.again)
    }
}
