use std::sync::Arc;
use std::time::Duration;

use mainstay_core::ConfigError;
use tokio::runtime::Handle;

use crate::board::Board;
use crate::builder::check_parents;
use crate::history::History;
use crate::slot::{Listing, Slot};
use crate::state::{Entry, State};
use crate::{CheckSettings, Phase};

// === impl Board ===

impl Board {
    /// Adds a check. It is run from now on if the manager runs.
    pub(crate) fn register(self: &Arc<Self>, slot: Slot, settings: CheckSettings) -> Result<(), ConfigError> {
        // Kept beyond the lock: a check that is refused is dropped, and what it has captured with it.
        let slot = Arc::new(slot);
        self.change(|state, now| {
            // Nothing depends on a new check yet, so that only itself could close a cycle.
            check_parents(slot.name, &settings, |parent| state.by_name.contains_key(&parent))?;
            let place = state.free.last().copied().unwrap_or(state.entries.len());
            self.insert(state, now, place, slot.clone(), settings)
        })
    }

    /// Adds many checks whose names and dependencies are good among each other.
    pub(crate) fn register_all(
        self: &Arc<Self>,
        checks: Vec<(Slot, CheckSettings)>,
    ) -> Result<(), ConfigError> {
        let checks: Vec<_> = checks.into_iter().map(|(slot, settings)| (Arc::new(slot), settings)).collect();
        self.change(|state, now| {
            for (slot, settings) in &checks {
                let place = state.entries.len();
                self.insert(state, now, place, slot.clone(), settings.clone())?;
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
        slot: Arc<Slot>,
        settings: CheckSettings,
    ) -> Result<(), ConfigError> {
        let name = slot.name;
        if state.by_name.contains_key(&name) {
            return Err(ConfigError::new(
                "check.name",
                format_args!("{name:?}"),
                "must be unique among the checks",
            ));
        }
        let mut listing = None;
        if let Some(registry) = &self.registry {
            let listed = Arc::new(Listing(slot.clone()));
            registry.register(&listed).map_err(|error| error.within("check"))?;
            listing = Some(listed);
        }
        slot.settle(place, &self.clock);
        let seed = self.seed.wrapping_add(crate::fleet::mix(name.as_str()));
        let entry = Entry {
            history: History::new(now, &settings, seed),
            settings: Arc::new(settings),
            slot,
            children: Vec::new(),
            task: None,
            run: None,
            forced: false,
            generation: 0,
            guards: false,
            listing,
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
            entry.generation = entry.generation.wrapping_add(1);
            let task = runtime.spawn(crate::run::run(self.clone(), entry.slot.clone(), entry.generation));
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

    /// Nobody holds the manager any more: it stops, and its checks' names are free.
    pub(crate) fn close(&self) {
        self.stop();
        self.change(|state, _| state.entries.iter_mut().flatten().for_each(|entry| entry.listing = None));
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
}
