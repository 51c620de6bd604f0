use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Assessment, Cause, What};

/// How that which was shed because of the traffic comes back after the traffic got better: little by little, so that what
/// returns is not what makes it worse again.
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

/// Follows what the traffic says, and eases when it says less.
///
/// What comes back stops at new evidence, gives half of what it has regained back, and goes on when there was no evidence for as long as the
/// level is held.
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
    /// When it gave something back last.
    gave_back: Option<Duration>,
}

/// What has been given back helps after this time, if it does.
const HELPS_AFTER: Duration = Duration::from_secs(2);

impl Eases {
    /// What follows of these causes, and of whether the traffic of the last moments alone reaches a threshold. `relax_after` is how
    /// long each level is held, from minor to severe.
    pub(crate) fn follow(
        &mut self,
        causes: &[Cause],
        evidence_now: bool,
        now: Duration,
        relax_after: [Duration; 3],
    ) -> Option<Easing> {
        let traffic = || causes.iter().filter(|cause| is_traffic(cause));
        let pressure = self.easing.map_or(self.made, |easing| easing.pressure(now));
        let before = self.made;
        self.made = f64::from(traffic().map(|cause| cause.level).max().unwrap_or_default().as_number());
        // An operator's word is absolute.
        if causes.iter().any(|cause| cause.what == What::Pinned) || pressure <= self.made {
            self.easing = None;
            return None;
        }
        let time = relax_after.get((pressure.ceil() as usize).saturating_sub(1)).copied().unwrap_or_default();
        if self.easing.is_none() {
            (self.top, self.began, self.gave_back) = (pressure, now, None);
        }
        let is_new = |cause: &&Cause| cause.since > self.began;
        let stands = evidence_now || traffic().filter(is_new).any(|cause| cause.over_since.is_none());
        let last = traffic().filter(is_new).filter_map(|cause| cause.over_since).max();
        self.evidence = if stands { now } else { self.evidence.max(last.unwrap_or_default()) };
        if stands {
            let was_growing = self.easing.is_none_or(|easing| easing.over.is_some());
            let helped = self.gave_back.is_none_or(|at| now >= at.saturating_add(HELPS_AFTER));
            let from = if was_growing || (evidence_now && helped) {
                self.gave_back = Some(now);
                f64::midpoint(pressure, self.top)
            } else {
                pressure
            };
            if was_growing || from != pressure {
                self.easing = Some(Easing { from, to: self.made, since: now, over: None });
            }
        } else {
            let goes_on = match self.easing {
                // With another end, it begins anew from where it is.
                Some(Easing { over: Some(_), .. }) => before != self.made,
                Some(Easing { over: None, .. }) => now >= self.evidence.saturating_add(time),
                None => true,
            };
            if goes_on {
                self.easing = Some(Easing { from: pressure, to: self.made, since: now, over: Some(time) });
            }
        }
        self.easing
    }

    /// When it changes by time: what was stopped goes on, or all is back.
    pub(crate) fn next_change(&self, relax_after: [Duration; 3]) -> Option<Duration> {
        let easing = self.easing?;
        Some(match easing.over {
            Some(over) => easing.since.saturating_add(over),
            None => {
                let index = (easing.from.ceil() as usize).saturating_sub(1);
                self.evidence.saturating_add(relax_after.get(index).copied().unwrap_or_default())
            }
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
        let level = f64::from(self.level.as_number());
        self.easing.map_or(level, |easing| easing.pressure(now).max(level))
    }
}

fn is_traffic(cause: &Cause) -> bool {
    matches!(cause.what, What::ErrorRate | What::Latency)
}
