use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use mainstay_core::Clock;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, coop, yield_now};

use super::part::{Ending, Part, Work};
use super::result::{End, Gathered, Outcome, PartResult};
use super::tally::{Stake, Tally};
use crate::{Partial, PartialPolicy, exact};

/// Which part ended, and how; a task that its runtime ended has no ending.
type Ended<T, E> = (usize, Option<Ending<T, E>>);

type Job<'a, T, E> = Pin<Box<dyn Future<Output = Ended<T, E>> + Send + 'a>>;

/// Makes a job a task; what comes back waits for it.
pub(super) type Spawn<'a, T, E> = fn(&Handle, usize, Job<'a, T, E>) -> Job<'a, T, E>;

/// A gather under way. Dropping it drops what runs.
pub(super) struct Run<'a, T, E> {
    partial: Partial,
    clock: Clock,
    stakes: Vec<Stake>,
    tally: Tally,
    slots: Vec<Slot<'a, T, E>>,
    /// Up to here parts were begun.
    begun: usize,
    running: FuturesUnordered<Job<'a, T, E>>,
    spawn: Option<(Spawn<'a, T, E>, Handle)>,
    /// Nothing can save the answer: what was not polled yet need not be.
    hopeless: Arc<AtomicBool>,
    began: Duration,
    /// When the successes became enough.
    enough: Option<Duration>,
}

/// A part and what is known of it.
struct Slot<'a, T, E> {
    source: String,
    required: bool,
    weight: f64,
    deadline: Option<Duration>,
    work: Option<Work<'a, T, E>>,
    began: Option<Duration>,
    ending: Option<Ending<T, E>>,
}

/// A task that ends with whoever waits for it.
struct Task<T>(JoinHandle<T>);

impl<'a, T: Send + 'a, E: Send + 'a> Run<'a, T, E> {
    pub(super) fn new(
        partial: Partial,
        clock: Clock,
        parts: Vec<Part<'a, T, E>>,
        spawn: Option<(Spawn<'a, T, E>, Handle)>,
    ) -> Self {
        let policy = &partial.policy;
        let stakes: Vec<Stake> = parts.iter().map(|part| Stake::of(policy, &part.source)).collect();
        let slots = parts.into_iter().map(|part| Slot::new(part, policy)).collect();
        let tally = Tally::new(&partial, &stakes);
        let began = clock.now();
        Self {
            partial,
            clock,
            stakes,
            tally,
            slots,
            begun: 0,
            running: FuturesUnordered::new(),
            spawn,
            hopeless: Arc::new(AtomicBool::new(false)),
            began,
            enough: None,
        }
    }

    pub(super) async fn decide(
        mut self,
        max_wait: Duration,
        grace: Duration,
        concurrency: usize,
    ) -> Gathered<T, E> {
        let last = self.began.saturating_add(max_wait);
        let mut alarm = self.clock.sleep_until(last);
        let end = loop {
            if self.tally.rejects() && self.is_pending() {
                self.hopeless.store(true, Ordering::Relaxed);
                break End::Hopeless;
            }
            let limit = self.enough.map_or(last, |enough| last.min(enough.saturating_add(grace)));
            if self.is_pending() && self.clock.now() >= limit {
                break if limit == last { End::MaxWait } else { End::Enough };
            }
            while self.running.len() < concurrency && self.begin_next() {}
            if alarm.until() != limit {
                alarm = self.clock.sleep_until(limit);
            }
            tokio::select! {
                biased;
                arrived = self.running.next() => match arrived {
                    Some(ended) => self.take(ended),
                    None => break End::Complete,
                },
                () = &mut alarm => {}
            }
            // Parts that are always ready must not keep the thread to themselves.
            coop::consume_budget().await;
        };
        let at = self.clock.now();
        if end != End::Complete {
            self.settle().await;
        }
        self.finish(end, at)
    }

    fn is_pending(&self) -> bool {
        self.begun < self.slots.len() || !self.running.is_empty()
    }

    /// Begins the next part, if there is one.
    fn begin_next(&mut self) -> bool {
        let index = self.begun;
        let Some(slot) = self.slots.get_mut(index) else { return false };
        self.begun = self.begun.saturating_add(1);
        let Some(work) = slot.work.take() else { return true };
        let began = self.clock.now();
        slot.began = Some(began);
        let until = slot.deadline.map(|deadline| began.saturating_add(deadline));
        let (clock, hopeless) = (self.clock.clone(), self.hopeless.clone());
        let job: Job<'a, T, E> = Box::pin(async move {
            // One flag that guards nothing else, and that may be seen late.
            if hopeless.load(Ordering::Relaxed) {
                return (index, Some(Ending::new(Outcome::NotStarted, clock.now())));
            }
            (index, Some(work.attempt(&clock, until).await))
        });
        self.running.push(match &self.spawn {
            Some((spawn, runtime)) => spawn(runtime, index, job),
            None => job,
        });
        true
    }

    fn take(&mut self, (index, ending): Ended<T, E>) {
        let ending = ending.unwrap_or_else(|| Ending::new(Outcome::Cancelled, self.clock.now()));
        let (Some(slot), Some(stake)) = (self.slots.get_mut(index), self.stakes.get(index)) else { return };
        let success = ending.is_success();
        match success {
            true => self.tally.succeeds(stake),
            false => self.tally.fails(stake),
        }
        let is_earlier = self.enough.is_none_or(|enough| ending.at < enough);
        slot.ending = Some(ending);
        if success && is_earlier && self.tally.accepts() {
            self.enough = self.enough_since();
        }
    }

    /// When the successes became enough. Tasks may be found in another order than they ended in.
    fn enough_since(&self) -> Option<Duration> {
        let ended = self.slots.iter().map(|slot| slot.ending.as_ref());
        let mut successes: Vec<_> = ended
            .zip(&self.stakes)
            .filter_map(|(ending, stake)| Some((ending.filter(|ending| ending.is_success())?.at, stake)))
            .collect();
        successes.sort_unstable_by_key(|(at, _)| *at);
        let mut tally = Tally::new(&self.partial, &self.stakes);
        successes.into_iter().find_map(|(at, stake)| {
            tally.succeeds(stake);
            tally.accepts().then_some(at)
        })
    }

    /// Takes what is ready at the moment of the decision: each part that runs is polled once, also those that would not be reached in
    /// time among others that wake themselves, and all of them again as long as one arrives.
    async fn settle(&mut self) {
        let mut running: Vec<_> = mem::take(&mut self.running).into_iter().collect();
        loop {
            // Tasks that were woken together with this one come to their end.
            yield_now().await;
            let before = running.len();
            for mut job in mem::take(&mut running) {
                // None is taken for pending only because the one before it used up what this task may do in a round.
                if !coop::has_budget_remaining() {
                    yield_now().await;
                }
                match poll_fn(|cx| Poll::Ready(job.as_mut().poll(cx))).await {
                    Poll::Ready(ended) => self.take(ended),
                    Poll::Pending => running.push(job),
                }
            }
            if running.is_empty() || running.len() == before {
                break;
            }
        }
    }

    fn finish(mut self, end: End, at: Duration) -> Gathered<T, E> {
        let late = if end == End::MaxWait { Outcome::TimedOut } else { Outcome::Cancelled };
        let at_wall = self.clock.wall(at);
        let clock = &self.clock;
        let parts: Vec<_> = self.slots.into_iter().map(|slot| slot.result(late, at, clock)).collect();
        let outcomes = parts.iter().map(|part| (part.source.as_str(), part.is_success()));
        let decision = self.partial.decide_parts(outcomes);
        // It counts once, however often it is repeated.
        self.partial.origin.book = None;
        let took = at.saturating_sub(self.began);
        Gathered { decision, parts, partial: self.partial, end, took, at, at_wall }
    }
}

impl<'a, T, E> Slot<'a, T, E> {
    fn new(part: Part<'a, T, E>, policy: &PartialPolicy) -> Self {
        let Part { source, deadline, work, .. } = part;
        let (required, weight) = (policy.required.contains(&source), policy.weight_of(&source));
        Self { source, required, weight, deadline, work: Some(work), began: None, ending: None }
    }

    /// What became of it; `late`, if it ran until `now`.
    fn result(self, late: Outcome, now: Duration, clock: &Clock) -> PartResult<T, E> {
        let pending = if self.began.is_some() { late } else { Outcome::NotStarted };
        let Ending { outcome, value, error, panic, at } =
            self.ending.unwrap_or_else(|| Ending::new(pending, now));
        let latency = match (outcome, self.began) {
            (Outcome::NotStarted, _) | (_, None) => Duration::ZERO,
            (_, Some(began)) => at.saturating_sub(began),
        };
        let mut result = PartResult {
            source: self.source,
            outcome,
            required: self.required,
            weight: self.weight,
            value: None,
            error,
            panic,
            latency,
            confidence: 0.0,
            degraded: false,
            metadata: Default::default(),
            at,
            at_wall: clock.wall(at),
        };
        if let Some(value) = value {
            result.confidence = exact::round(value.confidence.clamp(0.0, 1.0));
            result.degraded = value.degraded;
            result.metadata = value.metadata;
            result.value = Some(value.value);
        }
        result
    }
}

// === impl Task ===

pub(super) fn spawn<T: Send + 'static, E: Send + 'static>(
    runtime: &Handle,
    index: usize,
    job: Job<'static, T, E>,
) -> Job<'static, T, E> {
    let task = Task(runtime.spawn(job));
    Box::pin(async move { task.await.unwrap_or((index, None)) })
}

impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
