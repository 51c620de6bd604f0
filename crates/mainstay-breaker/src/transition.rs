use std::fmt;
use std::time::{Duration, SystemTime};

use mainstay_core::Name;

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum State {
    /// Calls go through and are judged.
    Closed,
    /// Calls are rejected.
    Open,
    /// Some calls go through, to see whether the dependency is back. See [`Stage`].
    HalfOpen,
}

/// What to expect of a call. See [`Breaker::outlook`](crate::Breaker::outlook).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outlook {
    /// It goes through, or, while the breaker ramps up, it may.
    Up,
    /// It may go through, as a probe: nobody knows whether the dependency is back.
    InDoubt,
    /// It is rejected.
    Down,
}

/// The two stages of [`State::HalfOpen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Stage {
    /// A bounded number of probes at once.
    Probing,
    /// A growing share of all calls.
    Ramping,
}

/// The operator's hand: an axis of its own, beside the [`State`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Control {
    /// The state decides.
    #[default]
    Automatic,
    /// Every call is rejected, until changed by hand. Verdicts are counted in the totals and decide nothing.
    ForcedOpen,
    /// Every call is admitted, until changed by hand. Verdicts are counted in the totals and decide nothing.
    ForcedClosed,
    /// The whole machine runs, but what it would reject is admitted (and counted in `would_reject`).
    ObserveOnly,
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Cause {
    /// So many failures in a row.
    ConsecutiveFailures {
        /// Which rule, counted from 0.
        rule: u8,
        /// The failures in a row.
        failures: u32,
        /// The failures that trip.
        limit: u32,
    },
    /// The share of failures reached its threshold.
    FailureRate {
        /// Which rule, counted from 0.
        rule: u8,
        /// The failures in the window.
        failures: u64,
        /// The calls in the window.
        calls: u64,
        /// The share that trips.
        threshold: f64,
    },
    /// The share of slow calls reached its threshold.
    SlowRate {
        /// Which rule, counted from 0.
        rule: u8,
        /// The slow calls in the window.
        slow: u64,
        /// The calls in the window.
        calls: u64,
        /// The share that trips.
        threshold: f64,
        /// From which duration on a call is slow.
        #[cfg_attr(feature = "serde", serde(with = "mainstay_core::humane"))]
        slower_than: Duration,
    },
    /// So many failures in the window.
    Failures {
        /// Which rule, counted from 0.
        rule: u8,
        /// The failures in the window.
        failures: u64,
        /// The calls in the window.
        calls: u64,
        /// The failures that trip.
        limit: u32,
    },
    /// A probe failed.
    ProbeFailed {
        /// The failures of this stay.
        failures: u32,
        /// The failures that reopen.
        limit: u32,
    },
    /// A probe succeeded, but as slowly as a slow rule objects to.
    ProbeSlow {
        /// The failures of this stay.
        failures: u32,
        /// The failures that reopen.
        limit: u32,
    },
    /// A probe did not answer in time.
    ProbeTimedOut {
        /// The failures of this stay.
        failures: u32,
        /// The failures that reopen.
        limit: u32,
    },
    /// Somebody called `trip()`.
    Manual,
    /// Somebody called `reset()`.
    Reset,
    /// The open time is over.
    OpenElapsed,
    /// Enough probes succeeded.
    ProbesSucceeded {
        /// The successes of this stay.
        successes: u32,
    },
    /// The ramp has let everything in.
    RampCompleted,
}

/// A change of state, as subscribers get it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Transition {
    /// Whose.
    pub name: Name,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// The stage after, when that is half-open. Going from probing to ramping is a transition of its own.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub stage: Option<Stage>,
    /// The epoch that began.
    pub epoch: u32,
    /// Why.
    pub cause: Cause,
    /// When it was due, since the clock's zero.
    pub at: Duration,
    /// The wall time of `at`, for display.
    pub wall: SystemTime,
}

// === impl Cause ===

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |threshold: f64| threshold * 100.0;
        match *self {
            Self::ConsecutiveFailures { failures, limit, .. } => {
                write!(f, "{failures} failures in a row (limit {limit})")
            }
            Self::FailureRate { failures, calls, threshold, .. } => {
                write!(f, "{failures} of {calls} calls failed (limit {} %)", percent(threshold))
            }
            Self::SlowRate { slow, calls, threshold, slower_than, .. } => {
                write!(
                    f,
                    "{slow} of {calls} calls took {slower_than:?} or more (limit {} %)",
                    percent(threshold)
                )
            }
            Self::Failures { failures, calls, limit, .. } => {
                write!(f, "{failures} of {calls} calls failed (limit {limit} failures)")
            }
            Self::ProbeFailed { failures, limit } => write!(f, "a probe failed ({failures} of {limit})"),
            Self::ProbeSlow { failures, limit } => write!(f, "a probe was slow ({failures} of {limit})"),
            Self::ProbeTimedOut { failures, limit } => {
                write!(f, "a probe did not answer in time ({failures} of {limit})")
            }
            Self::Manual => f.write_str("tripped by hand"),
            Self::Reset => f.write_str("reset by hand"),
            Self::OpenElapsed => f.write_str("the open time is over"),
            Self::ProbesSucceeded { successes } => write!(f, "{successes} probes succeeded"),
            Self::RampCompleted => f.write_str("the ramp is complete"),
        }
    }
}

impl std::error::Error for Cause {}

/// A cause that opened the breaker, packed into the cells from which rejections read it without a lock.
impl Cause {
    pub(crate) const CELLS: usize = 5;

    pub(crate) fn pack(cause: Option<Self>) -> [u64; Self::CELLS] {
        let pair = |kind: u64, failures: u32, limit: u32| [kind, u64::from(failures), u64::from(limit), 0, 0];
        let tag = |kind: u64, rule: u8| kind | u64::from(rule) << 8;
        match cause {
            Some(Self::ConsecutiveFailures { rule, failures, limit }) => pair(tag(1, rule), failures, limit),
            Some(Self::FailureRate { rule, failures, calls, threshold }) => {
                [tag(2, rule), failures, calls, threshold.to_bits(), 0]
            }
            Some(Self::SlowRate { rule, slow, calls, threshold, slower_than }) => {
                let limit = u64::try_from(slower_than.as_nanos()).unwrap_or(u64::MAX);
                [tag(3, rule), slow, calls, threshold.to_bits(), limit]
            }
            Some(Self::Failures { rule, failures, calls, limit }) => {
                [tag(4, rule), failures, calls, u64::from(limit), 0]
            }
            Some(Self::ProbeFailed { failures, limit }) => pair(5, failures, limit),
            Some(Self::ProbeSlow { failures, limit }) => pair(6, failures, limit),
            Some(Self::ProbeTimedOut { failures, limit }) => pair(7, failures, limit),
            Some(Self::Manual) => [8, 0, 0, 0, 0],
            // The others never open a breaker.
            Some(Self::Reset | Self::OpenElapsed | Self::ProbesSucceeded { .. } | Self::RampCompleted)
            | None => [0; Self::CELLS],
        }
    }

    #[inline(always)]
    pub(crate) fn unpack(cells: [u64; Self::CELLS]) -> Option<Self> {
        Self::unpacked(cells, |cause| cause)
    }

    /// Straight to its place in memory: with the registers that each cause needs, and not those that all of them need together.
    #[cfg(feature = "tower")]
    #[inline(always)]
    pub(crate) fn unpack_to(cells: [u64; Self::CELLS], place: &mut Option<Self>) {
        Self::unpacked(cells, |cause| *place = cause);
    }

    #[inline(always)]
    fn unpacked<R>([tag, a, b, c, d]: [u64; Self::CELLS], put: impl FnOnce(Option<Self>) -> R) -> R {
        let rule = (tag >> 8) as u8;
        let (failures, limit) = (a as u32, b as u32);
        match tag & 0xff {
            1 => put(Some(Self::ConsecutiveFailures { rule, failures, limit })),
            2 => put(Some(Self::FailureRate { rule, failures: a, calls: b, threshold: f64::from_bits(c) })),
            3 => {
                let (threshold, slower_than) = (f64::from_bits(c), Duration::from_nanos(d));
                put(Some(Self::SlowRate { rule, slow: a, calls: b, threshold, slower_than }))
            }
            4 => put(Some(Self::Failures { rule, failures: a, calls: b, limit: c as u32 })),
            5 => put(Some(Self::ProbeFailed { failures, limit })),
            6 => put(Some(Self::ProbeSlow { failures, limit })),
            7 => put(Some(Self::ProbeTimedOut { failures, limit })),
            8 => put(Some(Self::Manual)),
            _ => put(None),
        }
    }
}
