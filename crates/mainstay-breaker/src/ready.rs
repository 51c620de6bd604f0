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
    ///
    /// Written to where the caller says, because a caller's own return value would be the inside of a future, whose
    /// address nobody should take.
    #[inline(never)]
    pub(crate) fn reject_unready(&self, rejected: &mut Option<Rejected>) {
        self.tally.bump(tally::REJECTED);
        let word = self.word.load();
        if !word::is_plainly_open(word) {
            *rejected = Some(self.refuse_at_a_closer_look(word));
        } else if let Some((wait, cells)) = self.told_at_once(word) {
            Cause::unpack_to(cells, rejected.insert(self.rejected_as_open(wait, None)).cause_mut());
        } else {
            *rejected = Some(self.refuse_under_lock());
        }
    }

    #[cold]
    #[inline(never)]
    fn refuse_at_a_closer_look(&self, word: u64) -> Rejected {
        if word::control(word) == Control::ForcedOpen
            && let Some((_, cells)) = self.posted(word)
        {
            let (reason, wait) = (RejectReason::Forced, Rejected::UNKNOWN);
            return Rejected::in_nanos(self.identity.name, reason, wait, Cause::unpack(cells));
        }
        if word::control(word) == Control::Automatic
            && let Some(reason) = reason(word)
            && let Some((due, cells)) = self.posted(word)
            && let Some(now) = self.well_before(due)
        {
            return Rejected::in_nanos(self.identity.name, reason, due - now, Cause::unpack(cells));
        }
        self.refuse_under_lock()
    }

    #[cold]
    #[inline(never)]
    fn refuse_under_lock(&self) -> Rejected {
        self.with(|inner, now| {
            let phase = inner.phase.seen(now, &inner.plan.phase_rules()).0;
            let (reason, wait) = match blocked(&phase, inner, word::control(self.word.load())) {
                Some(RejectReason::Forced) => (RejectReason::Forced, Rejected::UNKNOWN),
                Some(reason) => (reason, phase.due().saturating_sub(now)),
                None => (RejectReason::NotReady, 0),
            };
            Rejected::in_nanos(self.identity.name, reason, wait, phase.outage.last_trip)
        })
    }

    /// Whether a call would be admitted now. Changes nothing.
    #[inline]
    pub(crate) fn would_admit(&self) -> bool {
        let word = self.word.load();
        word::is_passable(word) || self.would_admit_slowly(word)
    }

    #[inline(never)]
    fn would_admit_slowly(&self, word: u64) -> bool {
        if word::is_plainly_open(word) {
            return !self.is_certainly_ahead(word) && self.would_admit_under_lock();
        }
        self.would_admit_at_a_closer_look(word)
    }

    #[inline(never)]
    fn would_admit_at_a_closer_look(&self, word: u64) -> bool {
        let automatic = word::control(word) == Control::Automatic;
        if automatic && word::stand(word) == Stand::Closed && word & word::CLAIMED == 0 {
            return true;
        }
        let blocked = automatic && reason(word).is_some() && self.is_certainly_ahead(word);
        !blocked && self.would_admit_under_lock()
    }

    /// Whether the deadline that belongs to `word` is certainly ahead; as in `told_at_once`, without the cause.
    #[inline(always)]
    fn is_certainly_ahead(&self, word: u64) -> bool {
        self.posted_due(word).is_some_and(|due| self.well_before(due).is_some())
    }

    #[inline(never)]
    fn would_admit_under_lock(&self) -> bool {
        self.with(|inner, now| {
            let phase = inner.phase.seen(now, &inner.plan.phase_rules()).0;
            blocked(&phase, inner, word::control(self.word.load())).is_none()
        })
    }

    /// What time alone changes next for services that wait.
    pub(crate) fn next(&self) -> Next {
        self.with(|inner, now| {
            let phase = inner.phase.seen(now, &inner.plan.phase_rules()).0;
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
            let phase = inner.phase.seen(now, &inner.plan.phase_rules()).0;
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
