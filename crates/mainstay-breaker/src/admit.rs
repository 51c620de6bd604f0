//! Admission.

use std::time::Duration;

use crate::machine::{Inner, Machine};
use crate::permit::Held;
use crate::phase::{Phase, Stand};
use crate::tally;
use crate::ticket::Ticket;
use crate::word;
use crate::{Cause, Control, Permit, RejectReason, Rejected};

impl Machine {
    /// One load and one test while closed; see the module `word`. Otherwise it takes a closer look at the word
    /// ([`admit_slowly`](Self::admit_slowly)). The two are apart so that the fast way does not have to fit into the
    /// same piece of memory as a rejection.
    #[inline(always)]
    pub(crate) fn admit(&self) -> Result<Ticket, u64> {
        let word = self.word.load();
        if (word as u32) & !(word::PASSABLE as u32) == 0 { Ok(Ticket::normal(word)) } else { Err(word) }
    }

    pub(crate) fn ticket(&self) -> Result<Ticket, Rejected> {
        self.admit().or_else(|word| self.admit_slowly(word))
    }

    #[inline(never)]
    pub(crate) fn admit_slowly(&self, word: u64) -> Result<Ticket, Rejected> {
        self.look_closer(word)
    }

    /// The same, with the permit put together here: what is returned is not moved about any more.
    #[inline(never)]
    pub(crate) fn permit_slowly(&self, word: u64) -> Result<Permit<'_>, Rejected> {
        match self.look_closer(word) {
            Ok(ticket) => Ok(Permit(Held::new(self, ticket))),
            Err(rejected) => Err(rejected),
        }
    }

    #[inline(always)]
    fn look_closer(&self, word: u64) -> Result<Ticket, Rejected> {
        let reason = match (reason(word), word::control(word), word::stand(word)) {
            (Some(reason), ..) => reason,
            (None, Control::ForcedClosed, _) => {
                self.poll_if_due();
                return Ok(Ticket::bypass(word).timed(word, || self.identity.clock.now_nanos()));
            }
            (None, _, Stand::Closed) if word & word::CLAIMED == 0 => {
                return Ok(Ticket::normal(word).timed(word, || self.identity.clock.now_nanos()));
            }
            _ => return self.admit_under_lock(),
        };
        // Without the lock, as long as what is posted belongs to the word and nothing is due.
        if let Some((due, cause)) = self.posted(word) {
            // Forced while closed: nothing is ever due.
            let closed = word::stand(word) == Stand::Closed;
            let now = if closed { 0 } else { self.identity.clock.coarse_nanos() };
            if now < due {
                let wait = (reason != RejectReason::Forced).then(|| due - now);
                return self.turn_away(word, reason, wait, cause);
            }
        }
        self.admit_under_lock()
    }

    #[inline(never)]
    fn admit_under_lock(&self) -> Result<Ticket, Rejected> {
        self.with_due(|inner, now| {
            let word = self.word.load();
            match word::control(word) {
                Control::ForcedOpen => {
                    return self.turn_away(word, RejectReason::Forced, None, inner.phase.outage.last_trip);
                }
                Control::ForcedClosed => return Ok(Ticket::bypass(word).timed(word, || now)),
                Control::Automatic | Control::ObserveOnly => {}
            }
            let phase = &mut inner.phase;
            let (reason, wait) = match phase.stand {
                Stand::Closed => return Ok(Ticket::normal(word).timed(word, || now)),
                Stand::Open => (RejectReason::Open, phase.outage.open_until.saturating_sub(now)),
                Stand::Probing => match phase.take_slot(now, &inner.plan.phase_rules()) {
                    Some(slot) => {
                        self.slots_changed(inner);
                        return Ok(Ticket::probe(word, slot).timed(word, || now));
                    }
                    None => (RejectReason::ProbesBusy, phase.due().saturating_sub(now)),
                },
                Stand::Ramping => {
                    if phase.ramp_admits(now) {
                        return Ok(Ticket::normal(word).timed(word, || now));
                    }
                    (RejectReason::Ramping, phase.ramp_slice())
                }
            };
            self.turn_away(word, reason, Some(wait), inner.phase.outage.last_trip)
        })
    }

    /// Rejects, or lets through if the breaker only observes.
    #[inline(always)]
    fn turn_away(
        &self,
        word: u64,
        reason: RejectReason,
        wait: Option<u64>,
        cause: Option<Cause>,
    ) -> Result<Ticket, Rejected> {
        if word::control(word) == Control::ObserveOnly {
            self.count_would_reject();
            return Ok(Ticket::bypass(word).timed(word, || self.identity.clock.now_nanos()));
        }
        self.tally.bump(tally::REJECTED);
        Err(Rejected::new(self.identity.name, reason, wait.map(Duration::from_nanos), cause))
    }

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
    #[cfg(feature = "tower")]
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.with(|inner, now| {
            let phase = self.seen(inner, now).0;
            let patience = inner.plan.settings.half_open.probe_timeout;
            let probing = phase.stand == Stand::Probing;
            let admits = blocked(&phase, inner, word::control(self.word.load())).is_none();
            (probing && admits).then(|| Duration::from_nanos(phase.since).saturating_add(patience))
        })
    }

    /// While forced, the state goes on by time.
    fn poll_if_due(&self) {
        let closed = word::stand(self.word.load()) == Stand::Closed;
        if !closed && self.identity.clock.coarse_nanos() >= self.due() {
            self.poll();
        }
    }
}

/// Why the word alone says that a call is rejected, unless something is due.
fn reason(word: u64) -> Option<RejectReason> {
    match (word::control(word), word::stand(word)) {
        (Control::ForcedOpen, _) => Some(RejectReason::Forced),
        (Control::ForcedClosed, _) => None,
        (_, Stand::Open) => Some(RejectReason::Open),
        (_, Stand::Probing) if word & word::FULL != 0 => Some(RejectReason::ProbesBusy),
        _ => None,
    }
}

/// Why every call is rejected in a phase, if it is.
pub(crate) fn blocked(phase: &Phase, inner: &Inner, control: Control) -> Option<RejectReason> {
    match (control, phase.stand) {
        (Control::ForcedOpen, _) => Some(RejectReason::Forced),
        (Control::ForcedClosed | Control::ObserveOnly, _) => None,
        (Control::Automatic, Stand::Open) => Some(RejectReason::Open),
        (Control::Automatic, Stand::Probing) if phase.is_full(&inner.plan.phase_rules()) => {
            Some(RejectReason::ProbesBusy)
        }
        (Control::Automatic, _) => None,
    }
}
