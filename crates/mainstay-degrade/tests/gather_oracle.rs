//! The earliest decision, against an oracle that knows how and when each part will end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_degrade::{Clock, Gather, Gathered, Level, Outcome, Part, PartialPolicy};
use proptest::prelude::*;

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

    /// When each part ends and whether it succeeds, if nothing is decided; none: never.
    fn fates(&self) -> Vec<Option<(u32, bool)>> {
        let mut free = vec![Some(0); self.concurrency.min(self.parts.len())];
        let mut fates = Vec::new();
        for part in &self.parts {
            let place = free.iter_mut().min_by_key(|free| free.unwrap_or(u32::MAX)).unwrap();
            let fate = place.zip(part.fate()).map(|(start, (takes, ok))| (start + takes, ok));
            // One that hangs keeps its place; one that finds none is never begun.
            *place = fate.map(|(ends, _)| ends);
            fates.push(fate);
        }
        fates
    }

    /// The step at which it ends, and the decision.
    fn oracle(&self) -> (u32, bool) {
        let fates = self.fates();
        let mut times: Vec<u32> = fates.iter().flatten().map(|(at, _)| *at).collect();
        times.extend([0, self.max_wait]);
        times.retain(|at| *at <= self.max_wait);
        times.sort_unstable();
        let done = fates.iter().map(|fate| fate.map_or(u32::MAX, |(at, _)| at)).max().unwrap();
        for at in times {
            let known = |fate: &Option<(u32, bool)>| fate.filter(|(ends, _)| *ends <= at);
            let pending: Vec<usize> =
                (0..fates.len()).filter(|part| known(&fates[*part]).is_none()).collect();
            let mut accepted = 0_u32;
            for outcomes in 0..1_u32 << pending.len() {
                let mut succeeds: Vec<bool> =
                    fates.iter().map(|fate| known(fate).is_some_and(|(_, ok)| ok)).collect();
                for (bit, part) in pending.iter().enumerate() {
                    succeeds[*part] = outcomes >> bit & 1 == 1;
                }
                accepted += u32::from(self.accepts(&succeeds));
            }
            if accepted == 0 {
                return (at, false);
            }
            if accepted == 1 << pending.len() {
                return ((at + self.grace).min(self.max_wait).min(done), true);
            }
        }
        (self.max_wait, false)
    }

    async fn run(&self, spawned: bool, alive: &Arc<AtomicUsize>) -> Gathered<u32, &'static str> {
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
        gather.run().await.unwrap()
    }

    async fn check(&self, spawned: bool) {
        let alive = Arc::new(AtomicUsize::new(0));
        let gathered = self.run(spawned, &alive).await;
        let (end, accept) = self.oracle();
        assert_eq!(gathered.accepted(), accept, "{gathered:?}");
        let expected = STEP * end;
        assert!(
            gathered.took >= expected && gathered.took <= expected + GRAIN,
            "{expected:?}, not {:?}: {gathered:?}",
            gathered.took
        );
        let fates = self.fates();
        for ((part, fate), result) in self.parts.iter().zip(fates).zip(&gathered.parts) {
            if fate.is_none_or(|(at, _)| at > end) {
                assert!(!result.is_success(), "{result:?}");
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
        // What was aborted is dropped when its runtime comes to it.
        tokio::time::sleep(GRAIN).await;
        assert_eq!(alive.load(Ordering::SeqCst), 0, "nothing runs on");
    }
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
        |(parts, share, minimum, level, grace, max_wait, concurrency)| Case {
            parts,
            share,
            minimum,
            level,
            grace,
            max_wait,
            concurrency,
        },
    )
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_decides_at_the_first_moment_at_which_all_outcomes_agree(case in case(), spawned in any::<bool>()) {
        paused().block_on(case.check(spawned));
    }
}

/// Numbers that look random and are always the same.
fn next(state: &mut u64) -> u32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as u32
}

fn thousand(seed: u64) -> Case {
    let mut state = seed;
    let mut spec = || Spec {
        ends: (!next(&mut state).is_multiple_of(20)).then(|| 1 + next(&mut state) % 200),
        how: match next(&mut state) % 10 {
            0..=5 => How::Succeeds,
            6..=8 => How::Fails,
            _ => How::Panics,
        },
        deadline: None,
        required: false,
        weight: 1,
    };
    let parts = (0..1_000).map(|_| spec()).collect();
    Case { parts, share: 0.4, minimum: 1, level: Level::None, grace: 0, max_wait: 300, concurrency: 1_000 }
}

/// The same oracle for equal parts, of which only the numbers matter.
fn by_number(case: &Case) -> (u32, bool) {
    let needed = (case.share * case.parts.len() as f64).ceil() as usize;
    let spare = case.parts.len() - needed;
    for at in 0..=case.max_wait {
        let ended =
            |ok| case.parts.iter().filter_map(Spec::fate).filter(move |fate| fate.0 <= at && fate.1 == ok);
        if ended(true).count() >= needed {
            return (at, true);
        }
        if ended(false).count() > spare {
            return (at, false);
        }
    }
    (case.max_wait, false)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_parts_are_decided_at_the_first_moment_and_none_is_lost_or_left() {
    for (seed, share, spawned) in
        [(1, 0.4, false), (2, 0.55, false), (3, 0.7, true), (4, 0.3, true), (5, 0.56, true)]
    {
        let case = Case { share, ..thousand(seed) };
        let alive = Arc::new(AtomicUsize::new(0));
        let gathered = case.run(spawned, &alive).await;
        let (end, accept) = by_number(&case);
        assert_eq!(gathered.accepted(), accept);
        assert!(gathered.took >= STEP * end && gathered.took <= STEP * end + GRAIN, "{:?}", gathered.took);
        let arrived = |part: &Spec| part.fate().is_some_and(|(at, ok)| at <= end && ok);
        for (part, result) in case.parts.iter().zip(&gathered.parts) {
            assert_eq!(result.is_success(), arrived(part), "{part:?}: {result:?}");
        }
        // What was aborted is dropped when its runtime comes to it.
        tokio::time::sleep(GRAIN).await;
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_that_are_ready_together_have_all_arrived() {
    for spawned in [false, true] {
        let one = Spec { ends: Some(5), how: How::Succeeds, deadline: None, required: false, weight: 1 };
        let parts = vec![one; 1_000];
        let case = Case {
            parts,
            share: 0.1,
            minimum: 1,
            level: Level::None,
            grace: 0,
            max_wait: 5,
            concurrency: 1_000,
        };
        let gathered = case.run(spawned, &Arc::default()).await;
        assert_eq!(gathered.values().count(), 1_000);
        assert!(!gathered.is_degraded());
    }
}
