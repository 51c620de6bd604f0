//! Recording: what a verdict does.

use std::time::Duration;

use mainstay_core::panics::contain;
use mainstay_core::{Classified, Verdict};

use crate::books::{At, Entry};
use crate::machine::{Inner, Machine};
use crate::pace::Counted;
use crate::phase::{ProbeFault, Stand};
use crate::tally;
use crate::ticket::Ticket;
use crate::word;
use crate::{Cause, Control};

/// A verdict with its duration.
#[derive(Clone, Copy)]
struct Outcome {
    verdict: Verdict,
    asked_to_wait: Option<Duration>,
    took: u64,
    /// Slow for any rule.
    slow: bool,
}

impl Outcome {
    fn new(classified: Classified, took: u64, slow: bool) -> Self {
        let verdict = classified.verdict();
        // Only a failure can ask for time.
        let asked_to_wait = classified.asked_to_wait().filter(|_| verdict == Verdict::Failure);
        Self { verdict, asked_to_wait, took, slow }
    }
}

impl Machine {
    #[inline(always)]
    pub(crate) fn record(&self, ticket: Ticket, classified: Classified) {
        self.record_by(ticket, classified, Self::count_flagged, Self::record_parts);
    }

    /// The same for a call that is a future. Nothing unwinds from it, so that nobody needs a clean-up around it, for which every
    /// future would have to lie in memory.
    #[inline(always)]
    pub(crate) fn record_quietly(&self, ticket: Ticket, classified: Classified) {
        let count_flagged = |machine: &Self, word| count_flagged_quietly(machine, word);
        let record_parts = |machine: &Self, word, probe, time, verdict, asked| {
            record_parts_quietly(machine, word, probe, time, verdict, asked);
        };
        self.record_by(ticket, classified, count_flagged, record_parts);
    }

    /// One load, two comparisons and one bump for a success while closed and healthy; see the module `word`. Else by what is
    /// given.
    #[inline(always)]
    fn record_by(
        &self,
        ticket: Ticket,
        classified: Classified,
        count_flagged: impl FnOnce(&Self, u64) -> bool,
        record_parts: impl FnOnce(&Self, u64, u64, u64, Verdict, Option<Duration>),
    ) {
        if classified.verdict() == Verdict::Success {
            let word = self.word.load();
            // A word with flags is no row's tag.
            if word == ticket.word && (self.tally.count(word) || count_flagged(self, word)) {
                return;
            }
        }
        let (word, probe, time) = ticket.into_parts();
        record_parts(self, word, probe, time, classified.verdict(), classified.asked_to_wait());
    }

    /// The same for one look at the coarse clock where a rule has a window of time, and where the breaker has a time-out.
    #[inline(never)]
    fn count_flagged(&self, word: u64) -> bool {
        match word & word::FLAGS & !word::TIMEOUT {
            word::TIMED => self.tally.count_timed(word::epoch(word), self.identity.clock.coarse_nanos()),
            0 => self.tally.count(word::healthy(word)),
            _ => false,
        }
    }

    /// In pieces, which travel in registers: a ticket whose address is taken would be written to memory on the fast
    /// way too.
    #[inline(never)]
    fn record_parts(&self, word: u64, probe: u64, time: u64, verdict: Verdict, asked: Option<Duration>) {
        if self.tally.is_compact() {
            return self.record_compact(word, probe, time, verdict, asked);
        }
        self.record_rest(word, probe, time, verdict, asked);
    }

    /// A function of its own, so that the striped form does not have to make room for what it needs.
    #[inline(never)]
    fn record_compact(&self, word: u64, probe: u64, time: u64, verdict: Verdict, asked: Option<Duration>) {
        // A permit that says something about itself is not one like any other.
        let plain = verdict == Verdict::Success && word & word::TICKET == 0;
        if !(plain && self.count_compact(word::healthy(word))) {
            self.record_rest(word, probe, time, verdict, asked);
        }
    }

    #[inline]
    fn record_rest(&self, word: u64, probe: u64, time: u64, verdict: Verdict, asked: Option<Duration>) {
        let classified = Classified::from(verdict);
        let classified = asked.map_or(classified, |asked| classified.retry_after(asked));
        self.record_slowly(Ticket::from_parts(word, probe, time), classified);
    }

    fn record_slowly(&self, ticket: Ticket, classified: Classified) {
        let verdict = classified.verdict();
        if verdict == Verdict::Ignore {
            self.tally.bump(tally::IGNORED);
            self.note_use();
            if ticket.is_probe() {
                self.with_due(|inner, _| self.give_back(inner, ticket));
            }
            return;
        }
        let took = ticket.took(&self.identity.clock);
        let slow = self.is_slow(took);
        if slow {
            self.count_slow();
        }
        let outcome = Outcome::new(classified, took, slow);
        if ticket.is_bypass() {
            return self.count_unjudged(verdict);
        }
        let (word, epoch) = (self.word.load(), ticket.epoch());
        if word::epoch(word) != epoch {
            // Late: it decides nothing.
            return self.count_unjudged(verdict);
        }
        // Ending a run of failures and being counted are one step, under the lock.
        let ends_run = word & word::RUN != 0;
        let closed = word::stand(word) == Stand::Closed && !is_forced(word);
        if verdict == Verdict::Success && !slow && closed && !ends_run {
            let counted = if word & word::TIMED != 0 {
                self.tally.count_timed(epoch, self.identity.clock.coarse_nanos())
            } else {
                self.tally.count(word::healthy(word))
            };
            if counted {
                return;
            }
        }
        self.with_due(|inner, now| self.record_under_lock(inner, now, ticket, outcome));
    }

    fn record_under_lock(&self, inner: &mut Inner, now: u64, ticket: Ticket, outcome: Outcome) {
        self.used.note(now);
        let held = ticket.is_probe() && self.give_back(inner, ticket);
        let late = ticket.epoch() != inner.phase.epoch || ticket.is_probe() && !held;
        if late || is_forced(self.word.load()) {
            return self.count_unjudged(outcome.verdict);
        }
        if ticket.is_probe() {
            self.count_unjudged(outcome.verdict);
            return self.judge_probe(inner, now, outcome);
        }
        match outcome.verdict {
            Verdict::Success => self.success(inner, now, outcome),
            Verdict::Failure => self.failure(inner, now, outcome),
            Verdict::Ignore => {}
        }
    }

    /// A success of the current epoch that could not be counted without the lock.
    fn success(&self, inner: &mut Inner, now: u64, outcome: Outcome) {
        self.word.update(|word| word & !word::RUN);
        if outcome.slow {
            return self.judge(inner, now, outcome);
        }
        let epoch = inner.phase.epoch;
        // `coarse` may lag behind the slice that `now` is in: a row rolled to `now` counts there.
        if self.tally.roll(epoch, now, inner.books.lane_keys()) && self.tally.count_timed(epoch, now) {
            return;
        }
        inner.books.count_call(now, &inner.plan);
    }

    /// A success of a compact breaker, by the coarse clock that rows are counted by. False if there is more to do than
    /// to count it.
    #[inline]
    fn count_compact(&self, healthy: u64) -> bool {
        match self.pace.count(healthy, || self.identity.clock.coarse_nanos()) {
            (Counted::Yes, now) => {
                self.used.note(now);
                true
            }
            (Counted::Over, _) => self.count_in_next_slice(healthy),
            (Counted::Shut, _) => false,
        }
    }

    #[inline(never)]
    fn count_in_next_slice(&self, healthy: u64) -> bool {
        self.with_coarse(|inner, now| {
            let word = self.word.load();
            let plain = word::is_plain_compact(word) && word::healthy(word) == healthy;
            if plain {
                self.used.note(now);
                inner.books.count_call(now, &inner.plan);
            }
            plain
        })
    }

    fn failure(&self, inner: &mut Inner, now: u64, outcome: Outcome) {
        self.tally.bump(tally::FAILURE);
        let before = self.word.update(|word| word | word::RUN);
        inner.books.count_run(before & word::RUN != 0, now, &inner.plan);
        self.judge(inner, now, outcome);
    }

    /// `Closed -> Open`, perhaps: a rule that the verdict concerns has reached its threshold.
    fn judge(&self, inner: &mut Inner, now: u64, outcome: Outcome) {
        let at = At { tally: &self.tally, epoch: inner.phase.epoch, now };
        let entry = Entry { failure: outcome.verdict == Verdict::Failure, took: outcome.took };
        if let Some(cause) = inner.books.enter(entry, &inner.plan, at) {
            self.open(inner, now, cause, outcome.asked_to_wait);
        }
    }

    fn open(&self, inner: &mut Inner, now: u64, cause: Cause, asked: Option<Duration>) {
        let step = inner.phase.open(now, cause, asked, &inner.plan.phase_rules());
        self.enter(inner, &[step]);
    }

    /// What a probe's verdict does to the stay. Its slot is free already.
    fn judge_probe(&self, inner: &mut Inner, now: u64, outcome: Outcome) {
        let rules = inner.plan.phase_rules();
        let step = match outcome.verdict {
            Verdict::Success if outcome.slow => inner.phase.probe_failed(now, ProbeFault::Slow, None, &rules),
            Verdict::Success => inner.phase.probe_succeeded(now, &rules),
            Verdict::Failure => {
                inner.phase.probe_failed(now, ProbeFault::Failed, outcome.asked_to_wait, &rules)
            }
            Verdict::Ignore => None,
        };
        if let Some(step) = step {
            self.enter(inner, &[step]);
        }
    }

    /// The head of the answer is in: a probe's slot is free and its verdict counts for the stay; the duration stands.
    pub(crate) fn answered(&self, mut ticket: Ticket, classified: Classified) -> Ticket {
        if !ticket.answer(&self.identity.clock) || !ticket.is_probe() {
            return ticket;
        }
        let took = ticket.took(&self.identity.clock);
        let slow = self.is_slow(took);
        let outcome = Outcome::new(classified, took, slow);
        self.with_due(|inner, now| {
            if self.give_back(inner, ticket) && !is_forced(self.word.load()) {
                self.judge_probe(inner, now, outcome);
            }
        });
        ticket.disarm();
        ticket
    }

    /// A permit was dropped without a verdict.
    #[inline]
    pub(crate) fn abandon(&self, ticket: Ticket) {
        let (word, probe, time) = ticket.into_parts();
        self.abandon_parts(word, probe, time);
    }

    #[inline(never)]
    fn abandon_parts(&self, word: u64, probe: u64, time: u64) {
        let ticket = Ticket::from_parts(word, probe, time);
        if ticket.panicked() {
            return self.record_slowly(ticket, Classified::failure());
        }
        let as_failure = self.with_due(|inner, now| {
            self.used.note(now);
            let as_failure = inner.plan.settings.count_dropped_as_failure;
            self.tally.bump(tally::CANCELLED);
            if as_failure {
                inner.news.dropped_failures += 1;
            } else {
                // A call whose head was answered did say something.
                if !ticket.is_answered() {
                    self.count_drop(inner);
                }
                if ticket.is_probe() {
                    self.give_back(inner, ticket);
                }
            }
            as_failure
        });
        if as_failure {
            self.record_slowly(ticket, Classified::failure());
        }
    }

    /// Gives a probe's slot back. False if it expired before, or belongs to another epoch.
    fn give_back(&self, inner: &mut Inner, ticket: Ticket) -> bool {
        let held = ticket.epoch() == inner.phase.epoch && inner.phase.free_slot(ticket.probe);
        if held {
            self.slots_changed(inner);
            if self.is_awaited() {
                inner.news.outbox.get_or_insert_default().slot_free();
            }
        }
        held
    }

    /// Notes a use where nobody has looked at the clock, for those who want to know.
    fn note_use(&self) {
        if self.tally.is_compact() {
            self.used.note(self.identity.clock.coarse_nanos());
        }
    }

    /// Counts a verdict in the totals only.
    fn count_unjudged(&self, verdict: Verdict) {
        self.note_use();
        match verdict {
            Verdict::Success => self.tally.bump_unjudged(),
            Verdict::Failure => self.tally.bump(tally::FAILURE),
            Verdict::Ignore => self.tally.bump(tally::IGNORED),
        }
    }
}

/// Verdicts count in the totals only while the breaker is forced.
fn is_forced(word: u64) -> bool {
    matches!(word::control(word), Control::ForcedOpen | Control::ForcedClosed)
}

#[allow(improper_ctypes_definitions, reason = "the ABI is only there to say that nothing unwinds")]
#[inline(never)]
extern "C" fn count_flagged_quietly(machine: &Machine, word: u64) -> bool {
    let mut counted = false;
    contain(|| counted = machine.count_flagged(word));
    counted
}

#[allow(improper_ctypes_definitions, reason = "the ABI is only there to say that nothing unwinds")]
#[inline(never)]
extern "C" fn record_parts_quietly(
    machine: &Machine,
    word: u64,
    probe: u64,
    time: u64,
    verdict: Verdict,
    asked: Option<Duration>,
) {
    contain(|| machine.record_parts(word, probe, time, verdict, asked));
}
