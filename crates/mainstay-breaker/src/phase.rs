//! The state machine: plain data, and one function per transition. No clock, no atomics, no windows.
//!
//! ```text
//!            trip                      open time over
//!  Closed ----------> Open ----------------------------> Probing
//!    ^  ^              ^ ^                                | | |
//!    |  |              | +--- a failure, slow or late ----+ | |
//!    |  |              |               probe                | |
//!    |  |              +--------- trip --------- Ramping <--+ |
//!    |  +----------------- ramp over ---------------+         |
//!    +--------------------- probes succeeded -----------------+
//! ```
//!
//! [`Phase::advance`] performs what is due by time alone. Reading a breaker clones its phase and advances the clone,
//! which is how reads see through due transitions without causing them.

use std::borrow::Cow;
use std::time::Duration;

use crate::lazily::{Blank, Lazily};
use crate::{Cause, Settings, Stage, State};

/// Where the machine stands: the [`State`] with its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    Closed = 0,
    Open = 1,
    Probing = 2,
    Ramping = 3,
}

#[derive(Clone)]
pub(crate) struct Phase {
    pub(crate) stand: Stand,
    pub(crate) epoch: u32,
    /// When this epoch began. All times are nanoseconds since the clock's zero.
    pub(crate) since: u64,
    pub(crate) outage: Lazily<Outage>,
}

/// What a breaker that has never opened has nothing of: the present outage, and what stays of the last one.
#[derive(Clone, Default)]
pub(crate) struct Outage {
    /// Why it opened last.
    pub(crate) last_trip: Option<Cause>,
    /// The deadline of the open time.
    pub(crate) open_until: u64,
    backoff: Backoff,
    pub(crate) stay: Stay,
    ramp: Ramp,
}

/// How the open time grows.
#[derive(Clone, Default)]
struct Backoff {
    /// The next attempt if the dependency has not been well for long enough.
    next: u32,
    /// How long the last open time was.
    last: u64,
}

/// A stay in half-open.
#[derive(Clone, Default)]
pub(crate) struct Stay {
    pub(crate) successes: u32,
    pub(crate) failures: u32,
    /// In order of their deadlines.
    pub(crate) probes: Vec<Probe>,
    next_id: u64,
}

#[derive(Clone, Copy)]
pub(crate) struct Probe {
    pub(crate) id: u64,
    pub(crate) deadline: u64,
}

#[derive(Clone, Default)]
struct Ramp {
    /// Zero: it does not ramp.
    length: u64,
    /// The shares of all calls so far, added up; the whole part is the number of admitted ones.
    share: u64,
}

/// One transition.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) from: Stand,
    pub(crate) to: Stand,
    pub(crate) epoch: u32,
    pub(crate) cause: Cause,
    pub(crate) at: u64,
}

/// What the phase needs of the settings.
pub(crate) struct Rules<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) seed: u64,
}

/// One call, in the fixed point of the ramp's share.
const ONE: u64 = 1 << 32;
/// The share that a ramp starts with: 5 %.
const FLOOR: u64 = ONE.div_ceil(20);
/// A rejection of a ramp tells to come back after this part of it.
const RAMP_SLICES: u64 = 20;

impl Phase {
    pub(crate) fn new() -> Self {
        Self { stand: Stand::Closed, epoch: 0, since: 0, outage: Lazily::default() }
    }

    /// Performs every transition that is due, in order, each dated when it was due.
    pub(crate) fn advance(&mut self, now: u64, rules: &Rules<'_>, steps: &mut Vec<Step>) {
        loop {
            let step = match self.stand {
                Stand::Closed => None,
                Stand::Open => (now >= self.outage.open_until).then(|| self.begin_probing()),
                Stand::Probing => self.expire(now, rules),
                Stand::Ramping => (now >= self.ramp_end()).then(|| self.end_ramp()),
            };
            match step {
                Some(step) => steps.push(step),
                None => return,
            }
        }
    }

    /// The phase as it would be if everything due had been delivered, and the transitions that lead there. Copied only if there is
    /// anything due.
    pub(crate) fn seen(&self, now: u64, rules: &Rules<'_>) -> (Cow<'_, Self>, Vec<Step>) {
        let (mut phase, mut steps) = (Cow::Borrowed(self), Vec::new());
        if now >= self.due() {
            phase.to_mut().advance(now, rules, &mut steps);
        }
        (phase, steps)
    }

    /// When time alone will change something next; `u64::MAX` for never.
    pub(crate) fn due(&self) -> u64 {
        match self.stand {
            Stand::Closed => u64::MAX,
            Stand::Open => self.outage.open_until,
            Stand::Probing => self.outage.stay.probes.first().map_or(u64::MAX, |probe| probe.deadline),
            Stand::Ramping => self.ramp_end(),
        }
    }

    /// `any -> Open`: a rule was reached, a probe failed, or somebody tripped it. Publishes the deadline and the cause.
    pub(crate) fn open(&mut self, at: u64, cause: Cause, asked: Option<Duration>, rules: &Rules<'_>) -> Step {
        let epoch = self.epoch.wrapping_add(1);
        let attempt = match self.stand {
            // Well for as long as it was shut: the outage is over, and the next one starts from the first value.
            Stand::Closed if at.saturating_sub(self.since) >= self.outage.backoff.last => 0,
            _ => self.outage.backoff.next,
        };
        let own = rules.settings.open_for.duration(attempt, rules.seed, epoch);
        let asked = asked.unwrap_or_default().min(rules.settings.retry_after_cap);
        let length = nanos(own.max(asked));
        self.outage.backoff = Backoff { next: attempt.saturating_add(1), last: length };
        self.outage.open_until = at.saturating_add(length);
        self.outage.last_trip = Some(cause);
        self.enter(Stand::Open, at, cause)
    }

    /// `Open -> HalfOpen (probing)`: the open time is over.
    fn begin_probing(&mut self) -> Step {
        self.outage.stay.successes = 0;
        self.outage.stay.failures = 0;
        self.enter(Stand::Probing, self.outage.open_until, Cause::OpenElapsed)
    }

    /// `HalfOpen (probing) -> Open`, perhaps: probes whose time is over count as failures, one after another, each at
    /// its deadline.
    fn expire(&mut self, now: u64, rules: &Rules<'_>) -> Option<Step> {
        while let Some(probe) = self.outage.stay.probes.first().copied().filter(|probe| probe.deadline <= now)
        {
            self.outage.stay.probes.remove(0);
            if let Some(step) = self.probe_failed(probe.deadline, ProbeFault::TimedOut, None, rules) {
                return Some(step);
            }
        }
        None
    }

    /// `HalfOpen (probing) -> Open`, perhaps: a probe failed.
    pub(crate) fn probe_failed(
        &mut self,
        at: u64,
        fault: ProbeFault,
        asked: Option<Duration>,
        rules: &Rules<'_>,
    ) -> Option<Step> {
        self.outage.stay.failures = self.outage.stay.failures.saturating_add(1);
        let (failures, limit) = (self.outage.stay.failures, rules.settings.half_open.reopen_after);
        let cause = match fault {
            ProbeFault::Failed => Cause::ProbeFailed { failures, limit },
            ProbeFault::Slow => Cause::ProbeSlow { failures, limit },
            ProbeFault::TimedOut => Cause::ProbeTimedOut { failures, limit },
        };
        (failures >= limit).then(|| self.open(at, cause, asked, rules))
    }

    /// `HalfOpen (probing) -> Closed`, or `-> HalfOpen (ramping)`, perhaps: a probe succeeded.
    pub(crate) fn probe_succeeded(&mut self, at: u64, rules: &Rules<'_>) -> Option<Step> {
        self.outage.stay.successes = self.outage.stay.successes.saturating_add(1);
        let successes = self.outage.stay.successes;
        if successes < rules.settings.half_open.close_after {
            return None;
        }
        let to = match rules.settings.ramp {
            Some(length) => {
                self.outage.ramp = Ramp { length: nanos(length), share: 0 };
                Stand::Ramping
            }
            None => Stand::Closed,
        };
        Some(self.enter(to, at, Cause::ProbesSucceeded { successes }))
    }

    /// `HalfOpen (ramping) -> Closed`: the ramp has let everything in.
    fn end_ramp(&mut self) -> Step {
        self.enter(Stand::Closed, self.ramp_end(), Cause::RampCompleted)
    }

    /// `any -> Closed`: reset by hand. Everything is forgotten but the epoch, which goes on.
    pub(crate) fn reset(&mut self, at: u64) -> Step {
        self.outage = Lazily::default();
        self.enter(Stand::Closed, at, Cause::Reset)
    }

    fn enter(&mut self, to: Stand, at: u64, cause: Cause) -> Step {
        let from = std::mem::replace(&mut self.stand, to);
        self.epoch = self.epoch.wrapping_add(1);
        self.since = at;
        if !self.outage.stay.probes.is_empty() {
            self.outage.stay.probes.clear();
        }
        Step { from, to, epoch: self.epoch, cause, at }
    }

    /// A probe slot, if one is free.
    pub(crate) fn take_slot(&mut self, now: u64, rules: &Rules<'_>) -> Option<u64> {
        if self.is_full(rules) {
            return None;
        }
        let deadline = now.saturating_add(nanos(rules.settings.half_open.probe_timeout));
        let id = self.outage.stay.next_id;
        self.outage.stay.next_id = id.wrapping_add(1);
        let place = self.outage.stay.probes.partition_point(|probe| probe.deadline <= deadline);
        self.outage.stay.probes.insert(place, Probe { id, deadline });
        Some(id)
    }

    /// Gives a slot back. False if the probe expired before, or belongs to another epoch.
    pub(crate) fn free_slot(&mut self, id: u64) -> bool {
        match self.outage.stay.probes.iter().position(|probe| probe.id == id) {
            Some(place) => {
                self.outage.stay.probes.remove(place);
                true
            }
            None => false,
        }
    }

    pub(crate) fn is_full(&self, rules: &Rules<'_>) -> bool {
        self.outage.stay.probes.len() >= rules.settings.half_open.max_in_flight as usize
    }

    /// Whether the ramp admits the next call: it does when the shares added up cross an integer.
    pub(crate) fn ramp_admits(&mut self, now: u64) -> bool {
        let elapsed = now.saturating_sub(self.since).min(self.outage.ramp.length);
        let growth =
            u128::from(ONE - FLOOR) * u128::from(elapsed) / u128::from(self.outage.ramp.length.max(1));
        let before = self.outage.ramp.share;
        // The whole part is of no use once it was crossed: kept small, it never overflows.
        self.outage.ramp.share = before % ONE + FLOOR + growth as u64;
        self.outage.ramp.share >= ONE
    }

    /// After how long a call that the ramp did not admit may be tried again.
    pub(crate) fn ramp_slice(&self) -> u64 {
        self.outage.ramp.length / RAMP_SLICES
    }

    fn ramp_end(&self) -> u64 {
        self.since.saturating_add(self.outage.ramp.length)
    }
}

impl Blank for Outage {
    fn blank() -> &'static Self {
        static BLANK: Outage = Outage {
            last_trip: None,
            open_until: 0,
            backoff: Backoff { next: 0, last: 0 },
            stay: Stay { successes: 0, failures: 0, probes: Vec::new(), next_id: 0 },
            ramp: Ramp { length: 0, share: 0 },
        };
        &BLANK
    }
}

/// How a probe failed.
#[derive(Clone, Copy)]
pub(crate) enum ProbeFault {
    Failed,
    Slow,
    TimedOut,
}

impl Stand {
    pub(crate) fn state(self) -> State {
        match self {
            Self::Closed => State::Closed,
            Self::Open => State::Open,
            Self::Probing | Self::Ramping => State::HalfOpen,
        }
    }

    pub(crate) fn stage(self) -> Option<Stage> {
        match self {
            Self::Closed | Self::Open => None,
            Self::Probing => Some(Stage::Probing),
            Self::Ramping => Some(Stage::Ramping),
        }
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
