//! What had to hold. Look at [`all`].

use std::time::Duration;

use crate::drill::conductor::Played;
use crate::drill::report::model::{Class, Figures, Kind, Stack, Verdict};

/// The share of requests that are answered while one dependency is down.
const ANSWERED: f64 = 0.999;
/// How soon every request is answered or refused while everything is down.
const AT_ONCE_MS: f64 = 2_000.0;
/// A healthy p99 that is shorter than this counts as this long: of so little, twice is noise.
const FLOOR_MS: f64 = 50.0;
/// How long beyond `relax_after` and `open_for` it may take until all is well.
const GRACE: Duration = Duration::from_secs(5);

/// What a stack promises of its recovery: how long a level is held, and how long a breaker stays open at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    pub(crate) relax_after: Duration,
    pub(crate) open_for: Duration,
}

/// All of them, of the stack with the layers.
pub(crate) fn all(stack: &Stack, played: &[Played], promise: Promise) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let healthy = played.iter().zip(&stack.phases).find(|(phase, _)| phase.kind == Kind::Healthy);
    let healthy_p99 = healthy.and_then(|(_, figures)| class(figures, "all")?.p99_ms);
    for (phase, figures) in played.iter().zip(&stack.phases) {
        let Played { name, kind, faults, .. } = phase;
        match kind {
            Kind::Healthy => verdicts.push(answered(&format!("all is answered: {name}"), figures, &["all"])),
            Kind::Outage if faults.len() > 1 => verdicts.push(answered_or_refused(name, figures)),
            Kind::Outage => {
                let unasked = ["chat", "chat stream", "submit"];
                verdicts.push(answered(&format!("chat and submit are answered: {name}"), figures, &unasked));
                verdicts.push(not_failed(&format!("with a key, an answer or a refusal: {name}"), figures));
                verdicts.extend(quick(name, figures, healthy_p99));
            }
            Kind::Recovery => {
                let unasked = ["chat", "chat stream", "submit"];
                if faults.len() == 1 {
                    verdicts.push(answered(
                        &format!("chat and submit are answered: {name}"),
                        figures,
                        &unasked,
                    ));
                }
                verdicts.push(recovered(name, figures, promise));
            }
        }
    }
    verdicts.extend(stack.tasks.iter().flat_map(tasks));
    verdicts
}

fn answered(name: &str, figures: &Figures, classes: &[&str]) -> Verdict {
    let (mut requests, mut answered) = (0, 0);
    for class in figures.classes.iter().filter(|class| classes.contains(&class.name.as_str())) {
        requests += class.requests;
        answered += class.answered;
    }
    share(name, answered, requests)
}

fn not_failed(name: &str, figures: &Figures) -> Verdict {
    let (requests, failed) = class(figures, "submit with key").map_or((0, 0), |it| (it.requests, it.failed));
    share(name, requests - failed, requests)
}

fn share(name: &str, good: u64, of: u64) -> Verdict {
    #[expect(clippy::cast_precision_loss, reason = "counts of a few minutes")]
    let share = if of == 0 { 0.0 } else { good as f64 / of as f64 };
    let figure = format!("{:.2} % of {of} (at least {} %)", share * 100.0, ANSWERED * 100.0);
    Verdict { name: name.to_owned(), holds: share >= ANSWERED, figure }
}

fn answered_or_refused(name: &str, figures: &Figures) -> Verdict {
    let (requests, failed) = class(figures, "all").map_or((0, 0), |all| (all.requests, all.failed));
    let slowest = class(figures, "all").and_then(|all| all.max_ms).unwrap_or(0.0);
    Verdict {
        name: format!("an answer or a clear 503 within {} s: {name}", AT_ONCE_MS / 1e3),
        holds: failed == 0 && slowest <= AT_ONCE_MS && requests > 0,
        figure: format!("{failed} of {requests} failed, the slowest took {slowest:.0} ms"),
    }
}

/// None where no breaker opened, or nothing came afterwards.
fn quick(name: &str, figures: &Figures, healthy_p99: Option<f64>) -> Option<Verdict> {
    let (p99, healthy) = (class(figures, "all")?.p99_open_ms?, healthy_p99?);
    let most = 2.0 * healthy.max(FLOOR_MS);
    Some(Verdict {
        name: format!("once the breakers are open, p99 is at most twice the healthy one: {name}"),
        holds: p99 <= most,
        figure: format!(
            "{p99:.0} ms (at most {most:.0} ms; healthy {healthy:.0} ms, at least {FLOOR_MS:.0} ms)"
        ),
    })
}

fn recovered(name: &str, figures: &Figures, promise: Promise) -> Verdict {
    let most = promise.relax_after + promise.open_for + GRACE;
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    let after = figures.recovered_after_ms;
    let was = after.map_or("not within the phase".to_owned(), |ms| format!("after {:.1} s", seconds(ms)));
    Verdict {
        name: format!("level none and all breakers closed: {name}"),
        holds: after.is_some_and(|ms| ms <= most),
        figure: format!(
            "{was} (at most {:.0} s: relax_after, open_for, and {} s)",
            seconds(most),
            GRACE.as_secs()
        ),
    }
}

fn tasks(tasks: &crate::drill::report::model::Tasks) -> Vec<Verdict> {
    let (accepted, lost, twice) = (tasks.accepted, tasks.lost.len(), tasks.twice.len());
    vec![
        Verdict {
            name: "no task that was accepted is lost".to_owned(),
            holds: lost == 0 && accepted > 0,
            figure: format!("{lost} of {accepted}"),
        },
        Verdict {
            name: "no task has ended twice".to_owned(),
            holds: twice == 0,
            figure: format!("{twice} of {accepted}"),
        },
    ]
}

fn class<'a>(figures: &'a Figures, name: &str) -> Option<&'a Class> {
    figures.classes.iter().find(|class| class.name == name)
}

#[expect(clippy::cast_precision_loss, reason = "minutes, in milliseconds")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}
