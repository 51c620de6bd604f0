use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_core::Name;

use crate::{Cause, DownDependency, Level, Thresholds, TrafficFigures, What, exact};

/// What is known at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) down: Vec<DownDependency>,
    pub(crate) traffic: Option<TrafficFigures>,
    /// The level that the traffic of the last moments reaches by itself.
    pub(crate) bad_now: Level,
    pub(crate) signals: Vec<SignalFigure>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalFigure {
    pub(crate) name: Name,
    pub(crate) value: f64,
    /// From which value on each level is reached, from minor to severe.
    pub(crate) thresholds: [Option<f64>; 3],
}

/// Makes levels of figures, and remembers for how long each threshold was reached, and when it last was.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    pub(crate) thresholds: Thresholds,
    /// How long each level is held after its last threshold is no longer reached, from minor to severe.
    pub(crate) relax_after: [Duration; 3],
    reached: BTreeMap<Threshold, Cause>,
}

/// One threshold: of one level, for one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Threshold {
    what: What,
    signal: Option<Name>,
    level: Level,
}

/// A level and its causes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judgement {
    pub(crate) level: Level,
    /// The worst first; for each figure the one that is reached, and a worse one that is held.
    pub(crate) causes: Vec<Cause>,
    /// When it changes by time alone.
    pub(crate) next_change: Option<Duration>,
}

/// For which level a cause stands now, and when that changes by time: for its own while it is reached; once it is over for
/// the worst, at most its own, whose time has not run out, because who leaves a level gets to the one below.
fn standing(cause: &Cause, now: Duration, relax_after: [Duration; 3]) -> Option<(Level, Option<Duration>)> {
    let Some(over) = cause.over_since else { return Some((cause.level, None)) };
    let held = Level::DEGRADED.into_iter().zip(relax_after).rev();
    let mut ends = held
        .filter(|(level, _)| *level <= cause.level)
        .map(|(level, time)| (level, over.saturating_add(time)));
    let (level, end) = ends.find(|(_, end)| now < *end)?;
    Some((level, Some(end)))
}

impl Judge {
    pub(crate) fn new(thresholds: Thresholds, relax_after: [Duration; 3]) -> Self {
        Self { thresholds, relax_after, reached: BTreeMap::new() }
    }

    /// The level now: the worst that was reached at any instant of the last `relax_after`.
    pub(crate) fn judge(&mut self, now: Duration, figures: &Figures) -> Judgement {
        let mut reached = self.reached_by(figures);
        for (threshold, cause) in &mut self.reached {
            match reached.remove(threshold) {
                Some(again) => {
                    // After a break it counts from now.
                    let since = if cause.over_since.is_some() { now } else { cause.since };
                    *cause = Cause { since, ..again };
                }
                None => cause.over_since = cause.over_since.or(Some(now)),
            }
        }
        self.reached
            .extend(reached.into_iter().map(|(threshold, cause)| (threshold, Cause { since: now, ..cause })));
        let relax_after = self.relax_after;
        self.reached.retain(|_, cause| standing(cause, now, relax_after).is_some());

        let ends = self.reached.values().filter_map(|cause| standing(cause, now, relax_after)?.1);
        let next_change = ends.min();
        let mut causes: Vec<Cause> = Vec::new();
        let figures: BTreeSet<_> =
            self.reached.keys().map(|threshold| (threshold.what, threshold.signal)).collect();
        for (what, signal) in figures {
            let of_figure = self
                .reached
                .iter()
                .filter(|(threshold, _)| threshold.what == what && threshold.signal == signal);
            // The worst that is reached, and a worse one that was, if it is held.
            let (mut active, mut held): (Option<Cause>, Option<Cause>) = (None, None);
            for (_, cause) in of_figure {
                let Some((level, _)) = standing(cause, now, relax_after) else { continue };
                let worst = if cause.over_since.is_none() { &mut active } else { &mut held };
                if worst.as_ref().is_none_or(|worst| level >= worst.level) {
                    *worst = Some(Cause { level, ..cause.clone() });
                }
            }
            let reached = active.as_ref().map_or(Level::None, |cause| cause.level);
            causes.extend(held.filter(|held| held.level > reached));
            causes.extend(active);
        }
        // The sort is stable, so that causes as bad as each other stay in one order.
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.level));
        Judgement { level: causes.first().map_or(Level::None, |cause| cause.level), causes, next_change }
    }

    fn reached_by(&self, figures: &Figures) -> BTreeMap<Threshold, Cause> {
        use mainstay_core::Weight;
        let mut reached = BTreeMap::new();
        let mut reach = |what, signal, level, figure: f64, threshold: f64, by: &[Name]| {
            if figure >= threshold {
                let cause = Cause {
                    level,
                    what,
                    figure: exact::round(figure),
                    threshold: exact::round(threshold),
                    by: by.to_vec(),
                    since: Duration::ZERO,
                    over_since: None,
                };
                reached.insert(Threshold { what, signal, level }, cause);
            }
        };
        let named = |weight: Weight| -> Vec<Name> {
            let mut names: Vec<Name> =
                figures.down.iter().filter(|down| down.weight == weight).map(|down| down.name).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let counts = [
            (What::BreakersOpen, named(Weight::Breaker)),
            (What::CriticalDown, named(Weight::Critical)),
            (What::NonCriticalDown, named(Weight::NonCritical)),
        ];
        for level in Level::DEGRADED {
            let Some(limits) = self.thresholds.of(level) else { continue };
            for (what, by) in &counts {
                let limit = match what {
                    What::BreakersOpen => limits.breakers_open,
                    What::CriticalDown => limits.critical_down,
                    _ => limits.non_critical_down,
                };
                if limit > 0 {
                    reach(*what, None, level, by.len() as f64, f64::from(limit), by);
                }
            }
            let Some(traffic) = figures.traffic else { continue };
            if limits.error_rate > 0.0 {
                reach(What::ErrorRate, None, level, traffic.error_rate, limits.error_rate, &[]);
            }
            if !limits.latency.is_zero() {
                let (p95, limit) = (traffic.p95.as_secs_f64(), limits.latency.as_secs_f64());
                reach(What::Latency, None, level, p95, limit, &[]);
            }
        }
        for signal in &figures.signals {
            for (level, limit) in Level::DEGRADED.into_iter().zip(signal.thresholds) {
                if let Some(limit) = limit {
                    reach(What::Signal, Some(signal.name), level, signal.value, limit, &[signal.name]);
                }
            }
        }
        reached
    }
}
