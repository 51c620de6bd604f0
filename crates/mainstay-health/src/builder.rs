use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mainstay_core::{Clock, ConfigError, Name, Registry, check_duration, splitmix};
use tokio::runtime::Handle;

use crate::board::Board;
use crate::manager::{HealthManager, Limits};
use crate::slot::Slot;
use crate::threads::Threads;
use crate::{AnyCheck, CheckSettings};

/// Builds a [`HealthManager`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct HealthManagerBuilder {
    service: String,
    checks: Vec<AnyCheck>,
    latches: Vec<String>,
    clock: Clock,
    registry: Option<Registry>,
    runtime: Option<Handle>,
    seed: Option<u64>,
    blocking_threads: usize,
    limits: Limits,
}

/// The most threads for blocking checks.
const MAX_THREADS: usize = 1024;

impl HealthManagerBuilder {
    /// The default of [`drain_delay`](Self::drain_delay).
    pub const DRAIN_DELAY: Duration = Duration::from_secs(5);
    /// The default of [`drain_limit`](Self::drain_limit).
    pub const DRAIN_LIMIT: Duration = Duration::from_secs(55);
    /// The default of [`blocking_threads`](Self::blocking_threads).
    pub const BLOCKING_THREADS: usize = 64;
    /// The default of [`check_now_gap`](Self::check_now_gap).
    pub const CHECK_NOW_GAP: Duration = Duration::from_secs(1);

    pub(crate) fn new(service: String) -> Self {
        Self {
            service,
            checks: Vec::new(),
            latches: Vec::new(),
            clock: Clock::monotonic(),
            registry: None,
            runtime: None,
            seed: None,
            blocking_threads: Self::BLOCKING_THREADS,
            limits: Limits::default(),
        }
    }

    /// Adds a check.
    pub fn check(mut self, check: impl Into<AnyCheck>) -> Self {
        self.checks.push(check.into());
        self
    }

    /// Adds a latch: the service has not started before it is opened, with [`HealthManager::startup_latch`]. For
    /// initialisation that is no check: migrations, a warm cache.
    pub fn startup_latch(mut self, name: impl Into<String>) -> Self {
        self.latches.push(name.into());
        self
    }

    /// Where time comes from. Default: the monotonic clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Lists the checks in a registry. Default: nowhere.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// The runtime to run checks on. Default: the one in which [`HealthManager::start`] is called. With a runtime of its own,
    /// of one thread, checks keep their schedule even if the service's runtime is blocked.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// What jitter and the delays of a [`FleetGuard`](crate::FleetGuard) are made from. It must differ between replicas:
    /// numbers in a row, such as the ordinals of a stateful set's pods, spread a fleet's delays evenly. Default: a random one
    /// for each manager.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How many blocking checks may run, or hang, at once: 1 to 1024. Each check takes one thread at most. Default: 64.
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads = threads;
        self
    }

    /// From the moment at which readiness fails to the one at which no more work is accepted: as long as balancers take to
    /// notice. At most 365 days; zero is allowed. Default: 5 s.
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.limits.drain_delay = delay;
        self
    }

    /// How long work that is under way is waited for after that. At most 365 days; zero is allowed. Default: 55 s, so that a
    /// shutdown takes a minute at most. Whoever kills the process must wait longer than both: Kubernetes waits for 30 s
    /// unless `terminationGracePeriodSeconds` says otherwise.
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.limits.drain_limit = limit;
        self
    }

    /// How old the latest result must be before [`HealthManager::check_now`] runs the check again. More than zero. Default: 1 s.
    pub fn check_now_gap(mut self, gap: Duration) -> Self {
        self.limits.check_now_gap = gap;
        self
    }

    /// Builds the manager. It runs nothing before it is started.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the check, the value and the rule: an empty or repeated name, a time-out that is not
    /// less than its interval, a zero interval, a dependency that does not exist, a cycle of dependencies, or any other
    /// setting that breaks its documented rule.
    pub fn build(self) -> Result<HealthManager, ConfigError> {
        let service =
            Name::new(&self.service).map_err(|error| ConfigError { field: "service".into(), ..error })?;
        for (field, value) in
            [("drain_delay", self.limits.drain_delay), ("drain_limit", self.limits.drain_limit)]
        {
            // Zero is fine: there may be no balancer.
            check_duration(field, value.max(Duration::from_nanos(1)))?;
        }
        check_duration("check_now_gap", self.limits.check_now_gap)?;
        if !(1..=MAX_THREADS).contains(&self.blocking_threads) {
            let rule = "must be from 1 to 1024";
            return Err(ConfigError::new("blocking_threads", self.blocking_threads, rule));
        }

        let mut checks = Vec::with_capacity(self.checks.len());
        let mut known = HashSet::with_capacity(self.checks.len());
        for AnyCheck(mut draft) in self.checks {
            let name = draft.validate()?;
            if !known.insert(name) {
                return Err(ConfigError::new(
                    "check.name",
                    format_args!("{name:?}"),
                    "must be unique among the checks",
                ));
            }
            checks.push((Slot::new(name, draft.scope, draft.probe, draft.classify), draft.settings));
        }
        let dependencies = checks.iter().map(|(slot, settings)| (slot.name, settings.depends_on.as_slice()));
        check_dependencies(dependencies)?;

        let threads = Threads::new(self.blocking_threads);
        let seed = self.seed.unwrap_or_else(splitmix::random);
        let board = Board::new(service, self.clock, self.registry, threads, seed);
        for latch in &self.latches {
            let name =
                Name::new(latch).map_err(|error| ConfigError { field: "startup_latch".into(), ..error })?;
            if !board.change(|state, _| state.add_latch(name)) {
                let rule = "must be unique among the latches";
                return Err(ConfigError::new("startup_latch", format_args!("{latch:?}"), rule));
            }
        }
        board.register_all(checks)?;
        Ok(HealthManager::new(board, self.limits, self.runtime))
    }
}

/// Refuses dependencies that do not exist, and cycles.
pub(crate) fn check_dependencies<'a>(
    checks: impl Iterator<Item = (Name, &'a [Name])>,
) -> Result<(), ConfigError> {
    let parents: HashMap<Name, &[Name]> = checks.collect();
    // In a fixed order, so that the same mistake gives the same message.
    let mut names: Vec<Name> = parents.keys().copied().collect();
    names.sort_unstable();
    let mut done: HashSet<Name> = HashSet::with_capacity(names.len());
    for start in names {
        // Depth first, with the way down as a stack of (check, how many of its parents have been seen).
        let mut way: Vec<(Name, usize)> = vec![(start, 0)];
        let mut on_the_way: HashSet<Name> = HashSet::from([start]);
        while let Some((check, seen)) = way.last_mut() {
            let (check, next) = (*check, parents.get(check).and_then(|parents| parents.get(*seen)).copied());
            *seen += 1;
            let Some(parent) = next.filter(|_| !done.contains(&check)) else {
                done.insert(check);
                on_the_way.remove(&check);
                way.pop();
                continue;
            };
            if !parents.contains_key(&parent) {
                return refuse(check, &parent, "must be the name of a registered check");
            }
            if !on_the_way.insert(parent) {
                let names =
                    way.iter().map(|(name, _)| name.as_str()).skip_while(|name| *name != parent.as_str());
                let cycle: Vec<&str> = names.chain([parent.as_str()]).collect();
                return refuse(check, &cycle.join(" -> "), "must not form a cycle");
            }
            way.push((parent, 0));
        }
    }
    Ok(())
}

/// What a new check depends on must be there already.
pub(crate) fn check_parents(
    name: Name,
    settings: &CheckSettings,
    known: impl Fn(Name) -> bool,
) -> Result<(), ConfigError> {
    match settings.depends_on.iter().find(|parent| !known(**parent)) {
        Some(parent) => refuse(name, parent, "must be the name of a registered check"),
        None => Ok(()),
    }
}

fn refuse(check: Name, value: &dyn std::fmt::Display, rule: &str) -> Result<(), ConfigError> {
    Err(ConfigError::new(format!("check[{check}].depends_on"), value, rule))
}
