//! The rule, without a place to count: three fixed windows, aligned to the clock of whoever counts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::auth::Tier;

/// How many requests each tier may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits(BTreeMap<Tier, Quota>);

/// How many requests in a minute, an hour and a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota(pub [u64; 3]);

/// What requests are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// 60 s.
    Minute,
    /// 60 min.
    Hour,
    /// 24 h.
    Day,
}

/// Whether a request may go on, as the tightest window has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The tightest window.
    pub window: Window,
    /// How many it lets through.
    pub limit: u64,
    /// How many it still will.
    pub remaining: u64,
    /// When it begins anew, in seconds since the Unix epoch.
    pub resets_at: u64,
    /// How long until all windows that refuse have begun anew.
    pub refused_for: Option<Duration>,
}

impl Window {
    /// From the shortest.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// How long it is.
    pub fn millis(self) -> u64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// In a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// When the one begins anew that has this moment, in milliseconds since the Unix epoch.
    pub fn end(self, now_ms: u64) -> u64 {
        (now_ms / self.millis()).saturating_add(1).saturating_mul(self.millis())
    }
}

impl Limits {
    /// A tier's.
    pub fn of(&self, tier: Tier) -> Quota {
        self.0.get(&tier).copied().unwrap_or(Quota([60, 1_000, 10_000]))
    }

    /// With other rows.
    #[must_use]
    pub fn with(mut self, rows: impl IntoIterator<Item = (Tier, Quota)>) -> Self {
        self.0.extend(rows);
        self
    }

    /// Reads `tier:minute:hour:day`.
    pub fn row(text: &str) -> Option<(Tier, Quota)> {
        let mut parts = text.split(':');
        let tier = Tier::parse(parts.next()?)?;
        let mut number = || parts.next()?.parse::<u64>().ok().filter(|number| *number > 0);
        let quota = Quota([number()?, number()?, number()?]);
        parts.next().is_none().then_some((tier, quota))
    }
}

impl Default for Limits {
    fn default() -> Self {
        let row = |tier, minute, hour| (tier, Quota([minute, hour, hour * 10]));
        Self(BTreeMap::from([
            row(Tier::Free, 60, 1_000),
            row(Tier::Pro, 200, 5_000),
            row(Tier::Max, 300, 10_000),
            row(Tier::Enterprise, 500, 20_000),
            row(Tier::Admin, 1_000, 100_000),
        ]))
    }
}

impl Admission {
    /// By what has been counted in each window: with this request if it is admitted, without it if not.
    pub fn of(quota: Quota, counted: [u64; 3], admitted: bool, now_ms: u64) -> Self {
        let rows = Window::ALL.into_iter().zip(quota.0).zip(counted);
        let mut tightest = (Window::Minute, 0, u64::MAX);
        let mut refused_until = None;
        for ((window, limit), counted) in rows {
            let remaining = limit.saturating_sub(counted);
            if remaining < tightest.2 || (remaining == 0 && !admitted) {
                tightest = (window, limit, remaining);
            }
            if !admitted && remaining == 0 {
                refused_until = Some(window.end(now_ms));
            }
        }
        let (window, limit, remaining) = tightest;
        let wait = |until: u64| Duration::from_millis(until.saturating_sub(now_ms));
        Self {
            window,
            limit,
            remaining,
            resets_at: window.end(now_ms) / 1000,
            refused_for: refused_until.map(wait),
        }
    }
}
