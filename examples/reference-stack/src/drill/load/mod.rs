//! The load: requests at a constant rate, whatever becomes of them, so that a stack that hangs is not spared. A latency counts from the
//! moment at which a request was meant to be sent. Look at [`Load::run`], and at `mix.rs` for what is asked.

mod answer;
mod mix;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

pub(crate) use self::answer::{Outcome, Told};
pub(crate) use self::mix::Class;
use self::mix::Turn;
use crate::apart::Asker;

/// Whoever waits longer than this has gone. Whether a task was accepted for him then, nobody knows.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// A request that is sent later than this says that the drill's own machine is too busy.
const LATE: Duration = Duration::from_millis(50);
/// How many of the tasks that were accepted last are asked for.
const RECENT: usize = 64;
/// How many failures are kept.
const MOST_FAILURES: usize = 10_000;

/// One request, as its caller saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// When it was meant to be sent.
    pub(crate) due: Instant,
    pub(crate) latency: Duration,
    pub(crate) class: Class,
    pub(crate) outcome: Outcome,
}

/// The callers of one stack. Clones are the same callers.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    asker: Asker,
    gateway: String,
    /// A bearer token of each user.
    tokens: Vec<String>,
    seen: Mutex<Seen>,
    has_ended: AtomicBool,
}

/// What the callers saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) samples: Vec<Sample>,
    /// The tasks that the stack has said it has.
    pub(crate) accepted: Vec<Accepted>,
    /// How many requests could not be sent when they were meant to be.
    pub(crate) late: u64,
    /// Why requests failed, and how many.
    pub(crate) failings: BTreeMap<String, u64>,
    /// The first of them.
    pub(crate) failures: Vec<Failure>,
    recent: VecDeque<Accepted>,
    /// The last key that was used once.
    used: Option<Used>,
}

/// A request that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) sample: Sample,
    pub(crate) why: String,
}

/// A task that the stack has said it has, whose it is, and since when that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) id: Uuid,
    pub(crate) user: usize,
    pub(crate) at: Instant,
}

/// A key that a task was accepted with.
#[derive(Debug, Clone)]
struct Used {
    key: Uuid,
    turn: u32,
    task: Accepted,
}

// === impl Load ===

impl Load {
    /// Of these users, by their tokens, on a gateway's URL.
    pub(crate) fn new(gateway: String, tokens: Vec<String>) -> Self {
        let seen = Mutex::default();
        let shared = Shared { asker: Asker::new(), gateway, tokens, seen, has_ended: AtomicBool::new(false) };
        Self { shared: Arc::new(shared) }
    }

    /// Asks so many times a second until [`end`](Self::end) is called. Returns when all have an answer, or have gone.
    pub(crate) async fn run(self, begin: Instant, rate: u32) {
        let mut in_flight = JoinSet::new();
        for turn in 0_u32.. {
            let due = begin + Duration::from_secs(1).saturating_mul(turn) / rate.max(1);
            sleep_until(due).await;
            if self.shared.has_ended.load(Ordering::Relaxed) {
                break;
            }
            if due.elapsed() > LATE {
                self.seen().late += 1;
            }
            in_flight.spawn(self.clone().ask(turn, due));
            while in_flight.try_join_next().is_some() {}
        }
        while in_flight.join_next().await.is_some() {}
    }

    pub(crate) fn end(&self) {
        self.shared.has_ended.store(true, Ordering::Relaxed);
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a user still finds a task of his, and it has ended.
    pub(crate) async fn has_ended(&self, task: Accepted) -> bool {
        let told = self.send(&Turn::get(task)).await;
        told.is_ok_and(|told| told.task_ended)
    }

    async fn ask(self, number: u32, due: Instant) {
        let turn = self.seen().turn(number, self.shared.tokens.len());
        let told = self.send(&turn).await;
        let latency = due.elapsed();
        let told = told.unwrap_or_else(|error| Told::failed(&format!("{error:#}")));
        self.seen().note(&turn, due, latency, told);
    }

    /// An error if there was no answer at all.
    async fn send(&self, turn: &Turn) -> anyhow::Result<Told> {
        let Shared { asker, gateway, tokens, .. } = &*self.shared;
        let token = format!("Bearer {}", tokens.get(turn.user).context("a token")?);
        let mut headers = vec![("authorization", token.as_str())];
        headers.extend(turn.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let url = format!("{gateway}{}", turn.path);
        let asked = asker.ask(turn.method.clone(), &url, &headers, turn.body.as_ref(), PATIENCE).await;
        Ok(turn.judge(&asked?))
    }
}

// === impl Seen ===

impl Seen {
    /// What is asked at a turn.
    fn turn(&mut self, number: u32, users: usize) -> Turn {
        let class = Class::at(number);
        let at = usize::try_from(number).unwrap_or(0);
        if class == Class::Get
            && let Some(task) = self.recent.get(at % self.recent.len().max(1))
        {
            return Turn::get(*task);
        }
        if class == Class::SubmitWithKey
            && let Some(used) = self.used.take()
        {
            return Turn::again(&used);
        }
        Turn::new(if class == Class::Get { Class::Submit } else { class }, number, at % users.max(1))
    }

    fn note(&mut self, turn: &Turn, due: Instant, latency: Duration, told: Told) {
        let sample = Sample { due, latency, class: turn.class, outcome: told.outcome };
        self.samples.push(sample);
        if let Some(why) = told.why_failed {
            if self.failures.len() < MOST_FAILURES {
                self.failures.push(Failure { sample, why: why.clone() });
            }
            *self.failings.entry(format!("{}: {why}", turn.class.name())).or_default() += 1;
        }
        let Some(id) = told.accepted.filter(|_| turn.class != Class::Get) else { return };
        let task = Accepted { id, user: turn.user, at: Instant::now() };
        self.accepted.push(task);
        if turn.class.is_submitted() {
            if self.recent.len() >= RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(task);
        }
        if let Some(key) = turn.key.filter(|_| turn.first_task.is_none()) {
            self.used = Some(Used { key, turn: turn.number, task });
        }
    }
}
