//! What had to hold. Look at [`all`].

use std::time::Duration;

use crate::drill::conductor::Played;
use crate::drill::report::model::{Class, Figures, Kind, Stack, Tasks, Verdict};

/// The share of requests that are answered while one dependency is down.
const ANSWERED: f64 = 0.999;
/// How soon every request is answered or refused while everything is down.
const AT_ONCE_MS: f64 = 2_000.0;
/// A healthy p99 that is shorter than this counts as this long: of so little, twice is noise.
const FLOOR_MS: f64 = 50.0;
/// How long beyond `relax_after` and `open_for` it may take until all is well.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

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
        let name = &phase.name;
        match phase.kind {
            Kind::Healthy => verdicts.push(answered(&format!("all is answered: {name}"), figures, &["all"])),
            Kind::Outage if phase.faults.len() > 1 => verdicts.push(answered_or_refused(name, figures)),
            Kind::Outage => {
                verdicts.extend(served(name, figures));
                verdicts.extend(phase.opens.then(|| quick(name, figures, healthy_p99)));
            }
            Kind::Recovery => {
                verdicts.extend(served(name, figures));
                if phase.opens || figures.recovered_after_ms.is_some() {
                    verdicts.push(recovered(name, figures, stack, promise));
                }
            }
        }
    }
    verdicts.extend(tasks(stack.tasks.as_ref()));
    verdicts
}

/// What has to hold while one dependency is down, and when everything works again.
fn served(name: &str, figures: &Figures) -> [Verdict; 2] {
    let unasked = ["chat", "chat stream", "submit"];
    [
        answered(&format!("chat and submit are answered: {name}"), figures, &unasked),
        each(
            &format!("with a key, an answer or a refusal: {name}"),
            figures,
            &["submit with key"],
            |class| class.requests.saturating_sub(class.failed),
        ),
    ]
}

fn answered(name: &str, figures: &Figures, classes: &[&str]) -> Verdict {
    each(name, figures, classes, |class| class.answered)
}

/// Whether the good ones are enough in each of some classes.
fn each(name: &str, figures: &Figures, classes: &[&str], good: impl Fn(&Class) -> u64) -> Verdict {
    let (mut holds, mut figure) = (true, Vec::new());
    for name in classes {
        let (requests, good) =
            class(figures, name).map_or((0, 0), |class| (class.requests, good(class).min(class.requests)));
        #[expect(clippy::cast_precision_loss, reason = "counts of a few minutes")]
        let share = if requests == 0 { 0.0 } else { good as f64 / requests as f64 };
        holds &= share >= ANSWERED;
        figure.push(format!("{name} {:.2} % of {requests}", share * 100.0));
    }
    let figure = format!("{} (at least {} %)", figure.join(", "), ANSWERED * 100.0);
    Verdict { name: name.to_owned(), holds, figure }
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

/// Fails where there is nothing to judge it by.
fn quick(name: &str, figures: &Figures, healthy_p99: Option<f64>) -> Verdict {
    let p99_open = class(figures, "all").and_then(|all| all.p99_open_ms);
    let (holds, figure) = match (p99_open, healthy_p99) {
        (None, _) => {
            (false, "no breaker of what was broken has opened, or nothing was asked afterwards".to_owned())
        }
        (_, None) => (false, "cannot be judged: there is no phase in which nothing is broken".to_owned()),
        (Some(p99), Some(healthy)) => {
            let most = 2.0 * healthy.max(FLOOR_MS);
            let figure = format!(
                "{p99:.0} ms (at most {most:.0} ms; healthy {healthy:.0} ms, at least {FLOOR_MS:.0} ms)"
            );
            (p99 <= most, figure)
        }
    };
    Verdict {
        name: format!("once the breakers are open, p99 is at most twice the healthy one: {name}"),
        holds,
        figure,
    }
}

fn recovered(name: &str, figures: &Figures, stack: &Stack, promise: Promise) -> Verdict {
    let most = promise.relax_after.saturating_add(promise.open_for).saturating_add(GRACE);
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    let after = figures.recovered_after_ms;
    let was = match after {
        Some(ms) => format!("after {:.1} s", seconds(ms)),
        None if stack.changes.is_empty() => {
            "not known: no level and no breaker was seen to change".to_owned()
        }
        None => "not within the phase".to_owned(),
    };
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

/// Whether tasks ended twice is judged only where somebody could look.
fn tasks(tasks: Option<&Tasks>) -> Vec<Verdict> {
    let verdict = |name: &str, holds, figure| Verdict { name: name.to_owned(), holds, figure };
    let lost = "no task that was accepted is lost";
    let Some(Tasks { accepted, lost: ids, twice, .. }) = tasks else {
        return vec![verdict(lost, false, "not known: the database could not be asked".to_owned())];
    };
    let lost = verdict(lost, ids.number == 0 && *accepted > 0, format!("{} of {accepted}", ids.number));
    let twice = twice.as_ref().map(|twice| {
        verdict("no task has ended twice", twice.number == 0, format!("{} of {accepted}", twice.number))
    });
    std::iter::once(lost).chain(twice).collect()
}

fn class<'a>(figures: &'a Figures, name: &str) -> Option<&'a Class> {
    figures.classes.iter().find(|class| class.name == name)
}

#[expect(clippy::cast_precision_loss, reason = "minutes, in milliseconds")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::drill::plan::{Fault, Server};
    use crate::drill::report::model::Ids;

    const PROMISE: Promise =
        Promise { relax_after: Duration::from_secs(2), open_for: Duration::from_secs(4) };

    fn played(kind: Kind, faults: usize, opens: bool) -> Played {
        let now = Instant::now();
        let faults = vec![Fault::KillServer(Server::Redis); faults];
        let (name, story) = ("it".to_owned(), String::new());
        Played { name, story, kind, faults, opens, from: now, broken: now, to: now }
    }

    /// 1,000 requests of each class, of which so many submits failed.
    fn figures(failed_submits: u64) -> Figures {
        let class = |name: &&str| Class {
            name: (*name).to_owned(),
            requests: 1_000,
            answered: 1_000 - if *name == "submit" { failed_submits } else { 0 },
            degraded: 0,
            partial: 0,
            quick: 0,
            refused: 0,
            failed: if *name == "submit" { failed_submits } else { 0 },
            p50_ms: Some(1.0),
            p99_ms: Some(1.0),
            p999_ms: Some(1.0),
            max_ms: Some(1.0),
            p99_open_ms: None,
        };
        let classes =
            ["chat", "chat stream", "submit", "submit with key", "get", "all"].iter().map(class).collect();
        Figures { classes, detected_after_ms: None, degraded_after_ms: None, recovered_after_ms: None }
    }

    fn verdicts(phases: Vec<(Played, Figures)>, tasks: Option<Tasks>) -> Vec<(String, bool)> {
        let (played, phases): (Vec<_>, Vec<_>) = phases.into_iter().unzip();
        let (name, seconds, changes) = (String::new(), Vec::new(), Vec::new());
        let stack = Stack { name, phases, seconds, changes, tasks };
        let verdicts = all(&stack, &played, PROMISE);
        verdicts.into_iter().map(|it| (format!("{}: {}", it.name, it.figure), it.holds)).collect()
    }

    fn of(verdicts: &[(String, bool)], word: &str) -> Vec<bool> {
        verdicts.iter().filter(|(name, _)| name.contains(word)).map(|(_, holds)| *holds).collect()
    }

    #[test]
    fn an_outage_in_which_no_breaker_opens_fails_unless_the_plan_says_so() {
        for healthy in [Some(played(Kind::Healthy, 0, true)), None] {
            let mut phases: Vec<_> = healthy.into_iter().map(|phase| (phase, figures(0))).collect();
            phases.push((played(Kind::Outage, 1, true), figures(0)));
            phases.push((played(Kind::Recovery, 1, true), figures(0)));
            let verdicts = verdicts(phases, None);
            assert_eq!(of(&verdicts, "no breaker of what was broken has opened"), [false], "{verdicts:?}");
            assert_eq!(of(&verdicts, "no level and no breaker was seen"), [false], "{verdicts:?}");
        }
        let quiet = vec![
            (played(Kind::Outage, 1, false), figures(0)),
            (played(Kind::Recovery, 1, false), figures(0)),
        ];
        let verdicts = verdicts(quiet, None);
        assert!(of(&verdicts, "p99").is_empty() && of(&verdicts, "level none").is_empty(), "{verdicts:?}");
    }

    #[test]
    fn without_a_healthy_phase_p99_cannot_be_judged() {
        let mut open = figures(0);
        open.classes.iter_mut().for_each(|class| class.p99_open_ms = Some(1.0));
        let verdicts = verdicts(vec![(played(Kind::Outage, 1, true), open)], None);
        assert_eq!(of(&verdicts, "cannot be judged"), [false], "{verdicts:?}");
    }

    #[test]
    fn a_class_that_fails_is_not_made_up_for_by_the_others() {
        // Of the three together 0.07 %.
        for phase in
            [played(Kind::Outage, 1, true), played(Kind::Recovery, 1, true), played(Kind::Recovery, 4, true)]
        {
            let verdicts = verdicts(vec![(phase, figures(2))], None);
            assert_eq!(of(&verdicts, "chat and submit are answered"), [false], "{verdicts:?}");
            assert_eq!(of(&verdicts, "with a key"), [true], "{verdicts:?}");
        }
    }

    #[test]
    fn tasks_are_judged_by_all_that_are_lost_and_only_where_somebody_looked() {
        let ids = |number| Ids { number, first: Vec::new() };
        let tasks = |lost, twice| Some(Tasks { accepted: 100, stored: 50, lost: ids(lost), twice });
        let lost = verdicts(Vec::new(), tasks(40, None));
        assert_eq!(lost, [("no task that was accepted is lost: 40 of 100".to_owned(), false)]);
        let twice = verdicts(Vec::new(), tasks(0, Some(ids(30))));
        assert_eq!(twice.last(), Some(&("no task has ended twice: 30 of 100".to_owned(), false)));
        assert_eq!(of(&verdicts(Vec::new(), None), "not known"), [false]);
    }
}
