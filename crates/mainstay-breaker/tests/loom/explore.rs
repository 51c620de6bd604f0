//! Runs a few threads of operations on one breaker in every way in which they can fall together, and demands that
//! the result is that of *some* order of the operations, one after another.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mainstay_breaker::{
    Breaker, Clock, Control, Keyed, ManualClock, OpenFor, OwnedPermit, Rejected, Settings, Snapshot, State,
    Verdict,
};

/// One operation of a thread. Verdicts are given to the oldest permit that the thread holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Do {
    Acquire,
    Succeed,
    Fail,
    /// A failure that asks to be left alone for so many seconds.
    FailAsking(u64),
    Ignore,
    Cancel,
    Answer(Verdict),
    Trip,
    Reset,
    Control(Control),
    /// Lets seconds pass.
    Pass(u64),
    Poll,
    Look,
    Reconfigure(fn(Settings) -> Settings),
}

/// What a thread got to see.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Saw {
    Admitted { bypass: bool },
    Rejected(Rejected),
    State(State),
}

/// What all of it came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) saw: Vec<Vec<Saw>>,
    pub(crate) end: Snapshot,
}

/// A breaker, what happens to it first, and what then happens to it at once.
#[derive(Clone)]
pub(crate) struct Model {
    settings: fn(Settings) -> Settings,
    compact: bool,
    before: &'static [Do],
    threads: &'static [&'static [Do]],
    preemptions: Option<usize>,
    always: fn(&Outcome),
    forgive: fn(&mut Outcome),
}

/// A breaker and its surroundings in one run.
struct Run {
    breaker: Breaker,
    time: ManualClock,
    /// What the threads begin with.
    hands: Vec<Hand>,
    /// Keeps a compact breaker where it is.
    _keyed: Option<Keyed<u8>>,
}

#[derive(Default)]
struct Hand {
    permits: VecDeque<OwnedPermit>,
    saw: Vec<Saw>,
    /// How many permits were given a verdict, or dropped.
    settled: u64,
}

impl Model {
    /// A breaker that opens for ten seconds, with these settings.
    pub(crate) fn new(settings: fn(Settings) -> Settings) -> Self {
        Self {
            settings,
            compact: false,
            before: &[],
            threads: &[],
            preemptions: None,
            always: |_| (),
            forgive: |_| (),
        }
    }

    /// The breaker of a key: the one that has no rows.
    pub(crate) fn compact(self) -> Self {
        Self { compact: true, ..self }
    }

    /// What happens first. The permits that are left are dealt to the threads that need them.
    pub(crate) fn before(self, before: &'static [Do]) -> Self {
        Self { before, ..self }
    }

    pub(crate) fn threads(self, threads: &'static [&'static [Do]]) -> Self {
        Self { threads, ..self }
    }

    /// How often a thread may be interrupted that could go on; else as often as it can be.
    pub(crate) fn preemptions(self, bound: usize) -> Self {
        Self { preemptions: Some(bound), ..self }
    }

    /// What must be true of every outcome.
    pub(crate) fn always(self, always: fn(&Outcome)) -> Self {
        Self { always, ..self }
    }

    /// What an outcome may have different from that of every order.
    pub(crate) fn forgive(self, forgive: fn(&mut Outcome)) -> Self {
        Self { forgive, ..self }
    }

    /// Explores. Every outcome must be one of those of the orders, of which there must be so many different ones, and
    /// it must come to each of them.
    pub(crate) fn check(self, different: usize) {
        let started = Instant::now();
        let expected = self.orders();
        assert_eq!(expected.len(), different, "{expected:#?}");
        let seen = Arc::new(expected.iter().map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
        let (known, counts) = (expected.clone(), seen.clone());
        explore(self.preemptions, move || {
            let outcome = self.run();
            match known.iter().position(|order| *order == outcome) {
                Some(order) => counts[order].fetch_add(1, Ordering::Relaxed),
                None => panic!(
                    "{outcome:?}\nis the outcome of no order of {:?}; they are {known:?}",
                    self.threads
                ),
            };
        });
        let seen: Vec<_> = seen.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        println!("{seen:?} runs to each outcome, {:.1?}", started.elapsed());
        let missed: Vec<_> = expected.iter().zip(&seen).filter(|(_, count)| **count == 0).collect();
        assert!(missed.is_empty(), "never came to {missed:?}");
    }

    /// One run: the first thread is this one.
    fn run(&self) -> Outcome {
        let Run { breaker, time, hands, _keyed } = self.begin();
        // Before each operation its thread writes here, which makes loom try every order in which the operations can
        // begin, also where it sees no conflict between them: the clock is none of its atomics.
        let turn = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let mut threads = hands.into_iter().zip(self.threads).map(|(mut hand, program)| {
            let (breaker, time, turn) = (breaker.clone(), time.clone(), turn.clone());
            move || {
                for operation in *program {
                    turn.fetch_add(1, Ordering::Relaxed);
                    hand.perform(&breaker, &time, *operation);
                }
                hand
            }
        });
        let first = threads.next();
        let others: Vec<_> = threads.map(loom::thread::spawn).collect();
        let mut hands: Vec<_> = first.into_iter().map(|thread| thread()).collect();
        hands.extend(others.into_iter().map(|other| other.join().unwrap()));
        self.end(&breaker, hands)
    }

    /// The different outcomes of all orders of the operations, one after another.
    fn orders(&self) -> Vec<Outcome> {
        let mut orders = Vec::new();
        let mut left: Vec<_> = self.threads.iter().map(|program| program.len()).collect();
        interleave(&mut left, &mut Vec::new(), &mut orders);
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        for order in orders {
            let (model, found) = (self.clone(), outcomes.clone());
            explore(None, move || {
                let Run { breaker, time, mut hands, _keyed } = model.begin();
                let mut programs: Vec<_> = model.threads.iter().map(|program| program.iter()).collect();
                for &thread in &order {
                    hands[thread].perform(&breaker, &time, *programs[thread].next().unwrap());
                }
                let outcome = model.end(&breaker, hands);
                let mut found = found.lock().unwrap();
                if !found.contains(&outcome) {
                    found.push(outcome);
                }
            });
        }
        Arc::into_inner(outcomes).unwrap().into_inner().unwrap()
    }

    fn begin(&self) -> Run {
        let (clock, time) = Clock::manual();
        let mut settings = Settings::default();
        settings.open_for = OpenFor::fixed(Duration::from_secs(10));
        let settings = (self.settings)(settings);
        let (breaker, keyed) = if self.compact {
            let keyed = Keyed::builder("loom").settings(settings).clock(clock).build().unwrap();
            (keyed.breaker(&0).unwrap(), Some(keyed))
        } else {
            (Breaker::builder("loom").settings(settings).clock(clock).build().unwrap(), None)
        };
        let mut first = Hand::default();
        self.before.iter().for_each(|operation| first.perform(&breaker, &time, *operation));
        let mut permits = std::mem::take(&mut first.permits);
        let mut hands: Vec<Hand> =
            self.threads.iter().map(|program| Hand::of(permits.drain(..needs(program)))).collect();
        assert!(permits.is_empty(), "a permit is left over");
        // What came before counts too.
        hands[0].settled = first.settled;
        hands[0].saw = first.saw;
        Run { breaker, time, hands, _keyed: keyed }
    }

    /// Checks what must be true of every outcome, whatever the order.
    fn end(&self, breaker: &Breaker, hands: Vec<Hand>) -> Outcome {
        let end = breaker.snapshot();
        let saw = || hands.iter().flat_map(|hand| &hand.saw);
        let rejected = saw().filter(|saw| matches!(saw, Saw::Rejected(_))).count();
        assert_eq!(end.totals.rejected, rejected as u64, "rejections: {end:?}");
        let settled: u64 = hands.iter().map(|hand| hand.settled).sum();
        assert_eq!(
            end.totals.success + end.totals.failure + end.totals.ignored,
            settled,
            "verdicts: {end:?}"
        );
        let slots = breaker.settings().half_open.max_in_flight;
        assert!(end.half_open.is_none_or(|stay| stay.in_flight <= slots), "probes: {end:?}");
        let transitions = end.recent.iter().zip(1..);
        assert!(transitions.clone().all(|(transition, epoch)| transition.epoch == epoch), "epochs: {end:?}");
        let reached = transitions.fold((State::Closed, 0), |(state, _), (transition, epoch)| {
            assert_eq!(transition.from, state, "transitions: {end:?}");
            (transition.to, epoch)
        });
        assert_eq!((end.state, end.epoch), reached, "the last transition: {end:?}");

        let mut outcome = Outcome { saw: hands.iter().map(|hand| hand.saw.clone()).collect(), end };
        (self.always)(&outcome);
        (self.forgive)(&mut outcome);
        outcome
    }
}

/// Explores all runs of a model.
pub(crate) fn explore(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 5_000;
    builder.preemption_bound = preemptions.or(builder.preemption_bound);
    builder.check(model);
}

/// Every way to merge programs of these lengths.
fn interleave(left: &mut [usize], order: &mut Vec<usize>, orders: &mut Vec<Vec<usize>>) {
    if left.iter().all(|left| *left == 0) {
        orders.push(order.clone());
    }
    for thread in 0..left.len() {
        if left[thread] > 0 {
            left[thread] -= 1;
            order.push(thread);
            interleave(left, order, orders);
            order.pop();
            left[thread] += 1;
        }
    }
}

/// How many permits a program needs beside those that it takes.
fn needs(program: &[Do]) -> usize {
    let (mut held, mut needed) = (0, 0);
    for operation in program {
        match operation {
            Do::Acquire => held += 1,
            Do::Succeed | Do::Fail | Do::FailAsking(_) | Do::Ignore | Do::Cancel if held == 0 => needed += 1,
            Do::Succeed | Do::Fail | Do::FailAsking(_) | Do::Ignore | Do::Cancel => held -= 1,
            _ => {}
        }
    }
    needed
}

// === impl Hand ===

impl Hand {
    fn of(permits: impl Iterator<Item = OwnedPermit>) -> Self {
        Self { permits: permits.collect(), ..Self::default() }
    }

    fn perform(&mut self, breaker: &Breaker, time: &ManualClock, operation: Do) {
        match operation {
            Do::Acquire => match breaker.try_acquire_owned() {
                Ok(permit) => {
                    self.saw.push(Saw::Admitted { bypass: permit.is_bypass() });
                    self.permits.push_back(permit);
                }
                Err(rejected) => self.saw.push(Saw::Rejected(rejected)),
            },
            Do::Succeed => self.settle(OwnedPermit::success),
            Do::Fail => self.settle(OwnedPermit::failure),
            Do::FailAsking(secs) => {
                self.settle(|permit| permit.failure_retry_after(Duration::from_secs(secs)))
            }
            Do::Ignore => self.settle(OwnedPermit::ignore),
            Do::Cancel => self.settle(drop),
            Do::Answer(verdict) => {
                self.permits.iter_mut().take(1).for_each(|permit| permit.answered(verdict))
            }
            Do::Trip => breaker.trip(),
            Do::Reset => breaker.reset(),
            Do::Control(control) => breaker.set_control(control),
            Do::Pass(secs) => time.advance(Duration::from_secs(secs)),
            Do::Poll => breaker.poll(),
            Do::Look => self.saw.push(Saw::State(breaker.state())),
            Do::Reconfigure(change) => breaker.reconfigure(change(breaker.settings())).unwrap(),
        }
    }

    /// A thread whose call was rejected has nothing to record.
    fn settle(&mut self, verdict: impl FnOnce(OwnedPermit)) {
        if let Some(permit) = self.permits.pop_front() {
            verdict(permit);
            self.settled += 1;
        }
    }
}
