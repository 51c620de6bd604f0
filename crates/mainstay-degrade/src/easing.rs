use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Assessment, Cause, Level, What};

/// How that which was shed because of the traffic comes back after the level fell: little by little, so that what returns is
/// not what raises the level again.
///
/// It is part of an [`Assessment`], so that [`Assessment::pressure`] is a pure function of one and the time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Easing {
    /// The pressure at its beginning: 0 to 3.
    pub from: f64,
    /// When it began, in time since the clock's zero.
    pub since: Duration,
    /// How long it takes down to the level's own pressure. Nothing while new evidence of the traffic keeps it where it is.
    pub over: Option<Duration>,
}

impl Easing {
    /// How the assessment that follows `before` eases, which has this level and these causes.
    ///
    /// `relax_after` is how long each level is held, from minor to severe.
    pub(crate) fn after(
        before: &Assessment,
        level: Level,
        causes: &[Cause],
        now: Duration,
        relax_after: [Duration; 3],
    ) -> Option<Self> {
        // An operator's word is absolute.
        if causes.iter().any(|cause| cause.what == What::Pinned) {
            return None;
        }
        let held = before.causes.iter().filter(|cause| is_traffic(cause)).map(|cause| cause.level).max();
        let held = f64::from(held.unwrap_or_default().min(before.level).as_number());
        let from = before.easing.map_or(held, |_| held.max(before.pressure(now)));
        if from <= f64::from(level.as_number()) {
            return None;
        }
        let is_new = |cause: &Cause| match before.easing {
            None => false,
            Some(Self { since, over: Some(_), .. }) => cause.since > since,
            // It is what stopped the growth that is looked at again.
            Some(Self { since, over: None, .. }) => cause.since >= since,
        };
        let stops =
            causes.iter().any(|cause| is_traffic(cause) && cause.over_since.is_none() && is_new(cause));
        match before.easing {
            Some(easing) if before.level == level && easing.over.is_none() == stops => Some(easing),
            _ => {
                let index = (from.ceil() as usize).saturating_sub(1);
                let time = relax_after.get(index).copied().unwrap_or_default();
                Some(Self { from, since: now, over: (!stops).then_some(time) })
            }
        }
    }

    /// The pressure at a time, with `rest` being that of the level.
    fn pressure(&self, now: Duration, rest: f64) -> f64 {
        let Some(over) = self.over else { return self.from.max(rest) };
        let gone = now.saturating_sub(self.since);
        if gone >= over {
            return rest;
        }
        let part = gone.as_secs_f64() / over.as_secs_f64();
        (self.from + (rest - self.from) * part).max(rest)
    }
}

impl Assessment {
    /// How strongly requests are shed at a time of the manager's clock: 0 at none, 1 at minor, 2 at moderate, 3 at severe; and between
    /// them while what was shed because of the traffic comes back.
    pub fn pressure(&self, now: Duration) -> f64 {
        let rest = f64::from(self.level.as_number());
        self.easing.map_or(rest, |easing| easing.pressure(now, rest))
    }
}

fn is_traffic(cause: &Cause) -> bool {
    matches!(cause.what, What::ErrorRate | What::Latency)
}
