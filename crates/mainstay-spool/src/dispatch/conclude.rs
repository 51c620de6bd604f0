//! What came of a delivery.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Dispatch;
use crate::books::Death;
use crate::deliver::{Answer, Delivered, is_at_fault};
use crate::figures::add;
use crate::window::{Entry, Mark, Ready};
use crate::{DeathCause, Fate, Item, Outcome, Sink, log};

/// As much as is kept of an error.
const MOST_ERROR_BYTES: usize = 4_096;

impl<T, S> Dispatch<T, S>
where
    T: DeserializeOwned + Send + Sync + 'static,
    S: Sink<T>,
{
    pub(super) fn conclude(&mut self, ended: Result<Delivered<T>, tokio::task::JoinError>) {
        // The task itself has nothing in it that panics, and nobody aborts it.
        let Ok(Delivered { entries, answer, begun }) = ended else {
            return;
        };
        entries.iter().for_each(|entry| self.window.landed(entry));
        self.rejection.ended();
        match answer {
            Answer::Outcomes(outcomes, left) => self.conclude_each(entries, outcomes, left, begun),
            Answer::Panicked => self.conclude_failure(entries, begun, true),
            Answer::TimedOut => self.conclude_failure(entries, begun, false),
        }
    }

    fn conclude_each(
        &mut self,
        entries: Vec<Entry>,
        outcomes: Vec<Outcome>,
        left: Vec<Option<Item<T>>>,
        begun: Duration,
    ) {
        let (mut outcomes, mut left) = (outcomes.into_iter(), left.into_iter());
        let (mut unavailable, mut pause, mut works) = (Vec::new(), None, false);
        for mut entry in entries {
            entry.mark.alone = false;
            let outcome = outcomes.next().unwrap_or_else(|| Outcome::retry("the sink gave no outcome"));
            let item = left.next().flatten();
            works |= !matches!(outcome, Outcome::Unavailable { .. });
            match outcome {
                Outcome::Done => {
                    self.shared.tickets.resolve(entry.place, || Fate::Delivered);
                    self.unsettled.delivered.push(entry.place);
                    self.settling.insert(entry.place, entry);
                }
                Outcome::Poison { error } => {
                    entry.tries = entry.tries.saturating_add(1);
                    add(&self.shared.figures.failed_tries, 1);
                    self.give_up(entry, DeathCause::Poison, error);
                }
                Outcome::Retry { after, error } => self.failed(entry, after, error),
                Outcome::Unavailable { after, .. } => {
                    pause = pause.max(after);
                    unavailable.push((entry, item));
                }
            }
        }
        if works {
            // What was thought of the sink before is over.
            self.outage.ends(self.now());
        }
        if !unavailable.is_empty() {
            self.leave_alone(begun, pause);
        }
        let now = self.now();
        for (entry, item) in unavailable {
            match item {
                // Where it was, in front of what is newer.
                Some(item) => self.window.add(Ready { item, entry, since: now }),
                None => self.window.wait(now, entry),
            }
        }
    }

    /// A delivery that ended without an answer.
    fn conclude_failure(&mut self, entries: Vec<Entry>, begun: Duration, panicked: bool) {
        let delivered = self.shared.figures.delivered.load(Ordering::Relaxed);
        let alone = entries.len() == 1;
        let mut is_known = false;
        for mut entry in entries {
            let counts = alone && (panicked || is_at_fault(&entry, &self.shared));
            let hung_at = (!panicked).then_some(delivered);
            entry.mark = Mark { failed: alone, alone: true, hung_at };
            is_known |= counts;
            if counts {
                let error = if panicked { "the sink panicked" } else { "the sink did not answer in time" };
                self.failed(entry, None, error.to_owned());
            } else {
                let now = self.now();
                self.window.wait(now, entry);
            }
        }
        // Unless it is known whose fault it was.
        if !is_known {
            self.leave_alone(begun, None);
        }
    }

    /// One try more that failed.
    fn failed(&mut self, mut entry: Entry, after: Option<Duration>, error: String) {
        entry.tries = entry.tries.saturating_add(1);
        add(&self.shared.figures.failed_tries, 1);
        if entry.tries >= self.settings.tries {
            return self.give_up(entry, DeathCause::TriesUsedUp, error);
        }
        entry.mark.failed = true;
        self.unsettled.tried.push((entry.place, entry.tries));
        let due = self.now().saturating_add(self.backoff(&entry).max(after.unwrap_or_default()));
        self.window.wait(due, entry);
    }

    fn backoff(&self, entry: &Entry) -> Duration {
        let tries = entry.tries.saturating_sub(1);
        self.settings.backoff.duration(tries, entry.place.cast_unsigned(), tries)
    }

    pub(super) fn give_up(&mut self, entry: Entry, cause: DeathCause, mut error: String) {
        // It is stored, and listed.
        error.truncate(error.floor_char_boundary(MOST_ERROR_BYTES));
        let death = Death { place: entry.place, tries: entry.tries, cause, error };
        self.unsettled.dead.push(death);
        self.settling.insert(entry.place, entry);
    }

    /// The sink cannot take anything now, says a delivery that began at that time.
    fn leave_alone(&mut self, begun: Duration, after: Option<Duration>) {
        let pause = self.outage.goes_on(begun, self.now(), &self.settings.backoff, after);
        add(&self.shared.figures.failed_deliveries, 1);
        log::unavailable(&self.shared.name, pause);
    }
}
