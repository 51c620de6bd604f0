//! The report's figures, from what the callers and the services said. Look at [`stack`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::drill::changes::{Event, Name, What, millis};
use crate::drill::conductor::{Played, Zero};
use crate::drill::load::{Class, Outcome, Sample};
use crate::drill::plan::{Fault, Server, Service};
use crate::drill::report::model::{self, Figures, Kind, Second};

/// The longest latency that is told apart.
const LONGEST: Duration = Duration::from_secs(60);

/// Whoever asks a machine that talks is not kept waiting by this.
const QUICK: Duration = Duration::from_secs(1);

/// Requests and what became of them.
struct Tally {
    requests: u64,
    answered: u64,
    degraded: u64,
    partial: u64,
    quick: u64,
    refused: u64,
    failed: u64,
    latencies: Histogram<u64>,
}

/// What of a report is a stack's, but its tasks. `opened_by` are the events by which breakers had opened: those of the stack that has any.
pub(crate) fn stack(
    name: &str,
    samples: &[Sample],
    events: &[Event],
    opened_by: &[Event],
    played: &[Played],
    zero: Zero,
) -> model::Stack {
    let phases = played.iter().map(|phase| figures(phase, samples, events, opened_by, zero)).collect();
    model::Stack {
        name: name.to_owned(),
        phases,
        seconds: seconds(samples, played, zero),
        changes: events.iter().filter_map(Event::change).collect(),
        tasks: None,
    }
}

/// Of a phase.
pub(crate) fn figures(
    phase: &Played,
    samples: &[Sample],
    events: &[Event],
    opened_by: &[Event],
    zero: Zero,
) -> Figures {
    let of_phase = |sample: &&Sample| phase.from <= sample.due && sample.due < phase.to;
    let samples: Vec<&Sample> = samples.iter().filter(of_phase).collect();
    let is_outage = phase.kind == Kind::Outage;
    let open_from = opened(phase, opened_by, zero).filter(|_| is_outage);
    let class = |name: &str, is_of: &dyn Fn(Class) -> bool| {
        class(name, samples.iter().copied().filter(|sample| is_of(sample.class)), open_from)
    };
    let mut classes: Vec<_> = Class::ALL.iter().map(|one| class(one.name(), &|it| it == *one)).collect();
    classes.push(class("all", &|_| true));
    let [from, broken, to] = [phase.from, phase.broken, phase.to].map(|at| at - zero.instant);
    let within = |event: &&Event| broken <= event.at && event.at < to;
    let detected = events.iter().filter(within).find(|event| {
        let by = event.opened().or(match &event.what {
            What::Failed(check) => Some(check.as_str()),
            What::Changed { .. } => None,
        });
        by.is_some_and(|by| concerns(phase, &event.service, by))
    });
    let degraded = if is_worse_at(events, broken) {
        Some(broken)
    } else {
        let is_worse = |event: &&Event| matches!(&event.what, What::Changed { name: Name::Level, to, .. } if to != "none");
        events.iter().filter(within).find(is_worse).map(|event| event.at)
    };
    let since = |at: Duration| millis(at.saturating_sub(broken));
    let recovered = || well_again(events, from, to).map(since);
    Figures {
        classes,
        detected_after_ms: detected.map(|event| since(event.at)).filter(|_| is_outage),
        degraded_after_ms: degraded.map(since).filter(|_| is_outage),
        recovered_after_ms: if phase.kind == Kind::Recovery { recovered() } else { None },
    }
}

fn class<'a>(
    name: &str,
    samples: impl Iterator<Item = &'a Sample>,
    open_from: Option<Instant>,
) -> model::Class {
    let (mut all, mut once_open) = (Tally::default(), Tally::default());
    for sample in samples {
        all.add(sample);
        if open_from.is_some_and(|open| sample.due >= open) {
            once_open.add(sample);
        }
    }
    model::Class {
        name: name.to_owned(),
        requests: all.requests,
        answered: all.answered,
        degraded: all.degraded,
        partial: all.partial,
        quick: all.quick,
        refused: all.refused,
        failed: all.failed,
        p50_ms: all.quantile(0.5),
        p99_ms: all.quantile(0.99),
        p999_ms: all.quantile(0.999),
        max_ms: all.quantile(1.0),
        p99_open_ms: once_open.quantile(0.99),
    }
}

fn seconds(samples: &[Sample], played: &[Played], zero: Zero) -> Vec<Second> {
    let Some(end) = played.last().map(|phase| phase.to) else { return Vec::new() };
    let number = usize::try_from((end - zero.instant).as_millis().div_ceil(1000)).unwrap_or(0);
    let mut seconds: Vec<Vec<&Sample>> = vec![Vec::new(); number];
    for sample in samples.iter().filter(|sample| sample.due < end) {
        let Some(since) = sample.due.checked_duration_since(zero.instant) else { continue };
        if let Some(second) = usize::try_from(since.as_secs()).ok().and_then(|at| seconds.get_mut(at)) {
            second.push(sample);
        }
    }
    let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds for a plot")]
    let single = |ms: Option<f64>| ms.map(|ms| ms as f32);
    let second = |tally: Tally| Second {
        requests: small(tally.requests),
        answered: small(tally.answered),
        degraded: small(tally.degraded),
        refused: small(tally.refused),
        failed: small(tally.failed),
        p50_ms: single(tally.quantile(0.5)),
        p99_ms: single(tally.quantile(0.99)),
    };
    // One after the other: a histogram is large.
    seconds.into_iter().map(|samples| second(samples.into_iter().collect())).collect()
}

// === when things happened ===

/// From when on the breakers of what a phase broke were open: the last of their first openings.
fn opened(phase: &Played, events: &[Event], zero: Zero) -> Option<Instant> {
    let mut seen = BTreeSet::new();
    let mut last = None;
    for event in events {
        let at = zero.instant + event.at;
        let Some(breaker) = event.opened().filter(|_| phase.from <= at && at < phase.to) else { continue };
        if concerns(phase, &event.service, breaker) && seen.insert((&event.service, breaker)) {
            last = Some(at);
        }
    }
    last
}

/// Whether a breaker or a check of a service is about what a phase broke.
fn concerns(phase: &Played, service: &str, name: &str) -> bool {
    let is_gateway = service.starts_with("gateway");
    phase.faults.iter().any(|fault| match (fault.server(), fault) {
        (Some(Server::Redis), _) => name == "redis",
        (Some(Server::Postgres), _) => name == "database",
        (_, Fault::Command { .. }) => true,
        (_, fault) => match fault.service() {
            Some(Service::Agents) => !is_gateway && matches!(name, "grpc" | "agent_core"),
            Some(Service::Model) => name == "llm_service",
            Some(Service::Orchestrator) => is_gateway && (name.starts_with("grpc") || name == "orchestrator"),
            None => false,
        },
    })
}

/// Whether any service's level was worse than none.
fn is_worse_at(events: &[Event], at: Duration) -> bool {
    let mut levels = BTreeMap::new();
    for event in events.iter().filter(|event| event.at <= at) {
        if let What::Changed { name: Name::Level, to, .. } = &event.what {
            levels.insert(&event.service, to != "none");
        }
    }
    levels.into_values().any(|is_worse| is_worse)
}

/// From when on within a time all levels were none and all breakers closed until its end. None if they were not, and where nothing has ever
/// changed: nobody knows, then.
fn well_again(events: &[Event], from: Duration, to: Duration) -> Option<Duration> {
    let mut ill = BTreeSet::new();
    let (mut is_known, mut well) = (false, from);
    for event in events {
        let What::Changed { name, to: state, .. } = &event.what else { continue };
        is_known = true;
        if event.at >= to {
            break;
        }
        let was_ill = !ill.is_empty();
        let key = (&event.service, name);
        if name.is_well(state) {
            ill.remove(&key);
        } else {
            ill.insert(key);
        }
        if was_ill && ill.is_empty() {
            well = event.at.max(from);
        }
    }
    (is_known && ill.is_empty()).then_some(well)
}

// === impl Tally ===

impl Default for Tally {
    fn default() -> Self {
        // In microseconds, three digits exact.
        let latencies = Histogram::new_with_bounds(1, micros(LONGEST), 3)
            .or_else(|_| Histogram::new(3))
            .unwrap_or_else(|_| unreachable!("three digits are allowed"));
        Self { requests: 0, answered: 0, degraded: 0, partial: 0, quick: 0, refused: 0, failed: 0, latencies }
    }
}

impl<'a> FromIterator<&'a Sample> for Tally {
    fn from_iter<I: IntoIterator<Item = &'a Sample>>(samples: I) -> Self {
        let mut tally = Self::default();
        samples.into_iter().for_each(|sample| tally.add(sample));
        tally
    }
}

impl Tally {
    fn add(&mut self, sample: &Sample) {
        self.requests += 1;
        match sample.outcome {
            Outcome::Answered { degraded, partial } => {
                self.answered += 1;
                self.degraded += u64::from(degraded);
                self.partial += u64::from(partial);
                self.quick += u64::from(sample.latency <= QUICK);
            }
            Outcome::Refused => self.refused += 1,
            Outcome::Failed => self.failed += 1,
        }
        self.latencies.saturating_record(micros(sample.latency));
    }

    /// In milliseconds, to a hundredth.
    fn quantile(&self, share: f64) -> Option<f64> {
        if self.latencies.is_empty() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most a minute, in microseconds")]
        let ms = self.latencies.value_at_quantile(share) as f64 / 1e3;
        Some((ms * 100.0).round() / 100.0)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64, service: &str, name: Name, to: &str) -> Event {
        let (from, to, cause) = (String::new(), to.to_owned(), String::new());
        let what = What::Changed { name, from, to, cause };
        Event { at: Duration::from_millis(ms), service: service.to_owned(), what }
    }

    fn redis(ms: u64, to: &str) -> Event {
        at(ms, "gateway", Name::Breaker("redis".to_owned()), to)
    }

    fn level(ms: u64, to: &str) -> Event {
        at(ms, "orchestrator 1", Name::Level, to)
    }

    fn recovered(events: &[Event]) -> Option<u64> {
        well_again(events, Duration::from_secs(10), Duration::from_secs(20)).map(millis)
    }

    #[test]
    fn each_second_has_what_was_to_be_sent_in_it() {
        let zero = Zero::now();
        let sample = |ms| Sample {
            due: zero.instant + Duration::from_millis(ms),
            latency: Duration::from_millis(ms / 100),
            class: Class::Chat,
            outcome: Outcome::Refused,
        };
        let (from, to) = (zero.instant, zero.instant + Duration::from_millis(3_500));
        let (name, story, faults) = (String::new(), String::new(), Vec::new());
        let phase = Played { name, story, kind: Kind::Healthy, faults, opens: true, from, broken: from, to };
        let seconds =
            seconds(&[sample(100), sample(3_400), sample(900), sample(2_000), sample(3_600)], &[phase], zero);
        let told: Vec<_> = seconds.iter().map(|it| (it.requests, it.refused, it.p50_ms.is_some())).collect();
        assert_eq!(told, [(2, 2, true), (0, 0, false), (1, 1, true), (1, 1, true)]);
    }

    #[test]
    fn what_nobody_has_seen_has_not_recovered() {
        assert_eq!(recovered(&[]), None);
        let what = What::Failed("redis".to_owned());
        assert_eq!(recovered(&[Event { at: Duration::ZERO, service: String::new(), what }]), None);
    }

    #[test]
    fn all_is_well_from_when_nothing_was_wrong_any_more_until_the_end() {
        assert_eq!(recovered(&[redis(5_000, "open"), redis(9_000, "closed")]), Some(10_000));
        assert_eq!(recovered(&[redis(5_000, "open"), redis(12_000, "closed")]), Some(12_000));
        let both =
            [redis(5_000, "open"), level(6_000, "minor"), redis(12_000, "closed"), level(14_000, "none")];
        assert_eq!(recovered(&both), Some(14_000));
    }

    #[test]
    fn what_opens_after_the_restoration_counts() {
        let later = [redis(11_000, "open"), redis(15_000, "half-open"), redis(16_000, "closed")];
        assert_eq!(recovered(&later), Some(16_000));
        assert_eq!(recovered(&later[..2]), None, "not well at the end");
        let flaps =
            [redis(5_000, "open"), redis(11_000, "closed"), redis(18_000, "open"), redis(21_000, "closed")];
        assert_eq!(recovered(&flaps), None, "well only after the end");
        assert_eq!(recovered(&[redis(25_000, "open")]), Some(10_000), "the next phase's");
    }
}
