//! What has to hold, and what did not. Look at [`verdicts`].

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::apart::Verdict;
use crate::drill::changes::{Event, Name, What};
use crate::drill::conductor::{Deed, Played, Zero};
use crate::drill::fault::{Fault, Service};
use crate::drill::load::{Accepted, Failure, Outcome, PATIENCE, Sample};
use crate::drill::report::model::{Figures, Ids, Tasks};
use crate::drill::stack::{OPEN_FOR, RELAX_AFTER};
use crate::drill::verdicts::GRACE;
use crate::drill::{figures, ledger};
use crate::soak::flat::Growth;
use crate::soak::pulse::{Pulse, Pulses};

/// How long after a restoration the level is none and all breakers are closed.
pub(crate) const WELL_WITHIN: Duration = RELAX_AFTER.saturating_add(OPEN_FOR).saturating_add(GRACE);
/// How long after the last request what is under way has to end, and the spools to be emptied.
const AT_REST_WITHIN: Duration = TRAFFIC.saturating_add(WELL_WITHIN);
/// For how long a level goes by the traffic that there was.
const TRAFFIC: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Something that must not be, by which rule, and when it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Mishap {
    pub(crate) at: Instant,
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

/// What is looked at all the time, or after each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    Answered,
    InTime,
    Well,
    Ready,
    Stored,
    AtRest,
}

// === impl Rule ===

impl Rule {
    const ALL: [Self; 6] =
        [Self::Answered, Self::InTime, Self::Well, Self::Ready, Self::Stored, Self::AtRest];

    fn name(self) -> String {
        match self {
            Self::Answered => "each request is answered or clearly refused".to_owned(),
            Self::InTime => format!("no request hangs: none takes {} s", PATIENCE.as_secs()),
            Self::Well => format!(
                "within {} s of a restoration all breakers are closed and no level is held by what was broken, and it stays so",
                WELL_WITHIN.as_secs()
            ),
            Self::Ready => {
                "at the end of each quiet time every process is ready, its breakers closed".to_owned()
            }
            Self::Stored => {
                "what was accepted before a restoration is stored, ended, by the end of the quiet time"
                    .to_owned()
            }
            Self::AtRest => {
                "once nobody asks any more nothing is under way, spools are empty, levels are none".to_owned()
            }
        }
    }
}

/// Requests that were not answered, or not in time. Those that were under way when their orchestrator was killed are nobody's failing;
/// returns how many these are.
pub(crate) fn requests(
    samples: &[Sample],
    failures: &[Failure],
    deeds: &[Deed],
    found: &mut Vec<Mishap>,
) -> u64 {
    let mut cut_off = 0;
    for failure in failures {
        if is_cut_off(&failure.sample, deeds) {
            cut_off += 1;
            continue;
        }
        let Sample { due, latency, class, .. } = failure.sample;
        let what = format!("{} after {} ms: {}", class.name(), latency.as_millis(), failure.why);
        found.push(Mishap { at: due + latency, rule: Rule::Answered, what });
    }
    let hung = samples.iter().filter(|sample| sample.latency >= PATIENCE);
    found.extend(hung.map(|sample| Mishap {
        at: sample.due + sample.latency,
        rule: Rule::InTime,
        what: format!("{} took {:.1} s", sample.class.name(), sample.latency.as_secs_f64()),
    }));
    // Only so many failures are kept with their reasons.
    let failed = samples.iter().filter(|sample| sample.outcome == Outcome::Failed).count();
    if failed > failures.len()
        && let Some(last) = failures.last()
    {
        let what = format!("and {} more", failed - failures.len());
        found.push(Mishap { at: last.sample.due, rule: Rule::Answered, what });
    }
    cut_off
}

/// Whether it was under way when an orchestrator was killed.
fn is_cut_off(sample: &Sample, deeds: &[Deed]) -> bool {
    deeds.iter().any(|deed| {
        let is_kill = deed.begins && matches!(deed.fault, Fault::KillService(Service::Orchestrator, _));
        is_kill && sample.due <= deed.to && deed.from <= sample.due + sample.latency
    })
}

/// The events as if traffic held no level. Slow or failed requests count for 30 s, which is longer than a quiet time: what they hold goes
/// by itself, and is none when nobody asks any more.
pub(crate) fn without_traffic(mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        if let What::Changed { name: Name::Level, to, cause, .. } = &mut event.what
            && cause.contains("of requests")
        {
            "none".clone_into(to);
        }
    }
    events
}

/// When all was well in a quiet time, from its begin.
pub(crate) fn well(
    quiet: &Played,
    figures: &Figures,
    events: &[Event],
    found: &mut Vec<Mishap>,
) -> Option<u64> {
    // Where nothing has ever changed, all has always been well.
    let nothing_changed = events.iter().all(|event| event.change().is_none());
    let after = figures.recovered_after_ms.or(nothing_changed.then_some(0));
    let most = WELL_WITHIN.as_millis();
    if after.is_none_or(|ms| u128::from(ms) > most) {
        let when = after.map_or("not by its end".to_owned(), |ms| format!("after {ms} ms"));
        let what = format!("{}: {when}", quiet.name);
        found.push(Mishap { at: quiet.to, rule: Rule::Well, what });
    }
    after
}

/// How the processes are at the end of a quiet time.
pub(crate) fn ready(pulses: &[Pulse], found: &mut Vec<Mishap>) {
    for pulse in pulses {
        let complaint = match &pulse.says {
            None => Some("it does not answer".to_owned()),
            Some(says) => says.complaint(),
        };
        let Some(complaint) = complaint else { continue };
        let what = format!("{}: {complaint}", pulse.service);
        found.push(Mishap { at: pulse.at, rule: Rule::Ready, what });
    }
}

/// Whether tasks that were accepted a while ago are in the database, ended.
pub(crate) async fn stored(
    database: &str,
    accepted: &[Accepted],
    round: &str,
    found: &mut Vec<Mishap>,
) -> anyhow::Result<()> {
    let ids = accepted.iter().map(|task| task.id).collect();
    let tasks = ledger::by_now(database, &ids).await.context("the tasks of a round")?;
    if tasks.lost.number > 0 {
        let what = format!("{round}: {} of {}: {}", tasks.lost.number, tasks.accepted, first(&tasks.lost));
        found.push(Mishap { at: Instant::now(), rule: Rule::Stored, what });
    }
    Ok(())
}

/// Waits until nothing is under way.
pub(crate) async fn at_rest(pulses: &Pulses, found: &mut Vec<Mishap>) {
    let deadline = Instant::now() + AT_REST_WITHIN;
    loop {
        let now = pulses.now().await;
        let unrest = |pulse: &Pulse| match &pulse.says {
            None => Some("it does not answer".to_owned()),
            Some(says) => says.unrest(),
        };
        let left = now.iter().filter_map(|pulse| Some((pulse, unrest(pulse)?)));
        let left: Vec<Mishap> = left
            .map(|(pulse, why)| Mishap {
                at: pulse.at,
                rule: Rule::AtRest,
                what: format!("{}: {why}", pulse.service),
            })
            .collect();
        if left.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            found.extend(left);
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// All verdicts: a rule holds if there was no mishap.
pub(crate) fn verdicts(found: &[Mishap], zero: Zero) -> Vec<Verdict> {
    let mut by_rule: BTreeMap<Rule, Vec<&Mishap>> = BTreeMap::new();
    found.iter().for_each(|mishap| by_rule.entry(mishap.rule).or_default().push(mishap));
    let verdict = |rule: Rule| {
        let mishaps = by_rule.get(&rule).map(Vec::as_slice).unwrap_or_default();
        let figure = match mishaps {
            [] => "always".to_owned(),
            [first, ..] => {
                let at = first.at.saturating_duration_since(zero.instant).as_secs_f64();
                format!("{} times not, first at {at:.1} s: {}", mishaps.len(), first.what)
            }
        };
        Verdict::new(rule.name(), mishaps.is_empty(), figure)
    };
    Rule::ALL.into_iter().map(verdict).collect()
}

/// Of the tasks, once all spools had their time.
pub(crate) fn tasks(tasks: &Tasks, unended: u64, twice: &Ids) -> [Verdict; 3] {
    let lost = format!("{} of {}: {}", tasks.lost.number, tasks.accepted, first(&tasks.lost));
    let lost = if tasks.lost.number == 0 { format!("0 of {}", tasks.accepted) } else { lost };
    [
        Verdict::new("no task that was accepted is lost", tasks.lost.number == 0 && tasks.accepted > 0, lost),
        Verdict::new(
            "no task, accepted or not, ends twice in the audit log",
            twice.number == 0,
            if twice.number == 0 { "0".to_owned() } else { format!("{}: {}", twice.number, first(twice)) },
        ),
        Verdict::new(
            "no task, accepted or not, is left that has not ended",
            unended == 0,
            unended.to_string(),
        ),
    ]
}

/// Of what the processes hold. One that was never started again must have been looked at often enough.
pub(crate) fn flat(service: &str, growth: &[Growth], was_restarted: bool) -> Vec<Verdict> {
    if growth.is_empty() {
        return vec![Verdict::new(
            format!("{service}: what it holds does not grow"),
            was_restarted,
            "no process of it lived long enough to be judged",
        )];
    }
    let verdict = |it: &Growth| {
        let [first, second, third, last] = it.quarters;
        Verdict::new(
            format!("{service}: {} do not grow", it.what),
            it.is_flat(),
            format!("{first}, {second}, {third}, {last} by quarters (at most {}, of {})", it.limit, it.looks),
        )
    };
    growth.iter().map(verdict).collect()
}

/// Whether requests were sent when they were meant to be. Where they were not, times say more of the machine than of the stack.
pub(crate) fn kept_up(late: u64, of: usize) -> Verdict {
    let holds = late.saturating_mul(100) <= u64::try_from(of).unwrap_or(u64::MAX);
    let name = "the machine keeps up: at most one request in a hundred is sent late";
    Verdict::new(name, holds, format!("{late} of {of}"))
}

/// Whether a service has panicked, by its log.
pub(crate) fn calm(logs: &[(String, String)]) -> Verdict {
    let panics: Vec<String> = logs
        .iter()
        .flat_map(|(service, log)| {
            log.lines().filter(|line| line.contains("panicked")).map(move |line| format!("{service}: {line}"))
        })
        .collect();
    let figure = panics.first().map_or("0".to_owned(), |first| format!("{}: {first}", panics.len()));
    Verdict::new("nothing panics", panics.is_empty(), figure)
}

/// Of the requests of a time.
pub(crate) fn figures_of(played: &Played, samples: &[Sample], events: &[Event], zero: Zero) -> Figures {
    figures::figures(played, samples, events, &[], zero)
}

fn first(ids: &Ids) -> String {
    ids.first.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ")
}
