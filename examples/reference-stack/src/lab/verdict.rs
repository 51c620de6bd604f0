//! What the breaker must achieve for the drill to pass. The bounds are generous: they tell a breaker that works from
//! one that does not, on any machine; how well it works is in the table.

use serde::Serialize;

use crate::lab::gateway::TIMEOUT;
use crate::lab::phase::{Kind, Phase};
use crate::lab::report::{PhaseReport, millis};

/// How soon the breaker must have noticed, beyond the time-out that it must wait for while the dependency hangs.
const NOTICE_MS: f64 = 1_000.0;
/// How soon after the dependency's recovery it must have closed; its longest open time is 1 s, and the first probe of a Redis may find the news of its outage.
const RECOVER_MS: f64 = 3_000.0;

/// One thing that must be so, and whether it was.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) passed: bool,
    pub(crate) must: String,
    pub(crate) was: String,
}

/// All verdicts on all phases.
pub(crate) fn all(phases: &[PhaseReport]) -> Vec<Verdict> {
    phases
        .iter()
        .flat_map(|phase| match phase.kind {
            Kind::Calm => calm(phase),
            Kind::Outage => outage(phase),
            Kind::Recovery => recovery(phase),
        })
        .collect()
}

fn calm(phase: &PhaseReport) -> Vec<Verdict> {
    let (guarded, unguarded) = (&phase.guarded, &phase.unguarded);
    let slack = guarded.requests / 100;
    vec![
        Verdict {
            passed: guarded.successes > 0 && guarded.successes + slack >= unguarded.successes,
            must: must(phase, "the guarded route succeeds as often as the unguarded one"),
            was: format!("{} and {} of {}", guarded.successes, unguarded.successes, guarded.requests),
        },
        Verdict {
            passed: phase.trips == 0,
            must: must(phase, "the breaker stays closed"),
            was: format!("{} trips", phase.trips),
        },
    ]
}

fn outage(phase: &PhaseReport) -> Vec<Verdict> {
    let (guarded, unguarded) = (&phase.guarded, &phase.unguarded);
    let hanging = phase.phase == Phase::Hanging;
    let (notice, share) = if hanging { (millis(TIMEOUT) + NOTICE_MS, 2) } else { (NOTICE_MS, 4) };
    let mut verdicts = vec![
        Verdict {
            passed: unguarded.errors * 2 >= unguarded.requests,
            must: must(phase, "the outage is real: most unguarded calls fail"),
            was: format!("{} of {}", unguarded.errors, unguarded.requests),
        },
        Verdict {
            passed: phase.time_to_trip_ms.is_some_and(|after| after <= notice),
            must: must(phase, &format!("the breaker trips within {notice:.0} ms")),
            was: after(phase.time_to_trip_ms),
        },
        Verdict {
            passed: guarded.sent * share <= unguarded.sent,
            must: must(phase, &format!("at most 1 in {share} calls goes to the dependency")),
            was: format!("{} of {}", guarded.sent, unguarded.sent),
        },
    ];
    if hanging {
        let (fast, slow) = (guarded.p99_once_open_ms, unguarded.p99_once_open_ms);
        verdicts.push(Verdict {
            passed: fast.zip(slow).is_some_and(|(fast, slow)| fast * 3.0 <= slow),
            must: must(phase, "once open, the guarded p99 is at most a third of the unguarded one"),
            was: fast.zip(slow).map_or("never open".into(), |(fast, slow)| format!("{fast} ms, {slow} ms")),
        });
    }
    verdicts
}

fn recovery(phase: &PhaseReport) -> Vec<Verdict> {
    let success = phase.guarded.success_once_closed;
    vec![
        Verdict {
            passed: phase.time_to_recover_ms.is_some_and(|after| after <= RECOVER_MS),
            must: must(phase, &format!("the breaker closes within {RECOVER_MS:.0} ms")),
            was: after(phase.time_to_recover_ms),
        },
        Verdict {
            passed: success.is_some_and(|share| share >= 0.99),
            must: must(phase, "once closed, at least 99 % succeed again"),
            was: success.map_or("never".into(), |share| format!("{:.1} %", share * 100.0)),
        },
    ]
}

fn must(phase: &PhaseReport, what: &str) -> String {
    format!("{}: {what}", phase.phase.name())
}

fn after(time: Option<f64>) -> String {
    time.map_or("never".into(), |ms| format!("after {ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::report::Side;

    /// What a route without a breaker looks like while the dependency fails.
    fn failing() -> Side {
        Side {
            requests: 300,
            successes: 0,
            errors: 300,
            rejected: 0,
            p50_ms: 750.0,
            p99_ms: 755.0,
            p99_once_open_ms: Some(755.0),
            success_once_closed: None,
            sent: 300,
            arrived: Some(300),
        }
    }

    fn hanging(guarded: Side, time_to_trip_ms: Option<f64>) -> PhaseReport {
        PhaseReport {
            phase: Phase::Hanging,
            kind: Kind::Outage,
            story: "",
            begin_ms: 0.0,
            trips: 1,
            time_to_trip_ms,
            time_to_recover_ms: None,
            guarded,
            unguarded: failing(),
        }
    }

    #[test]
    fn a_breaker_that_does_nothing_fails_the_drill() {
        let verdicts = all(&[hanging(failing(), None)]);
        assert_eq!(verdicts.iter().filter(|verdict| !verdict.passed).count(), 3, "{verdicts:?}");
    }

    #[test]
    fn a_breaker_that_keeps_calls_away_passes() {
        let guarded =
            Side { rejected: 200, p99_once_open_ms: Some(3.0), sent: 80, arrived: Some(80), ..failing() };
        let verdicts = all(&[hanging(guarded, Some(800.0))]);
        assert!(verdicts.iter().all(|verdict| verdict.passed), "{verdicts:?}");
    }
}
