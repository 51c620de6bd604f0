mod builder;
mod set;
mod used;

use std::borrow::Borrow;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use mainstay_core::{Classify, Clock, ConfigError, ErrorsAreFailures, Name, Registry};

pub use self::builder::{KeyedBuilder, OnFull};
use self::set::Set;
pub(crate) use self::used::Used;
use crate::{Breaker, BreakerError, OwnedPermit, Rejected, Settings, Snapshot};

/// A breaker per key: host, tenant, route. Cheap to clone; all clones share one set.
///
/// ```
/// use mainstay_breaker::{Keyed, Settings, State, Trip};
///
/// let hosts = Keyed::<String>::builder("upstreams")
///     .settings(Settings::new().trip(Trip::consecutive_failures(3)))
///     .max_keys(1_000)
///     .build()?;
///
/// for _ in 0..3 {
///     let _ = hosts.call("eu.example.com", || Err::<(), _>("connection refused"));
/// }
/// assert_eq!(hosts.breaker("eu.example.com")?.state(), State::Open);
///
/// // Another key, another breaker.
/// assert_eq!(hosts.call("us.example.com", || Ok::<_, &str>("hello")), Ok("hello"));
/// assert_eq!(hosts.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A key gets its breaker when it is first asked for; all breakers have the same settings and the same name, the
/// set's. Looking one up takes no lock. A breaker without a call for [`idle_after`](KeyedBuilder::idle_after) may be
/// evicted, and at [`max_keys`](KeyedBuilder::max_keys) one that had none lately makes room for a new key; but never
/// one that is *in use*: while a handle to it or a permit of it is alive, while it is not closed, and while it is under
/// another [`Control`](crate::Control) than `Automatic`. An evicted key starts afresh. When the set is full and every
/// breaker is in use, [`OnFull`] decides.
///
/// At no time do two breakers stand for one key: who holds a handle sees what everybody else sees.
///
/// # Keys
///
/// Values that a request brings make good keys only if there are few of them: a host of a fixed list, a tenant, a
/// route's pattern; not a path with numbers in it. The bound keeps the damage small, not the mistake unseen: watch
/// [`KeyedStats::overflowed`]. A key's `Hash`, `Eq` and `Clone` run under the set's lock and must not use the set.
pub struct Keyed<K>(Arc<Set<K>>);

/// What became of lookups and breakers since a set was built. See [`Keyed::stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct KeyedStats {
    /// Keys that have a breaker now.
    pub keys: u64,
    /// Breakers that were evicted: idle, to make room, or by [`Keyed::remove`].
    pub evicted: u64,
    /// Lookups that got the overflow breaker ([`OnFull::ShareOverflow`]).
    pub overflowed: u64,
    /// Lookups that were rejected ([`OnFull::Reject`]).
    pub rejected: u64,
    /// Lookups that got the breaker that admits everything ([`OnFull::AdmitUnguarded`]).
    pub unguarded: u64,
}

// === impl Keyed ===

impl<K> Keyed<K>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    /// Begins to build a set. The name follows the rules of a breaker's (see [`Breaker::builder`]) and must leave room
    /// for ` overflow` or ` unguarded` in its 128 bytes, unless the set rejects when full.
    pub fn builder(name: impl Into<String>) -> KeyedBuilder<K> {
        KeyedBuilder::new(name.into())
    }

    /// The breaker of a key, made if there is none. Any borrowed form of the key will do: a `&str` for a `String`.
    ///
    /// While the handle is alive the breaker is not evicted, so do not keep handles for keys that come and go.
    ///
    /// # Errors
    ///
    /// [`Rejected`] with [`RejectReason::KeysFull`](crate::RejectReason::KeysFull), only with [`OnFull::Reject`]. In the
    /// other modes a full set gives the overflow breaker, or one that admits everything.
    #[inline]
    pub fn breaker<Q>(&self, key: &Q) -> Result<Breaker, Rejected>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.0.breaker(key)
    }

    /// The breaker of a key, if there is one.
    pub fn peek<Q>(&self, key: &Q) -> Option<Breaker>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.peek(key)
    }

    /// Asks to make one call.
    ///
    /// # Errors
    ///
    /// [`Rejected`] as for [`breaker`](Self::breaker), and when the key's breaker does not admit the call.
    pub fn try_acquire<Q>(&self, key: &Q) -> Result<OwnedPermit, Rejected>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.0.breaker(key)?.into_permit()
    }

    /// Makes a call if it is admitted; see [`Breaker::call`].
    ///
    /// # Errors
    ///
    /// [`BreakerError::Rejected`] when it is not admitted, [`BreakerError::Inner`] with the call's own error.
    #[inline]
    pub fn call<Q, T, E>(&self, key: &Q, work: impl FnOnce() -> Result<T, E>) -> Result<T, BreakerError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.0.breaker(key)?.call(work)
    }

    /// The same, with a classifier that decides what a result says about the dependency.
    ///
    /// # Errors
    ///
    /// As for [`call`](Self::call).
    #[inline]
    pub fn call_with<Q, T, E>(
        &self,
        key: &Q,
        classify: impl Classify<T, E>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, BreakerError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.0.breaker(key)?.call_with(classify, work)
    }

    /// Makes an async call if it is admitted when first polled; see [`Breaker::run`].
    ///
    /// # Errors
    ///
    /// [`BreakerError::Rejected`] when it is not admitted, [`BreakerError::Inner`] with the call's own error,
    /// [`BreakerError::TimedOut`] after the settings' time-out.
    pub async fn run<Q, F, T, E>(&self, key: &Q, work: F) -> Result<T, BreakerError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<T, E>>,
    {
        self.run_with(key, ErrorsAreFailures, work).await
    }

    /// The same, with a classifier that decides what a result says about the dependency.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub async fn run_with<Q, F, C, T, E>(&self, key: &Q, classify: C, work: F) -> Result<T, BreakerError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        self.0.breaker(key)?.run_with(classify, work).await
    }

    /// Changes the settings of every breaker, present and future, and of the overflow breaker. Each keeps its state as
    /// with [`Breaker::reconfigure`], and loses what was changed on it alone.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for invalid settings; the running ones stay in force everywhere.
    pub fn reconfigure(&self, settings: Settings) -> Result<(), ConfigError> {
        self.0.reconfigure(settings)
    }

    /// Calls a closure with every key and its breaker, in no order. Keys that come or go meanwhile may be among them or
    /// not. Evicted breakers keep their memory while it runs.
    pub fn for_each(&self, each: impl FnMut(&K, &Breaker)) {
        self.0.for_each(each);
    }

    /// A snapshot of every breaker, with its key.
    pub fn snapshots(&self) -> Vec<(K, Snapshot)> {
        let mut snapshots = Vec::with_capacity(self.len());
        self.0.for_each(|key, breaker| snapshots.push((key.clone(), breaker.snapshot())));
        snapshots
    }

    /// Evicts every breaker that is not in use and has had no call for `idle_after`; returns how many. New keys do this in
    /// passing, a few breakers at a time; call it from a timer if memory should come back without them.
    pub fn evict_idle(&self) -> usize {
        self.0.evict_idle()
    }

    /// Evicts the breaker of a key, if it is not in use. Whether it did.
    pub fn remove<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.remove(key)
    }

    /// How many keys have a breaker; at most [`max_keys`](KeyedBuilder::max_keys).
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no key has a breaker.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What became of lookups and breakers so far.
    pub fn stats(&self) -> KeyedStats {
        self.0.stats()
    }

    /// Every set of this key type in a registry.
    pub fn all(registry: &Registry) -> Vec<Self> {
        let entries = registry.list().into_iter();
        entries.filter_map(|entry| entry.into_any().downcast::<Set<K>>().ok()).map(Self).collect()
    }
}

impl<K> Keyed<K> {
    /// Its name.
    pub fn name(&self) -> Name {
        self.0.identity.name
    }

    /// The clock of its breakers.
    pub fn clock(&self) -> &Clock {
        &self.0.identity.clock
    }

    /// The settings of new breakers.
    pub fn settings(&self) -> Settings {
        self.0.plan().settings.clone()
    }

    /// The breaker that keys share when the set is full: named `<name> overflow`, or `<name> unguarded` and forced
    /// closed. None until it was needed, and never with [`OnFull::Reject`].
    pub fn overflow(&self) -> Option<Breaker> {
        self.0.overflow()
    }
}

impl<K> Clone for Keyed<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> fmt::Debug for Keyed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("name", &self.name())
            .field("clock", self.clock())
            .finish_non_exhaustive()
    }
}
