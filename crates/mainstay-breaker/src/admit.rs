//! Admission.

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
        if word::is_passable(word) && !std::thread::panicking() { Ok(Ticket::plain(word)) } else { Err(word) }
    }

    pub(crate) fn ticket(&self) -> Result<Ticket, Rejected> {
        self.admit().or_else(|word| self.admit_slowly(word))
    }

    #[inline(never)]
    pub(crate) fn admit_slowly(&self, word: u64) -> Result<Ticket, Rejected> {
        self.turn_away_at_once(word, Ok, Err)
    }

    /// The same, with the permit put together here: what is returned is not moved about any more.
    #[inline(never)]
    pub(crate) fn permit_slowly(&self, word: u64) -> Result<Permit<'_>, Rejected> {
        self.turn_away_at_once(word, |ticket| Ok(Permit(Held::new(self, ticket))), Err)
    }

    /// The usual rejection, written where the caller wants it.
    #[inline(always)]
    pub(crate) fn turn_away_at_once<R>(
        &self,
        word: u64,
        admitted: impl FnOnce(Ticket) -> R,
        rejected: impl FnOnce(Rejected) -> R,
    ) -> R {
        let closer = if !word::is_plainly_open(word) {
            self.look_closer(word)
        } else if let Some((wait, cells)) = self.told_at_once(word) {
            self.tally.bump(tally::REJECTED);
            return rejected(self.rejected_as_open(wait, Cause::unpack(cells)));
        } else {
            self.admit_under_lock()
        };
        match closer {
            Ok(ticket) => admitted(ticket),
            Err(turned_away) => rejected(turned_away),
        }
    }

    /// What a call of a breaker that is plainly open is told, how long to wait and why: without the lock, as long as what
    /// is posted belongs to the word and nothing is due.
    ///
    /// The clock is read first, so that what is posted need not be put away over a call. The word stood before and stands
    /// after, so the breaker was open then; an earlier time only makes the wait longer.
    #[inline(always)]
    pub(crate) fn told_at_once(&self, word: u64) -> Option<(u64, [u64; Cause::CELLS])> {
        let now = self.identity.clock.coarse_nanos();
        let (due, cells) = self.rare.get()?.posted();
        (is_well_before(now, due) && self.word.still(word)).then(|| (due - now, cells))
    }

    /// The rejection of a breaker that is plainly open.
    #[inline(always)]
    pub(crate) fn rejected_as_open(&self, wait: u64, cause: Option<Cause>) -> Rejected {
        Rejected::in_nanos(self.identity.name, RejectReason::Open, wait, cause)
    }

    #[inline(never)]
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
        if let Some((due, cells)) = self.posted(word) {
            // Forced while closed: nothing is ever due.
            let now = if word::stand(word) == Stand::Closed { Some(0) } else { self.well_before(due) };
            if let Some(now) = now {
                let wait = if reason == RejectReason::Forced { Rejected::UNKNOWN } else { due - now };
                return self.turn_away(word, reason, wait, Cause::unpack(cells));
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
                    let cause = inner.phase.outage.last_trip;
                    return self.turn_away(word, RejectReason::Forced, Rejected::UNKNOWN, cause);
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
                        if self.is_watched() {
                            inner.news.outbox.get_or_insert_default().sooner();
                        }
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
            self.turn_away(word, reason, wait, inner.phase.outage.last_trip)
        })
    }

    /// Rejects, or lets through if the breaker only observes.
    #[inline(always)]
    fn turn_away(
        &self,
        word: u64,
        reason: RejectReason,
        wait: u64,
        cause: Option<Cause>,
    ) -> Result<Ticket, Rejected> {
        if word::control(word) == Control::ObserveOnly {
            self.count_would_reject();
            return Ok(Ticket::bypass(word).timed(word, || self.identity.clock.now_nanos()));
        }
        self.tally.bump(tally::REJECTED);
        Err(Rejected::in_nanos(self.identity.name, reason, wait, cause))
    }

    /// The coarse time, if that is enough to tell that a deadline has not come: close to it the precise clock decides,
    /// under the lock, so that nobody who waits as long as he was told comes too early.
    #[inline]
    pub(crate) fn well_before(&self, due: u64) -> Option<u64> {
        let now = self.identity.clock.coarse_nanos();
        is_well_before(now, due).then_some(now)
    }

    /// While forced, the state goes on by time.
    fn poll_if_due(&self) {
        let closed = word::stand(self.word.load()) == Stand::Closed;
        if !closed && self.identity.clock.coarse_nanos() >= self.due() {
            self.poll();
        }
    }
}

/// Whether a deadline is certainly ahead, at a time of the coarse clock.
#[inline(always)]
fn is_well_before(now: u64, due: u64) -> bool {
    /// The longest tick that kernels are built with (100 Hz).
    const TICK: u64 = 10_000_000;
    now.saturating_add(TICK) < due
}

/// Why the word alone says that a call is rejected, unless something is due.
pub(crate) fn reason(word: u64) -> Option<RejectReason> {
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
