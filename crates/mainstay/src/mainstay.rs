#[cfg(feature = "breaker")]
use std::sync::Arc;

#[cfg(feature = "breaker")]
use mainstay_breaker::{Breaker, BreakerBuilder};
#[cfg(any(feature = "health", feature = "degrade"))]
use mainstay_core::NoRuntime;
use mainstay_core::{Clock, Registry};
#[cfg(feature = "degrade")]
use mainstay_degrade::DegradationManager;
#[cfg(feature = "health")]
use mainstay_health::HealthManager;

use crate::MainstayBuilder;

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
}

impl Mainstay {
    /// Begins to build one for a service of this name.
    pub fn builder(service: impl Into<String>) -> MainstayBuilder {
        MainstayBuilder::new(service)
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

    /// The degradation manager. It watches the breakers of the builder, and the health manager.
    #[cfg(feature = "degrade")]
    pub fn degradation(&self) -> &DegradationManager {
        &self.degradation
    }
}
