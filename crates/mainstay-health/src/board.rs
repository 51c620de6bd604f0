use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_core::panics::contain;
use mainstay_core::{Bell, Clock, Name, Registry};
use tokio::sync::Notify;

use crate::event::Event;
use crate::report::{Report, RunReport};
use crate::slot::{Slot, nanos};
use crate::state::{PULSE, Plan, State};
use crate::threads::Threads;

/// Where all results meet: the state behind one lock, and what is published of it.
///
/// Whoever changes something takes the lock, changes it, publishes a new [`Report`], and lets the lock go before anything of
/// the user's runs. Readers take no lock: they load the report, or one of the three numbers below.
pub(crate) struct Board {
    pub(crate) service: Name,
    pub(crate) clock: Clock,
    pub(crate) registry: Option<Registry>,
    pub(crate) threads: Arc<Threads>,
    /// Wakes the watchman, when something will change by time before it wanted to look.
    pub(crate) watchman: Notify,
    pub(crate) seed: u64,
    report: ArcSwap<Report>,
    /// Until when the service is ready, in nanoseconds of the clock; 0 if it is not. A reader needs to know nothing else,
    /// and this is one number, so that no ordering with the report is needed.
    ready_until: AtomicU64,
    /// Until when it is alive.
    live_until: AtomicU64,
    /// It has started; never taken back.
    started: AtomicBool,
    /// Rung when anything changed that is more than a newer result of the same kind.
    changes: Arc<Bell>,
    state: Mutex<State>,
}

/// Of how many checks a reader takes notice that they are too old, before it goes on: some hundred microseconds. The next
/// reader does the next ones, and the watchman all that are left.
const READERS_SHARE: usize = 256;

// === impl Board ===

impl Board {
    pub(crate) fn new(
        service: Name,
        clock: Clock,
        registry: Option<Registry>,
        threads: Arc<Threads>,
        seed: u64,
    ) -> Arc<Self> {
        let mut state = State::new(clock.now(), seed);
        let report = state.report(service, &clock, false);
        Arc::new(Self {
            service,
            clock,
            registry,
            threads,
            watchman: Notify::new(),
            seed,
            report: ArcSwap::from_pointee(report),
            ready_until: AtomicU64::new(0),
            live_until: AtomicU64::new(u64::MAX),
            started: AtomicBool::new(false),
            changes: Bell::new(),
            state: Mutex::new(state),
        })
    }

    // --- reading

    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.clock.coarse_nanos() < self.ready_until.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        let until = self.live_until.load(Ordering::Acquire);
        // Most services have nothing that a restart mends: then no clock is asked.
        until == u64::MAX || self.clock.coarse_nanos() < until
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// The latest report. If something in it has changed by time alone, one that says so, made by whoever notices first.
    pub(crate) fn report(&self) -> Arc<Report> {
        let report = self.report.load_full();
        if self.clock.coarse() < report.changes_at {
            return report;
        }
        self.refresh(report)
    }

    #[cold]
    fn refresh(&self, report: Arc<Report>) -> Arc<Report> {
        let state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody publishes at this moment. Nobody waits for that: what is asked about readiness compares the time.
            Err(TryLockError::WouldBlock) => return report,
        };
        self.finish(state, |state, now| state.sweep(now, &self.clock, READERS_SHARE));
        self.report.load_full()
    }

    pub(crate) fn changes(&self) -> &Arc<Bell> {
        &self.changes
    }

    // --- changing

    /// Changes the state, publishes what follows from it, and then wakes whom it concerns.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State, Duration) -> T) -> T {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.finish(state, change)
    }

    fn finish<T>(
        &self,
        mut state: MutexGuard<'_, State>,
        change: impl FnOnce(&mut State, Duration) -> T,
    ) -> T {
        // Read under the lock, so that time never runs backwards from one change to the next.
        let now = self.clock.now();
        let answer = change(&mut state, now);
        if std::mem::take(&mut state.dirty) {
            self.publish(&mut state);
        }
        let rings = std::mem::take(&mut state.rings);
        let events = std::mem::take(&mut state.events);
        let nudged = std::mem::take(&mut state.nudged);
        let told = std::mem::take(&mut state.told);
        let removed = std::mem::take(&mut state.removed);
        drop(state);
        nudged.iter().for_each(|slot| slot.nudge());
        told.iter().for_each(|bell| bell.ring());
        if rings {
            self.changes.ring();
        }
        // Who listens to the log is the user's, and so is what a removed check has captured. Neither may end the task that
        // happens to be here.
        contain(|| events.iter().for_each(|event| event.log(self.service)));
        contain(|| drop((removed, nudged)));
        answer
    }

    fn publish(&self, state: &mut State) {
        let report = state.report(self.service, &self.clock, self.is_started());
        let before = self.report.load();
        // What was believed until now: a report that had grown too old was not, though nobody had said so.
        let (was_ready, was_live) = (before.is_ready_at(report.at), before.is_live_at(report.at));
        let differs = was_ready != report.ready
            || was_live != report.live
            || before.ready != report.ready
            || before.live != report.live
            || before.started != report.started
            || before.phase != report.phase
            || before.status != report.status
            || before.stuck != report.stuck
            || before.maintenance != report.maintenance
            || before.closed_latches != report.closed_latches;
        if before.ready != report.ready {
            state.events.push(Event::Ready { ready: report.ready, obstacles: report.obstacles() });
        }
        if before.live != report.live {
            state.events.push(Event::Live { live: report.live });
        }
        drop(before);
        state.rings |= differs;
        if report.started {
            self.started.store(true, Ordering::Release);
        }
        let until = |holds: bool, until: Duration| if holds { nanos(until) } else { 0 };
        self.ready_until.store(until(report.ready, report.fresh_until), Ordering::Release);
        self.live_until.store(until(report.live, report.live_until()), Ordering::Release);
        if report.sum.changes_at < state.next_pulse {
            state.next_pulse = report.sum.changes_at;
            self.watchman.notify_one();
        }
        self.report.store(Arc::new(report));
    }

    /// What a check shall do now.
    pub(crate) fn plan(&self, slot: &Arc<Slot>, generation: u64, rung: bool) -> Plan {
        self.change(|state, now| match state.entry_of(slot) {
            Some(entry) if entry.generation == generation => state.plan(slot.place(), now, rung, &self.clock),
            _ => Plan::End,
        })
    }

    /// Takes the result of a run, unless it is void by now.
    pub(crate) fn record(&self, slot: &Arc<Slot>, run: u64, report: RunReport) {
        self.change(|state, now| {
            if !state.awaits(slot, run) {
                return;
            }
            let report = RunReport { at: now, at_wall: self.clock.wall(now), ..report };
            state.update(slot.place(), now, &self.clock, |entry| {
                entry.run = None;
                // Who asked while it was under way has joined it.
                entry.forced = false;
                entry.history.record(report, &entry.settings);
            });
        });
    }

    /// Whether a run still counts.
    pub(crate) fn awaits(&self, slot: &Arc<Slot>, run: u64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.phase.runs() && state.awaits(slot, run)
    }

    /// Remembers since when a check's thread hangs, or that it no longer does.
    pub(crate) fn hangs(&self, slot: &Arc<Slot>, since: Option<Duration>) {
        self.change(|state, now| {
            // It may have ended on the way here; its end comes here too, after it took the mark away.
            let since = since.filter(|_| slot.thread().is_some());
            if state.entry_of(slot).is_some() {
                state.update(slot.place(), now, &self.clock, |entry| entry.history.hangs(since));
            }
        });
    }

    /// Asks for a run of a check at once.
    pub(crate) fn force(&self, name: Name) -> Option<Arc<Slot>> {
        self.change(|state, _| {
            let place = state.place(name.as_str())?;
            let entry = state.entry(place)?;
            entry.forced = true;
            let slot = entry.slot.clone();
            state.nudged.push(slot.clone());
            Some(slot)
        })
    }

    /// Whether a slot is still that of a check.
    pub(crate) fn has(&self, slot: &Arc<Slot>) -> bool {
        self.change(|state, _| state.entry_of(slot).is_some())
    }

    /// The manager lives: says so, and takes notice of what has grown too old. Returns when to come again.
    pub(crate) fn pulse(&self) -> Duration {
        self.change(|state, now| {
            state.pulse_at = now;
            state.stuck = false;
            state.sweep(now, &self.clock, usize::MAX);
            state.dirty = true;
            let next = now.saturating_add(PULSE).min(state.tree.sum().changes_at);
            state.next_pulse = next;
            next
        })
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.load().fmt(f)
    }
}
