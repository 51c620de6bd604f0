//! Admission.

use std::time::Duration;

use mainstay_core::sync::Ordering;

use crate::machine::{Inner, Machine};
use crate::phase::Stand;
use crate::tally;
use crate::ticket::Ticket;
use crate::word;
use crate::{Cause, Control, RejectReason, Rejected};

impl Machine {
    /// One load and one test while closed; see the module `word`.
    #[inline]
    pub(crate) fn admit(&self) -> Result<Ticket, Rejected> {
        let word = self.word.load();
        if (word as u32) & !(word::PASSABLE as u32) == 0 {
            return Ok(Ticket::normal(word));
        }
        self.admit_slowly(word)
    }

    #[inline(never)]
    fn admit_slowly(&self, word: u64) -> Result<Ticket, Rejected> {
        let reason = match (word::control(word), word::stand(word)) {
            (Control::ForcedOpen, _) => RejectReason::Forced,
            (Control::ForcedClosed, _) => {
                self.poll_if_due();
                return Ok(Ticket::bypass(word).timed(word, || self.clock.now_nanos()));
            }
            (_, Stand::Closed) if word & word::CLAIMED == 0 => {
                return Ok(Ticket::normal(word).timed(word, || self.clock.now_nanos()));
            }
            (_, Stand::Open) => RejectReason::Open,
            (_, Stand::Probing) if word & word::FULL != 0 => RejectReason::ProbesBusy,
            _ => return self.admit_under_lock(),
        };
        // Without the lock, as long as what is posted belongs to the word and nothing is due.
        if let Some((due, cause)) = self.posted(word) {
            let now = if due == u64::MAX { 0 } else { self.clock.coarse_nanos() };
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
                    return self.turn_away(word, RejectReason::Forced, None, inner.phase.last_trip);
                }
                Control::ForcedClosed => return Ok(Ticket::bypass(word).timed(word, || now)),
                Control::Automatic | Control::ObserveOnly => {}
            }
            let phase = &mut inner.phase;
            let (reason, wait) = match phase.stand {
                Stand::Closed => return Ok(Ticket::normal(word).timed(word, || now)),
                Stand::Open => (RejectReason::Open, phase.open_until.saturating_sub(now)),
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
            self.turn_away(word, reason, Some(wait), inner.phase.last_trip)
        })
    }

    /// Rejects, or lets through if the breaker only observes.
    fn turn_away(
        &self,
        word: u64,
        reason: RejectReason,
        wait: Option<u64>,
        cause: Option<Cause>,
    ) -> Result<Ticket, Rejected> {
        if word::control(word) == Control::ObserveOnly {
            self.would_reject.fetch_add(1, Ordering::Relaxed);
            return Ok(Ticket::bypass(word).timed(word, || self.clock.now_nanos()));
        }
        self.tally.bump(tally::REJECTED);
        Err(Rejected::new(self.name, reason, wait.map(Duration::from_nanos), cause))
    }

    /// A rejection that the breaker itself did not decide (a service called before it was ready).
    pub(crate) fn reject(&self, reason: RejectReason) -> Rejected {
        self.tally.bump(tally::REJECTED);
        let (wait, cause) = self.with(|inner, now| {
            let phase = self.seen(inner, now).0;
            let wait = (phase.stand == Stand::Open).then(|| phase.due().saturating_sub(now));
            (wait, phase.last_trip)
        });
        Rejected::new(self.name, reason, wait.map(Duration::from_nanos), cause)
    }

    /// Whether a call would be admitted now. Changes nothing. Otherwise until when it is not, as far as time alone can
    /// tell.
    pub(crate) fn would_admit(&self) -> Result<(), Option<Duration>> {
        let word = self.word.load();
        if (word as u32) & !(word::PASSABLE as u32) == 0 {
            return Ok(());
        }
        self.with(|inner, now| match word::control(self.word.load()) {
            Control::ForcedOpen => Err(None),
            Control::ForcedClosed | Control::ObserveOnly => Ok(()),
            Control::Automatic => self.would_take(inner, now),
        })
    }

    fn would_take(&self, inner: &Inner, now: u64) -> Result<(), Option<Duration>> {
        let phase = self.seen(inner, now).0;
        let busy = match phase.stand {
            Stand::Closed | Stand::Ramping => false,
            Stand::Open => true,
            Stand::Probing => phase.is_full(&inner.plan.phase_rules()),
        };
        if busy { Err(Some(Duration::from_nanos(phase.due()))) } else { Ok(()) }
    }

    /// While forced, the state goes on by time.
    fn poll_if_due(&self) {
        let due = self.due.load(Ordering::Relaxed);
        if due != u64::MAX && self.clock.coarse_nanos() >= due {
            self.poll();
        }
    }
}
