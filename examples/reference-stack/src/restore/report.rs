//! What a restore drill found out, as it is printed and written as JSON. Times are in milliseconds.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::apart::{Verdict, verdicts};
use crate::restore::site::TIMES;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) passed: bool,
    /// Tasks handed in a second.
    pub(crate) rate: u32,
    /// The times of the stack's breakers, checks and levels.
    pub(crate) times: &'static str,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    pub(crate) verdicts: Vec<Verdict>,
}

/// What was done, and when.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    /// Since the destruction; what was before is negative.
    pub(crate) at_ms: i64,
    pub(crate) what: String,
}

/// How one of them came back, beside what was wanted.
#[derive(Debug, Serialize)]
pub(crate) struct Recovery {
    pub(crate) steps: Vec<Step>,
    /// From its end until it works.
    pub(crate) rto_ms: u64,
    pub(crate) rto_target_ms: u64,
    /// From its end until the level is none.
    pub(crate) well_ms: u64,
    pub(crate) well_target_ms: u64,
    /// How long before its end the oldest was acknowledged of what is lost; 0 if nothing is.
    pub(crate) rpo_ms: u64,
    pub(crate) rpo_target_ms: u64,
}

/// The longest that may be: until it works, until the level is none, and before its end.
pub(crate) struct Targets {
    pub(crate) rto: Duration,
    pub(crate) well: Duration,
    pub(crate) rpo: Duration,
}

/// PostgreSQL: dumped, destroyed, made again from the dump.
#[derive(Debug, Serialize)]
pub(crate) struct Postgres {
    /// It works when reads and writes do; what is lost are tasks that were accepted.
    #[serde(flatten)]
    pub(crate) recovery: Recovery,
    pub(crate) dump_bytes: u64,
    /// Of all tasks that were accepted.
    pub(crate) accepted: usize,
    pub(crate) accepted_before_dump: usize,
    pub(crate) accepted_after_dump: usize,
    pub(crate) accepted_after_destruction: usize,
    /// Between the destruction and the begin of the restoration.
    pub(crate) accepted_while_away: usize,
    pub(crate) refused_while_away: usize,
    /// Tasks that were handed in and not accepted.
    pub(crate) refused: usize,
    pub(crate) failed: usize,
    /// Tasks that the database had when the dump began, and when it was destroyed.
    pub(crate) in_dump: usize,
    pub(crate) in_database: usize,
    /// Accepted, and not in the restored database, after the spool was delivered.
    pub(crate) lost: usize,
    /// Of these, those that the dump has, and those that were accepted after the destruction: there must be none.
    pub(crate) lost_of_dump: usize,
    pub(crate) lost_after_destruction: usize,
    /// Ids of those that are lost, at most twenty.
    pub(crate) lost_ids: Vec<String>,
    /// Accepted before the destruction, not in the dump, and there all the same: the spool had them still.
    pub(crate) from_spool: usize,
    /// Of the tasks that the dump has, those before their end, which the database had been told since.
    pub(crate) unfinished: usize,
    /// The same, after a restart of the orchestrator, which runs them again.
    pub(crate) unfinished_after_restart: usize,
}

/// Redis: killed, and started again from its append-only file.
#[derive(Debug, Serialize)]
pub(crate) struct Redis {
    /// It works when a task with an idempotency key is accepted; what is lost are writes that were acknowledged.
    #[serde(flatten)]
    pub(crate) recovery: Recovery,
    /// Writes of the drill's own that were acknowledged, and of these those that are lost.
    pub(crate) writes: usize,
    pub(crate) writes_lost: usize,
    /// How long before its end the last one was acknowledged; `None` if none was.
    pub(crate) last_write_ms: Option<u64>,
    /// The stack's keys (sessions, idempotency, limits by hour and day) that were there, and of these those that are not there again.
    pub(crate) keys: usize,
    pub(crate) keys_lost: usize,
    /// Tasks without a key, from its end until it was started again.
    pub(crate) accepted_while_away: usize,
    pub(crate) refused_while_away: usize,
    /// Tasks with a key that were refused then.
    pub(crate) refused_with_key_while_away: usize,
    pub(crate) failed: usize,
}

/// Keeps what was done, and when.
#[derive(Debug)]
pub(crate) struct Diary {
    done: Vec<(Instant, String)>,
}

// === impl Diary ===

impl Diary {
    pub(crate) fn new() -> Self {
        Self { done: Vec::new() }
    }

    pub(crate) fn note(&mut self, what: impl Into<String>) -> Instant {
        let (now, what) = (Instant::now(), what.into());
        eprintln!("  {what}");
        self.done.push((now, what));
        now
    }

    /// Counted from a moment.
    pub(crate) fn since(self, zero: Instant) -> Vec<Step> {
        let step = |(at, what): (Instant, String)| {
            let at_ms = match at.checked_duration_since(zero) {
                Some(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
                None => -i64::try_from((zero - at).as_millis()).unwrap_or(i64::MAX),
            };
            Step { at_ms, what }
        };
        self.done.into_iter().map(step).collect()
    }
}

// === impl Recovery ===

impl Recovery {
    /// Of what ended at a moment, worked again, and was well again.
    pub(crate) fn new(
        diary: Diary,
        ended: Instant,
        (works, well): (Instant, Instant),
        oldest_lost: Option<Instant>,
        targets: &Targets,
    ) -> Self {
        let since = |at: Instant| millis(at.saturating_duration_since(ended));
        Self {
            steps: diary.since(ended),
            rto_ms: since(works),
            rto_target_ms: millis(targets.rto),
            well_ms: since(well),
            well_target_ms: millis(targets.well),
            rpo_ms: oldest_lost.map_or(0, |oldest| millis(ended.saturating_duration_since(oldest))),
            rpo_target_ms: millis(targets.rpo),
        }
    }

    /// Whether it was in time.
    pub(crate) fn judged(&self, of: &str) -> [Verdict; 3] {
        [
            (format!("{of} is back in time"), self.rto_ms, self.rto_target_ms),
            (format!("the level is none in time after {of}"), self.well_ms, self.well_target_ms),
            (format!("what is lost with {of} is no older than it may be"), self.rpo_ms, self.rpo_target_ms),
        ]
        .map(|(name, was, most)| {
            let figure = format!("{:.1} s (at most {:.1} s)", was as f64 / 1e3, most as f64 / 1e3);
            Verdict::new(name, was <= most, figure)
        })
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

// === impl Report ===

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{} tasks a second; {TIMES}", self.rate)?;
        write!(f, "{}{}", self.postgres, self.redis)?;
        write!(f, "\nWhat had to hold:\n\n{}", verdicts(&self.verdicts))?;
        let failed = self.verdicts.iter().filter(|verdict| !verdict.holds).count();
        match failed {
            0 => writeln!(f, "\nThe restore drill passed: {0} of {0}.", self.verdicts.len()),
            _ => writeln!(f, "\nThe restore drill FAILED: {failed} of {} do not hold.", self.verdicts.len()),
        }
    }
}

fn steps(f: &mut fmt::Formatter<'_>, steps: &[Step]) -> fmt::Result {
    for Step { at_ms, what } in steps {
        writeln!(f, "  {:>8.1} s  {what}", *at_ms as f64 / 1e3)?;
    }
    writeln!(f)
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        steps(f, &self.steps)?;
        let figures = [
            ("recovery time (RTO)", self.rto_ms, self.rto_target_ms),
            ("until the level is none", self.well_ms, self.well_target_ms),
            ("data lost (RPO)", self.rpo_ms, self.rpo_target_ms),
        ];
        figures.into_iter().try_for_each(|(name, was, target)| {
            let (was, target) = (was as f64 / 1e3, target as f64 / 1e3);
            writeln!(f, "  {name:<25}{was:>6.1} s   target {target:>6.1} s")
        })
    }
}

impl fmt::Display for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n--- PostgreSQL: dumped, destroyed with its data, restored from the dump\n")?;
        writeln!(f, "{}", self.recovery)?;
        writeln!(
            f,
            "  {:>6} tasks accepted: {} before the dump, {} after it, {} after the destruction",
            self.accepted,
            self.accepted_before_dump,
            self.accepted_after_dump,
            self.accepted_after_destruction
        )?;
        writeln!(
            f,
            "  {:>6} in the dump ({} bytes), {} in the database that was destroyed",
            self.in_dump, self.dump_bytes, self.in_database
        )?;
        writeln!(
            f,
            "  {:>6} lost: delivered after the dump, and so gone from the spool. Only archived WAL has them",
            self.lost
        )?;
        writeln!(f, "  {:>6} not in the dump and not lost: the spool had them still", self.from_spool)?;
        writeln!(
            f,
            "  {:>6} unfinished in the restored database, {} after a restart of the orchestrator",
            self.unfinished, self.unfinished_after_restart
        )?;
        writeln!(
            f,
            "  {:>6} accepted while PostgreSQL was away, {} refused then",
            self.accepted_while_away, self.refused_while_away
        )?;
        writeln!(f, "  {:>6} refused in all, {} failed", self.refused, self.failed)
    }
}

impl fmt::Display for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n--- Redis: killed, started again from its append-only file\n")?;
        writeln!(f, "{}", self.recovery)?;
        writeln!(f, "  {:>6} writes acknowledged, {} of them lost", self.writes, self.writes_lost)?;
        writeln!(f, "  {:>6} keys of the stack, {} of them lost", self.keys, self.keys_lost)?;
        writeln!(
            f,
            "  {:>6} tasks without a key accepted while it was away, {} refused; {} with a key refused; {} failed in all",
            self.accepted_while_away, self.refused_while_away, self.refused_with_key_while_away, self.failed
        )?;
        writeln!(
            f,
            "         (killed, not cut from power: that loses up to a second more with appendfsync everysec)"
        )
    }
}
