use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Assessment, Cause, Level, What, exact};

/// How much is shed because of the traffic, where that is more than the level says: while the share of the level is not enough, and when
/// the traffic gets better and what was shed comes back, little by little, so that what returns is not what makes it worse again.
///
/// It is part of an [`Assessment`], so that [`Assessment::pressure`] is a pure function of one and the time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Easing {
    /// The pressure at its beginning: 0 to 3. Anything else is refused when it is read.
    #[serde(deserialize_with = "pressure")]
    pub from: f64,
    /// The pressure at its end: that of the level which the traffic still makes, 0 to 3.
    #[serde(default, deserialize_with = "pressure")]
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
    /// Shedding more did not help, and is not tried again before.
    useless_until: Duration,
    /// While an operator pins the level: what would be shed without that, and what is.
    pinned: Option<(f64, f64)>,
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
        let traffic = causes.iter().filter(|cause| is_traffic(cause)).map(|cause| cause.level).max();
        let shed = self.easing.map_or(self.made, |easing| easing.pressure(now));
        let before = std::mem::replace(&mut self.made, number(traffic.unwrap_or_default()));
        self.easing = self.next(causes, bad_now, now, relax_after, shed, before);
        self.easing
    }

    fn next(
        &mut self,
        causes: &[Cause],
        bad_now: Level,
        now: Duration,
        relax_after: [Duration; 3],
        shed: f64,
        before: f64,
    ) -> Option<Easing> {
        // An operator's word is absolute, while it lasts.
        if let Some(pin) = causes.iter().find(|cause| cause.what == What::Pinned) {
            let without = self.pinned.map_or(shed, |(without, _)| without).max(self.made);
            self.pinned = Some((without, number(pin.level)));
            return None;
        }
        if let Some((without, pinned)) = self.pinned.take() {
            let from = without.min(pinned);
            (self.top, self.began, self.rose) = (from, now, now);
            return (from > self.made).then(|| self.grows(from, now, relax_after));
        }
        let pressure = shed.max(self.made);
        if pressure > shed {
            self.rose = now;
        }
        let is_growing = self.easing.is_some_and(|easing| easing.over.is_some());
        if !is_growing && let Some(other) = self.other_share(pressure, bad_now, now, relax_after) {
            if self.easing.is_none() {
                self.began = now;
            }
            (self.top, self.evidence, self.rose) = (other, now, now);
            return (other > self.made).then(|| self.stops(other, now));
        }
        if pressure <= self.made {
            return None;
        }
        if self.easing.is_none() {
            (self.top, self.began) = (pressure, now);
        }
        let is_new = |cause: &&Cause| is_traffic(cause) && cause.since >= self.began;
        let is_worse = number(bad_now) > self.made;
        let stands = is_worse || causes.iter().filter(is_new).any(|cause| cause.over_since.is_none());
        let last = causes.iter().filter(is_new).filter_map(|cause| cause.over_since).max();
        self.evidence = if stands { now } else { self.evidence.max(last.unwrap_or_default()) };
        match self.easing {
            Some(easing) if stands && easing.over.is_none() && !(is_worse && self.had_time(now)) => {
                Some(easing)
            }
            _ if stands => {
                let from = pressure + (self.top - pressure) * GIVEN_BACK;
                if from > pressure {
                    self.rose = now;
                }
                Some(self.stops(from, now))
            }
            Some(easing)
                if easing.over.is_none()
                    && now < self.evidence.saturating_add(held(pressure, relax_after)) =>
            {
                Some(easing)
            }
            Some(easing) if easing.over.is_some() && before == self.made => Some(easing),
            // With another end, it begins anew from where it is.
            _ => Some(self.grows(pressure, now, relax_after)),
        }
    }

    /// The level sheds its share. More is needed if the last moments are worse than the window, or still bad although what is shed had
    /// the time to help: else a level whose share is too small would go on for ever. If even all of it did not help, requests do not
    /// fail because there are too many, and no more is shed than the last moments ask for.
    fn other_share(
        &mut self,
        pressure: f64,
        bad_now: Level,
        now: Duration,
        relax_after: [Duration; 3],
    ) -> Option<f64> {
        if pressure == 0.0 || now < self.useless_until {
            return None;
        }
        let asked = number(bad_now).max(self.made);
        let is_still_bad = bad_now >= Level::Moderate && self.had_time(now);
        if is_still_bad && pressure >= MOST {
            self.useless_until = now.saturating_add(held(MOST, relax_after));
            return (asked < pressure).then_some(asked);
        }
        let more = if is_still_bad { (pressure + STEP).min(MOST) } else { pressure };
        Some(more.max(asked)).filter(|more| *more > pressure)
    }

    fn had_time(&self, now: Duration) -> bool {
        now >= self.rose.saturating_add(HELPS_AFTER)
    }

    fn stops(&self, from: f64, now: Duration) -> Easing {
        Easing { from: exact::round(from), to: self.made, since: now, over: None }
    }

    fn grows(&self, from: f64, now: Duration, relax_after: [Duration; 3]) -> Easing {
        Easing { from: exact::round(from), to: self.made, since: now, over: Some(held(from, relax_after)) }
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
        self.easing.map_or(level, |easing| easing.pressure(now).min(MOST).max(level))
    }
}

fn pressure<'a, D: Deserializer<'a>>(from: D) -> Result<f64, D::Error> {
    let pressure = f64::deserialize(from)?;
    if (0.0..=MOST).contains(&pressure) {
        return Ok(pressure);
    }
    Err(D::Error::custom(format_args!("a pressure is from 0 to {MOST}, and not {pressure}")))
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
