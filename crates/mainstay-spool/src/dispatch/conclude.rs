//! What came of a delivery.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Dispatch;
use crate::books::Death;
use crate::deliver::{Answer, Delivered};
use crate::figures::add;
use crate::window::{Entry, Mark};
use crate::{DeathCause, Fate, Outcome, Sink, log};

impl<T, S> Dispatch<T, S>
where
    T: DeserializeOwned + Send + Sync + 'static,
    S: Sink<T>,
{
    pub(super) fn conclude(&mut self, ended: Result<Delivered, tokio::task::JoinError>) {
        // The task itself has nothing in it that panics, and nobody aborts it.
        let Ok(Delivered { entries, answer }) = ended else {
            return;
        };
        match answer {
            Answer::Outcomes(outcomes) => self.conclude_each(entries, outcomes),
            Answer::Panicked => self.conclude_failure(entries, true),
            Answer::TimedOut => self.conclude_failure(entries, false),
        }
    }

    fn conclude_each(&mut self, entries: Vec<Entry>, outcomes: Vec<Outcome>) {
        let mut outcomes = outcomes.into_iter();
        let (mut unavailable, mut pause, mut works) = (Vec::new(), None, false);
        for mut entry in entries {
            entry.mark.alone = false;
            let outcome = outcomes.next().unwrap_or_else(|| Outcome::retry("the sink gave no outcome"));
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
                    unavailable.push(entry);
                }
            }
        }
        if works {
            // What was thought of the sink before is over.
            self.failures = 0;
            self.paused_until = self.paused_until.min(self.now());
        }
        if !unavailable.is_empty() {
            self.leave_alone(pause);
            // Not in front of what is older: they are read again, in their order.
            let now = self.now();
            unavailable.into_iter().for_each(|entry| self.window.wait(now, entry));
        }
    }

    /// A delivery that ended without an answer.
    fn conclude_failure(&mut self, entries: Vec<Entry>, panicked: bool) {
        let delivered = self.shared.figures.delivered.load(Ordering::Relaxed);
        let alone = entries.len() == 1;
        for mut entry in entries {
            // A time-out says little while the sink delivers nothing else either.
            let counts = alone && (panicked || entry.mark.hung_at.is_some_and(|then| delivered > then));
            let hung_at = (!panicked).then_some(delivered);
            entry.mark = Mark { failed: alone, alone: true, hung_at };
            if counts {
                let error = if panicked { "the sink panicked" } else { "the sink did not answer in time" };
                self.failed(entry, None, error.to_owned());
            } else {
                let now = self.now();
                self.window.wait(now, entry);
            }
        }
        if !panicked || !alone {
            self.leave_alone(None);
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

    pub(super) fn give_up(&mut self, entry: Entry, cause: DeathCause, error: String) {
        let death = Death { place: entry.place, tries: entry.tries, cause, error };
        self.unsettled.dead.push(death);
        self.settling.insert(entry.place, entry);
    }

    /// The sink cannot take anything now.
    fn leave_alone(&mut self, after: Option<Duration>) {
        let pause = self.settings.backoff.duration(self.failures, 0, self.failures);
        let pause = pause.max(after.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.paused_until = self.paused_until.max(self.now().saturating_add(pause));
        add(&self.shared.figures.failed_deliveries, 1);
        log::unavailable(&self.shared.name, pause);
    }
}
