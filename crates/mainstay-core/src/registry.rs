use std::any::Any;
use std::collections::HashMap;
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
    /// Its name, unique among things of its kind in the registry.
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
///
/// A name is unique among things of its kind; breakers and keyed sets are of one kind here, because their figures stand
/// side by side. The breaker `redis` and the check `redis` are about the same thing and may have the same name.
#[derive(Clone, Default)]
pub struct Registry {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Default)]
struct Entries {
    list: Vec<Weak<dyn Registered>>,
    by_name: HashMap<(Kind, Name), Weak<dyn Registered>>,
    /// The list is searched for dropped entries when it is as long as this.
    tidy_at: usize,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for the field `name` if a living entry of its kind has the same name.
    pub fn register(&self, entry: &Arc<impl Registered>) -> Result<(), ConfigError> {
        let name = entry.name();
        let kind = match entry.kind() {
            Kind::KeyedSet => Kind::Breaker,
            kind => kind,
        };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.by_name.get(&(kind, name)).is_some_and(|taken| taken.strong_count() > 0) {
            let rule = "must be unique among things of its kind in its registry";
            return Err(ConfigError::new("name", format_args!("{name:?}"), rule));
        }
        if entries.list.len() >= entries.tidy_at {
            entries.list.retain(|entry| entry.strong_count() > 0);
            entries.by_name.retain(|_, entry| entry.strong_count() > 0);
            entries.tidy_at = (2 * entries.list.len()).max(64);
        }
        let entry: Arc<dyn Registered> = entry.clone();
        entries.list.push(Arc::downgrade(&entry));
        entries.by_name.insert((kind, name), Arc::downgrade(&entry));
        Ok(())
    }

    /// Every living entry, in the order of registration.
    pub fn list(&self) -> Vec<Arc<dyn Registered>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.list.iter().filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list().iter().map(|entry| (entry.name(), entry.kind()))).finish()
    }
}
