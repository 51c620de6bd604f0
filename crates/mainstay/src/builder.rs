#[cfg(feature = "config")]
use std::collections::BTreeSet;
use std::fmt;
#[cfg(feature = "config")]
use std::sync::Arc;

#[cfg(feature = "config")]
use mainstay_breaker::Transition;
#[cfg(feature = "breaker")]
use mainstay_breaker::{Breaker, BreakerBuilder};
#[cfg(feature = "config")]
use mainstay_config::Settings;
use mainstay_core::{Clock, ConfigError, Registry};
#[cfg(feature = "degrade")]
use mainstay_degrade::{DegradationManager, DegradationManagerBuilder};
#[cfg(feature = "health")]
use mainstay_health::{AnyCheck, HealthManager, HealthManagerBuilder};
#[cfg(all(feature = "breaker", feature = "health"))]
use mainstay_health::{Check, Shared, source};

use crate::Mainstay;
#[cfg(feature = "config")]
use crate::live::{Hook, Live};

/// Builds a [`Mainstay`]: breakers, a health manager and a degradation manager that know each other, and have one clock.
///
/// ```
/// use std::time::Duration;
/// use mainstay::Mainstay;
/// use mainstay::breaker::OpenFor;
/// use mainstay::degrade::ExecutionMode;
/// use mainstay::health::Check;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mainstay = Mainstay::builder("orders")
///     .dependency("redis", |breaker| breaker.open_for(OpenFor::fixed(Duration::from_secs(15))), |check| check.critical())
///     .breaker("llm_service", |breaker| breaker)
///     .check(Check::internal("queue", || async {}))
///     .degradation(|degradation| degradation.relax_after(Duration::from_secs(10)))
///     .build()?;
/// mainstay.start()?;
///
/// let redis = mainstay.breaker("redis").unwrap();
/// redis.run(async { Ok::<_, std::io::Error>("PONG") }).await?;
/// assert!(!mainstay.degradation().mode(ExecutionMode::Complex).downgraded);
/// # Ok(())
/// # }
/// ```
///
/// The degradation manager watches every breaker that is named here, and the health manager.
#[must_use = "a builder does nothing until it builds"]
pub struct MainstayBuilder {
    clock: Clock,
    registry: Registry,
    #[cfg(feature = "breaker")]
    breakers: Vec<(String, Configure<BreakerBuilder>)>,
    #[cfg(all(feature = "breaker", feature = "health"))]
    sources: Vec<(String, Configure<Check<Shared>>)>,
    #[cfg(any(feature = "health", feature = "degrade"))]
    service: String,
    #[cfg(feature = "health")]
    checks: Vec<AnyCheck>,
    #[cfg(feature = "health")]
    health: Configure<HealthManagerBuilder>,
    #[cfg(feature = "degrade")]
    degradation: Configure<DegradationManagerBuilder>,
    #[cfg(feature = "config")]
    settings: Option<Settings>,
    /// Those of the settings' breakers that code has named, so that naming one twice is refused.
    #[cfg(feature = "config")]
    taken: BTreeSet<String>,
    #[cfg(feature = "config")]
    on_state_change: Option<Hook>,
}

/// What is done to a builder when it is there.
#[cfg(any(feature = "breaker", feature = "health", feature = "degrade"))]
type Configure<B> = Box<dyn FnOnce(B) -> B + Send>;

impl MainstayBuilder {
    pub(crate) fn new(service: impl Into<String>) -> Self {
        #[cfg(not(any(feature = "health", feature = "degrade")))]
        let _: String = service.into();
        Self {
            clock: Clock::default(),
            registry: Registry::new(),
            #[cfg(feature = "breaker")]
            breakers: Vec::new(),
            #[cfg(all(feature = "breaker", feature = "health"))]
            sources: Vec::new(),
            #[cfg(any(feature = "health", feature = "degrade"))]
            service: service.into(),
            #[cfg(feature = "health")]
            checks: Vec::new(),
            #[cfg(feature = "health")]
            health: Box::new(|health| health),
            #[cfg(feature = "degrade")]
            degradation: Box::new(|degradation| degradation),
            #[cfg(feature = "config")]
            settings: None,
            #[cfg(feature = "config")]
            taken: BTreeSet::new(),
            #[cfg(feature = "config")]
            on_state_change: None,
        }
    }

    /// What the settings name is built, and what is built has what they say of it.
    #[cfg(feature = "config")]
    pub(crate) fn settings(mut self, settings: &Settings) -> Self {
        if let Some(service) = settings.health.service {
            self.service = service.as_str().to_owned();
        }
        for name in settings.breakers.keys() {
            self.breakers.push((name.as_str().to_owned(), Box::new(|breaker| breaker)));
        }
        self.settings = Some(settings.clone());
        self
    }

    /// Is called with every transition of a breaker whose settings do not say `on_state_change: false`, in order, on a thread of that
    /// breaker's. Not called without [settings](Mainstay::from_settings).
    #[cfg(feature = "config")]
    pub fn on_state_change(mut self, hook: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        self.on_state_change = Some(Arc::new(hook));
        self
    }

    /// Where all parts have their time from. Default: the monotonic clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// A list of names that is shared with what is built elsewhere. Default: one of its own.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// A breaker. `configure` gets its builder; `|breaker| breaker` leaves the defaults.
    ///
    /// If the [settings](Mainstay::from_settings) name it too, they say what its settings are. If they do not, it begins with what they say of all
    /// breakers (`default`), `configure` comes after that, and a reload leaves it alone.
    #[cfg(feature = "breaker")]
    pub fn breaker(
        mut self,
        name: impl Into<String>,
        configure: impl FnOnce(BreakerBuilder) -> BreakerBuilder + Send + 'static,
    ) -> Self {
        let name = name.into();
        #[cfg(feature = "config")]
        if let Some((_, of_settings)) = self.named_by_settings(&name) {
            *of_settings = Box::new(configure);
            return self;
        }
        self.breakers.push((name, Box::new(configure)));
        self
    }

    /// The first one of this name is that of the settings.
    #[cfg(feature = "config")]
    fn named_by_settings(&mut self, name: &str) -> Option<&mut (String, Configure<BreakerBuilder>)> {
        let is_named = self.settings.as_ref().is_some_and(|settings| settings.breakers.contains_key(name));
        let taken = self.taken.insert(name.to_owned());
        self.breakers.iter_mut().find(|(known, _)| is_named && taken && known == name)
    }

    /// A dependency that replicas share: a breaker, and a check of the same name that watches it. `check` says how much it
    /// matters, such as `|check| check.critical()`.
    #[cfg(all(feature = "breaker", feature = "health"))]
    pub fn dependency(
        mut self,
        name: impl Into<String>,
        breaker: impl FnOnce(BreakerBuilder) -> BreakerBuilder + Send + 'static,
        check: impl FnOnce(Check<Shared>) -> Check<Shared> + Send + 'static,
    ) -> Self {
        let name = name.into();
        self.sources.push((name.clone(), Box::new(check)));
        self.breaker(name, breaker)
    }

    /// A check of the health manager.
    #[cfg(feature = "health")]
    pub fn check(mut self, check: impl Into<AnyCheck>) -> Self {
        self.checks.push(check.into());
        self
    }

    /// What else there is to say about the health manager. Later calls come after earlier ones, and the
    /// [settings](Mainstay::from_settings) after all of them.
    #[cfg(feature = "health")]
    pub fn health(
        mut self,
        configure: impl FnOnce(HealthManagerBuilder) -> HealthManagerBuilder + Send + 'static,
    ) -> Self {
        let before = self.health;
        self.health = Box::new(move |health| configure(before(health)));
        self
    }

    /// What else there is to say about the degradation manager: thresholds, rules, signals. Later calls come after earlier ones, and the
    /// [settings](Mainstay::from_settings) after all of them.
    #[cfg(feature = "degrade")]
    pub fn degradation(
        mut self,
        configure: impl FnOnce(DegradationManagerBuilder) -> DegradationManagerBuilder + Send + 'static,
    ) -> Self {
        let before = self.degradation;
        self.degradation = Box::new(move |degradation| configure(before(degradation)));
        self
    }

    /// Builds everything. Nothing is watched before [`Mainstay::start`].
    ///
    /// # Errors
    ///
    /// The first [`ConfigError`] of a part: of the breakers in the order in which they were named, of the health manager, of the
    /// degradation manager.
    pub fn build(self) -> Result<Mainstay, ConfigError> {
        let Self { clock, registry, .. } = self;
        #[cfg(feature = "config")]
        let settings = self.settings.as_ref();
        #[cfg(feature = "breaker")]
        let breakers = {
            let build = |(name, configure): (String, Configure<BreakerBuilder>)| {
                let builder = Breaker::builder(&name).clock(clock.clone()).registry(&registry);
                #[cfg(feature = "config")]
                if let Some(settings) = settings {
                    let said = settings.breaker(&name).settings.clone();
                    // What the settings name is theirs; else code begins with what they say of all.
                    return match settings.breakers.contains_key(name.as_str()) {
                        true => configure(builder).settings(said).build(),
                        false => configure(builder.settings(said)).build(),
                    };
                }
                configure(builder).build()
            };
            self.breakers.into_iter().map(build).collect::<Result<Vec<_>, _>>()?
        };
        #[cfg(feature = "health")]
        let health = {
            let mut health = HealthManager::builder(&self.service).clock(clock.clone()).registry(&registry);
            #[cfg(feature = "breaker")]
            for (name, configure) in self.sources {
                if let Some(breaker) = breakers.iter().find(|breaker| breaker.name().as_str() == name) {
                    health = health.check(configure(Check::shared(name, source(breaker.clone()))));
                }
            }
            for check in self.checks {
                health = health.check(check);
            }
            health = (self.health)(health);
            #[cfg(feature = "config")]
            if let Some(settings) = settings {
                health = settings.health.apply(health);
            }
            health.build()?
        };
        #[cfg(feature = "degrade")]
        let degradation = {
            let mut degradation =
                DegradationManager::builder().name(&self.service).clock(clock.clone()).registry(&registry);
            #[cfg(feature = "breaker")]
            for breaker in &breakers {
                degradation = degradation.watch(breaker);
            }
            #[cfg(feature = "health")]
            {
                degradation = degradation.watch(&health);
            }
            degradation = (self.degradation)(degradation);
            #[cfg(feature = "config")]
            if let Some(settings) = settings {
                degradation = degradation.settings(settings.degradation.levels());
            }
            degradation.build()?
        };
        #[cfg(feature = "config")]
        let live = match settings {
            Some(settings) => Some(Live::new(settings, &breakers, &health, self.on_state_change.as_ref())?),
            None => None,
        };
        Ok(Mainstay {
            clock,
            registry,
            #[cfg(feature = "breaker")]
            breakers: breakers.into(),
            #[cfg(feature = "health")]
            health,
            #[cfg(feature = "degrade")]
            degradation,
            #[cfg(feature = "config")]
            live: live.map(Arc::new),
        })
    }
}

impl fmt::Debug for MainstayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("MainstayBuilder");
        #[cfg(feature = "breaker")]
        debug.field("breakers", &self.breakers.iter().map(|(name, _)| name).collect::<Vec<_>>());
        #[cfg(any(feature = "health", feature = "degrade"))]
        debug.field("service", &self.service);
        debug.finish_non_exhaustive()
    }
}
