#[cfg(feature = "breaker")]
use mainstay_breaker::{Breaker, BreakerBuilder};
use mainstay_core::{Clock, Registry};
#[cfg(feature = "degrade")]
use mainstay_degrade::{DegradationManager, DegradationManagerBuilder};
#[cfg(feature = "health")]
use mainstay_health::{HealthManager, HealthManagerBuilder};

/// What the parts of one program share: the clock, and the registry of everything that has a name. Cheap to clone.
///
/// ```
/// use mainstay::Mainstay;
///
/// let mainstay = Mainstay::new();
/// let redis = mainstay.breaker("redis").build()?;
/// let database = mainstay.breaker("database").build()?;
///
/// let names: Vec<_> = mainstay.breakers().iter().map(|breaker| breaker.name()).collect();
/// assert_eq!(names, ["redis", "database"]);
/// assert!(mainstay.breaker("redis").build().is_err(), "one name, one breaker");
/// # drop((redis, database));
/// # Ok::<(), mainstay::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Mainstay {
    clock: Clock,
    registry: Registry,
}

impl Mainstay {
    /// With the monotonic clock and an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a clock of your own.
    pub fn with_clock(clock: Clock) -> Self {
        Self { clock, registry: Registry::new() }
    }

    /// The clock that all parts have their time from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The list of everything that has a name.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Begins to build a breaker that has its time from here and is listed here.
    #[cfg(feature = "breaker")]
    pub fn breaker(&self, name: impl Into<String>) -> BreakerBuilder {
        Breaker::builder(name).clock(self.clock.clone()).registry(&self.registry)
    }

    /// Every breaker that is listed here, in the order in which they were built.
    #[cfg(feature = "breaker")]
    pub fn breakers(&self) -> Vec<Breaker> {
        Breaker::all(&self.registry)
    }

    /// Begins to build a health manager that has its time from here and whose checks are listed here.
    ///
    /// ```
    /// use mainstay::Mainstay;
    /// use mainstay::health::{Check, source};
    ///
    /// let mainstay = Mainstay::new();
    /// let redis = mainstay.breaker("redis").build()?;
    /// let health = mainstay.health("orders").check(Check::shared("redis", source(redis.clone())).critical()).build()?;
    ///
    /// let names: Vec<_> = mainstay.registry().list().iter().map(|entry| (entry.kind(), entry.name())).collect();
    /// assert_eq!(names.len(), 2, "the breaker, and the check of the same name: {names:?}");
    /// # Ok::<(), mainstay::ConfigError>(())
    /// ```
    #[cfg(feature = "health")]
    pub fn health(&self, service: impl Into<String>) -> HealthManagerBuilder {
        HealthManager::builder(service).clock(self.clock.clone()).registry(&self.registry)
    }

    /// Begins to build a degradation manager that has its time from here. Say what it shall watch: breakers, a health
    /// manager, or both.
    ///
    /// ```
    /// use mainstay::Mainstay;
    ///
    /// let mainstay = Mainstay::new();
    /// let redis = mainstay.breaker("redis").build()?;
    /// let health = mainstay.health("orders").build()?;
    /// let degrade = mainstay.degradation().watch(&redis).watch(&health).build()?;
    /// # Ok::<(), mainstay::ConfigError>(())
    /// ```
    #[cfg(feature = "degrade")]
    pub fn degradation(&self) -> DegradationManagerBuilder {
        DegradationManager::builder().clock(self.clock.clone())
    }
}
