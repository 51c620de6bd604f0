//! A sequential model of the breaker: slow, plain, and meant to be obviously right.
//!
//! It keeps every call in a list and counts by filtering the list; it performs a transition at the moment it is
//! due, and not when somebody looks. It shares the crate's words (states, causes) and none of its code. The real
//! breaker must be indistinguishable from it: see `drive`.

pub(crate) mod drive;
pub(crate) mod operation;
pub(crate) mod plan;

mod calls;
pub(crate) mod compare;
mod probes;
mod rules;
mod transitions;
pub(crate) mod visits;

use std::time::Duration;

use mainstay_breaker::{Cause, Control, RejectReason, Stage, State};

use plan::Plan;

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) now: Duration,
    pub(crate) plan: Plan,
    pub(crate) control: Control,
    pub(crate) phase: Phase,
    /// When the phase began.
    pub(crate) since: Duration,
    pub(crate) epoch: u32,

    /// Of the probes in this stay in half-open, which a ramp goes on with.
    pub(crate) successes: u32,
    pub(crate) failures: u32,

    /// The calls recorded in this epoch, one list for each rule. Only closed and ramping breakers record here.
    pub(crate) windows: Vec<Vec<Call>>,
    /// Failures in a row in this epoch.
    pub(crate) run: u32,
    pub(crate) last_failure: Option<Duration>,

    /// How many times it has opened since it was last closed for long enough, less one.
    pub(crate) attempt: u32,
    /// How long the last open time was; none before the first trip.
    pub(crate) last_open_time: Option<Duration>,
    pub(crate) last_trip: Option<Cause>,

    pub(crate) totals: Totals,
    /// Permits that were dropped one after the other, without a verdict between them.
    pub(crate) drops_in_a_row: u32,
    pub(crate) transitions: Vec<Transition>,
    /// Number of the next probe.
    next_probe: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Closed,
    Open { until: Duration },
    Probing { in_flight: Vec<Probe> },
    Ramping { length: Duration, shares: u128 },
}

/// A call that holds a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    number: u64,
    pub(crate) deadline: Duration,
}

/// A call that was recorded in a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    at: Duration,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Permit {
    pub(crate) epoch: u32,
    right: Right,
    acquired: Duration,
    /// Whether its duration matters: a slow rule existed when it was acquired.
    timed: bool,
    /// When the answer came, if somebody said so before the end.
    answered: Option<Duration>,
}

/// In which capacity a call was admitted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Right {
    Ordinary,
    Probe(u64),
    /// Let through by the operator's hand: decides nothing.
    Bypass,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) success: u64,
    pub(crate) failure: u64,
    pub(crate) ignored: u64,
    pub(crate) rejected: u64,
    pub(crate) slow: u64,
    pub(crate) cancelled: u64,
    pub(crate) would_reject: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rejection {
    pub(crate) reason: RejectReason,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) cause: Option<Cause>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Transition {
    pub(crate) from: State,
    pub(crate) to: State,
    pub(crate) stage: Option<Stage>,
    pub(crate) epoch: u32,
    pub(crate) cause: Cause,
    pub(crate) at: Duration,
}

/// What a window says now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) slow: u64,
    pub(crate) rate: Option<f64>,
}

/// What the end of a call says, as far as the breaker is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    failed: bool,
    /// From acquire to answer, where it was measured.
    took: Option<Duration>,
    retry_after: Option<Duration>,
}

impl Model {
    pub(crate) fn new(now: Duration, plan: Plan) -> Self {
        Self {
            now,
            windows: vec![Vec::new(); plan.rules.len()],
            plan,
            control: Control::Automatic,
            phase: Phase::Closed,
            since: now,
            epoch: 0,
            successes: 0,
            failures: 0,
            run: 0,
            last_failure: None,
            attempt: 0,
            last_open_time: None,
            last_trip: None,
            totals: Totals::default(),
            drops_in_a_row: 0,
            transitions: Vec::new(),
            next_probe: 0,
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::Probing { .. } | Phase::Ramping { .. } => State::HalfOpen,
        }
    }

    pub(crate) fn stage(&self) -> Option<Stage> {
        match self.phase {
            Phase::Probing { .. } => Some(Stage::Probing),
            Phase::Ramping { .. } => Some(Stage::Ramping),
            Phase::Closed | Phase::Open { .. } => None,
        }
    }

    /// In flight, successes, failures of this stay in half-open.
    pub(crate) fn half_open(&self) -> Option<(u32, u32, u32)> {
        match &self.phase {
            Phase::Probing { in_flight } => Some((in_flight.len() as u32, self.successes, self.failures)),
            Phase::Ramping { .. } => Some((0, self.successes, self.failures)),
            Phase::Closed | Phase::Open { .. } => None,
        }
    }

    pub(crate) fn consecutive_failures(&self) -> u32 {
        if matches!(self.phase, Phase::Closed) { self.run } else { 0 }
    }

    /// Twenty drops in a row: whoever cuts the calls off keeps their verdicts from the breaker.
    pub(crate) fn blind(&self) -> bool {
        self.drops_in_a_row >= 20
    }

    /// What a rejection would say now, if a call would be rejected for its state.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self.control {
            Control::Automatic => self.refusal().map(|(_, retry_after)| retry_after),
            Control::ForcedOpen | Control::ForcedClosed | Control::ObserveOnly => None,
        }
    }
}
