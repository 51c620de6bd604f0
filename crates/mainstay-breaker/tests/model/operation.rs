//! What can be done to a breaker, and how sequences of it are drawn so that they get somewhere: small thresholds,
//! moods in which most calls fail, and time that likes to stop at the very instants where something changes.

use std::fmt;
use std::time::Duration;

use mainstay_breaker::{Control, Verdict};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::plan::{OpenTime, Plan, Rule, Span};

/// A breaker's life: when it is built, with which settings (the first of them), and what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) built_at: Duration,
    pub(crate) plans: Vec<Plan>,
    pub(crate) operations: Vec<Operation>,
}

/// `permit` picks among those held, oldest first, modulo how many there are.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Acquire,
    AcquireOwned,
    Record {
        permit: u8,
        verdict: Verdict,
        retry_after: Option<Duration>,
    },
    /// The same on another thread than acquired it.
    RecordElsewhere {
        permit: u8,
        verdict: Verdict,
    },
    Answered {
        permit: u8,
        verdict: Verdict,
    },
    Drop {
        permit: u8,
    },
    DropInPanic {
        permit: u8,
    },
    Forget {
        permit: u8,
    },
    /// Whole calls by the closure API, one after the other, each of which takes time.
    Call {
        times: u8,
        fails: bool,
        takes: Duration,
    },
    /// The same, at once, on another thread.
    CallElsewhere {
        times: u8,
        fails: bool,
    },
    /// Calls that are cut off at once.
    Cancel {
        times: u8,
    },
    Advance(Step),
    Poll,
    SetControl(Control),
    Trip,
    Reset,
    /// Changes to one of the sequence's settings, modulo how many there are.
    Reconfigure {
        plan: u8,
    },
    /// Settings that must be refused and change nothing.
    Misconfigure,
    /// Compares what a subscriber received so far.
    Receive,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    By(Duration),
    Years(u8),
    /// To the next transition that is due by time alone.
    Due(Edge),
    /// To the deadline of one of the probes in flight.
    ProbeDeadline(u8, Edge),
    /// To the end of the so-manieth slice from now of the window of a rule.
    SliceEnd {
        rule: u8,
        slices: u8,
        edge: Edge,
    },
    /// So many sixteenths into the ramp.
    RampPart(u8),
    /// To when the next failure would no longer belong to the run.
    RunEnd(Edge),
    /// To when the next open time would start again from the first.
    Rested(Edge),
}

/// One nanosecond before, exactly at, or one nanosecond after.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edge {
    Before,
    At,
    After,
}

/// What a family of sequences is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) rules: fn() -> BoxedStrategy<Vec<Rule>>,
    pub(crate) ramp: bool,
    /// Weight of control, trip, reset and reconfigure among the operations.
    pub(crate) operator: u32,
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

// --- sequences --------------------------------------------------------------------------------------------

pub(crate) fn sequence(family: Family) -> impl Strategy<Value = Sequence> {
    // The dependency's health changes from phase to phase: (successes, failures, ignored).
    let phase = prop_oneof![
        3 => vec(operation(family, [2, 7, 1]), 0..=40),
        2 => vec(operation(family, [1, 1, 1]), 0..=40),
        3 => vec(operation(family, [7, 2, 1]), 0..=40),
    ];
    (built_at(), vec(plan(family), 3), vec(phase, 3..=5)).prop_map(|(built_at, plans, phases)| Sequence {
        built_at,
        plans,
        operations: phases.concat(),
    })
}

fn built_at() -> impl Strategy<Value = Duration> {
    prop_oneof![
        2 => Just(Duration::ZERO),
        3 => (0..100_000_000_000u64).prop_map(Duration::from_nanos),
        1 => (0..40u64).prop_map(|years| Duration::from_secs(years * 31_557_600 + 7)),
    ]
}

fn operation(family: Family, mood: [u32; 3]) -> BoxedStrategy<Operation> {
    let [good, bad, _] = mood;
    let fails = move || prop_oneof![good => Just(false), bad => Just(true)];
    let permit = 0..6u8;
    let record = (permit.clone(), verdict(mood), option::weighted(0.2, retry_after()));
    let calls = prop_oneof![
        (permit.clone(), verdict(mood)).prop_map(|(permit, verdict)| Operation::Answered { permit, verdict }),
        permit.clone().prop_map(|permit| Operation::Drop { permit }),
        permit.clone().prop_map(|permit| Operation::DropInPanic { permit }),
        permit.prop_map(|permit| Operation::Forget { permit }),
    ];
    let by_hand = prop_oneof![
        6 => control().prop_map(Operation::SetControl),
        2 => Just(Operation::Trip),
        1 => Just(Operation::Reset),
        6 => (0..3u8).prop_map(|plan| Operation::Reconfigure { plan }),
        1 => Just(Operation::Misconfigure),
    ];
    prop_oneof![
        14 => Just(Operation::Acquire),
        8 => Just(Operation::AcquireOwned),
        18 => record.prop_map(|(permit, verdict, retry_after)| Operation::Record { permit, verdict, retry_after }),
        6 => calls,
        20 => (times(), fails(), takes()).prop_map(|(times, fails, takes)| Operation::Call { times, fails, takes }),
        1 => (0..6u8, verdict(mood)).prop_map(|(permit, verdict)| Operation::RecordElsewhere { permit, verdict }),
        1 => (1..=3u8, fails()).prop_map(|(times, fails)| Operation::CallElsewhere { times, fails }),
        1 => prop_oneof![1..=4u8, 18..=21u8].prop_map(|times| Operation::Cancel { times }),
        24 => step().prop_map(Operation::Advance),
        2 => Just(Operation::Poll),
        2 => Just(Operation::Receive),
        family.operator => by_hand,
    ]
    .boxed()
}

fn verdict([good, bad, neither]: [u32; 3]) -> impl Strategy<Value = Verdict> {
    prop_oneof![
        good => Just(Verdict::Success),
        bad => Just(Verdict::Failure),
        neither => Just(Verdict::Ignore),
    ]
}

fn retry_after() -> impl Strategy<Value = Duration> {
    select(vec![
        Duration::ZERO,
        millis(15),
        millis(70),
        millis(400),
        Duration::from_secs(3600),
        Duration::MAX,
    ])
}

/// Mostly few; now and then enough to fill any window.
fn times() -> impl Strategy<Value = u8> {
    prop_oneof![24 => 1..=4u8, 1 => 20..=70u8]
}

fn takes() -> impl Strategy<Value = Duration> {
    let slow = vec![millis(1) - Duration::from_nanos(1), millis(1), millis(5), millis(20), millis(30)];
    prop_oneof![Just(Duration::ZERO), select(slow)]
}

fn control() -> impl Strategy<Value = Control> {
    prop_oneof![
        5 => Just(Control::Automatic),
        1 => Just(Control::ForcedOpen),
        1 => Just(Control::ForcedClosed),
        2 => Just(Control::ObserveOnly),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..30_000_000u64).prop_map(|ns| Step::By(Duration::from_nanos(ns))),
        3 => (0..2_000u64).prop_map(|ms| Step::By(millis(ms))),
        1 => select(vec![1, 3, 100]).prop_map(Step::Years),
        16 => edge().prop_map(Step::Due),
        2 => (0..3u8, edge()).prop_map(|(probe, edge)| Step::ProbeDeadline(probe, edge)),
        5 => (0..4u8, 0..13u8, edge()).prop_map(|(rule, slices, edge)| Step::SliceEnd { rule, slices, edge }),
        4 => (0..16u8).prop_map(Step::RampPart),
        2 => edge().prop_map(Step::RunEnd),
        1 => edge().prop_map(Step::Rested),
    ]
}

fn edge() -> impl Strategy<Value = Edge> {
    prop_oneof![1 => Just(Edge::Before), 3 => Just(Edge::At), 1 => Just(Edge::After)]
}

impl fmt::Display for Sequence {
    /// One line for each of the settings and operations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "built at {:?}", self.built_at)?;
        for (number, plan) in self.plans.iter().enumerate() {
            writeln!(f, "settings {number}: {plan:?}")?;
        }
        for (number, operation) in self.operations.iter().enumerate() {
            writeln!(f, "operation {number}: {operation:?}")?;
        }
        Ok(())
    }
}

// --- settings ---------------------------------------------------------------------------------------------

fn plan(family: Family) -> impl Strategy<Value = Plan> {
    let ramp = if family.ramp { 0.8 } else { 0.1 };
    let lengths = vec![Duration::from_nanos(20), Duration::from_nanos(1_000_003), millis(100), millis(1_000)];
    let timeouts = vec![millis(10), millis(50), millis(1_000), millis(10_000)];
    (
        (family.rules)(),
        open_time(),
        (1..=3u32, 1..=3u32, 1..=3u32, select(timeouts)),
        option::weighted(ramp, select(lengths)),
        select(vec![millis(50), Duration::from_secs(300)]),
        proptest::bool::weighted(0.3),
    )
        .prop_map(
            |(rules, open, (max_in_flight, close_after, reopen_after, probe_timeout), ramp, cap, drops)| {
                Plan {
                    rules,
                    open,
                    max_in_flight,
                    close_after,
                    reopen_after,
                    probe_timeout,
                    ramp,
                    retry_after_cap: cap,
                    dropped_is_failure: drops,
                }
            },
        )
}

fn open_time() -> impl Strategy<Value = OpenTime> {
    let first = || select(vec![millis(10), millis(40), millis(1_000)]);
    let grown = (first(), 1..=8u32, select(vec![1.0, 1.5, 2.0, 3.0]));
    prop_oneof![
        3 => first().prop_map(OpenTime::Fixed),
        3 => grown.prop_map(|(first, most, factor)| OpenTime::Growing { first, cap: first * most, factor }),
        1 => (first(), 1..=8u32, select(vec![0.1, 1.0]))
            .prop_map(|(first, most, jitter)| OpenTime::Jittered { first, cap: first * most, jitter }),
    ]
}

// --- rules ------------------------------------------------------------------------------------------------

pub(crate) fn consecutive() -> BoxedStrategy<Rule> {
    let within = option::weighted(0.5, select(vec![millis(5), millis(30), millis(1_000)]));
    (1..=5u32, within).prop_map(|(limit, within)| Rule::Consecutive { limit, within }).boxed()
}

/// Any rule that looks back over a number of calls.
pub(crate) fn over_calls() -> BoxedStrategy<Rule> {
    // Few sizes, so that windows are taken over when settings change, and 25 for a threshold of 0.28; and some around
    // a machine word.
    let size = prop_oneof![6 => select(vec![3, 5, 8, 25]), 2 => 1..=12u32, 1 => 62..=66u32];
    (size, option::weighted(0.6, 1..=8u32), kind())
        .prop_map(|(n, min_calls, kind)| {
            kind.rule(Some(Span::Calls(n)), min_calls.map(|least| least.min(n)), n)
        })
        .boxed()
}

/// Any rule that looks back over a span of time, which by default is 30 seconds.
pub(crate) fn over_time() -> BoxedStrategy<Rule> {
    let spans = vec![Duration::from_nanos(1_000_003), millis(30), millis(120), millis(1_000), millis(60_000)];
    (option::weighted(0.9, select(spans)), option::weighted(0.8, 1..=8u32), kind())
        .prop_map(|(d, min_calls, kind)| kind.rule(d.map(Span::Time), min_calls, u32::MAX))
        .boxed()
}

/// Several rules side by side, at most one of them consecutive: mostly up to 4, now and then up to 8.
pub(crate) fn side_by_side() -> BoxedStrategy<Vec<Rule>> {
    let other = || prop_oneof![over_calls(), over_time()];
    let others = prop_oneof![6 => vec(other(), 1..=3), 1 => vec(other(), 4..=7)];
    (option::weighted(0.6, consecutive()), others, 0..8usize)
        .prop_map(|(run, mut rules, place)| {
            if let Some(run) = run {
                rules.insert(place.min(rules.len()), run);
            }
            rules
        })
        .boxed()
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    FailureRate(f64),
    SlowRate(f64, Duration),
    Failures(u32),
}

impl Kind {
    fn rule(self, over: Option<Span>, min_calls: Option<u32>, most: u32) -> Rule {
        match self {
            Kind::FailureRate(threshold) => Rule::FailureRate { threshold, over, min_calls },
            Kind::SlowRate(threshold, slower_than) => {
                Rule::SlowRate { threshold, slower_than, over, min_calls }
            }
            Kind::Failures(limit) => Rule::Failures { limit: limit.min(most), over, min_calls },
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    // 7 of 25 reaches 0.28, though 0.28 * 25 > 7.
    let threshold = || select(vec![0.1, 0.28, 1.0 / 3.0, 0.5, 0.6, 0.75, 1.0]);
    prop_oneof![
        3 => threshold().prop_map(Kind::FailureRate),
        2 => (threshold(), select(vec![millis(1), millis(5), millis(20)]))
            .prop_map(|(share, limit)| Kind::SlowRate(share, limit)),
        2 => (1..=6u32).prop_map(Kind::Failures),
    ]
}
