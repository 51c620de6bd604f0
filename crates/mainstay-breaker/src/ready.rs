//! What a service asks before there is a call.

use std::time::Duration;

use crate::admit::{blocked, reason};
use crate::gate::Next;
use crate::machine::Machine;
use crate::phase::Stand;
use crate::tally;
use crate::word;
use crate::{Cause, Control, RejectReason, Rejected};

impl Machine {
    /// The rejection of a call for which nothing was made ready: for the reason for which it was not, if that still
    /// holds.
    #[inline(never)]
    pub(crate) fn reject_unready(&self) -> Rejected {
        let word = self.word.load();
        let by_word = reason(word).filter(|_| word::control(word) != Control::ObserveOnly);
        self.tally.bump(tally::REJECTED);
        let name = self.identity.name;
        match (by_word, self.posted(word)) {
            (Some(RejectReason::Forced), Some((_, cells))) => {
                Rejected::in_nanos(name, RejectReason::Forced, Rejected::UNKNOWN, Cause::unpack(cells))
            }
            (Some(reason), Some((due, cells))) if let Some(now) = self.well_before(due) => {
                Rejected::in_nanos(name, reason, due - now, Cause::unpack(cells))
            }
            _ => self.refuse_under_lock(),
        }
    }

    #[cold]
    #[inline(never)]
    fn refuse_under_lock(&self) -> Rejected {
        self.with(|inner, now| {
            let phase = self.seen(inner, now).0;
            let (reason, wait) = match blocked(&phase, inner, word::control(self.word.load())) {
                Some(RejectReason::Forced) => (RejectReason::Forced, Rejected::UNKNOWN),
                Some(reason) => (reason, phase.due().saturating_sub(now)),
                None => (RejectReason::NotReady, 0),
            };
            Rejected::in_nanos(self.identity.name, reason, wait, phase.outage.last_trip)
        })
    }

    /// Whether a call would be admitted now. Changes nothing. Otherwise until when it is not, as far as time alone can
    /// tell.
    #[inline]
    pub(crate) fn would_admit(&self) -> Result<(), Option<Duration>> {
        let word = self.word.load();
        if word::is_passable(word) {
            return Ok(());
        }
        self.would_admit_slowly(word)
    }

    #[inline(never)]
    fn would_admit_slowly(&self, word: u64) -> Result<(), Option<Duration>> {
        if word::control(word) == Control::Automatic
            && reason(word).is_some()
            && let Some((due, _)) = self.posted(word)
            && self.well_before(due).is_some()
        {
            return Err(Some(Duration::from_nanos(due)));
        }
        if word::control(word) == Control::Automatic
            && word::stand(word) == Stand::Closed
            && word & word::CLAIMED == 0
        {
            return Ok(());
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

    /// What time alone changes next for services that wait.
    pub(crate) fn next(&self) -> Next {
        self.with(|inner, now| {
            let phase = self.seen(inner, now).0;
            let probe_timeout = inner.plan.settings.half_open.probe_timeout;
            match blocked(&phase, inner, word::control(self.word.load())) {
                Some(RejectReason::Forced) => Next::Never,
                Some(_) => Next::Due(Duration::from_nanos(phase.due())),
                None if phase.stand == Stand::Probing => {
                    Next::Offer(Duration::from_nanos(now).saturating_add(probe_timeout))
                }
                None => Next::Never,
            }
        })
    }

    /// How many probe slots are free now.
    pub(crate) fn free_slots(&self) -> usize {
        self.with(|inner, now| {
            let phase = self.seen(inner, now).0;
            let slots = inner.plan.settings.half_open.max_in_flight as usize;
            if phase.stand == Stand::Probing {
                slots.saturating_sub(phase.outage.stay.probes.len())
            } else {
                0
            }
        })
    }

    pub(crate) fn is_probing(&self) -> bool {
        self.stand() == Stand::Probing
    }

    pub(crate) fn epoch(&self) -> u32 {
        word::epoch(self.word.load())
    }
}
