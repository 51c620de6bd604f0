#[cfg(feature = "breaker")]
use std::sync::Arc;
#[cfg(feature = "config")]
use std::sync::atomic::Ordering;

#[cfg(feature = "breaker")]
use mainstay_breaker::{Breaker, BreakerBuilder};
#[cfg(feature = "config")]
use mainstay_config::Settings;
#[cfg(feature = "config")]
use mainstay_core::ConfigError;
#[cfg(any(feature = "health", feature = "degrade"))]
use mainstay_core::NoRuntime;
use mainstay_core::{Clock, Registry};
#[cfg(feature = "degrade")]
use mainstay_degrade::{DegradationManager, Gather};
#[cfg(feature = "health")]
use mainstay_health::HealthManager;

use crate::MainstayBuilder;
#[cfg(feature = "config")]
use crate::live::Live;

/// What keeps one service answering: its breakers, its health manager and its degradation manager, wired together, with one clock
/// and one list of everything that has a name. Cheap to clone; all clones are the same.
///
/// ```
/// use mainstay::Mainstay;
///
/// let mainstay = Mainstay::builder("orders")
///     .breaker("redis", |breaker| breaker)
///     .breaker("database", |breaker| breaker)
///     .build()?;
///
/// let names: Vec<_> = mainstay.breakers().iter().map(|breaker| breaker.name()).collect();
/// assert_eq!(names, ["redis", "database"]);
/// assert!(mainstay.new_breaker("redis").build().is_err(), "one name, one breaker");
/// # Ok::<(), mainstay::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mainstay {
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    /// Those that the builder was told of: the registry alone would let them go.
    #[cfg(feature = "breaker")]
    pub(crate) breakers: Arc<[Breaker]>,
    #[cfg(feature = "health")]
    pub(crate) health: HealthManager,
    #[cfg(feature = "degrade")]
    pub(crate) degradation: DegradationManager,
    /// If it was made from settings.
    #[cfg(feature = "config")]
    pub(crate) live: Option<Arc<Live>>,
}

impl Mainstay {
    /// Begins to build one for a service of this name.
    pub fn builder(service: impl Into<String>) -> MainstayBuilder {
        MainstayBuilder::new(service)
    }

    /// Begins to build one from settings. Every breaker that they name is built, and what they say of health and degradation holds; code
    /// adds the checks, by the names that the settings have for them. The service is called as the settings say, else as is said here.
    ///
    /// ```
    /// use mainstay::Mainstay;
    /// use mainstay::config::Loader;
    /// use mainstay::health::Check;
    ///
    /// let file = "
    /// circuit_breakers:
    ///   redis: { max_failures: 3, timeout: 15s }
    /// health:
    ///   checks: { database: { critical: true, scope: shared, interval: 30s } }
    /// ";
    /// let loaded = Loader::new().text("mainstay.yaml", file).load()?;
    /// let mainstay = Mainstay::from_settings("orders", loaded.settings())
    ///     .check(Check::shared("database", || async {}))
    ///     .build()?;
    /// assert!(mainstay.breaker("redis").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Where code and settings speak of the same, the settings hold. Of the two managers they say everything: a key that they leave out has the
    /// library's default, whatever code says; code adds checks, sources and signals. A check that is named in the settings and not in code, or in code and not
    /// in the settings, is refused by [`MainstayBuilder::build`]. A breaker with `enabled: false` only observes.
    #[cfg(feature = "config")]
    pub fn from_settings(service: impl Into<String>, settings: &Settings) -> MainstayBuilder {
        MainstayBuilder::new(service).settings(settings)
    }

    /// The settings in force, if it was made from settings.
    #[cfg(feature = "config")]
    pub fn settings(&self) -> Option<Arc<Settings>> {
        self.live.as_ref().map(|live| live.settings())
    }

    /// Puts other settings in force while everything runs: all of them, or none. Breakers keep their state, probes, and the windows whose kind and size stay, checks their
    /// results, levels their causes.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a breaker or a check that was not there at the start, for one of the program's checks that is not named, for what a part
    /// refuses, if this was not made [from settings](Self::from_settings), while a [`Reloader`](crate::Reloader) follows the files, and for another value of what is only read at the start: the health
    /// manager's `service`, `drain_delay`, `drain_limit`, `blocking_threads`, `check_now_gap`, `seed` and `startup_latches`, and whether
    /// degradation is `enabled`. Everything is as it was then.
    #[cfg(feature = "config")]
    pub fn apply(&self, settings: &Settings) -> Result<(), ConfigError> {
        if self.live.as_ref().is_some_and(|live| live.followed.load(Ordering::Acquire)) {
            let rule = "must come from the files: a Reloader follows them";
            return Err(ConfigError::new("settings", "others", rule));
        }
        self.put(settings)
    }

    #[cfg(feature = "config")]
    pub(crate) fn put(&self, settings: &Settings) -> Result<(), ConfigError> {
        let Some(live) = &self.live else {
            let rule = "must have been there when this was built";
            return Err(ConfigError::new("settings", "none", rule));
        };
        live.apply(settings, &self.breakers, &self.health, &self.degradation)
    }

    /// Runs the checks and watches the inputs from now on. Does nothing if it does already.
    ///
    /// # Errors
    ///
    /// [`NoRuntime`] outside of a tokio runtime, if the managers' builders were not given one.
    #[cfg(any(feature = "health", feature = "degrade"))]
    pub fn start(&self) -> Result<(), NoRuntime> {
        #[cfg(feature = "health")]
        self.health.start()?;
        #[cfg(feature = "config")]
        if self.settings().is_some_and(|settings| !settings.degradation.enabled) {
            return Ok(());
        }
        #[cfg(feature = "degrade")]
        self.degradation.start()?;
        Ok(())
    }

    /// The clock that all parts have their time from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The list of everything that has a name.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The breaker of this name.
    #[cfg(feature = "breaker")]
    pub fn breaker(&self, name: &str) -> Option<Breaker> {
        let is_it = |breaker: &Breaker| breaker.name().as_str() == name;
        let own = self.breakers.iter().find(|breaker| is_it(breaker)).cloned();
        own.or_else(|| self.breakers().into_iter().find(is_it))
    }

    /// Every breaker that is listed here, in the order in which they were built.
    #[cfg(feature = "breaker")]
    pub fn breakers(&self) -> Vec<Breaker> {
        Breaker::all(&self.registry)
    }

    /// Begins to build a breaker that has its time from here and is listed here, for as long as the program keeps it. The degradation
    /// manager does not watch it: name those that it shall watch in the [builder](Self::builder).
    #[cfg(feature = "breaker")]
    pub fn new_breaker(&self, name: impl Into<String>) -> BreakerBuilder {
        Breaker::builder(name).clock(self.clock.clone()).registry(&self.registry)
    }

    /// The health manager.
    #[cfg(feature = "health")]
    pub fn health(&self) -> &HealthManager {
        &self.health
    }

    /// A gather of a workflow's parts, by the level of this moment. It has the times of the [settings](Self::from_settings), if there are
    /// any: `timeout_override` for each part, `max_wait_time` for all, and `after_quorum`.
    ///
    /// ```
    /// use mainstay::Mainstay;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mainstay = Mainstay::builder("orchestrator").build()?;
    /// let gathered = mainstay
    ///     .gather("agent_dag")
    ///     .required("plan", async { Ok::<_, &str>("a plan") })
    ///     .part("agent-1", async { Ok("an answer") })
    ///     .run()
    ///     .await?;
    /// assert!(gathered.accepted());
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "degrade")]
    pub fn gather<'a, T, E>(&self, workflow: &str) -> Gather<'a, T, E> {
        let gather = Gather::new(self.degradation.partial(workflow));
        #[cfg(feature = "config")]
        if let Some(settings) = self.settings() {
            let said = &settings.degradation;
            let gather = gather.part_deadline(said.timeout_override).max_wait(said.max_wait_time);
            return match said.after_quorum {
                Some(grace) => gather.after_quorum(grace),
                None => gather,
            };
        }
        gather
    }

    /// The degradation manager. It watches the breakers of the builder, and the health manager.
    #[cfg(feature = "degrade")]
    pub fn degradation(&self) -> &DegradationManager {
        &self.degradation
    }
}
