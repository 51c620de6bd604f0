//! What all clones of a breaker share, and the order in which its parts are touched.
//!
//! There are two ways through it. The *fast* ways read the word, bump a counter of the calling thread, and take no
//! lock: admission while closed, a success while closed and nothing has failed just before, a rejection while open or
//! while all probe slots are taken. Everything that may change the state goes through [`Machine::with`]: one lock, held
//! for a few dozen nanoseconds, under which no code of the user ever runs. What must reach subscribers is put into an
//! outbox under the lock, in order, and told to them after it is released.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mainstay_core::sync::{Mutex, OnceBox, Ordering, fence, lock};
use mainstay_core::{Clock, Name};

use crate::admit::blocked;
use crate::books::{At, Books, Plan};
use crate::deliver::{Outbox, Queue};
use crate::keyed::Used;
use crate::lazily::{Blank, Lazily};
use crate::pace::Pace;
use crate::phase::{Phase, Stand, Step};
use crate::rare::Rare;
use crate::tally::{self, Tally};
use crate::word::{self, Word};
use crate::{Cause, Control, HalfOpenSnapshot, RejectReason, Settings, Snapshot, State, Totals, Transition};

/// In this order, all that a call of a healthy compact breaker touches lies in one piece of 64 bytes, with the counts of
/// the `Arc`: a keyed breaker that is called now and then is in nobody's cache.
#[repr(C)]
pub(crate) struct Machine {
    pub(crate) word: Word,
    /// Shut in the striped form.
    pub(crate) pace: Pace,
    pub(crate) identity: Arc<Identity>,
    /// Of interest to a keyed set only.
    pub(crate) used: Used,
    inner: Mutex<Inner>,
    pub(crate) tally: Tally,
    pub(crate) rare: OnceBox<Rare>,
}

/// What all breakers of a keyed set have in common, and what never changes.
pub(crate) struct Identity {
    pub(crate) name: Name,
    pub(crate) clock: Clock,
}

/// What only the lock's holder touches.
#[repr(C)]
pub(crate) struct Inner {
    pub(crate) plan: Plan,
    pub(crate) books: Books,
    pub(crate) phase: Phase,
    pub(crate) news: Lazily<News>,
}

/// What happened, for those who ask and those who listen.
#[derive(Default)]
pub(crate) struct News {
    /// Drops that counted as failures.
    pub(crate) dropped_failures: u64,
    pub(crate) blind: Blind,
    recent: VecDeque<Transition>,
    pub(crate) queues: Vec<Weak<Queue>>,
    pub(crate) outbox: Option<Box<Outbox>>,
}

/// Permits dropped one after another without a verdict between them.
#[derive(Default)]
pub(crate) struct Blind {
    drops: u32,
    /// How many verdicts there were at the first of them.
    verdicts: u64,
}

/// After so many drops in a row the breaker says that it sees nothing.
const BLIND_AFTER: u32 = 20;
/// How many transitions a snapshot remembers.
const RECENT: usize = 16;

/// With the two counts of its `Arc`: without a window of time a healthy compact breaker is this and nothing else.
#[cfg(all(target_os = "linux", not(loom)))]
const _: () = assert!(size_of::<Machine>() + 16 <= 176 && std::mem::offset_of!(Machine, inner) + 16 <= 64);

impl Machine {
    /// The striped form is fast when threads share the breaker; the other, the compact one, is small.
    pub(crate) fn new(identity: Arc<Identity>, plan: Plan, striped: bool) -> Self {
        let tally = Tally::new(striped);
        let books = Books::new(&plan, &tally);
        let flags = flags(&plan, &tally);
        let mut phase = Phase::new();
        phase.since = identity.clock.now_nanos();
        let machine = Self {
            word: Word::new(word::pack(0, Stand::Closed, Control::Automatic, flags)),
            pace: Pace::new(),
            used: Used::new(),
            tally,
            identity,
            rare: OnceBox::new(),
            inner: Mutex::new(Inner { plan: plan.clone(), phase, books, news: Lazily::default() }),
        };
        machine.resume(&mut lock(&machine.inner), machine.identity.clock.coarse_nanos());
        machine.show_limits(&plan);
        machine
    }

    /// Before anybody else knows it: begins its life under the operator's hand.
    pub(crate) fn begin_under(&self, control: Control) {
        self.with(|_, _| self.word.update(|word| word::with_control(word, control)));
    }

    /// Takes the lock, does `work` at the present time, releases the lock, and then tells subscribers.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Inner, u64) -> R) -> R {
        let mut inner = lock(&self.inner);
        self.gather(&mut inner);
        // Read under the lock, so that what happens under it happens in the order of its times.
        let now = self.identity.clock.now_nanos();
        let result = work(&mut inner, now);
        self.resume(&mut inner, now);
        let outbox = if inner.news.outbox.is_some() { inner.news.outbox.take() } else { None };
        drop(inner);
        if let Some(outbox) = outbox {
            self.deliver(*outbox);
        }
        result
    }

    /// Takes the lock for a little work by the coarse clock that concerns no subscriber.
    pub(crate) fn with_coarse<R>(&self, work: impl FnOnce(&mut Inner, u64) -> R) -> R {
        let mut inner = lock(&self.inner);
        self.gather(&mut inner);
        let now = self.identity.clock.coarse_nanos();
        let result = work(&mut inner, now);
        self.resume(&mut inner, now);
        result
    }

    /// Under the lock, first of all: what a compact breaker counted without it.
    fn gather(&self, inner: &mut Inner) {
        if self.tally.is_compact() {
            let successes = self.pace.shut();
            if successes > 0 {
                inner.books.gather(successes);
            }
        }
    }

    /// Under the lock, last of all: if all is well, a compact breaker counts without it again.
    fn resume(&self, inner: &mut Inner, now: u64) {
        let word = self.word.load();
        if word::is_plain_compact(word) {
            self.pace.open(word::healthy(word), inner.books.slice_end(now, &inner.plan));
        }
    }

    /// [`with`](Self::with), after every transition that is due.
    pub(crate) fn with_due<R>(&self, work: impl FnOnce(&mut Inner, u64) -> R) -> R {
        self.with(|inner, now| {
            self.advance(inner, now);
            work(inner, now)
        })
    }

    /// Performs what is due.
    pub(crate) fn advance(&self, inner: &mut Inner, now: u64) {
        let mut steps = Vec::new();
        let probes = inner.phase.outage.stay.probes.len();
        inner.phase.advance(now, &inner.plan.phase_rules(), &mut steps);
        if !steps.is_empty() {
            self.enter(inner, &steps);
        } else if probes != inner.phase.outage.stay.probes.len() {
            self.slots_changed(inner);
        }
    }

    /// Makes transitions effective: the word, the deadline, the cause, empty windows; and puts them into the outbox.
    pub(crate) fn enter(&self, inner: &mut Inner, steps: &[Step]) {
        let word = self.whole_word(inner);
        self.word.claim(word);
        self.rare().post(inner.phase.due(), inner.phase.outage.last_trip);
        inner.books.clear();
        self.word.publish(word);

        let News { recent, queues, outbox, .. } = &mut *inner.news;
        let outbox = outbox.get_or_insert_default();
        for step in steps {
            let transition = self.transition(step);
            if recent.len() == RECENT {
                recent.pop_front();
            }
            recent.push_back(transition);
            outbox.transition(transition, queues);
        }
        match inner.phase.stand {
            Stand::Open => {}
            Stand::Probing => outbox.open_gate(inner.plan.settings.half_open.max_in_flight as usize),
            Stand::Closed | Stand::Ramping => outbox.open_gate(usize::MAX),
        }
    }

    /// Half-open: a slot was taken or given back.
    pub(crate) fn slots_changed(&self, inner: &mut Inner) {
        if inner.phase.stand != Stand::Probing {
            return self.refresh_word(inner);
        }
        // Like a transition: nobody must take the deadline of other probes for that of the word's.
        let word = word::next_round(self.word.load(), self.whole_word(inner));
        self.word.claim(word);
        self.post_due(inner.phase.due());
        self.word.publish(word);
    }

    /// Shows changed flags or control in the word; the epoch and a run of failures stay.
    pub(crate) fn refresh_word(&self, inner: &Inner) {
        let flags = flags(&inner.plan, &self.tally) | self.full(inner);
        let Phase { epoch, stand, .. } = inner.phase;
        self.word.update(|word| {
            let kept = word & (word::RUN | word::EVICTED);
            word::pack(epoch, stand, word::control(word), flags | kept)
        });
    }

    fn whole_word(&self, inner: &Inner) -> u64 {
        // Control and eviction change only under the lock, so they stand still here.
        let word = self.word.load();
        let flags = flags(&inner.plan, &self.tally) | self.full(inner) | word & word::EVICTED;
        word::pack(inner.phase.epoch, inner.phase.stand, word::control(word), flags)
    }

    fn full(&self, inner: &Inner) -> u64 {
        let full = inner.phase.stand == Stand::Probing && inner.phase.is_full(&inner.plan.phase_rules());
        if full { word::FULL } else { 0 }
    }

    fn transition(&self, step: &Step) -> Transition {
        let at = Duration::from_nanos(step.at);
        Transition {
            name: self.identity.name,
            from: step.from.state(),
            to: step.to.state(),
            stage: step.to.stage(),
            epoch: step.epoch,
            cause: step.cause,
            at,
            wall: self.identity.clock.wall(at),
        }
    }

    /// The deadline and the cause that belong to `word`, or nothing if it no longer stands.
    #[inline(always)]
    pub(crate) fn posted(&self, word: u64) -> Option<(u64, [u64; Cause::CELLS])> {
        if word & word::CLAIMED != 0 {
            return None;
        }
        let posted = self.rare.get().map_or((u64::MAX, [0; Cause::CELLS]), |rare| rare.posted());
        self.word.still(word).then_some(posted)
    }

    /// The deadline alone.
    #[cfg(feature = "tower")]
    #[inline]
    pub(crate) fn posted_due(&self, word: u64) -> Option<u64> {
        if word & word::CLAIMED != 0 {
            return None;
        }
        let due = self.due();
        self.word.still(word).then_some(due)
    }

    /// The state effective now.
    pub(crate) fn stand(&self) -> Stand {
        let word = self.word.load();
        let stand = word::stand(word);
        if stand == Stand::Closed && word & word::CLAIMED == 0 {
            return stand;
        }
        match self.posted(word) {
            Some((due, _)) if self.well_before(due).is_some() => stand,
            _ => self.with(|inner, now| inner.phase.seen(now, &inner.plan.phase_rules()).0.stand),
        }
    }

    pub(crate) fn control(&self) -> Control {
        word::control(self.word.load())
    }

    pub(crate) fn set_control(&self, control: Control) {
        self.with_due(|inner, _| {
            let before = self.word.update(|word| word::with_control(word, control));
            if word::control(before) != control {
                inner.news.outbox.get_or_insert_default().control(control);
            }
        });
    }

    pub(crate) fn reset(&self) {
        self.with_due(|inner, now| {
            let step = inner.phase.reset(now);
            self.enter(inner, &[step]);
        });
    }

    pub(crate) fn trip(&self) {
        self.with_due(|inner, now| {
            if inner.phase.stand != Stand::Open {
                let step = inner.phase.open(now, Cause::Manual, None, &inner.plan.phase_rules());
                self.enter(inner, &[step]);
            }
        });
    }

    pub(crate) fn reconfigure(&self, settings: Settings) {
        self.replan(|seed| Plan::new(settings, seed));
    }

    /// Changes the plan to what `plan` makes of the breaker's seed, under the lock.
    pub(crate) fn replan(&self, plan: impl FnOnce(u64) -> Plan) {
        self.with_due(|inner, now| {
            let plan = plan(inner.plan.seed);
            let at = At { tally: &self.tally, epoch: inner.phase.epoch, now };
            inner.books.replan(&inner.plan, &plan, at);
            self.show_limits(&plan);
            inner.plan = plan;
            self.slots_changed(inner);
            if inner.phase.stand == Stand::Probing {
                // There may be more slots than before.
                let slots = inner.plan.settings.half_open.max_in_flight as usize;
                inner.news.outbox.get_or_insert_default().open_gate(slots);
            }
        });
    }

    /// For a keyed set: marks a breaker that is at rest (closed, and nobody's hand on it) as given up, if then nobody
    /// uses it. The fence is one half of an agreement with whoever looks it up; see the module `keyed::set`.
    pub(crate) fn give_up(&self, unused: impl FnOnce() -> bool) -> bool {
        self.with(|inner, now| {
            let at_rest = inner.phase.seen(now, &inner.plan.phase_rules()).0.stand == Stand::Closed;
            if !at_rest || self.control() != Control::Automatic {
                return false;
            }
            self.word.update(|word| word | word::EVICTED);
            fence(Ordering::SeqCst);
            let unused = unused();
            if !unused {
                self.word.update(|word| word & !word::EVICTED);
            }
            unused
        })
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.word.load() & word::EVICTED != 0
    }

    pub(crate) fn poll(&self) {
        self.with_due(|_, _| ());
    }

    pub(crate) fn settings(&self) -> Settings {
        self.with(|inner, _| inner.plan.settings.clone())
    }

    pub(crate) fn next_change(&self) -> Option<Duration> {
        let due = self.with(|inner, now| inner.phase.seen(now, &inner.plan.phase_rules()).0.due());
        (due != u64::MAX).then(|| Duration::from_nanos(due))
    }

    /// Counts a drop without a verdict; says so once when there were too many in a row.
    pub(crate) fn count_drop(&self, inner: &mut Inner) {
        let verdicts = self.verdicts(inner);
        let News { blind, outbox, .. } = &mut *inner.news;
        if blind.verdicts != verdicts {
            *blind = Blind { drops: 0, verdicts };
        }
        blind.drops = blind.drops.saturating_add(1);
        if blind.drops == BLIND_AFTER {
            outbox.get_or_insert_default().blind(BLIND_AFTER);
        }
    }

    fn verdicts(&self, inner: &Inner) -> u64 {
        let totals = self.totals(inner);
        totals.success + totals.failure + self.tally.total(tally::IGNORED)
    }

    fn totals(&self, inner: &Inner) -> Totals {
        let cancelled = self.tally.total(tally::CANCELLED);
        let (slow, would_reject) = self.rare_totals();
        Totals {
            success: self.tally.successes().wrapping_add(inner.books.successes()),
            failure: self.tally.total(tally::FAILURE),
            ignored: self.tally.total(tally::IGNORED) + cancelled.saturating_sub(inner.news.dropped_failures),
            rejected: self.tally.total(tally::REJECTED),
            slow,
            cancelled,
            would_reject,
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.with(|inner, now| {
            let (phase, steps) = inner.phase.seen(now, &inner.plan.phase_rules());
            let word = self.word.load();
            let live = steps.is_empty() && matches!(phase.stand, Stand::Closed | Stand::Ramping);
            let run = if live && word & word::RUN != 0 { inner.books.run() } else { 0 };
            let at = At { tally: &self.tally, epoch: phase.epoch, now };
            let rules = inner.books.snapshot(&inner.plan, at, run, live);
            let mut recent: Vec<_> = inner.news.recent.iter().copied().collect();
            recent.extend(steps.iter().map(|step| self.transition(step)));
            recent.drain(..recent.len().saturating_sub(RECENT));
            let control = word::control(word);
            let totals = self.totals(inner);
            let since = Duration::from_nanos(phase.since);
            Snapshot {
                name: self.identity.name,
                state: phase.stand.state(),
                control,
                epoch: phase.epoch,
                since,
                since_wall: self.identity.clock.wall(since),
                totals,
                rules,
                consecutive_failures: if phase.stand == Stand::Closed { run } else { 0 },
                half_open: phase.stand.stage().map(|stage| HalfOpenSnapshot {
                    in_flight: u32::try_from(phase.outage.stay.probes.len()).unwrap_or(u32::MAX),
                    successes: phase.outage.stay.successes,
                    failures: phase.outage.stay.failures,
                    stage,
                }),
                retry_after: retry_after(&phase, inner, control, now),
                last_trip: phase.outage.last_trip,
                recent,
                blind: inner.news.blind.drops >= BLIND_AFTER
                    && inner.news.blind.verdicts == self.verdicts(inner),
            }
        })
    }
}

/// How long a call would be told to wait.
fn retry_after(phase: &Phase, inner: &Inner, control: Control, now: u64) -> Option<Duration> {
    match blocked(phase, inner, control) {
        None | Some(RejectReason::Forced) => None,
        Some(_) => Some(Duration::from_nanos(phase.due().saturating_sub(now))),
    }
}

fn flags(plan: &Plan, tally: &Tally) -> u64 {
    let timed = if plan.is_timed() { word::TIMED } else { 0 };
    let slow = if plan.slow_limit != u64::MAX { word::SLOW } else { 0 };
    let compact = if tally.is_compact() { word::COMPACT } else { 0 };
    let timeout = if plan.settings.timeout.is_some() { word::TIMEOUT } else { 0 };
    timed | slow | compact | timeout
}

impl Blank for News {
    fn blank() -> &'static Self {
        static BLANK: News = News {
            dropped_failures: 0,
            blind: Blind { drops: 0, verdicts: 0 },
            recent: VecDeque::new(),
            queues: Vec::new(),
            outbox: None,
        };
        &BLANK
    }
}

impl Identity {
    pub(crate) fn new(name: Name, clock: Clock) -> Arc<Self> {
        Arc::new(Self { name, clock })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let news = self.with(|inner, _| std::mem::take(&mut inner.news));
        news.queues.iter().filter_map(Weak::upgrade).for_each(|queue| queue.close());
    }
}

impl From<Stand> for State {
    fn from(stand: Stand) -> Self {
        stand.state()
    }
}
