//! Drives a breaker and the model side by side.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use mainstay_breaker::{
    Breaker, BreakerError, Classified, Clock, Keyed, ManualClock, OwnedPermit, Permit, Rejected, Settings,
    Transitions, Verdict,
};
use proptest::prop_assert;
use proptest::test_runner::TestCaseError;

use super::compare::Agreed;
use super::operation::{Edge, Operation, Sequence, Step};
use super::plan::{JITTER_SEED, Plan, Rule, Span};
use super::rules::{slice, slice_width};
use super::visits::Visits;
use super::{Model, Phase};

/// One permit of the breaker with its counterpart of the model.
struct Held<'b> {
    real: RealPermit<'b>,
    model: super::Permit,
}

enum RealPermit<'b> {
    Borrowed(Permit<'b>),
    Owned(OwnedPermit),
}

pub(crate) struct SideBySide<'b> {
    pub(crate) breaker: &'b Breaker,
    pub(crate) model: Model,
    time: ManualClock,
    held: Vec<Held<'b>>,
    plans: &'b [Plan],
    pub(crate) subscriber: Transitions,
    /// How many of the model's transitions the subscriber has received.
    pub(crate) received: usize,
    pub(crate) visits: &'b Visits,
}

/// A year, as long leaps count it.
const YEAR: Duration = Duration::from_secs(31_557_600);

/// The clock stands still after 584 years; no sequence shall get there.
const END_OF_TIME: Duration = Duration::from_secs(31_557_600 * 500);

/// Runs a sequence on a breaker of its own. The first difference is the error.
pub(crate) fn run(sequence: &Sequence, visits: &Visits) -> Agreed {
    run_on(sequence, visits, |settings, clock| {
        Ok(Breaker::builder("modelled").settings(settings).clock(clock).jitter_seed(JITTER_SEED).build()?)
    })
}

/// Runs a sequence on a breaker of a keyed set. There every key has its own jitter, so there is none.
pub(crate) fn run_keyed(sequence: &Sequence, visits: &Visits) -> Agreed {
    let plans = sequence.plans.iter().map(Plan::without_jitter).collect();
    let sequence = Sequence { plans, ..sequence.clone() };
    run_on(&sequence, visits, |settings, clock| {
        Ok(Keyed::builder("modelled").settings(settings).clock(clock).build()?.breaker(&"key")?)
    })
}

fn run_on(
    sequence: &Sequence,
    visits: &Visits,
    build: impl FnOnce(Settings, Clock) -> Result<Breaker, Box<dyn Error>>,
) -> Agreed {
    let (clock, time) = Clock::manual();
    time.advance(sequence.built_at);
    let breaker = build(sequence.plans[0].to_settings(), clock)
        .map_err(|error| TestCaseError::fail(format!("valid settings were refused: {error}")))?;
    let mut both = SideBySide {
        breaker: &breaker,
        model: Model::new(sequence.built_at, sequence.plans[0].clone()),
        time,
        held: Vec::new(),
        plans: &sequence.plans,
        subscriber: breaker.subscribe(),
        received: 0,
        visits,
    };
    both.compare()?;
    for (index, operation) in sequence.operations.iter().enumerate() {
        both.perform(operation)
            .and_then(|()| both.compare())
            .map_err(|error| TestCaseError::fail(format!("operation {index}, {operation:?}: {error}")))?;
    }
    both.receive()?;
    visits.note_all(&both.model);
    Ok(())
}

impl<'b> SideBySide<'b> {
    fn perform(&mut self, operation: &Operation) -> Agreed {
        match operation {
            Operation::Acquire => {
                let real = self.breaker.try_acquire().map(RealPermit::Borrowed);
                self.acquired(real)?;
            }
            Operation::AcquireOwned => {
                let real = self.breaker.try_acquire_owned().map(RealPermit::Owned);
                self.acquired(real)?;
            }
            Operation::Record { permit, verdict, retry_after } => {
                if let Some(Held { real, model }) = self.take(*permit) {
                    real.record(*verdict, *retry_after);
                    self.model.record(model, *verdict, *retry_after);
                }
            }
            Operation::RecordElsewhere { permit, verdict } => {
                if let Some(Held { real, model }) = self.take(*permit) {
                    thread::scope(|scope| {
                        scope.spawn(|| real.record(*verdict, None));
                    });
                    self.model.record(model, *verdict, None);
                }
            }
            Operation::Answered { permit, verdict } => {
                if let Some(place) = self.pick(*permit) {
                    let Held { real, model } = &mut self.held[place];
                    real.answered(*verdict);
                    self.model.answered(model, *verdict);
                }
            }
            Operation::Drop { permit } => {
                if let Some(Held { real, model }) = self.take(*permit) {
                    drop(real);
                    self.model.dropped(model);
                }
            }
            Operation::DropInPanic { permit } => {
                if let Some(Held { real, model }) = self.take(*permit) {
                    real.drop_in_panic();
                    self.model.dropped_by_panic(model);
                }
            }
            Operation::Forget { permit } => {
                if let Some(Held { real, .. }) = self.take(*permit) {
                    std::mem::forget(real);
                }
            }
            Operation::Call { times, fails, takes } => {
                for _ in 0..*times {
                    self.call(*fails, *takes)?;
                    // Comparing everything within a long burst would only take long.
                    if *times < 10 {
                        self.compare()?;
                    }
                }
            }
            Operation::CallElsewhere { times, fails } => self.call_elsewhere(*times, *fails),
            Operation::Cancel { times } => {
                for _ in 0..*times {
                    let real = self.breaker.try_acquire().map(RealPermit::Borrowed);
                    let held = self.held.len();
                    self.acquired(real)?;
                    for Held { real, model } in self.held.drain(held..) {
                        drop(real);
                        self.model.dropped(model);
                    }
                }
                if self.model.blind() {
                    self.visits.note("blind");
                }
            }
            Operation::Advance(step) => self.advance_to(self.target(*step)),
            Operation::Poll => self.breaker.poll(),
            Operation::SetControl(control) => {
                self.breaker.set_control(*control);
                self.model.set_control(*control);
            }
            Operation::Trip => {
                self.breaker.trip();
                self.model.trip();
            }
            Operation::Reset => {
                self.breaker.reset();
                self.model.reset();
            }
            Operation::Reconfigure { plan } => {
                let plan = &self.plans[usize::from(*plan) % self.plans.len()];
                let accepted = self.breaker.reconfigure(plan.to_settings());
                prop_assert!(accepted.is_ok(), "valid settings were refused: {accepted:?}");
                self.model.reconfigure(plan.clone());
                if self.model.windows.iter().any(|calls| !calls.is_empty()) {
                    self.visits.note("window taken over");
                }
            }
            Operation::Misconfigure => {
                let plan = Plan { max_in_flight: 0, ..self.model.plan.clone() };
                let accepted = self.breaker.reconfigure(plan.to_settings());
                prop_assert!(accepted.is_err(), "half-open without a slot was accepted");
            }
            Operation::Receive => self.receive()?,
        }
        Ok(())
    }

    // --- admissions ---------------------------------------------------------------------------------------

    fn acquired(&mut self, real: Result<RealPermit<'b>, Rejected>) -> Agreed {
        match (real, self.model.acquire()) {
            (Ok(real), Ok(model)) => {
                self.held.push(Held { real, model });
                Ok(())
            }
            (Err(real), Err(model)) => self.same_rejection(&real, &model),
            (Ok(_), Err(model)) => {
                Err(TestCaseError::fail(format!("admitted, but the model says {model:?}")))
            }
            (Err(real), Ok(model)) => {
                Err(TestCaseError::fail(format!("rejected ({real:?}), but the model says {model:?}")))
            }
        }
    }

    fn call(&mut self, fails: bool, takes: Duration) -> Agreed {
        let time = &self.time;
        let real = self.breaker.call(|| {
            time.advance(takes);
            if fails { Err("failed") } else { Ok("done") }
        });
        match self.model.acquire() {
            Ok(permit) => {
                let verdict = if fails { Verdict::Failure } else { Verdict::Success };
                self.model.advance_to(self.model.now + takes);
                self.model.record(permit, verdict, None);
                let agreed = match &real {
                    Ok("done") => !fails,
                    Err(BreakerError::Inner("failed")) => fails,
                    _ => false,
                };
                prop_assert!(agreed, "a call that the model admits came back as {real:?}");
                Ok(())
            }
            Err(model) => match &real {
                Err(BreakerError::Rejected(real)) => self.same_rejection(real, &model),
                _ => Err(TestCaseError::fail(format!("called, but the model says {model:?}"))),
            },
        }
    }

    fn call_elsewhere(&mut self, times: u8, fails: bool) {
        let breaker = self.breaker;
        thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..times {
                    let _ = breaker.call(|| if fails { Err(()) } else { Ok(()) });
                }
            });
        });
        let verdict = if fails { Verdict::Failure } else { Verdict::Success };
        for _ in 0..times {
            if let Ok(permit) = self.model.acquire() {
                self.model.record(permit, verdict, None);
            }
        }
    }

    // --- held permits -------------------------------------------------------------------------------------

    fn pick(&self, permit: u8) -> Option<usize> {
        let held = self.held.len();
        (held > 0).then(|| usize::from(permit) % held)
    }

    fn take(&mut self, permit: u8) -> Option<Held<'b>> {
        let held = self.held.remove(self.pick(permit)?);
        if held.model.epoch != self.model.epoch {
            self.visits.note("late result");
        }
        Some(held)
    }

    // --- time ---------------------------------------------------------------------------------------------

    fn advance_to(&mut self, then: Duration) {
        let then = then.max(self.model.now);
        if then < END_OF_TIME {
            self.time.advance(then - self.model.now);
            self.model.advance_to(then);
        }
    }

    /// Where a step leads from here; nowhere if there is no such instant.
    fn target(&self, step: Step) -> Duration {
        let model = &self.model;
        let now = model.now;
        let nowhere = |instant: Option<Duration>, edge: Edge| instant.map_or(now, |instant| edge.of(instant));
        match step {
            Step::By(d) => now + d,
            Step::Years(years) => now + YEAR * u32::from(years),
            Step::Due(edge) => nowhere(model.next_due(), edge),
            Step::ProbeDeadline(which, edge) => {
                let deadline = match &model.phase {
                    Phase::Probing { in_flight, .. } => {
                        in_flight.get(usize::from(which)).map(|probe| probe.deadline)
                    }
                    _ => None,
                };
                nowhere(deadline, edge)
            }
            Step::SliceEnd { rule, slices, edge } => {
                let rule = &model.plan.rules[usize::from(rule) % model.plan.rules.len()];
                match rule.span() {
                    Some(Span::Time(d)) => {
                        let number = slice(now, d) + 1 + u128::from(slices);
                        let nanos = number * slice_width(d);
                        edge.of(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
                    }
                    _ => now,
                }
            }
            Step::RampPart(sixteenths) => match model.phase {
                Phase::Ramping { length, .. } => model.since + length * u32::from(sixteenths) / 16,
                _ => now,
            },
            Step::RunEnd(edge) => {
                let within = model.plan.rules.iter().find_map(|rule| match *rule {
                    Rule::Consecutive { within, .. } => within,
                    _ => None,
                });
                nowhere(model.last_failure.zip(within).map(|(last, within)| last + within), edge)
            }
            Step::Rested(edge) => nowhere(model.last_open_time.map(|open| model.since + open), edge),
        }
    }
}

// === impl RealPermit ===

impl RealPermit<'_> {
    fn record(self, verdict: Verdict, retry_after: Option<Duration>) {
        let mut classified = Classified::from(verdict);
        if let Some(after) = retry_after {
            classified = classified.retry_after(after);
        }
        match self {
            RealPermit::Borrowed(permit) => permit.record(classified),
            RealPermit::Owned(permit) => permit.record(classified),
        }
    }

    fn answered(&mut self, verdict: Verdict) {
        match self {
            RealPermit::Borrowed(permit) => permit.answered(verdict),
            RealPermit::Owned(permit) => permit.answered(verdict),
        }
    }

    /// Unwinds past the permit without calling the panic hook, which would only make noise.
    fn drop_in_panic(self) {
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _permit = self;
            resume_unwind(Box::new("a call panics"));
        }));
        assert!(unwound.is_err(), "the panic goes on");
    }
}

// === impl Edge ===

impl Edge {
    fn of(self, instant: Duration) -> Duration {
        let ns = Duration::from_nanos(1);
        match self {
            Edge::Before => instant.saturating_sub(ns),
            Edge::At => instant,
            Edge::After => instant + ns,
        }
    }
}
