//! Levels and causes against a model that is plain and slow: a list of when each threshold was reached. `MAINSTAY_MODEL_CASES` and
//! `MAINSTAY_MODEL_SEED` make a long run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_breaker::{Breaker, OpenFor};
use mainstay_core::Verdict;
use mainstay_degrade::{Clock, DegradationManager, Level, Signal, What};
use mainstay_health::{Check, HealthManager, Pushed, Status};
use mainstay_testkit::models::Cases;
use proptest::prelude::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Trips(usize),
    Resets(usize),
    Critical(bool),
    NonCritical(bool),
    Signal(u8),
    /// Up to this and down again before anybody looks.
    Spikes(u8),
    Requests {
        good: u32,
        bad: u32,
        millis: u64,
    },
    Pins(usize, u64),
    Unpins,
    Passes(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let latency = prop::sample::select(vec![10_u64, 1_500, 3_000, 6_000]);
    prop_oneof![
        3 => (0_usize..3).prop_map(Happens::Trips),
        3 => (0_usize..3).prop_map(Happens::Resets),
        2 => any::<bool>().prop_map(Happens::Critical),
        2 => any::<bool>().prop_map(Happens::NonCritical),
        3 => (0_u8..4).prop_map(Happens::Signal),
        2 => (0_u8..4).prop_map(Happens::Spikes),
        4 => (0_u32..60, 0_u32..20, latency).prop_map(|(good, bad, millis)| Happens::Requests { good, bad, millis }),
        1 => (0_usize..4, 1_u64..60).prop_map(|(level, time)| Happens::Pins(level, time)),
        1 => Just(Happens::Unpins),
        6 => (0_u64..50).prop_map(Happens::Passes),
    ]
}

/// Which figure reaches which level, as the documentation's table has it.
const LIMITS: [(What, [f64; 3]); 6] = [
    (What::BreakersOpen, [1.0, 2.0, 3.0]),
    (What::CriticalDown, [f64::INFINITY, 1.0, 2.0]),
    (What::NonCriticalDown, [1.0, 2.0, 3.0]),
    (What::ErrorRate, [0.05, 0.15, 0.30]),
    (What::Latency, [1.0, 2.0, 5.0]),
    (What::Signal, [1.0, 2.0, 3.0]),
];

/// What is told of a cause.
type Told = (What, Level, Duration, Option<Duration>);

/// From when to when, if it is over.
type Time = (Duration, Option<Duration>);

#[derive(Default)]
struct Model {
    /// How long each level is held.
    holds: [Duration; 3],
    open: BTreeSet<usize>,
    critical: bool,
    non_critical: bool,
    signal: u8,
    /// When, whether it failed, and how long it took.
    requests: Vec<(Duration, bool, u64)>,
    pin: Option<(Level, Duration, Duration)>,
    /// For each threshold: from when to when it was reached.
    reached: BTreeMap<(What, Level), Vec<Time>>,
}

impl Model {
    fn figure(&self, what: What, now: Duration) -> f64 {
        let slice = |at: Duration| at.as_secs() / 3;
        let window: Vec<_> =
            self.requests.iter().filter(|request| slice(now) - slice(request.0) < 10).collect();
        let enough = window.len() >= 20;
        match what {
            What::BreakersOpen => self.open.len() as f64,
            What::CriticalDown => f64::from(u8::from(self.critical)),
            What::NonCriticalDown => f64::from(u8::from(self.non_critical)),
            What::ErrorRate if enough => {
                window.iter().filter(|request| request.1).count() as f64 / window.len() as f64
            }
            What::Latency if enough => {
                let mut latencies: Vec<_> = window.iter().map(|request| request.2).collect();
                latencies.sort_unstable();
                latencies[(latencies.len() * 95).div_ceil(100) - 1] as f64 / 1_000.0
            }
            What::Signal => f64::from(self.signal),
            _ => 0.0,
        }
    }

    /// Writes down what is reached now.
    fn look(&mut self, now: Duration) {
        for (what, limits) in LIMITS {
            let figure = self.figure(what, now);
            for (level, limit) in Level::DEGRADED.into_iter().zip(limits) {
                let times = self.reached.entry((what, level)).or_default();
                let is_open = times.last().is_some_and(|(_, end)| end.is_none());
                if figure >= limit && !is_open {
                    times.push((now, None));
                } else if figure < limit && is_open {
                    times.last_mut().unwrap().1 = Some(now);
                }
            }
        }
    }

    /// The worst level that was reached at any instant of the time for which it is held, of one figure.
    fn expected(&self, now: Duration) -> (Level, Vec<Told>) {
        let mut all = Vec::new();
        for (what, _) in LIMITS {
            let (mut active, mut held): (Option<Told>, Option<Told>) = (None, None);
            for of in Level::DEGRADED {
                let Some((since, end)) = self.reached.get(&(what, of)).and_then(|times| times.last()) else {
                    continue;
                };
                match end {
                    None => active = Some((what, of, *since, None)),
                    Some(end) => {
                        let stands = |level: &Level| {
                            *level <= of && now < *end + self.holds[usize::from(level.as_number()) - 1]
                        };
                        if let Some(level) = Level::DEGRADED.into_iter().filter(stands).max()
                            && held.is_none_or(|held| level >= held.1)
                        {
                            held = Some((what, level, *since, Some(*end)));
                        }
                    }
                }
            }
            let level = |told: Option<Told>| told.map_or(Level::None, |told| told.1);
            all.extend(held.filter(|held| held.1 > level(active)));
            all.extend(active);
        }
        all.sort_by_key(|told| std::cmp::Reverse(told.1));
        let level = all.iter().map(|told| told.1).max().unwrap_or_default();
        match self.pin {
            Some((pinned, since, until)) if now < until => {
                all.insert(0, (What::Pinned, pinned, since, None));
                (pinned, all)
            }
            _ => (level, all),
        }
    }
}

/// The service under test, and its inputs.
struct World {
    degrade: DegradationManager,
    breakers: [Breaker; 3],
    hands: [Pushed; 2],
    queue: Signal,
    _health: HealthManager,
    model: Model,
}

impl World {
    async fn new(holds: [Duration; 3]) -> Self {
        let breaker = |name| {
            Breaker::builder(name)
                .open_for(OpenFor::fixed(secs(360_000)))
                .clock(Clock::tokio())
                .build()
                .unwrap()
        };
        let breakers = ["a", "b", "c"].map(breaker);
        let hands = [Pushed::new(), Pushed::new()];
        let health = HealthManager::builder("orders")
            .clock(Clock::tokio())
            .check(Check::shared("database", &hands[0]).critical())
            .check(Check::shared("models", &hands[1]))
            .build()
            .unwrap();
        health.start().unwrap();
        hands.iter().for_each(|hand| hand.set(Status::Healthy));
        let queue = Signal::new("queue").minor(1.0).moderate(2.0).severe(3.0);
        let mut builder = DegradationManager::builder().clock(Clock::tokio()).watch(&health).signal(&queue);
        for breaker in &breakers {
            builder = builder.watch(breaker);
        }
        for (level, hold) in Level::DEGRADED.into_iter().zip(holds) {
            builder = builder.relax_level_after(level, hold);
        }
        let degrade = builder.build().unwrap();
        degrade.start().unwrap();
        let model = Model { holds, ..Model::default() };
        let mut world = Self { degrade, breakers, hands, queue, _health: health, model };
        world.settle().await;
        world
    }

    fn now(&self) -> Duration {
        self.degrade.clock().now()
    }

    /// Whoever watches has its turn, before any time passes. Only the traffic is looked at by hand: by itself it is within a second.
    async fn look(&mut self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        if !self.model.requests.is_empty() {
            self.degrade.refresh();
        }
        self.model.look(self.now());
    }

    async fn settle(&mut self) {
        self.look().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// Time passes; the traffic's window moves on every three seconds of the clock.
    async fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.now() < end {
            let next = secs((self.now().as_secs() / 3 + 1) * 3).min(end);
            self.degrade.clock().sleep_until(next).await;
            self.look().await;
            self.compare("while time passes");
        }
    }

    async fn happen(&mut self, happens: Happens) {
        let now = self.now();
        let status = |down| if down { Status::Unhealthy } else { Status::Healthy };
        match happens {
            Happens::Trips(index) => {
                self.breakers[index].trip();
                self.model.open.insert(index);
            }
            Happens::Resets(index) => {
                self.breakers[index].reset();
                self.model.open.remove(&index);
            }
            Happens::Critical(down) => {
                self.hands[0].set(status(down));
                self.model.critical = down;
            }
            Happens::NonCritical(down) => {
                self.hands[1].set(status(down));
                self.model.non_critical = down;
            }
            Happens::Signal(value) => {
                self.queue.set(f64::from(value));
                self.model.signal = value;
            }
            Happens::Spikes(value) => {
                let before = self.model.signal;
                self.queue.set(f64::from(value));
                self.queue.set(f64::from(before));
                self.model.signal = value.max(before);
                self.model.look(now);
                self.model.signal = before;
            }
            Happens::Requests { good, bad, millis } => {
                for (count, verdict) in [(good, Verdict::Success), (bad, Verdict::Failure)] {
                    for _ in 0..count {
                        self.degrade.observe(verdict, Duration::from_millis(millis));
                        self.model.requests.push((now, verdict == Verdict::Failure, millis));
                    }
                }
            }
            Happens::Pins(level, time) => {
                self.degrade.pin(Level::ALL[level], secs(time)).unwrap();
                self.model.pin = Some((Level::ALL[level], now, now + secs(time)));
            }
            Happens::Unpins => {
                self.degrade.unpin();
                self.model.pin = None;
            }
            Happens::Passes(time) => self.pass(secs(time)).await,
        }
        self.settle().await;
        self.compare(&format!("after {happens:?}"));
    }

    fn compare(&self, when: &str) {
        let assessment = self.degrade.assessment();
        let told: Vec<Told> = assessment
            .causes
            .iter()
            .map(|cause| (cause.what, cause.level, cause.since, cause.over_since))
            .collect();
        let (level, expected) = self.model.expected(self.now());
        assert_eq!(told, expected, "{when}, at {:?}", self.now());
        assert_eq!((assessment.level, self.degrade.level()), (level, level), "{when}, at {:?}", self.now());
        for cause in assessment.causes.iter().filter(|cause| cause.over_since.is_none()) {
            assert!(cause.figure >= cause.threshold, "{cause:?}");
        }
    }
}

/// Levels and causes, word by word: the level is the worst of any instant of the time that it is held for, no longer and no
/// shorter; each cause is told with since when, and since when it is over.
#[test]
fn levels_and_causes_follow_the_model() {
    let holds = prop::sample::select(vec![[30, 30, 30], [60, 20, 5], [1, 1, 1]]);
    Cases::or(192).check(&(prop::collection::vec(happens(), 1..60), holds), |(happens, holds)| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap().block_on(async {
            let mut world = World::new(holds.map(secs)).await;
            for happens in happens {
                world.happen(happens).await;
            }
        });
        Ok(())
    });
}
