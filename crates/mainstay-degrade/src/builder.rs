use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_core::{Clock, ConfigError, Name, Registry, StateSource};
use tokio::runtime::Handle;

use crate::board::Board;
use crate::books::Books;
use crate::judge::Judge;
use crate::manager::Owner;
use crate::{
    BehaviorRules, DegradationManager, ExecutionMode, Level, Mode, ModeRules, PartialPolicies, Settings,
    Signal, Thresholds,
};

/// Builds a [`DegradationManager`].
#[must_use = "a builder does nothing until it builds"]
pub struct DegradationManagerBuilder<M: Mode = ExecutionMode> {
    sources: Vec<Arc<dyn StateSource>>,
    signals: Vec<Signal>,
    name: String,
    registry: Option<Registry>,
    clock: Clock,
    runtime: Option<Handle>,
    settings: Settings<M>,
}

impl DegradationManagerBuilder {
    pub(crate) fn new() -> Self {
        Self {
            sources: Vec::new(),
            signals: Vec::new(),
            name: "degradation".to_owned(),
            registry: None,
            clock: Clock::monotonic(),
            runtime: None,
            settings: Settings::default(),
        }
    }
}

impl<M: Mode> DegradationManagerBuilder<M> {
    /// Watches a breaker, a health manager, or any other source: what it says is down counts at once. A name is counted once for
    /// breakers, once for critical checks and once for others, however many sources say it.
    pub fn watch<S: StateSource + Clone + 'static>(mut self, source: &S) -> Self {
        self.sources.push(Arc::new(source.clone()));
        self
    }

    /// Watches a signal of your own.
    pub fn signal(mut self, signal: &Signal) -> Self {
        self.signals.push(signal.clone());
        self
    }

    /// From which figures on each level is reached. Default: see [`Thresholds`].
    pub fn thresholds(mut self, thresholds: Thresholds) -> Self {
        self.settings.thresholds = thresholds;
        self
    }

    /// How long each level is held after its last threshold is no longer reached: the level is the worst of this time.
    /// More than zero, at most 365 days. Default: 30 s.
    pub fn relax_after(mut self, relax_after: Duration) -> Self {
        self.settings.relax_after = [relax_after; 3];
        self
    }

    /// The same for one level. A worse level must not be held for longer than a better one: leaving it leads there.
    pub fn relax_level_after(mut self, level: Level, relax_after: Duration) -> Self {
        let index = usize::from(level.as_number()).checked_sub(1);
        if let Some(held) = index.and_then(|index| self.settings.relax_after.get_mut(index)) {
            *held = relax_after;
        }
        self
    }

    /// The longest time between two looks at what cannot be watched. More than zero. Default: 30 s.
    pub fn check_interval(mut self, check_interval: Duration) -> Self {
        self.settings.check_interval = check_interval;
        self
    }

    /// What it is called where it is listed, such as the service's name. Default: `degradation`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Lists the manager's level. Default: it is not listed.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Where time comes from. Default: the monotonic clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The runtime to watch on. Default: the one in which [`DegradationManager::start`] is called.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// A ladder of modes of your own, and its rules. Default: [`ModeRules::seed`].
    pub fn modes<N: Mode>(self, modes: ModeRules<N>) -> DegradationManagerBuilder<N> {
        let Self { sources, signals, name, registry, clock, runtime, settings } = self;
        let Settings { thresholds, relax_after, check_interval, behaviors, partial, .. } = settings;
        let settings = Settings { thresholds, relax_after, check_interval, modes, behaviors, partial };
        DegradationManagerBuilder { sources, signals, name, registry, clock, runtime, settings }
    }

    /// All settings at once.
    pub fn settings(mut self, settings: Settings<M>) -> Self {
        self.settings = settings;
        self
    }

    /// What operations do when something is down. Default: [`BehaviorRules::seed`].
    pub fn behaviors(mut self, behaviors: BehaviorRules) -> Self {
        self.settings.behaviors = behaviors;
        self
    }

    /// How much of a workflow's parts must succeed. Default: [`PartialPolicies::seed`].
    pub fn partial(mut self, partial: PartialPolicies) -> Self {
        self.settings.partial = partial;
        self
    }

    /// Builds the manager. It watches nothing before it is started.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for the first setting that breaks its documented rule, for two signals of one name, and for a name that is none or is
    /// another level's in the registry.
    pub fn build(self) -> Result<DegradationManager<M>, ConfigError> {
        self.settings.validate()?;
        let mut signals = Vec::with_capacity(self.signals.len());
        for signal in self.signals {
            let name = signal.validate()?;
            if signals.iter().any(|(known, _)| *known == name) {
                let rule = "must be unique among the signals";
                return Err(ConfigError::new("signal.name", format_args!("{name:?}"), rule));
            }
            signals.push((name, signal));
        }
        let Self { sources, registry, clock, runtime, settings, .. } = self;
        let name = Name::new(&self.name)?;
        let books = Books::new(&settings);
        let judge = Judge::new(settings.thresholds, settings.relax_after);
        let board = Board::new(name, clock, sources, signals, judge, settings.check_interval);
        if let Some(registry) = registry {
            registry.register(&board)?;
        }
        let settings = ArcSwap::from_pointee(settings);
        Ok(DegradationManager {
            owner: Arc::new(Owner { board, runtime, settings, turn: Mutex::default(), books }),
        })
    }
}

impl<M: Mode> fmt::Debug for DegradationManagerBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DegradationManagerBuilder")
            .field("sources", &self.sources.len())
            .field("signals", &self.signals)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
