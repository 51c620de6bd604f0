//! The report as text.

use std::fmt;

use crate::lab::phase::Kind;
use crate::lab::report::{Part, PhaseReport, Report, Side, millis};

/// The columns of the table: heading, width, and what stands there.
type Column = (&'static str, usize, fn(&Side) -> String);

const COLUMNS: [Column; 9] = [
    ("requests", 9, |side| side.requests.to_string()),
    ("ok", 7, |side| side.successes.to_string()),
    ("errors", 7, |side| side.errors.to_string()),
    ("rejected", 9, |side| side.rejected.to_string()),
    ("p50 ms", 9, |side| format!("{:.1}", side.p50_ms)),
    ("p99 ms", 9, |side| format!("{:.1}", side.p99_ms)),
    ("p99 open", 10, |side| side.p99_once_open_ms.map_or("-".into(), |ms| format!("{ms:.1}"))),
    ("sent", 7, |side| side.sent.to_string()),
    ("arrived", 8, |side| side.arrived.map_or("-".into(), |calls| calls.to_string())),
];

// === impl Report ===

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dependencies.iter().try_for_each(|part| write!(f, "{part}"))?;
        let verdicts = || self.dependencies.iter().flat_map(|part| &part.verdicts);
        let (all, failed) = (verdicts().count(), verdicts().filter(|verdict| !verdict.passed).count());
        match failed {
            0 => writeln!(f, "\nThe drill passed: {all} of {all}."),
            _ => writeln!(f, "\nThe drill FAILED: {failed} of {all} were not so."),
        }
    }
}

// === impl Part ===

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table(f)?;
        self.timeline(f)?;
        self.verdicts(f)
    }
}

impl Part {
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n=== {}", self.dependency.name())?;
        write!(f, "\n{:<20}", "phase     route")?;
        for (heading, width, _) in COLUMNS {
            write!(f, "{heading:>width$}")?;
        }
        writeln!(f)?;
        for phase in &self.phases {
            writeln!(f, "{:-<95}", format!("--- {}{} ", phase.story, breaker(phase)))?;
            for (name, route, side) in
                [(phase.phase.name(), "guarded", &phase.guarded), ("", "unguarded", &phase.unguarded)]
            {
                write!(f, "{name:<9} {route:<10}")?;
                for (_, width, cell) in COLUMNS {
                    write!(f, "{:>width$}", cell(side))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }

    fn timeline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nWhat the breaker of {} did, and why:\n", self.dependency.name())?;
        let mut phases = self.phases.iter().peekable();
        for event in &self.timeline {
            while let Some(phase) = phases.next_if(|phase| phase.begin_ms <= millis(event.at)) {
                let seconds = phase.begin_ms / 1_000.0;
                writeln!(f, "{seconds:>8.3} s  {}: {}", phase.phase.name(), phase.story)?;
            }
            writeln!(f, "{event}")?;
        }
        if self.timeline.is_empty() {
            writeln!(f, "  nothing")?;
        }
        Ok(())
    }

    fn verdicts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nWhat it had to achieve:\n")?;
        for verdict in &self.verdicts {
            let word = if verdict.passed { "ok    " } else { "FAILED" };
            writeln!(f, "  {word}  {} ({})", verdict.must, verdict.was)?;
        }
        Ok(())
    }
}

/// What the breaker did in a phase, in a word.
fn breaker(phase: &PhaseReport) -> String {
    let (did, time) = match phase.kind {
        Kind::Calm => return String::new(),
        Kind::Outage => ("tripped", phase.time_to_trip_ms),
        Kind::Recovery => ("recovered", phase.time_to_recover_ms),
    };
    time.map_or(format!("; never {did}"), |ms| format!("; {did} after {ms:.0} ms"))
}
