use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Assessment, Cause, Level, What};

/// How much is shed because of the traffic, where that is more than the level says: while the share of the level is not enough, and when
/// the traffic gets better and what was shed comes back, little by little, so that what returns is not what makes it worse again.
///
/// It is part of an [`Assessment`], so that [`Assessment::pressure`] is a pure function of one and the time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Easing {
    /// The pressure at its beginning: 0 to 3.
    pub from: f64,
    /// The pressure at its end: that of the level which the traffic still makes.
    #[serde(default)]
    pub to: f64,
    /// When it began, in time since the clock's zero.
    pub since: Duration,
    /// How long it takes. Nothing while new evidence of the traffic keeps it where it is.
    pub over: Option<Duration>,
}

/// Follows what the traffic says: more is shed while what is shed does not help, and it comes back little by little when the traffic
/// gets better.
///
/// What comes back stops at new evidence, gives three quarters of what it has regained back, and goes on when there was no evidence for as long
/// as the level is held.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Eases {
    easing: Option<Easing>,
    /// The pressure of the level that the traffic makes.
    made: f64,
    /// The pressure from which it comes back.
    top: f64,
    /// When it began to come back.
    began: Duration,
    /// When there was evidence last.
    evidence: Duration,
    /// When more was shed than before.
    rose: Duration,
}

/// What is shed helps after this time, if it does.
const HELPS_AFTER: Duration = Duration::from_secs(2);
/// How much more is shed if what is shed did not help: as much as a level.
const STEP: f64 = 1.0;
/// All that there is.
const MOST: f64 = 3.0;
/// How much of what has come back is given back at new evidence. Less leaves the service just at what it can do; more is shed for nothing.
const GIVEN_BACK: f64 = 0.75;

impl Eases {
    /// What follows of these causes, and of the level that the traffic of the last moments reaches by itself. `relax_after` is how
    /// long each level is held, from minor to severe.
    pub(crate) fn follow(
        &mut self,
        causes: &[Cause],
        bad_now: Level,
        now: Duration,
        relax_after: [Duration; 3],
    ) -> Option<Easing> {
        let traffic = || causes.iter().filter(|cause| is_traffic(cause));
        let shed = self.easing.map_or(self.made, |easing| easing.pressure(now));
        let before = self.made;
        self.made = number(traffic().map(|cause| cause.level).max().unwrap_or_default());
        // An operator's word is absolute.
        if causes.iter().any(|cause| cause.what == What::Pinned) {
            self.easing = None;
            return None;
        }
        let pressure = shed.max(self.made);
        if pressure > shed {
            self.rose = now;
        }
        let is_growing = self.easing.is_some_and(|easing| easing.over.is_some());
        let more = self.more(pressure, bad_now, now);
        if more > pressure && !is_growing {
            if self.easing.is_none() {
                self.began = now;
            }
            (self.top, self.evidence, self.rose) = (more, now, now);
            return self.stop_at(more, now);
        }
        if pressure <= self.made {
            self.easing = None;
            return None;
        }
        if self.easing.is_none() {
            (self.top, self.began) = (pressure, now);
        }
        let is_new = |cause: &&Cause| cause.since > self.began;
        let stands =
            bad_now > Level::None || traffic().filter(is_new).any(|cause| cause.over_since.is_none());
        let last = traffic().filter(is_new).filter_map(|cause| cause.over_since).max();
        self.evidence = if stands { now } else { self.evidence.max(last.unwrap_or_default()) };
        let is_stopped = self.easing.is_some_and(|easing| easing.over.is_none());
        if stands {
            let goes_on_badly = bad_now > Level::None && now >= self.rose.saturating_add(HELPS_AFTER);
            if !is_stopped || goes_on_badly {
                let from = pressure + (self.top - pressure) * GIVEN_BACK;
                if from > pressure {
                    self.rose = now;
                }
                return self.stop_at(from, now);
            }
            return self.easing;
        }
        let time = held(pressure, relax_after);
        let goes_on = match self.easing {
            None => true,
            Some(_) if is_stopped => now >= self.evidence.saturating_add(time),
            // With another end, it begins anew from where it is.
            Some(_) => before != self.made,
        };
        if goes_on {
            self.easing = Some(Easing { from: pressure, to: self.made, since: now, over: Some(time) });
        }
        self.easing
    }

    /// The level sheds its share. More is needed if the last moments are worse than the window, or still bad although what is shed had
    /// the time to help: else a level whose share is too small would go on for ever.
    fn more(&self, pressure: f64, bad_now: Level, now: Duration) -> f64 {
        if pressure == 0.0 {
            return 0.0;
        }
        let had_time = now >= self.rose.saturating_add(HELPS_AFTER);
        let step = if had_time && bad_now >= Level::Moderate { STEP } else { 0.0 };
        (pressure + step).min(MOST).max(number(bad_now))
    }

    fn stop_at(&mut self, from: f64, now: Duration) -> Option<Easing> {
        self.easing = Some(Easing { from, to: self.made, since: now, over: None });
        self.easing
    }

    /// When it changes by time: what was stopped goes on, or all is back.
    pub(crate) fn next_change(&self, relax_after: [Duration; 3]) -> Option<Duration> {
        let easing = self.easing?;
        Some(match easing.over {
            Some(over) => easing.since.saturating_add(over),
            None => self.evidence.saturating_add(held(easing.from, relax_after)),
        })
    }
}

impl Easing {
    fn pressure(&self, now: Duration) -> f64 {
        let Some(over) = self.over else { return self.from };
        let gone = now.saturating_sub(self.since);
        if gone >= over {
            return self.to;
        }
        let part = gone.as_secs_f64() / over.as_secs_f64();
        self.from + (self.to - self.from) * part
    }
}

impl Assessment {
    /// How strongly requests are shed at a time of the manager's clock: 0 at none, 1 at minor, 2 at moderate, 3 at severe; and between
    /// them while what was shed because of the traffic comes back.
    pub fn pressure(&self, now: Duration) -> f64 {
        let level = number(self.level);
        self.easing.map_or(level, |easing| easing.pressure(now).max(level))
    }
}

/// How long the level of a pressure is held.
fn held(pressure: f64, relax_after: [Duration; 3]) -> Duration {
    relax_after.get((pressure.ceil() as usize).saturating_sub(1)).copied().unwrap_or_default()
}

fn number(level: Level) -> f64 {
    f64::from(level.as_number())
}

fn is_traffic(cause: &Cause) -> bool {
    matches!(cause.what, What::ErrorRate | What::Latency)
}
