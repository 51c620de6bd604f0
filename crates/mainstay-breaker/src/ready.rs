//! What a service asks before there is a call.

use std::time::Duration;

use crate::admit::{blocked, reason};
use crate::machine::Machine;
use crate::phase::Stand;
use crate::tally;
use crate::word;
use crate::{Control, RejectReason, Rejected};

impl Machine {
    /// The rejection of a call for which nothing was made ready: for the reason for which it was not, if that still
    /// holds.
    pub(crate) fn reject_unready(&self) -> Rejected {
        let word = self.word.load();
        let posted = self.posted(word).filter(|_| reason(word).is_some());
        let (reason, wait, cause) = match (reason(word), posted) {
            (Some(RejectReason::Forced), Some((_, cause))) => (RejectReason::Forced, None, cause),
            (Some(reason), Some((due, cause))) if self.identity.clock.coarse_nanos() < due => {
                (reason, Some(due.saturating_sub(self.identity.clock.coarse_nanos())), cause)
            }
            _ => self.with(|inner, now| {
                let phase = self.seen(inner, now).0;
                let (reason, wait) = match blocked(&phase, inner, word::control(self.word.load())) {
                    Some(RejectReason::Forced) => (RejectReason::Forced, None),
                    Some(reason) => (reason, Some(phase.due().saturating_sub(now))),
                    None => (RejectReason::NotReady, Some(0)),
                };
                (reason, wait, phase.outage.last_trip)
            }),
        };
        self.tally.bump(tally::REJECTED);
        Rejected::new(self.identity.name, reason, wait.map(Duration::from_nanos), cause)
    }

    /// Whether a call would be admitted now. Changes nothing. Otherwise until when it is not, as far as time alone can
    /// tell.
    #[inline]
    pub(crate) fn would_admit(&self) -> Result<(), Option<Duration>> {
        let word = self.word.load();
        if (word as u32) & !(word::PASSABLE as u32) == 0 {
            return Ok(());
        }
        self.would_admit_slowly(word)
    }

    #[inline(never)]
    fn would_admit_slowly(&self, word: u64) -> Result<(), Option<Duration>> {
        if word::control(word) == Control::Automatic
            && reason(word).is_some()
            && let Some((due, _)) = self.posted(word)
            && self.identity.clock.coarse_nanos() < due
        {
            return Err(Some(Duration::from_nanos(due)));
        }
        self.with(|inner, now| {
            let phase = self.seen(inner, now).0;
            match blocked(&phase, inner, word::control(self.word.load())) {
                Some(RejectReason::Forced) => Err(None),
                Some(_) => Err(Some(Duration::from_nanos(phase.due()))),
                None => Ok(()),
            }
        })
    }

    /// While probing with free slots: until when those who were woken for them may take their time.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.with(|inner, now| {
            let phase = self.seen(inner, now).0;
            let patience = inner.plan.settings.half_open.probe_timeout;
            let probing = phase.stand == Stand::Probing;
            let admits = blocked(&phase, inner, word::control(self.word.load())).is_none();
            (probing && admits).then(|| Duration::from_nanos(phase.since).saturating_add(patience))
        })
    }
}
