use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::splitmix::random;
use mainstay_core::{Clock, ConfigError, Name, Registry, check_duration};

use super::Keyed;
use super::set::{Limits, Set};
use crate::Settings;
use crate::books::Plan;

/// Builds a [`Keyed`] set of breakers.
#[must_use]
pub struct KeyedBuilder<K> {
    name: String,
    settings: Settings,
    max_keys: usize,
    idle_after: Duration,
    on_full: OnFull,
    clock: Clock,
    seed: Option<u64>,
    registry: Option<Registry>,
    keys: PhantomData<fn(K)>,
}

/// What a lookup of a new key gets when its set is full and every breaker in it is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnFull {
    /// One breaker that all such keys share, named `<name> overflow`, with the set's settings.
    #[default]
    ShareOverflow,
    /// A rejection.
    Reject,
    /// A breaker that admits every call and decides nothing, named `<name> unguarded`, forced closed.
    AdmitUnguarded,
}

impl OnFull {
    /// What the name of the shared breaker ends with.
    pub(super) fn suffix(self) -> Option<&'static str> {
        match self {
            Self::ShareOverflow => Some(" overflow"),
            Self::Reject => None,
            Self::AdmitUnguarded => Some(" unguarded"),
        }
    }
}

impl<K> KeyedBuilder<K>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    /// The most keys that a set can be built for.
    pub const MAX_KEYS: usize = 16_777_216;

    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            settings: Settings::default(),
            max_keys: 10_000,
            idle_after: Duration::from_secs(10 * 60),
            on_full: OnFull::default(),
            clock: Clock::default(),
            seed: None,
            registry: None,
            keys: PhantomData,
        }
    }

    /// The settings of every breaker. Default: those of [`Settings`].
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// How many keys may have a breaker at once: 1 to 16,777,216. Default: 10,000.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// After how long without a call a breaker that is not in use may be evicted: more than zero, at most 365 days. What
    /// counts is when the last verdict was recorded or the last permit dropped. Default: 10 min.
    pub fn idle_after(mut self, idle: Duration) -> Self {
        self.idle_after = idle;
        self
    }

    /// What a new key gets when the set is full and every breaker in it is in use. Default:
    /// [`OnFull::ShareOverflow`].
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// Where the breakers have their time from. Default: [`Clock::monotonic`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the jitter of every key repeatable; different keys have different jitter all the same. Default: another
    /// seed for every set.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Lists the set, weakly, under its name. Its breakers are not listed by themselves.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Builds the set, empty.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first setting that breaks its documented rule, or a name that the registry has already.
    pub fn build(self) -> Result<Keyed<K>, ConfigError> {
        let name = Name::new(&self.name)?;
        let shared_name = match self.on_full.suffix() {
            Some(suffix) if self.name.len() + suffix.len() > Name::MAX_LEN => {
                let rule = format!("must leave room for `{suffix}` in its 128 bytes");
                return Err(ConfigError::new("name", format_args!("{:?}", self.name), rule));
            }
            Some(suffix) => Some(Name::new(format!("{name}{suffix}"))?),
            None => None,
        };
        if self.max_keys == 0 || self.max_keys > Self::MAX_KEYS {
            return Err(ConfigError::new("max_keys", self.max_keys, "must be from 1 to 16777216"));
        }
        check_duration("idle_after", self.idle_after)?;
        self.settings.validate()?;
        let plan = Plan::new(self.settings, self.seed.unwrap_or_else(random));
        let limits = Limits { max_keys: self.max_keys, idle_after: self.idle_after, on_full: self.on_full };
        let set = Arc::new(Set::new(name, shared_name, plan, self.clock, limits));
        if let Some(registry) = &self.registry {
            registry.register(&set)?;
        }
        Ok(Keyed(set))
    }
}

impl<K> Clone for KeyedBuilder<K> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            registry: self.registry.clone(),
            keys: PhantomData,
            ..*self
        }
    }
}

impl<K> fmt::Debug for KeyedBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBuilder")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .field("max_keys", &self.max_keys)
            .field("idle_after", &self.idle_after)
            .field("on_full", &self.on_full)
            .finish_non_exhaustive()
    }
}
