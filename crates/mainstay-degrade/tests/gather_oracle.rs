//! The earliest decision, against an oracle that knows how and when each part will end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_degrade::{Clock, End, Gather, Gathered, Level, Outcome, Part, PartialPolicy};
use mainstay_testkit::models::Cases;
use proptest::prelude::*;
use tokio::runtime::Handle;

/// All times are multiples of this, so that a timer's rounding can be told from another moment.
const STEP: Duration = Duration::from_millis(10);
/// What a timer may be late by.
const GRAIN: Duration = Duration::from_millis(3);

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Succeeds,
    Fails,
    Panics,
}

#[derive(Clone, Debug)]
struct Spec {
    /// In steps; none: it hangs.
    ends: Option<u32>,
    how: How,
    /// In steps.
    deadline: Option<u32>,
    required: bool,
    weight: u32,
}

#[derive(Clone, Debug)]
struct Case {
    parts: Vec<Spec>,
    share: f64,
    minimum: u32,
    level: Level,
    grace: u32,
    max_wait: u32,
    concurrency: usize,
}

/// When a part begins and ends if nothing is decided, in steps, and whether it succeeds.
#[derive(Clone, Copy, Debug)]
struct Fate {
    begins: Option<u32>,
    ends: Option<u32>,
    succeeds: bool,
}

/// Counts what was made and not yet dropped.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Spec {
    /// How long it takes and whether it succeeds, left alone; none: it never ends.
    fn fate(&self) -> Option<(u32, bool)> {
        match (self.ends, self.deadline) {
            (Some(ends), Some(deadline)) if ends > deadline => Some((deadline, false)),
            (Some(ends), _) => Some((ends, self.how == How::Succeeds)),
            (None, deadline) => Some((deadline?, false)),
        }
    }

    fn part(&self, name: String, alive: &Arc<AtomicUsize>) -> Part<'static, u32, &'static str> {
        let (ends, how, alive) = (self.ends, self.how, Alive::new(alive));
        let part = Part::new(name, async move {
            let _alive = alive;
            match ends {
                Some(ends) => tokio::time::sleep(STEP * ends).await,
                None => std::future::pending().await,
            }
            match how {
                How::Succeeds => Ok(ends.unwrap_or_default()),
                How::Fails => Err("failed"),
                How::Panics => std::panic::resume_unwind(Box::new("panicked")),
            }
        });
        let part = part.weight(f64::from(self.weight));
        let part = if self.required { part.required() } else { part };
        match self.deadline {
            Some(deadline) => part.deadline(STEP * deadline),
            None => part,
        }
    }
}

impl Case {
    /// Whether the answer is accepted, if these parts succeed and the others fail.
    fn accepts(&self, succeeds: &[bool]) -> bool {
        let (share, minimum) = match self.level {
            Level::None => (self.share, self.minimum),
            Level::Minor => (self.share.min(0.5), self.minimum),
            Level::Moderate => (self.share.min(0.25), 1),
            Level::Severe => (0.0, 1),
        };
        let parts = || self.parts.iter().zip(succeeds);
        let total: u32 = self.parts.iter().map(|part| part.weight).sum();
        let weight: u32 = parts().filter(|(_, ok)| **ok).map(|(part, _)| part.weight).sum();
        let count = parts().filter(|(part, ok)| **ok && part.weight > 0).count() as u32;
        let required = parts().all(|(part, ok)| *ok || !part.required);
        required && count >= minimum && f64::from(weight) / f64::from(total) >= share
    }

    fn fates(&self) -> Vec<Fate> {
        let mut free = vec![Some(0); self.concurrency.min(self.parts.len())];
        let mut fates = Vec::new();
        for part in &self.parts {
            let place = free.iter_mut().min_by_key(|free| free.unwrap_or(u32::MAX)).unwrap();
            let begins = *place;
            let ends = begins.zip(part.fate()).map(|(begins, (takes, _))| begins + takes);
            // One that hangs keeps its place; one that finds none is never begun.
            *place = ends;
            fates.push(Fate { begins, ends, succeeds: part.fate().is_some_and(|(_, ok)| ok) });
        }
        fates
    }

    /// The step at which it ends, and the decision: the first moment at which `agreed` says one, and the grace after a good one.
    fn oracle(&self, agreed: impl Fn(&[bool], &[usize]) -> Option<bool>) -> (u32, bool) {
        let fates = self.fates();
        let mut times: Vec<u32> = fates.iter().filter_map(|fate| fate.ends).collect();
        times.extend([0, self.max_wait]);
        times.retain(|at| *at <= self.max_wait);
        times.sort_unstable();
        times.dedup();
        let done = fates.iter().map(|fate| fate.ends.unwrap_or(u32::MAX)).max().unwrap();
        for at in times {
            let has_ended = |fate: &Fate| fate.ends.is_some_and(|ends| ends <= at);
            let succeeded: Vec<bool> = fates.iter().map(|fate| has_ended(fate) && fate.succeeds).collect();
            let pending: Vec<usize> = (0..fates.len()).filter(|part| !has_ended(&fates[*part])).collect();
            match agreed(&succeeded, &pending) {
                Some(true) => return ((at + self.grace).min(self.max_wait).min(done), true),
                Some(false) => return (at, false),
                None => {}
            }
        }
        (self.max_wait, false)
    }

    /// What all outcomes of the pending parts agree on, one by one.
    fn by_each_outcome(&self, succeeded: &[bool], pending: &[usize]) -> Option<bool> {
        let mut accepted = 0_u32;
        for outcomes in 0..1_u32 << pending.len() {
            let mut succeeds = succeeded.to_vec();
            for (bit, part) in pending.iter().enumerate() {
                succeeds[*part] = outcomes >> bit & 1 == 1;
            }
            accepted += u32::from(self.accepts(&succeeds));
        }
        if accepted == 0 { Some(false) } else { (accepted == 1 << pending.len()).then_some(true) }
    }

    /// The same by the best and the worst outcome alone: one success more never makes it worse.
    fn by_extremes(&self, succeeded: &[bool], pending: &[usize]) -> Option<bool> {
        let mut best = succeeded.to_vec();
        pending.iter().for_each(|part| best[*part] = true);
        if !self.accepts(&best) { Some(false) } else { self.accepts(succeeded).then_some(true) }
    }

    /// The least number of successes that are accepted, of all that there could be.
    fn fewest(&self) -> Option<u32> {
        let outcomes = 0..1_u32 << self.parts.len();
        let succeeds =
            |outcome: u32| (0..self.parts.len()).map(|bit| outcome >> bit & 1 == 1).collect::<Vec<_>>();
        outcomes.filter(|outcome| self.accepts(&succeeds(*outcome))).map(u32::count_ones).min()
    }

    fn gather(&self, spawned: bool, alive: &Arc<AtomicUsize>) -> Gather<'static, u32, &'static str> {
        let policy = PartialPolicy::share(self.share).at_least(self.minimum);
        let mut gather = Gather::new(policy.at(self.level).unwrap())
            .clock(Clock::tokio())
            .max_wait(STEP * self.max_wait)
            .after_quorum(STEP * self.grace)
            .concurrency(self.concurrency);
        if spawned {
            gather = gather.spawned();
        }
        for (index, part) in self.parts.iter().enumerate() {
            gather = gather.with(part.part(format!("part-{index}"), alive));
        }
        gather
    }

    /// Runs it and compares it with what the oracle says: the step of its end, and the decision.
    async fn check(&self, spawned: bool, (end, accept): (u32, bool)) -> Gathered<u32, &'static str> {
        let alive = Arc::new(AtomicUsize::new(0));
        let gathered = self.gather(spawned, &alive).run().await.unwrap();
        assert_eq!(gathered.accepted(), accept, "{gathered:?}");
        let expected = STEP * end;
        assert!(
            gathered.took >= expected && gathered.took <= expected + GRAIN,
            "{expected:?}, not {:?}: {gathered:?}",
            gathered.took
        );
        let late = if gathered.end == End::MaxWait { Outcome::TimedOut } else { Outcome::Cancelled };
        for ((part, fate), result) in self.parts.iter().zip(self.fates()).zip(&gathered.parts) {
            if fate.ends.is_none_or(|ends| ends > end) {
                match fate.begins {
                    Some(begins) if begins < end => assert_eq!(result.outcome, late, "{result:?}"),
                    Some(begins) if begins == end => assert!(!result.is_success(), "{result:?}"),
                    _ => assert_eq!(result.outcome, Outcome::NotStarted, "{result:?}"),
                }
                continue;
            }
            let (takes, _) = part.fate().unwrap();
            let outcome = match (part.ends == Some(takes), part.how) {
                (false, _) => Outcome::TimedOut,
                (_, How::Succeeds) => Outcome::Success,
                (_, How::Fails) => Outcome::Failure,
                (_, How::Panics) => Outcome::Panicked,
            };
            assert_eq!(result.outcome, outcome, "an arrived result was lost: {result:?}");
            assert!(result.latency >= STEP * takes && result.latency <= STEP * takes + GRAIN);
        }
        let outcomes = gathered.parts.iter().rev().map(|part| (part.source.as_str(), part.is_success()));
        let mut again = gathered.partial.decide_parts(outcomes);
        again.missing.reverse();
        assert_eq!(again, gathered.decision, "outcomes alone decide");
        nothing_runs_on(&alive).await;
        gathered
    }

    /// Drops it after so many steps, wherever it is.
    async fn cut_off(&self, spawned: bool, after: u32) {
        let alive = Arc::new(AtomicUsize::new(0));
        let gather = self.gather(spawned, &alive);
        drop(tokio::time::timeout(STEP * after, gather.run()).await);
        nothing_runs_on(&alive).await;
    }
}

/// No part is left, and no task.
async fn nothing_runs_on(alive: &AtomicUsize) {
    // What was aborted is dropped when its runtime comes to it.
    tokio::time::sleep(GRAIN).await;
    assert_eq!((alive.load(Ordering::SeqCst), Handle::current().metrics().num_alive_tasks()), (0, 0));
}

fn spec() -> impl Strategy<Value = Spec> {
    let how = prop_oneof![4 => Just(How::Succeeds), 2 => Just(How::Fails), 1 => Just(How::Panics)];
    let ends = prop_oneof![6 => (1_u32..12).prop_map(Some), 1 => Just(None)];
    let deadline = prop_oneof![4 => Just(None), 1 => (1_u32..12).prop_map(Some)];
    (ends, how, deadline, prop::bool::weighted(0.15), 0_u32..4)
        .prop_map(|(ends, how, deadline, required, weight)| Spec { ends, how, deadline, required, weight })
}

fn case() -> impl Strategy<Value = Case> {
    let share = prop_oneof![Just(0.25), Just(0.4), Just(0.5), Just(0.6), Just(1.0), 0.01_f64..=1.0];
    let level = prop::sample::select(&Level::ALL[..]);
    let parts = prop::collection::vec(spec(), 1..8)
        .prop_filter("something weighs", |parts| parts.iter().any(|part| part.weight > 0));
    (parts, share, 1_u32..4, level, 0_u32..6, 1_u32..30, 1_usize..9).prop_map(
        |(parts, share, minimum, level, grace, max_wait, concurrency)| {
            let weigh = parts.iter().filter(|part| part.weight > 0).count() as u32;
            Case { parts, share, minimum: minimum.min(weigh), level, grace, max_wait, concurrency }
        },
    )
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[test]
fn it_decides_at_the_first_moment_at_which_all_outcomes_agree() {
    Cases::or(1_000).check(&(case(), any::<bool>()), |(case, spawned)| {
        let expected = case.oracle(|succeeded, pending| case.by_each_outcome(succeeded, pending));
        prop_assert_eq!(expected, case.oracle(|succeeded, pending| case.by_extremes(succeeded, pending)));
        let gathered = paused().block_on(case.check(spawned, expected));
        prop_assert_eq!(Some(gathered.decision.required), case.fewest());
        Ok(())
    });
}

#[test]
fn who_drops_it_at_any_moment_cancels_all_parts() {
    Cases::or(1_000).check(&(case(), any::<bool>(), 0_u32..20), |(case, spawned, after)| {
        paused().block_on(case.cut_off(spawned, after));
        Ok(())
    });
}

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % limit
    }

    fn one_in(&mut self, many: u32) -> bool {
        self.below(many) == 0
    }

    fn spec(&mut self) -> Spec {
        Spec {
            ends: (!self.one_in(20)).then(|| 1 + self.below(200)),
            how: match self.below(10) {
                0..=5 => How::Succeeds,
                6..=8 => How::Fails,
                _ => How::Panics,
            },
            deadline: self.one_in(10).then(|| 1 + self.below(200)),
            required: self.one_in(1_000),
            weight: self.below(4),
        }
    }

    fn thousand(&mut self) -> Case {
        Case {
            parts: (0..1_000).map(|_| self.spec()).collect(),
            share: f64::from(20 + self.below(50)) / 100.0,
            minimum: 1 + self.below(600),
            level: if self.one_in(4) { Level::Minor } else { Level::None },
            grace: self.below(3) * 10,
            max_wait: 100 + self.below(300),
            concurrency: [1_000, 600, 300][self.below(3) as usize],
        }
    }
}

#[test]
fn a_thousand_parts_are_decided_at_the_first_moment_and_none_is_lost_or_left() {
    let mut dice = Dice(1);
    let (mut accepted, mut ends) = (HashSet::new(), HashSet::new());
    for round in 0..40 {
        let case = dice.thousand();
        let expected = case.oracle(|succeeded, pending| case.by_extremes(succeeded, pending));
        let gathered = paused().block_on(case.check(round % 2 == 0, expected));
        accepted.insert(gathered.accepted());
        ends.insert(gathered.end);
    }
    assert_eq!(accepted.len(), 2, "both ways");
    assert_eq!(
        ends,
        HashSet::from([End::Enough, End::Hopeless, End::MaxWait]),
        "in each way that hangs allow"
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_that_are_ready_together_have_all_arrived() {
    for spawned in [false, true] {
        let one = Spec { ends: Some(5), how: How::Succeeds, deadline: None, required: false, weight: 1 };
        let parts = vec![one; 1_000];
        let (share, level) = (0.1, Level::None);
        let case = Case { parts, share, minimum: 1, level, grace: 0, max_wait: 5, concurrency: 1_000 };
        let gathered = case.gather(spawned, &Arc::default()).run().await.unwrap();
        assert_eq!(gathered.values().count(), 1_000);
        assert!(!gathered.is_degraded());
    }
}
