use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock, ConfigError, Name, NoRuntime, StateSource, Watch};
use tokio::runtime::Handle;

use crate::board::Board;
use crate::builder::check_dependencies;
use crate::drain::Work;
use crate::settings::Defaults;
use crate::slot::Slot;
use crate::{AnyCheck, CheckNowError, CheckReport, CheckSettings, HealthManagerBuilder, Report};

/// Runs checks, each on its own schedule, and answers every question about the service's health from the latest
/// [`Report`], without waiting for anything.
///
/// Cheap to clone; all clones are the same manager, which ends with the last of them. A check whose closure has captured a clone
/// keeps it alive until [`stop`](Self::stop).
///
/// ```
/// use std::time::Duration;
/// use mainstay_health::{Check, HealthManager};
///
/// # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let health = HealthManager::builder("orchestrator")
///     .check(Check::shared("redis", || async { ping().await }).critical().timeout(Duration::from_secs(1)))
///     .build()?;
/// health.start()?;
///
/// let mut changes = health.subscribe();
/// while !health.is_ready() {
///     changes.changed().await;
/// }
/// assert_eq!(health.report().summary().healthy, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HealthManager {
    owner: Arc<Owner>,
}

struct Owner {
    board: Arc<Board>,
    limits: Limits,
    runtime: Option<Handle>,
    work: Arc<Work>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) drain_delay: Duration,
    pub(crate) drain_limit: Duration,
    pub(crate) check_now_gap: Duration,
}

/// Waits for changes of a manager's report. Changes between two waits are one: it holds no queue, and whoever is slow sees
/// the latest.
pub struct Subscription {
    board: Arc<Board>,
    watch: Watch,
}

/// Opens one of a manager's startup latches. See [`HealthManagerBuilder::startup_latch`].
#[derive(Clone)]
pub struct StartupLatch {
    board: Arc<Board>,
    name: Name,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            drain_delay: HealthManagerBuilder::DRAIN_DELAY,
            drain_limit: HealthManagerBuilder::DRAIN_LIMIT,
            check_now_gap: HealthManagerBuilder::CHECK_NOW_GAP,
        }
    }
}

// === impl HealthManager ===

impl HealthManager {
    /// Begins to build a manager for the service of this name: 1 to 128 bytes, no control characters.
    pub fn builder(service: impl Into<String>) -> HealthManagerBuilder {
        HealthManagerBuilder::new(service.into())
    }

    pub(crate) fn new(board: Arc<Board>, limits: Limits, runtime: Option<Handle>) -> Self {
        let work = Arc::new(Work::default());
        Self { owner: Arc::new(Owner { board, limits, runtime, work }) }
    }

    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.owner.board
    }

    pub(crate) fn limits(&self) -> Limits {
        self.owner.limits
    }

    pub(crate) fn work(&self) -> &Arc<Work> {
        &self.owner.work
    }

    /// The clock it has its time from.
    pub fn clock(&self) -> &Clock {
        &self.board().clock
    }

    // --- running

    /// Runs the checks, each of them for the first time at once. Does nothing if it runs already. After a
    /// [`stop`](Self::stop), and after a drain and a stop, it can be started again.
    ///
    /// # Errors
    ///
    /// [`NoRuntime`] outside of a tokio runtime, if the builder was not given one.
    pub fn start(&self) -> Result<(), NoRuntime> {
        let runtime = self.owner.runtime.clone().or_else(|| Handle::try_current().ok());
        self.board().start(runtime.ok_or_else(NoRuntime::new)?);
        Ok(())
    }

    /// Runs no more checks, and drops what is under way. The service is not ready from now on; statuses stay what they
    /// were.
    pub fn stop(&self) {
        self.board().stop();
    }

    // --- reading

    /// The latest report. It never waits, and is the same for every reader.
    pub fn report(&self) -> Arc<Report> {
        self.board().report()
    }

    /// Whether the service shall be given work: it has started, is not draining or in maintenance, no check that gates
    /// readiness fails, and their results are fresh. A load and a reading of the coarse clock.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.board().is_ready()
    }

    /// Whether a restart would not help: no internal check that is critical and restarts on failure fails.
    #[inline]
    pub fn is_live(&self) -> bool {
        self.board().is_live()
    }

    /// Whether the service has initialised itself: every latch is open, and every critical internal check has succeeded
    /// once. Never taken back.
    #[inline]
    pub fn is_started(&self) -> bool {
        self.board().is_started()
    }

    /// Reports every change of a status, of a probe, or of what the manager does; not every newer result.
    pub fn subscribe(&self) -> Subscription {
        Subscription { board: self.board().clone(), watch: self.board().changes().watch() }
    }

    /// A check as a source that others can watch: down while it is unhealthy, recovering while it is unknown or blocked by
    /// another check, else up.
    pub fn source(&self, name: &str) -> Option<Arc<dyn StateSource>> {
        self.slot(name).map(|slot| slot as Arc<dyn StateSource>)
    }

    fn slot(&self, name: &str) -> Option<Arc<Slot>> {
        self.board().change(|state, _| {
            let place = state.place(name)?;
            state.entry(place).map(|entry| entry.slot.clone())
        })
    }

    // --- checks

    /// Adds a check. It is run at once if the manager runs.
    ///
    /// # Errors
    ///
    /// As for [`HealthManagerBuilder::build`].
    pub fn register(&self, check: impl Into<AnyCheck>) -> Result<(), ConfigError> {
        let AnyCheck(mut draft) = check.into();
        let name = draft.validate()?;
        let slot = Slot::new(name, draft.scope, draft.probe, draft.classify);
        self.board().register(slot, draft.settings)
    }

    /// Removes a check. A run that is under way is dropped.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] if there is no such check, or if another one depends on it.
    pub fn deregister(&self, name: &str) -> Result<(), ConfigError> {
        self.board().change(|state, _| {
            let place = state.place(name).ok_or_else(|| unknown(name))?;
            if let Some(below) = state.dependents(name).first() {
                let rule = format!("must not be depended on, and check {below} does");
                return Err(ConfigError::new("check.name", format_args!("{name:?}"), rule));
            }
            state.remove(place);
            Ok(())
        })
    }

    /// Runs a check again that was disabled.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] if there is no such check.
    pub fn enable(&self, name: &str) -> Result<(), ConfigError> {
        self.switch(name, true)
    }

    /// Does not run a check, and leaves it out of every probe and count, until it is enabled. A run that is under way is
    /// dropped.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] if there is no such check.
    pub fn disable(&self, name: &str) -> Result<(), ConfigError> {
        self.switch(name, false)
    }

    fn switch(&self, name: &str, enabled: bool) -> Result<(), ConfigError> {
        self.board().change(|state, now| {
            let place = state.place(name).ok_or_else(|| unknown(name))?;
            let settings =
                state.entry(place).map(|entry| entry.settings.clone()).ok_or_else(|| unknown(name))?;
            state.reconfigure(
                place,
                now,
                self.clock(),
                CheckSettings { enabled, ..CheckSettings::clone(&settings) },
            );
            Ok(())
        })
    }

    /// A check's settings.
    pub fn settings(&self, name: &str) -> Option<Arc<CheckSettings>> {
        self.board().change(|state, _| {
            let place = state.place(name)?;
            state.entry(place).map(|entry| entry.settings.clone())
        })
    }

    /// Gives a check other settings. What is known of it stays; the next run comes at most one new interval after the last.
    ///
    /// # Errors
    ///
    /// As for [`HealthManagerBuilder::build`]; the check keeps its settings then. A [`ConfigError`] as well if there is no
    /// such check.
    pub fn reconfigure(&self, name: &str, settings: CheckSettings) -> Result<(), ConfigError> {
        self.reconfigure_all([(name, settings)])
    }

    /// Gives several checks other settings, all at once: all of them, or none. So checks may swap what they depend on.
    ///
    /// # Errors
    ///
    /// As for [`reconfigure`](Self::reconfigure); all checks keep their settings then.
    pub fn reconfigure_all<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, CheckSettings)>,
    ) -> Result<(), ConfigError> {
        let settings: Vec<_> = settings.into_iter().collect();
        self.board().change(|state, now| {
            let mut checked = Vec::with_capacity(settings.len());
            let mut depends = false;
            for (name, mut settings) in settings {
                let place = state.place(name).ok_or_else(|| unknown(name))?;
                let entry = state.entry(place).ok_or_else(|| unknown(name))?;
                let (name, scope) = (entry.slot.name, entry.slot.scope);
                settings.defaults = Defaults::of(&entry.slot.probe);
                settings.validate(scope).map_err(|error| error.within(&format!("check[{name}]")))?;
                depends |= entry.settings.depends_on != settings.depends_on;
                checked.push((place, name, settings));
            }
            if depends {
                let changed = |name: Name| checked.iter().rev().find(|(_, changed, _)| *changed == name);
                let all = state.dependencies().map(|(name, known)| match changed(name) {
                    Some((_, _, settings)) => (name, settings.depends_on.as_slice()),
                    None => (name, known),
                });
                check_dependencies(all)?;
            }
            if depends && checked.len() > 1 {
                // One by one they could go round in a circle for a moment.
                for (place, _, settings) in &checked {
                    let free = CheckSettings { depends_on: Vec::new(), ..settings.clone() };
                    state.reconfigure(*place, now, self.clock(), free);
                }
            }
            for (place, _, settings) in checked {
                state.reconfigure(place, now, self.clock(), settings);
            }
            Ok(())
        })
    }

    /// Runs a check now, and returns what is known of it then. Callers at the same time share one run, and join one that is
    /// under way; a result younger than the [gap](HealthManagerBuilder::check_now_gap) is returned as it is. A check that
    /// is disabled, or blocked by another, is not run.
    ///
    /// # Errors
    ///
    /// [`CheckNowError`] if there is no such check, or it was removed meanwhile, if the manager does not run, or if its runtime
    /// is blocked.
    pub async fn check_now(&self, name: &str) -> Result<Arc<CheckReport>, CheckNowError> {
        let unknown = || CheckNowError::Unknown(name.to_owned());
        let report = self.report();
        let before = report.check(name).ok_or_else(unknown)?;
        if !report.phase().runs() {
            return Err(CheckNowError::NotRunning);
        }
        let now = self.clock().now();
        let young = |at: Duration| now < at.saturating_add(self.owner.limits.check_now_gap);
        if !before.enabled || before.last.as_ref().is_some_and(|last| young(last.at)) {
            return Ok(before.clone());
        }
        let settings = self.settings(name).ok_or_else(unknown)?;
        let patience = now.saturating_add(settings.timeout().saturating_mul(2));
        let slot = self.slot(name).ok_or_else(unknown)?;
        let mut watch = slot.watch();
        self.board().force(before.name).ok_or_else(unknown)?;
        let mut patience = self.clock().sleep_until(patience);
        loop {
            tokio::select! {
                () = watch.changed() => {}
                () = &mut patience => return Err(CheckNowError::Stuck(before.name)),
            }
            if !self.board().has(&slot) {
                return Err(unknown());
            }
            let report = self.report();
            let check = report.check(name).ok_or_else(unknown)?;
            if !report.phase().runs() {
                return Err(CheckNowError::NotRunning);
            }
            if check.runs > before.runs || !check.enabled || check.blocked_by.is_some() {
                return Ok(check.clone());
            }
        }
    }

    // --- startup and maintenance

    /// One of the startup latches that the builder was given.
    pub fn startup_latch(&self, name: &str) -> Option<StartupLatch> {
        let (name, _) = self.board().change(|state, _| state.latch(name))?;
        Some(StartupLatch { board: self.board().clone(), name })
    }

    /// Fails readiness until [`end_maintenance`](Self::end_maintenance): the service gets no new work, and goes on with what
    /// it has. Checks run.
    pub fn begin_maintenance(&self, reason: &str) {
        self.board().change(|state, _| state.maintain(Some(reason)));
    }

    /// Ends [maintenance](Self::begin_maintenance).
    pub fn end_maintenance(&self) {
        self.board().change(|state, _| state.maintain(None));
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.board.close();
    }
}

impl fmt::Debug for HealthManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthManager").field("report", self.board()).finish()
    }
}

fn unknown(name: &str) -> ConfigError {
    ConfigError::new("check.name", format_args!("{name:?}"), "must be the name of a registered check")
}

// === impl Subscription ===

impl Subscription {
    /// Waits for the next change and returns the report after it. Cancel safe.
    pub async fn changed(&mut self) -> Arc<Report> {
        self.watch.changed().await;
        self.board.report()
    }

    /// The latest report, without waiting.
    pub fn report(&self) -> Arc<Report> {
        self.board.report()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

// === impl StartupLatch ===

impl StartupLatch {
    /// Opens it, for good.
    pub fn open(&self) {
        self.board.change(|state, _| state.open_latch(self.name));
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.board.change(|state, _| state.latch(self.name.as_str())).is_some_and(|(_, open)| open)
    }
}

impl fmt::Debug for StartupLatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartupLatch").field("name", &self.name).field("open", &self.is_open()).finish()
    }
}
