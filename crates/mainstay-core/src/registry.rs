use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::{ConfigError, Name, StateSource};

/// What sort of thing a [`Registry`] entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A circuit breaker.
    Breaker,
    /// A set of breakers, one per key.
    KeyedSet,
    /// A health check.
    Check,
    /// A degradation level.
    Level,
}

/// Something that a [`Registry`] can list.
pub trait Registered: Any + Send + Sync {
    /// Its name, unique in the registry.
    fn name(&self) -> Name;

    /// What sort of thing it is.
    fn kind(&self) -> Kind;

    /// Its condition, for things that have one.
    fn source(self: Arc<Self>) -> Option<Arc<dyn StateSource>>;

    /// For the crate that registered it, to find its own type again.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// The list of everything that has a name: breakers, keyed sets, checks, levels.
///
/// It holds its entries weakly: a dropped breaker disappears from the list, and its name is free again. Clones
/// share one list. Metrics, the status page, reload and the command line read it.
#[derive(Clone, Default)]
pub struct Registry {
    entries: Arc<Mutex<Vec<Entry>>>,
}

type Entry = (Name, Weak<dyn Registered>);

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for the field `name` if a living entry has the same name.
    pub fn register(&self, entry: &Arc<impl Registered>) -> Result<(), ConfigError> {
        let name = entry.name();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(_, entry)| entry.strong_count() > 0);
        if entries.iter().any(|(taken, _)| *taken == name) {
            return Err(ConfigError::new("name", format_args!("{name:?}"), "must be unique in its registry"));
        }
        let entry: Arc<dyn Registered> = entry.clone();
        entries.push((name, Arc::downgrade(&entry)));
        Ok(())
    }

    /// Every living entry, in the order of registration.
    pub fn list(&self) -> Vec<Arc<dyn Registered>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter_map(|(_, entry)| entry.upgrade()).collect()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list().iter().map(|entry| (entry.name(), entry.kind()))).finish()
    }
}
