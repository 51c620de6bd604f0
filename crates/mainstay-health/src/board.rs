use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_core::{Bell, Clock, ConfigError, Name, Registry};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::builder::check_parents;
use crate::event::Event;
use crate::history::History;
use crate::report::{Directory, Report, RunReport};
use crate::slot::Slot;
use crate::threads::Threads;
use crate::tree::Tree;
use crate::{CheckSettings, Phase, Status};

/// How often the manager says that it lives.
pub(crate) const PULSE: Duration = Duration::from_secs(5);
/// After which time without that it is stuck: three pulses and two seconds.
const PULSE_LASTS: Duration = Duration::from_secs(17);

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
    seed: u64,
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

pub(crate) struct State {
    phase: Phase,
    maintenance: Option<Arc<str>>,
    latches: Vec<(Name, bool)>,
    drains_since: Duration,
    entries: Vec<Option<Entry>>,
    /// Places whose checks were removed.
    free: Vec<usize>,
    by_name: HashMap<Name, usize>,
    tree: Tree,
    directory: Arc<Directory>,
    epoch: u64,
    pulse_at: Duration,
    next_pulse: Duration,
    stuck: bool,
    /// Started, and not stopped: where new checks' tasks go.
    pub(crate) runtime: Option<Handle>,
    watchman: Option<AbortHandle>,
    /// How many runs were begun.
    runs: u64,
    /// Something changed that is to be published.
    dirty: bool,
    /// Something changed that is worth waking those who watch.
    rings: bool,
    events: Vec<Event>,
    /// Whom to wake once the lock is gone.
    nudged: Vec<Arc<Slot>>,
    told: Vec<Arc<Bell>>,
}

pub(crate) struct Entry {
    pub(crate) slot: Arc<Slot>,
    pub(crate) settings: Arc<CheckSettings>,
    history: History,
    /// Checks that depend on it.
    children: Vec<usize>,
    task: Option<AbortHandle>,
    /// The run under way.
    run: Option<u64>,
    /// Somebody wants a run now.
    forced: bool,
}

/// What a check's task does next.
pub(crate) enum Plan {
    Run { id: u64, settings: Arc<CheckSettings> },
    Wait(Duration),
    End,
}

// === impl Board ===

impl Board {
    pub(crate) fn new(
        service: Name,
        clock: Clock,
        registry: Option<Registry>,
        threads: Arc<Threads>,
        seed: u64,
    ) -> Arc<Self> {
        let mut state = State {
            phase: Phase::Created,
            maintenance: None,
            latches: Vec::new(),
            drains_since: Duration::ZERO,
            entries: Vec::new(),
            free: Vec::new(),
            by_name: HashMap::new(),
            tree: Tree::default(),
            directory: Arc::default(),
            epoch: 0,
            pulse_at: clock.now(),
            next_pulse: Duration::MAX,
            stuck: false,
            runtime: None,
            watchman: None,
            runs: 0,
            dirty: false,
            rings: false,
            events: Vec::new(),
            nudged: Vec::new(),
            told: Vec::new(),
        };
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

    /// The latest report. If something in it has grown too old meanwhile, one that says so, made by whoever notices first.
    pub(crate) fn report(&self) -> Arc<Report> {
        let report = self.report.load_full();
        if self.clock.coarse() < report.fresh_until {
            return report;
        }
        self.refresh(report)
    }

    #[cold]
    fn refresh(&self, report: Arc<Report>) -> Arc<Report> {
        if report.phase.runs() {
            let state = match self.state.try_lock() {
                Ok(state) => state,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // Somebody publishes at this moment. Nobody waits for that: what is asked about readiness compares the time.
                Err(TryLockError::WouldBlock) => return report,
            };
            self.finish(state, |state, now| state.sweep(self, now));
            return self.report.load_full();
        }
        report
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
        drop(state);
        nudged.iter().for_each(|slot| slot.nudge());
        told.iter().for_each(|bell| bell.ring());
        if rings {
            self.changes.ring();
        }
        events.iter().for_each(|event| event.log(self.service));
        answer
    }

    fn publish(&self, state: &mut State) {
        let report = state.report(self.service, &self.clock, self.is_started());
        let before = self.report.load();
        let differs = before.ready != report.ready
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
        self.live_until.store(until(report.live, report.sum.live_until), Ordering::Release);
        if report.sum.changes_at < state.next_pulse {
            state.next_pulse = report.sum.changes_at;
            self.watchman.notify_one();
        }
        self.report.store(Arc::new(report));
    }

    /// What a check shall do now.
    pub(crate) fn plan(&self, slot: &Arc<Slot>, rung: bool) -> Plan {
        self.change(|state, now| match state.entry_of(slot) {
            Some(_) => state.plan(slot.place, now, rung, &self.clock),
            None => Plan::End,
        })
    }

    /// Takes the result of a run, unless it is void by now.
    pub(crate) fn record(&self, slot: &Arc<Slot>, run: u64, report: RunReport) {
        self.change(|state, now| {
            if state.entry_of(slot).is_none_or(|entry| entry.run != Some(run)) {
                return;
            }
            let report = RunReport { at: now, at_wall: self.clock.wall(now), ..report };
            state.update(slot.place, now, &self.clock, |entry| {
                entry.run = None;
                entry.history.record(report, &entry.settings);
            });
        });
    }

    /// Whether a run still counts.
    pub(crate) fn awaits(&self, slot: &Arc<Slot>, run: u64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.phase.runs() && state.entry_of(slot).is_some_and(|entry| entry.run == Some(run))
    }

    /// Remembers since when a check's thread hangs, or that it no longer does.
    pub(crate) fn hangs(&self, slot: &Arc<Slot>, since: Option<Duration>) {
        self.change(|state, now| {
            // It may have ended on the way here; its end comes here too, after it took the mark away.
            let since = since.filter(|_| slot.busy.load(Ordering::Acquire));
            if state.entry_of(slot).is_some() {
                state.update(slot.place, now, &self.clock, |entry| entry.history.hangs(since));
            }
        });
    }

    /// Asks for a run of a check at once.
    pub(crate) fn force(&self, name: Name) -> Option<Arc<Slot>> {
        self.change(|state, _| {
            let place = *state.by_name.get(&name)?;
            let entry = state.entry(place)?;
            entry.forced = true;
            let slot = entry.slot.clone();
            state.nudged.push(slot.clone());
            Some(slot)
        })
    }

    /// Adds a check. It is run from now on if the manager runs.
    pub(crate) fn register(self: &Arc<Self>, slot: Slot, settings: CheckSettings) -> Result<(), ConfigError> {
        self.change(|state, now| {
            // Nothing depends on a new check yet, so that only itself could close a cycle.
            check_parents(slot.name, &settings, |parent| state.by_name.contains_key(&parent))?;
            let place = state.free.last().copied().unwrap_or(state.entries.len());
            self.insert(state, now, place, slot, settings)
        })
    }

    /// Adds many checks whose names and dependencies are good among each other.
    pub(crate) fn register_all(
        self: &Arc<Self>,
        checks: Vec<(Slot, CheckSettings)>,
    ) -> Result<(), ConfigError> {
        self.change(|state, now| {
            for (slot, settings) in checks {
                let place = state.entries.len();
                self.insert(state, now, place, slot, settings)?;
            }
            state.link();
            Ok(())
        })
    }

    fn insert(
        self: &Arc<Self>,
        state: &mut State,
        now: Duration,
        place: usize,
        mut slot: Slot,
        settings: CheckSettings,
    ) -> Result<(), ConfigError> {
        slot.place = place;
        let (name, slot) = (slot.name, Arc::new(slot));
        if state.by_name.contains_key(&name) {
            return Err(ConfigError::new(
                "check.name",
                format_args!("{name:?}"),
                "must be unique among the checks",
            ));
        }
        if let Some(registry) = &self.registry {
            registry.register(&slot).map_err(|error| error.within("check"))?;
        }
        slot.set_clock(&self.clock);
        let seed = self.seed ^ crate::fleet::mix(name.as_str());
        let entry = Entry {
            history: History::new(now, &settings, seed),
            settings: Arc::new(settings),
            slot,
            children: Vec::new(),
            task: None,
            run: None,
            forced: false,
        };
        state.free.retain(|free| *free != place);
        if state.entries.len() <= place {
            state.entries.resize_with(place + 1, || None);
        }
        if let Some(free) = state.entries.get_mut(place) {
            *free = Some(entry);
        }
        state.by_name.insert(name, place);
        state.directory = Arc::default();
        state.rings = true;
        state.link_parents(place);
        state.update(place, now, &self.clock, |_| {});
        self.spawn(state, place);
        Ok(())
    }

    fn spawn(self: &Arc<Self>, state: &mut State, place: usize) {
        let Some(runtime) = state.runtime.clone() else { return };
        if let Some(entry) = state.entry(place) {
            let task = runtime.spawn(crate::run::run(self.clone(), entry.slot.clone()));
            entry.task = Some(task.abort_handle());
        }
    }

    /// Runs all checks on a runtime.
    pub(crate) fn start(self: &Arc<Self>, runtime: Handle) {
        self.change(|state, now| {
            if state.phase.runs() {
                return;
            }
            state.go(Phase::Running);
            state.pulse_at = now;
            state.stuck = false;
            let watchman = runtime.spawn(crate::run::watch(self.clone()));
            state.watchman = Some(watchman.abort_handle());
            state.runtime = Some(runtime);
            for place in 0..state.entries.len() {
                state.update(place, now, &self.clock, |entry| {
                    entry.history.sweep(now);
                    entry.history.begin(now, &entry.settings);
                });
                self.spawn(state, place);
            }
        });
    }

    pub(crate) fn stop(&self) {
        self.change(|state, now| {
            if !state.phase.runs() {
                return;
            }
            state.go(Phase::Stopped);
            state.runtime = None;
            if let Some(watchman) = state.watchman.take() {
                watchman.abort();
            }
            for place in 0..state.entries.len() {
                state.update(place, now, &self.clock, |entry| {
                    entry.run = None;
                    entry.forced = false;
                    if let Some(task) = entry.task.take() {
                        task.abort();
                    }
                });
                // Whoever waits for a result learns that none will come.
                if let Some(bell) = state.entry(place).map(|entry| entry.slot.bell.clone()) {
                    state.told.push(bell);
                }
            }
        });
    }

    /// The manager lives: says so, and takes notice of what has grown too old. Returns when to come again.
    pub(crate) fn pulse(&self) -> Duration {
        self.change(|state, now| {
            state.pulse_at = now;
            state.stuck = false;
            state.sweep(self, now);
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

// === impl State ===

impl State {
    pub(crate) fn entry(&mut self, place: usize) -> Option<&mut Entry> {
        self.entries.get_mut(place)?.as_mut()
    }

    /// The entry of a slot, unless the slot was removed; its place may be another's by now.
    fn entry_of(&mut self, slot: &Arc<Slot>) -> Option<&mut Entry> {
        self.entry(slot.place).filter(|entry| Arc::ptr_eq(&entry.slot, slot))
    }

    pub(crate) fn place(&self, name: Name) -> Option<usize> {
        self.by_name.get(&name).copied()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Goes on to another phase, and says so.
    pub(crate) fn go(&mut self, phase: Phase) {
        if self.phase != phase {
            self.events.push(Event::Phase { from: self.phase, to: phase });
            self.phase = phase;
            self.dirty = true;
        }
    }

    pub(crate) fn maintain(&mut self, reason: Option<&str>) {
        let reason: Option<Arc<str>> = reason.map(Into::into);
        if self.maintenance != reason {
            self.events.push(Event::Maintenance { reason: reason.clone() });
            self.maintenance = reason;
            self.dirty = true;
        }
    }

    pub(crate) fn add_latch(&mut self, name: Name) -> bool {
        let new = self.latches.iter().all(|(known, _)| *known != name);
        if new {
            self.latches.push((name, false));
            self.dirty = true;
        }
        new
    }

    /// Opens a latch, for good. Whether there is one of that name.
    pub(crate) fn open_latch(&mut self, name: Name) -> bool {
        let latch = self.latches.iter_mut().find(|(known, _)| *known == name);
        let Some((_, open)) = latch else { return false };
        if !std::mem::replace(open, true) {
            self.events.push(Event::Latch { name });
            self.dirty = true;
        }
        true
    }

    pub(crate) fn latch(&self, name: Name) -> Option<bool> {
        self.latches.iter().find(|(known, _)| *known == name).map(|(_, open)| *open)
    }

    /// Readiness fails, unless it does already. Returns since when it does.
    pub(crate) fn begin_drain(&mut self, now: Duration) -> Duration {
        if !self.phase.is_draining() {
            self.drains_since = now;
            self.go(Phase::Draining);
        }
        self.drains_since
    }

    /// Changes one check, and what others see of it.
    pub(crate) fn update(
        &mut self,
        place: usize,
        now: Duration,
        clock: &Clock,
        change: impl FnOnce(&mut Entry),
    ) {
        let Some(entry) = self.entries.get_mut(place).and_then(Option::as_mut) else { return };
        let ran = entry.run;
        change(entry);
        let (name, scope) = (entry.slot.name, entry.slot.scope);
        let report = entry.history.report(clock, now, name, scope, &entry.settings);
        let before = self.tree.get(place);
        let flips = before.is_none_or(|before| {
            before.status != report.status
                || before.blocked_by != report.blocked_by
                || before.readiness != report.readiness
                || before.reason != report.reason
        });
        if flips {
            self.rings = true;
            entry.slot.show(&report);
            self.events.push(Event::Check { before: before.cloned(), now: report.clone() });
            // Those below are blocked, or free again, at once and not at their next turn.
            let children = entry.children.clone();
            for child in children {
                if let Some(child) = self.entries.get(child).and_then(Option::as_ref) {
                    self.nudged.push(child.slot.clone());
                }
            }
        }
        if flips || ran.is_some() {
            self.told.extend(
                self.entries.get(place).and_then(Option::as_ref).map(|entry| entry.slot.bell.clone()),
            );
        }
        self.tree.put(place, Some(report));
        self.dirty = true;
    }

    fn plan(&mut self, place: usize, now: Duration, rung: bool, clock: &Clock) -> Plan {
        if !self.phase.runs() {
            return Plan::End;
        }
        let Some(entry) = self.entry(place) else { return Plan::End };
        if !entry.settings.enabled {
            if std::mem::take(&mut entry.forced) {
                let bell = entry.slot.bell.clone();
                self.told.push(bell);
            }
            return Plan::Wait(Duration::MAX);
        }
        let parents = entry.settings.depends_on.clone();
        let blocker = parents.iter().find_map(|parent| {
            let place = self.by_name.get(parent)?;
            let parent = self.entries.get(*place)?.as_ref()?;
            if parent.settings.enabled { parent.history.blocks(parent.slot.name) } else { None }
        });
        let Some(entry) = self.entry(place) else { return Plan::End };
        if let Some(blocker) = blocker {
            entry.run = None;
            let (forced, bell) = (std::mem::take(&mut entry.forced), entry.slot.bell.clone());
            self.told.extend(forced.then_some(bell));
            let Some(entry) = self.entry(place) else { return Plan::End };
            if now >= entry.history.next_at || !entry.history.is_blocked() {
                self.update(place, now, clock, |entry| {
                    entry.history.blocked(now, blocker, &entry.settings);
                });
            }
        } else {
            if entry.history.is_blocked() {
                entry.history.unblocked(now);
            }
            if rung || entry.forced || now >= entry.history.next_at {
                entry.forced = false;
                entry.history.run_begins(now);
                let settings = entry.settings.clone();
                let id = self.runs.wrapping_add(1);
                self.runs = id;
                if let Some(entry) = self.entry(place) {
                    entry.run = Some(id);
                }
                return Plan::Run { id, settings };
            }
        }
        self.entry(place).map_or(Plan::End, |entry| Plan::Wait(entry.history.next_at))
    }

    /// Takes notice of everything that has changed by time alone.
    fn sweep(&mut self, board: &Board, now: Duration) {
        if now >= self.pulse_at.saturating_add(PULSE_LASTS) {
            self.dirty |= !std::mem::replace(&mut self.stuck, true);
        }
        if now < self.tree.sum().changes_at {
            return;
        }
        for place in 0..self.entries.len() {
            if self.tree.get(place).is_some_and(|check| now >= check.changes_at) {
                self.update(place, now, &board.clock, |entry| {
                    entry.history.sweep(now);
                });
            }
        }
    }

    /// Says to those above a check that it is below them.
    fn link_parents(&mut self, place: usize) {
        let parents =
            self.entries.get(place).and_then(Option::as_ref).map(|entry| entry.settings.depends_on.clone());
        for parent in parents.unwrap_or_default() {
            if let Some(parent) = self.by_name.get(&parent).copied().and_then(|place| self.entry(place)) {
                parent.children.push(place);
            }
        }
    }

    /// Says to every check who is below it.
    pub(crate) fn link(&mut self) {
        self.entries.iter_mut().flatten().for_each(|entry| entry.children.clear());
        (0..self.entries.len()).for_each(|place| self.link_parents(place));
    }

    /// Checks that depend on one.
    pub(crate) fn dependents(&self, name: Name) -> Vec<Name> {
        let below = self.entries.iter().flatten().filter(|entry| entry.settings.depends_on.contains(&name));
        below.map(|entry| entry.slot.name).collect()
    }

    /// What each check depends on.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = (Name, &[Name])> {
        self.entries.iter().flatten().map(|entry| (entry.slot.name, entry.settings.depends_on.as_slice()))
    }

    pub(crate) fn remove(&mut self, place: usize) {
        let Some(entry) = self.entries.get_mut(place).and_then(Option::take) else { return };
        if let Some(task) = entry.task {
            task.abort();
        }
        self.by_name.remove(&entry.slot.name);
        self.free.push(place);
        self.tree.put(place, None);
        self.dirty = true;
        self.directory = Arc::default();
        self.rings = true;
        self.told.push(entry.slot.bell.clone());
        self.link();
    }

    pub(crate) fn reconfigure(
        &mut self,
        place: usize,
        now: Duration,
        clock: &Clock,
        settings: CheckSettings,
    ) {
        self.update(place, now, clock, |entry| {
            let old = std::mem::replace(&mut entry.settings, Arc::new(settings));
            entry.history.reconfigured(now, &old, &entry.settings);
            if !entry.settings.enabled {
                entry.run = None;
            }
        });
        self.link();
        if let Some(slot) = self.entry(place).map(|entry| entry.slot.clone()) {
            self.nudged.push(slot);
        }
    }

    fn report(&mut self, service: Name, clock: &Clock, was_started: bool) -> Report {
        let now = clock.now();
        self.epoch += 1;
        let sum = self.tree.sum();
        let closed: Vec<Name> =
            self.latches.iter().filter(|(_, open)| !open).map(|(name, _)| *name).collect();
        let running = self.phase.runs();
        let started = was_started || running && sum.starting == 0 && closed.is_empty();
        let passes = sum.unready == 0 && started;
        let status = match () {
            () if self.stuck || sum.unhealthy > 0 => Status::Unhealthy,
            () if sum.degraded > 0 => Status::Degraded,
            () => Status::Healthy,
        };
        let fresh_until = sum.ready_until.min(self.pulse_at.saturating_add(PULSE_LASTS));
        Report {
            service,
            epoch: self.epoch,
            at: now,
            at_wall: clock.wall(now),
            phase: self.phase,
            maintenance: self.maintenance.clone(),
            status,
            ready: self.phase == Phase::Running && self.maintenance.is_none() && !self.stuck && passes,
            live: sum.dead == 0,
            started,
            stuck: self.stuck,
            fresh_until: if self.stuck { Duration::MAX } else { fresh_until },
            closed_latches: closed.into(),
            tree: self.tree.clone(),
            sum,
            directory: self.directory.clone(),
            #[cfg(feature = "http")]
            pages: crate::http::Pages::default(),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
