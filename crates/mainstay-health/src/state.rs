use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Bell, Clock, Name};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::event::Event;
use crate::fleet::Absence;
use crate::history::History;
use crate::report::{Directory, Report};
use crate::slot::{Listing, Slot};
use crate::tree::Tree;
use crate::{CheckSettings, Phase, Status};

/// How often the manager says that it lives.
pub(crate) const PULSE: Duration = Duration::from_secs(5);
/// After which time without that it is stuck: three pulses and two seconds.
const PULSE_LASTS: Duration = Duration::from_secs(17);

/// Everything that changes, behind the board's lock.
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) maintenance: Option<Arc<str>>,
    pub(crate) latches: Vec<(Name, bool)>,
    pub(crate) drains_since: Duration,
    pub(crate) entries: Vec<Option<Entry>>,
    /// Places whose checks were removed.
    pub(crate) free: Vec<usize>,
    pub(crate) by_name: HashMap<Name, usize>,
    pub(crate) tree: Tree,
    pub(crate) directory: Arc<Directory>,
    pub(crate) epoch: u64,
    pub(crate) pulse_at: Duration,
    pub(crate) next_pulse: Duration,
    pub(crate) stuck: bool,
    /// Started, and not stopped: where new checks' tasks go.
    pub(crate) runtime: Option<Handle>,
    pub(crate) watchman: Option<AbortHandle>,
    /// How many runs were begun.
    pub(crate) runs: u64,
    /// Something changed that is to be published.
    pub(crate) dirty: bool,
    /// Something changed that is worth waking those who watch.
    pub(crate) rings: bool,
    pub(crate) events: Vec<Event>,
    /// Whom to wake once the lock is gone.
    pub(crate) nudged: Vec<Arc<Slot>>,
    pub(crate) told: Vec<Arc<Bell>>,
    /// What was removed, to be dropped once the lock is gone: it holds the user's closures.
    pub(crate) removed: Vec<Entry>,
    /// How many checks with a fleet guard are down, and the one absence for all of them.
    pub(crate) guards_down: usize,
    pub(crate) absence: Option<Absence>,
    pub(crate) absences: u64,
    pub(crate) seed: u64,
}

pub(crate) struct Entry {
    pub(crate) slot: Arc<Slot>,
    pub(crate) settings: Arc<CheckSettings>,
    pub(crate) history: History,
    /// Checks that depend on it.
    pub(crate) children: Vec<usize>,
    pub(crate) task: Option<AbortHandle>,
    /// The run under way.
    pub(crate) run: Option<u64>,
    /// Somebody wants a run now.
    pub(crate) forced: bool,
    /// Which of its tasks is the present one: one that was stopped may go on until its next await.
    pub(crate) generation: u64,
    /// It has a fleet guard and is down.
    pub(crate) guards: bool,
    /// Frees its name in the registry when it is dropped.
    pub(crate) listing: Option<Arc<Listing>>,
}

/// What a check's task does next.
pub(crate) enum Plan {
    Run { id: u64, settings: Arc<CheckSettings> },
    Wait(Duration),
    End,
}

// === impl State ===

impl State {
    pub(crate) fn new(now: Duration, seed: u64) -> Self {
        Self {
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
            pulse_at: now,
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
            removed: Vec::new(),
            guards_down: 0,
            absence: None,
            absences: 0,
            seed,
        }
    }

    pub(crate) fn entry(&mut self, place: usize) -> Option<&mut Entry> {
        self.entries.get_mut(place)?.as_mut()
    }

    /// The entry of a slot, unless the slot was removed; its place may be another's by now.
    pub(crate) fn entry_of(&mut self, slot: &Arc<Slot>) -> Option<&mut Entry> {
        self.entry(slot.place()).filter(|entry| Arc::ptr_eq(&entry.slot, slot))
    }

    /// By a name that may be anybody's: what is looked for is not interned.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
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

    /// A latch of this name, and whether it is open.
    pub(crate) fn latch(&self, name: &str) -> Option<(Name, bool)> {
        self.latches.iter().find(|(known, _)| known.as_str() == name).copied()
    }

    /// Readiness fails, unless it does already, or nothing runs. Returns since when it does.
    pub(crate) fn begin_drain(&mut self, now: Duration) -> Duration {
        if !self.phase.runs() {
            return now;
        }
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
        let guard =
            entry.settings.fleet_guard.filter(|_| entry.settings.enabled && entry.history.outage().is_some());
        let guarded = std::mem::replace(&mut entry.guards, guard.is_some());
        match (guarded, guard) {
            (false, Some(guard)) => {
                if self.guards_down == 0 {
                    self.absences = self.absences.wrapping_add(1);
                    self.absence = Some(guard.absence(now, self.seed, self.absences));
                }
                self.guards_down += 1;
            }
            (true, None) => {
                self.guards_down = self.guards_down.saturating_sub(1);
                if self.guards_down == 0 {
                    self.absence = None;
                }
            }
            _ => {}
        }
        let (name, scope) = (entry.slot.name, entry.slot.scope);
        let report = entry.history.report(clock, now, name, scope, &entry.settings, self.absence);
        entry.slot.show(&report);
        let before = self.tree.get(place);
        let flips = before.is_none_or(|before| {
            before.status != report.status
                || before.blocked_by != report.blocked_by
                || before.readiness != report.readiness
                || before.reason != report.reason
        });
        if flips {
            self.rings = true;
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

    /// Whether a run still counts: not once its check was switched off, removed or asked anew, nor while another blocks it.
    pub(crate) fn awaits(&mut self, slot: &Arc<Slot>, run: u64) -> bool {
        self.entry_of(slot).is_some_and(|entry| entry.run == Some(run))
            && self.blocker(slot.place()).is_none()
    }

    /// The check below which this one is unhealthy, or who blocks that one.
    fn blocker(&self, place: usize) -> Option<Name> {
        let entry = self.entries.get(place)?.as_ref()?;
        entry.settings.depends_on.iter().find_map(|parent| {
            let parent = self.entries.get(*self.by_name.get(parent)?)?.as_ref()?;
            if parent.settings.enabled { parent.history.blocks(parent.slot.name) } else { None }
        })
    }

    pub(crate) fn plan(&mut self, place: usize, now: Duration, rung: bool, clock: &Clock) -> Plan {
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
        let blocker = self.blocker(place);
        let Some(entry) = self.entry(place) else { return Plan::End };
        if let Some(blocker) = blocker {
            entry.run = None;
            let (forced, bell) = (std::mem::take(&mut entry.forced), entry.slot.bell.clone());
            self.told.extend(forced.then_some(bell));
            let Some(entry) = self.entry(place) else { return Plan::End };
            if now >= entry.history.next_at || entry.history.blocked_by() != Some(blocker) {
                self.update(place, now, clock, |entry| {
                    entry.history.blocked(now, blocker, &entry.settings);
                });
            }
        } else {
            if entry.history.blocked_by().is_some() {
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

    /// Takes notice of what has changed by time alone, of so many checks at most.
    pub(crate) fn sweep(&mut self, now: Duration, clock: &Clock, mut most: usize) {
        if now >= self.pulse_at.saturating_add(PULSE_LASTS) {
            self.dirty |= !std::mem::replace(&mut self.stuck, true);
        }
        if now < self.tree.sum().changes_at {
            return;
        }
        for place in 0..self.entries.len() {
            if most > 0 && self.tree.get(place).is_some_and(|check| now >= check.changes_at) {
                most -= 1;
                self.update(place, now, clock, |entry| {
                    entry.history.sweep(now);
                });
            }
        }
    }

    pub(crate) fn remove(&mut self, place: usize) {
        let Some(entry) = self.entries.get_mut(place).and_then(Option::take) else { return };
        if let Some(task) = &entry.task {
            task.abort();
        }
        if entry.guards {
            self.guards_down = self.guards_down.saturating_sub(1);
        }
        if self.guards_down == 0 {
            self.absence = None;
        }
        entry.slot.forget();
        self.by_name.remove(&entry.slot.name);
        self.free.push(place);
        self.tree.put(place, None);
        self.dirty = true;
        self.directory = Arc::default();
        self.rings = true;
        self.told.push(entry.slot.bell.clone());
        self.removed.push(entry);
        self.link();
    }

    pub(crate) fn reconfigure(
        &mut self,
        place: usize,
        now: Duration,
        clock: &Clock,
        settings: CheckSettings,
    ) {
        let mut links = false;
        self.update(place, now, clock, |entry| {
            let old = std::mem::replace(&mut entry.settings, Arc::new(settings));
            links = old.depends_on != entry.settings.depends_on;
            entry.history.reconfigured(now, &old, &entry.settings);
            if !entry.settings.enabled {
                entry.run = None;
            }
        });
        if links {
            self.link();
        }
        if let Some(slot) = self.entry(place).map(|entry| entry.slot.clone()) {
            self.nudged.push(slot);
        }
    }

    pub(crate) fn report(&mut self, service: Name, clock: &Clock, was_started: bool) -> Report {
        let now = clock.now();
        self.epoch += 1;
        let sum = self.tree.sum();
        let closed: Vec<Name> =
            self.latches.iter().filter(|(_, open)| !open).map(|(name, _)| *name).collect();
        let running = self.phase.runs();
        let started = was_started || running && sum.starting == 0 && closed.is_empty();
        let passes = sum.unready == 0 && started;
        let status = match () {
            // Nothing is found out, so that nothing is known.
            () if !running => Status::Unknown,
            () if self.stuck || sum.unhealthy > 0 => Status::Unhealthy,
            () if sum.degraded > 0 => Status::Degraded,
            () => Status::Healthy,
        };
        let pulse_until = if self.stuck { Duration::MAX } else { self.pulse_at.saturating_add(PULSE_LASTS) };
        let when_running = |at: Duration| if running { at } else { Duration::MAX };
        Report {
            service,
            epoch: self.epoch,
            at: now,
            at_wall: clock.wall(now),
            phase: self.phase,
            maintenance: self.maintenance.clone(),
            status,
            ready: self.phase == Phase::Running && self.maintenance.is_none() && !self.stuck && passes,
            // Who was stopped is about to end by itself.
            live: !running || sum.dead == 0,
            started,
            stuck: self.stuck,
            fresh_until: when_running(sum.ready_until.min(pulse_until)),
            changes_at: when_running(sum.changes_at.min(pulse_until)),
            closed_latches: closed.into(),
            tree: self.tree.clone(),
            sum,
            directory: self.directory.clone(),
            #[cfg(feature = "http")]
            pages: crate::http::Pages::default(),
        }
    }
}
