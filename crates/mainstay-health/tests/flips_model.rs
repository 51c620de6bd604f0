//! A check against a model that is plain and slow: a list of results, and the next thing that time brings. The same answers must
//! give the same statuses, for the same reasons, from runs that begin at the same moments.
//!
//! `MAINSTAY_MODEL_CASES` and `MAINSTAY_MODEL_SEED` make a long run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod scene;

use std::time::Duration;

use mainstay_health::{Check, HealthManager, Pushed, Reason, Status};
use mainstay_testkit::models::Cases;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use scene::{Run, Script, manager, millis, secs};
use tokio::time::Instant;

/// What can happen.
#[derive(Clone, Debug)]
enum Happens {
    /// What the next runs do.
    Runs(Run),
    /// Of the check that it depends on.
    Network(Status),
    Passes(Duration),
}

/// Of the check, in multiples of 10 ms.
#[derive(Clone, Copy, Debug)]
struct Settings {
    interval: Duration,
    timeout: Duration,
    confirmation: Duration,
    failures: usize,
    successes: usize,
    back_off_after: Duration,
    back_off_to: Duration,
}

/// How a run ends, and after which time.
#[derive(Clone, Copy, Debug)]
struct Underway {
    began: Duration,
    ends: Duration,
    status: Status,
    reason: Reason,
}

#[derive(Clone)]
struct Model {
    settings: Settings,
    run: Run,
    network: Status,
    status: Status,
    reason: Reason,
    since: Duration,
    /// Each result since nothing was known, and what they make of it.
    results: Vec<Status>,
    by_results: Status,
    blocked: bool,
    /// It has a turn then, unless a run is under way.
    turn: Duration,
    underway: Option<Underway>,
    too_old: Option<Duration>,
    began: Vec<Duration>,
    /// When something happened last.
    latest: Duration,
    /// Two things happened at one moment, and their order is anybody's.
    tie: bool,
}

/// A result grows too old.
const OLD: u8 = 0;
const ENDS: u8 = 1;
const TURN: u8 = 2;

impl Model {
    fn new(settings: Settings) -> Self {
        let too_old = Some(settings.interval * 3 + settings.timeout);
        Self {
            settings,
            run: Run::Healthy,
            network: Status::Unknown,
            status: Status::Unknown,
            reason: Reason::NotYet,
            since: Duration::ZERO,
            results: Vec::new(),
            by_results: Status::Unknown,
            blocked: false,
            turn: Duration::ZERO,
            underway: None,
            too_old,
            began: Vec::new(),
            latest: Duration::ZERO,
            tie: false,
        }
    }

    /// Everything that time brings up to a moment, and at it.
    fn advance(&mut self, to: Duration) {
        loop {
            let ends = self.underway.map(|run| (run.ends, ENDS));
            let turn = self.underway.is_none().then_some((on_timer(self.turn), TURN));
            let old = self.too_old.map(|at| (on_timer(at), OLD));
            let Some((at, what)) = [ends, turn, old].into_iter().flatten().min() else { return };
            if at > to {
                return;
            }
            let others = [ends, turn].into_iter().flatten();
            self.tie |= what == OLD && others.into_iter().any(|(other, _)| other == at);
            self.latest = at;
            match what {
                OLD => self.grows_old(at),
                ENDS => self.ends(),
                _ if self.blocked_now() => self.left_out(at),
                _ => self.begins(at),
            }
        }
    }

    fn blocked_now(&self) -> bool {
        self.network == Status::Unhealthy
    }

    fn begins(&mut self, at: Duration) {
        self.began.push(at);
        let now = |status, reason| Underway { began: at, ends: at, status, reason };
        let timed_out = Underway {
            began: at,
            ends: at + self.settings.timeout,
            status: Status::Unhealthy,
            reason: Reason::TimedOut,
        };
        self.underway = Some(match self.run {
            Run::Healthy => now(Status::Healthy, Reason::Passed),
            Run::Degraded => now(Status::Degraded, Reason::Reported),
            Run::Unhealthy => now(Status::Unhealthy, Reason::Reported),
            Run::Unknown => now(Status::Unknown, Reason::Reported),
            Run::Error => now(Status::Unhealthy, Reason::Error),
            Run::Panics => now(Status::Unhealthy, Reason::Panicked),
            Run::Takes(time) if time < self.settings.timeout => {
                Underway { ends: at + time, ..now(Status::Healthy, Reason::Passed) }
            }
            Run::Takes(_) | Run::Hangs => timed_out,
        });
    }

    fn ends(&mut self) {
        let Some(Underway { began, ends: now, status, reason }) = self.underway.take() else { return };
        let interval = self.settings.interval;
        let freed = std::mem::take(&mut self.blocked);
        if freed {
            self.results.clear();
        }
        if status == Status::Unknown {
            if freed {
                self.shows(Status::Unknown, Reason::NotYet, now);
                self.learns(now, interval);
            }
            self.turn = turn(began, interval).max(now);
            return;
        }
        // After a gap: what was known before had grown too old.
        self.adds(status, self.reason == Reason::Stale);
        let (result, status) = (status, self.by_results);
        let stays = status == self.status && result != status;
        self.shows(status, if stays { self.reason } else { reason }, now);
        // Unhealthy for long, it is asked less often.
        let down = if status == Status::Unhealthy { now - self.since } else { Duration::ZERO };
        let wait = match down < self.settings.back_off_after {
            true => interval,
            false => (down / 10).min(self.settings.back_off_to).max(interval),
        };
        self.turn = turn(began, wait).max(now);
        if result != status {
            self.turn = self.turn.min(now + self.settings.confirmation);
        }
        self.learns(now, wait);
    }

    /// At least as bad as all of the last results that make it worse, at most as bad as all of the last that make it better.
    fn adds(&mut self, result: Status, after_gap: bool) {
        self.results.push(result);
        let results = &self.results;
        if let [only] = results[..] {
            self.by_results = only;
            return;
        }
        let last = |n: usize| (n <= results.len()).then(|| results[results.len() - n..].iter().copied());
        let at_least =
            last(self.settings.failures).map_or(Status::Healthy, |run| run.min_by_key(bad).unwrap());
        let at_most =
            last(self.settings.successes).map_or(Status::Unhealthy, |run| run.max_by_key(bad).unwrap());
        let mut status = worse(self.by_results, at_least);
        if bad(&at_most) < bad(&status) {
            status = at_most;
        }
        self.by_results = if after_gap { worse(status, result) } else { status };
    }

    fn grows_old(&mut self, at: Duration) {
        self.too_old = None;
        match self.status {
            Status::Unhealthy => self.reason = Reason::Stale,
            _ => self.shows(Status::Unknown, Reason::Stale, at),
        }
    }

    /// A turn without a run, because the network is unhealthy.
    fn left_out(&mut self, at: Duration) {
        self.blocked = true;
        self.shows(Status::Unhealthy, Reason::Blocked, at);
        self.turn = turn(at, self.settings.interval).max(at);
        self.learns(at, self.settings.interval);
    }

    fn network(&mut self, status: Status, at: Duration) {
        let before = self.blocked_now();
        // Nothing that is learned changes nothing.
        if status != Status::Unknown {
            self.network = status;
        }
        if self.blocked_now() != before {
            // What is under way does not count any more; and what is free again is asked at once.
            self.underway = None;
            self.turn = at;
            self.advance(at);
        }
    }

    fn learns(&mut self, at: Duration, wait: Duration) {
        self.too_old = Some(at + wait * 3 + self.settings.timeout);
    }

    fn shows(&mut self, status: Status, reason: Reason, at: Duration) {
        if status != self.status {
            self.since = at;
        }
        (self.status, self.reason) = (status, reason);
    }

    /// What the latest result would make it, and how many in a row would make it so, or go further.
    fn pending(&self) -> (Option<Status>, u32) {
        let Some(latest) = self.results.last().copied() else { return (None, 0) };
        let status = self.by_results;
        let agrees = |result: &Status| match latest {
            Status::Degraded if status == Status::Unhealthy => bad(result) <= bad(&latest),
            Status::Degraded => bad(result) >= bad(&latest),
            _ => *result == latest,
        };
        let streak = self.results.iter().rev().take_while(|result| agrees(result)).count();
        ((latest != status).then_some(latest), streak as u32)
    }
}

fn bad(status: &Status) -> u8 {
    match status {
        Status::Healthy => 0,
        Status::Degraded => 1,
        _ => 2,
    }
}

fn worse(one: Status, other: Status) -> Status {
    if bad(&other) > bad(&one) { other } else { one }
}

/// Tokio's timers go by whole milliseconds, and are never early.
fn on_timer(at: Duration) -> Duration {
    millis(at.as_nanos().div_ceil(1_000_000) as u64)
}

/// Turns that are a second or more away come on a tick of 10 ms, and so early.
fn turn(from: Duration, wait: Duration) -> Duration {
    let at = from + wait;
    if wait < secs(1) { at } else { at - Duration::from_nanos(u64::from(at.subsec_nanos() % 10_000_000)) }
}

/// The manager, and the model beside it.
struct World {
    health: HealthManager,
    script: Script,
    network: Pushed,
    began: Instant,
    model: Model,
}

impl World {
    async fn new(settings: Settings) -> Self {
        let (script, network) = (Script::new(Run::Healthy), Pushed::new());
        let check = Check::shared("database", script.probe())
            .jitter(0.0)
            .interval(settings.interval)
            .timeout(settings.timeout)
            .confirmation(settings.confirmation)
            .failure_threshold(settings.failures as u32)
            .success_threshold(settings.successes as u32)
            .back_off(settings.back_off_after, settings.back_off_to)
            .depends_on("network");
        // Its own turns would look again at what was set long ago.
        let network_check = Check::shared("network", &network).interval(secs(30_000_000));
        let health = manager().check(network_check).check(check).build().unwrap();
        let began = Instant::now();
        health.start().unwrap();
        let mut world = Self { health, script, network, began, model: Model::new(settings) };
        world.settle().await;
        world.model.advance(Duration::ZERO);
        world
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whoever has something to do does it, before any time passes.
    async fn settle(&mut self) {
        for _ in 0..30 {
            tokio::task::yield_now().await;
        }
    }

    async fn happen(&mut self, happens: &Happens) {
        match happens {
            Happens::Runs(run) => {
                self.script.set(*run);
                self.model.run = *run;
            }
            Happens::Network(status) => {
                self.network.set(*status);
                self.settle().await;
                let now = self.now();
                self.model.network(*status, now);
            }
            Happens::Passes(time) => {
                // To a moment at which nothing happens by itself.
                let mut end = self.now() + *time;
                let model = loop {
                    let mut model = self.model.clone();
                    model.advance(end);
                    if model.latest != end {
                        break model;
                    }
                    end += millis(1);
                };
                tokio::time::sleep_until(self.began + end).await;
                self.settle().await;
                self.model = model;
            }
        }
    }

    fn compare(&self, when: &Happens) -> TestCaseResult {
        let report = self.health.report();
        let check = report.check("database").unwrap();
        let (model, at) = (&self.model, self.now());
        let began: Vec<Duration> = self.script.begun().iter().map(|begun| *begun - self.began).collect();
        prop_assert_eq!(&began, &model.began, "runs, after {:?} at {:?}", when, at);
        prop_assert_eq!(
            (check.status, check.reason, check.blocked_by.is_some()),
            (model.status, model.reason, model.blocked),
            "after {:?} at {:?}",
            when,
            at
        );
        prop_assert_eq!((check.pending, check.streak), model.pending(), "after {:?} at {:?}", when, at);
        if model.reason != Reason::Stale {
            prop_assert_eq!(check.since, model.since, "since, after {:?} at {:?}", when, at);
        }
        Ok(())
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    let interval = prop::sample::select(vec![millis(300), secs(1), millis(1_500), secs(5), secs(10)]);
    (interval, 1_u32..10, 1_u32..=10, 1_usize..5, 1_usize..5, 1_u32..8, 1_u32..5).prop_map(
        |(interval, timeout, confirmation, failures, successes, back_off_after, back_off_to)| Settings {
            interval,
            timeout: interval / 10 * timeout,
            confirmation: interval / 10 * confirmation,
            failures,
            successes,
            back_off_after: interval * 3 * back_off_after,
            back_off_to: interval * back_off_to,
        },
    )
}

fn happens() -> impl Strategy<Value = Happens> {
    let run = prop_oneof![
        3 => Just(Run::Healthy),
        2 => Just(Run::Degraded),
        3 => Just(Run::Unhealthy),
        2 => Just(Run::Unknown),
        1 => Just(Run::Error),
        1 => Just(Run::Panics),
        2 => Just(Run::Hangs),
        2 => (0_u64..300).prop_map(|steps| Run::Takes(millis(10 * steps))),
    ];
    let statuses =
        vec![Status::Healthy, Status::Degraded, Status::Unhealthy, Status::Unhealthy, Status::Unknown];
    let time = prop_oneof![
        4 => (0_u64..3_000).prop_map(millis),
        3 => (0_u64..30_000).prop_map(millis),
        1 => (0_u64..400).prop_map(secs),
    ];
    prop_oneof![
        4 => run.prop_map(Happens::Runs),
        1 => prop::sample::select(statuses).prop_map(Happens::Network),
        6 => time.prop_map(Happens::Passes),
    ]
}

fn agree(settings: Settings, happens: &[Happens]) -> TestCaseResult {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().unwrap().block_on(async {
        let mut world = World::new(settings).await;
        for happens in happens {
            world.happen(happens).await;
            if world.model.tie {
                break;
            }
            world.compare(happens)?;
        }
        Ok(())
    })
}

#[test]
fn statuses_reasons_and_runs_follow_the_model() {
    // The checks that panic say so thousands of times.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some("the check has a bug") {
            tell(panic);
        }
    }));
    Cases::or(100).check(&(settings(), prop::collection::vec(happens(), 1..50)), |(settings, happens)| {
        agree(settings, &happens)
    });
}
