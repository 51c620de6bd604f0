//! The map behind a keyed set: lookups without a lock, everything that adds or takes away under one.
//!
//! What must never happen: that two living breakers stand for one key, because then a trip on one is not seen by who
//! holds the other. A key's entry is added, and taken away, under the set's lock only, so that there is one entry at a
//! time. What remains is the race between a lookup, which takes no lock, and an eviction:
//!
//! - The lookup clones the entry's `Arc` (the count goes up), passes a SeqCst fence, and looks at the word. If it is
//!   marked `EVICTED` it drops the clone and looks again under the set's lock.
//! - The eviction marks the word of a breaker that is at rest, passes a SeqCst fence, and looks at the count. If it
//!   is not 1, the map's own, somebody uses the breaker: the mark is taken back. Otherwise the entry is taken away.
//!
//! Of two SeqCst fences one comes first. If the lookup's does, the eviction sees the raised count and leaves the breaker
//! alone. If the eviction's does, the lookup sees the mark and gives the breaker back unused. So when an eviction goes
//! through, no lookup that began before has come away with a handle that it still holds, none that comes later will,
//! and there is no handle left to make another from; whoever looks again waits for the lock and finds the key gone. A
//! handle that was dropped did all that it ever will before its count went down; what it did under the breaker's lock
//! the eviction sees, because it holds that lock from its look at the state to its look at the count. A success that was
//! counted without the lock (see `pace`) is lost with the breaker, as everything is that an idle one has counted.
//!
//! The map frees an entry later, when no lookup can still be reading it, so a count may stay up on a breaker that is
//! gone from the map; nobody looks at that one.
//!
//! Locks are taken in this order: the set's, a breaker's, the plan's. No user code runs under the last two; under the
//! first one run the key's `Hash`, `Eq`, `Clone` and `Drop`.

use std::any::Any;
use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use mainstay_core::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, OnceLock, Ordering, fence};
use mainstay_core::{Clock, ConfigError, Kind, Name, Registered, StateSource};
use papaya::{HashMap, HashMapRef, LocalGuard};

use super::{KeyedStats, OnFull};
use crate::books::Plan;
use crate::machine::{Identity, Machine};
use crate::phase::nanos;
use crate::{Breaker, Control, RejectReason, Rejected, Settings};

pub(super) struct Set<K> {
    pub(super) identity: Arc<Identity>,
    map: HashMap<K, Slot, Hashing>,
    /// How many keys the map holds, written under the set's lock. The map's own count is a sum over counters that other
    /// threads change meanwhile: exact under the lock only, and beside it sometimes more than there ever were.
    held: AtomicUsize,
    ring: Mutex<Ring<K>>,
    /// The settings of new breakers, with the set's seed. A lock of its own, because it is read under a breaker's.
    plan: Mutex<Plan>,
    limits: Limits,
    /// The breaker for keys that find no place, with its name.
    shared: OnceLock<Breaker>,
    shared_name: Option<Name>,
    evicted: AtomicU64,
    turned_away: AtomicU64,
}

pub(super) struct Limits {
    pub(super) max_keys: usize,
    pub(super) idle_after: Duration,
    pub(super) on_full: OnFull,
}

/// What the map holds for a key. Empty only until whoever put it there has made the breaker, under the set's lock: in
/// this order the breaker's memory is the next to that of its entry, as often as the allocator has it so, and then a
/// call of a key that is in nobody's cache waits for the memory once and not twice.
#[derive(Default)]
struct Slot(OnceLock<Arc<Machine>>);

/// Every key in the order in which the hand passes: that of a clock with a second chance.
///
/// A key that was removed by hand stays here until the hand finds that it is gone, and if it is added again meanwhile it
/// is here twice, which does no harm.
struct Ring<K> {
    keys: VecDeque<K>,
    /// Until when the hand does not go all the way round, because it did so in vain.
    tired_until: u64,
}

/// What the hand found.
#[derive(PartialEq)]
enum Found {
    /// No such key.
    Gone,
    Evicted,
    /// It has been used since the hand last passed.
    Recent,
    Kept,
}

/// How many breakers an insertion looks at in passing, to see whether they are idle.
const IN_PASSING: usize = 2;
/// How many breakers a tired hand looks at.
const SHORT_TURN: usize = 32;
/// How long the hand is tired after a turn in vain, for each key; about a hundred times as long as the turn took.
const REST: u64 = 10_000;
/// For how many keys at once `evict_idle` holds the lock.
const BATCH: usize = 256;

/// Keys are hashed so that nobody who chooses them can choose where they fall; under loom always alike, because a model
/// must do the same things each time that it is run.
#[cfg(not(loom))]
type Hashing = std::hash::RandomState;
#[cfg(loom)]
type Hashing = std::hash::BuildHasherDefault<DefaultHasher>;

type Pinned<'a, K> = HashMapRef<'a, K, Slot, Hashing, LocalGuard<'a>>;

// === impl Set ===

impl<K> Set<K>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    #[inline]
    pub(super) fn breaker<Q>(&self, key: &Q) -> Result<Breaker, Rejected>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.map.pin().get(key).and_then(Slot::handle) {
            Some(breaker) => Ok(breaker),
            None => self.make(key),
        }
    }

    pub(super) fn peek<Q>(&self, key: &Q) -> Option<Breaker>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let pinned = self.map.pin();
        let slot = pinned.get(key)?;
        slot.handle().or_else(|| {
            // It is being evicted, or not quite.
            let _ring = self.lock();
            pinned.get(key)?.handle()
        })
    }

    #[inline(never)]
    fn make<Q>(&self, key: &Q) -> Result<Breaker, Rejected>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        // Pinned before the lock is taken, so that what is freed when the pin goes is freed after the lock is released.
        let pinned = self.map.pin();
        let mut ring = self.lock();
        if let Some(slot) = pinned.get(key) {
            match slot.handle() {
                Some(breaker) => return Ok(breaker),
                // Nobody is evicting or inserting now: a panic in the key's `Eq` came between the mark and the end.
                None => {
                    pinned.remove(key);
                    self.recount();
                }
            }
        }
        let now = self.identity.clock.coarse_nanos();
        if self.len() >= self.limits.max_keys && !self.make_room(&mut ring, &pinned, now) {
            return self.turn_away();
        }
        let key = key.to_owned();
        let plan = self.plan();
        let seed = seed_of(&key, plan.seed);
        // The ring first: a key that is in it only does no harm, one that is in the map only would stay for ever.
        ring.keys.push_back(key.clone());
        let machine = pinned.get_or_insert(key, Slot::default()).0.get_or_init(|| {
            let machine = Machine::new(self.identity.clone(), plan.seeded(seed), false);
            machine.used.begin(now);
            Arc::new(machine)
        });
        let breaker = Breaker::from_machine(machine.clone());
        self.recount();
        self.tidy(&mut ring, &pinned, now);
        Ok(breaker)
    }

    /// Evicts a breaker so that there is a place: the first that was not used since the hand last passed, or else the
    /// first that is not in use.
    fn make_room(&self, ring: &mut Ring<K>, pinned: &Pinned<'_, K>, now: u64) -> bool {
        let keys = ring.keys.len();
        let turn = if now >= ring.tired_until { keys } else { keys.min(SHORT_TURN) };
        let mut recent = None;
        for _ in 0..turn {
            // It leaves the ring after it was looked at: a panic in its `Hash` or `Eq` must not lose it.
            let Some(key) = ring.keys.front() else { break };
            match self.pass(pinned, key, |machine| machine.used.take_again()) {
                Found::Recent if recent.is_none() => recent = Some(key.clone()),
                Found::Recent | Found::Kept => {}
                gone => {
                    ring.keys.pop_front();
                    if gone == Found::Evicted {
                        return true;
                    }
                    continue;
                }
            }
            ring.keys.rotate_left(1);
        }
        if let Some(key) = recent
            && matches!(self.pass(pinned, &key, |_| false), Found::Evicted)
        {
            return true;
        }
        ring.tired_until = now.saturating_add(REST.saturating_mul(keys as u64));
        false
    }

    /// After an insertion: evicts idle breakers in passing, and forgets keys that were removed by hand if there are many.
    fn tidy(&self, ring: &mut Ring<K>, pinned: &Pinned<'_, K>, now: u64) {
        self.evict_some_idle(ring, pinned, now, IN_PASSING);
        let keys = self.len();
        if ring.keys.len() > 2 * keys + SHORT_TURN {
            ring.keys = pinned.keys().cloned().collect();
        }
    }

    pub(super) fn evict_idle(&self) -> usize {
        let (mut left, mut evicted) = (self.lock().keys.len(), 0);
        while left > 0 {
            // Others may have their turn in between.
            let pinned = self.map.pin();
            let mut ring = self.lock();
            let batch = left.min(BATCH);
            evicted += self.evict_some_idle(&mut ring, &pinned, self.identity.clock.coarse_nanos(), batch);
            left -= batch;
        }
        evicted
    }

    fn evict_some_idle(&self, ring: &mut Ring<K>, pinned: &Pinned<'_, K>, now: u64, batch: usize) -> usize {
        let (mut evicted, idle_after) = (0, nanos(self.limits.idle_after));
        for _ in 0..batch {
            let Some(key) = ring.keys.front() else { break };
            match self.pass(pinned, key, |machine| !machine.used.is_idle(now, idle_after)) {
                Found::Recent | Found::Kept => ring.keys.rotate_left(1),
                gone => {
                    ring.keys.pop_front();
                    evicted += usize::from(gone == Found::Evicted);
                }
            }
        }
        evicted
    }

    pub(super) fn remove<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let pinned = self.map.pin();
        let _ring = self.lock();
        matches!(self.pass(&pinned, key, |_| false), Found::Evicted)
    }

    /// Under the lock: evicts the breaker of a key, unless it is recent or in use.
    fn pass<Q>(&self, pinned: &Pinned<'_, K>, key: &Q, recent: impl FnOnce(&Machine) -> bool) -> Found
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Some(Slot(cell)) = pinned.get(key) else { return Found::Gone };
        // Under the lock an empty one is as good as gone.
        if let Some(machine) = cell.get() {
            if recent(machine) {
                return Found::Recent;
            }
            // Without the breaker's lock first: most of those that stay are plainly in use.
            if is_shared(machine) || !machine.give_up(|| !is_shared(machine)) {
                return Found::Kept;
            }
        }
        pinned.remove(key);
        self.recount();
        self.evicted.fetch_add(1, Ordering::Relaxed);
        Found::Evicted
    }

    /// There is no place for a key. Under the set's lock, so that a breaker that is made here has the settings that
    /// `reconfigure` finds or will bring.
    #[cold]
    fn turn_away(&self) -> Result<Breaker, Rejected> {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        let Some(name) = self.shared_name else {
            return Err(Rejected::new(self.identity.name, RejectReason::KeysFull, None, None));
        };
        let shared = self.shared.get_or_init(|| {
            let machine = Machine::new(Identity::new(name, self.identity.clock.clone()), self.plan(), true);
            if self.limits.on_full == OnFull::AdmitUnguarded {
                machine.begin_under(Control::ForcedClosed);
            }
            Breaker::from_machine(Arc::new(machine))
        });
        Ok(shared.clone())
    }

    pub(super) fn reconfigure(&self, settings: Settings) -> Result<(), ConfigError> {
        settings.validate()?;
        {
            // Breakers are made under this lock: each gets the new plan, or is in the map below.
            let _ring = self.lock();
            let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
            *plan = Plan::new(settings, plan.seed);
        }
        // Whichever plan is the latest when it is the breaker's turn: of two calls at once, the later plan stays.
        let latest = |machine: &Machine| machine.replan(|seed| self.plan().seeded(seed));
        for machine in self.map.pin().values().filter_map(|slot| slot.0.get()) {
            latest(machine);
        }
        if let Some(breaker) = self.shared.get() {
            latest(breaker.machine());
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Under the lock, after a key came or went.
    fn recount(&self) {
        self.held.store(self.map.len(), Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> KeyedStats {
        let turned_away = self.turned_away.load(Ordering::Relaxed);
        let mut stats = KeyedStats {
            keys: self.len() as u64,
            evicted: self.evicted.load(Ordering::Relaxed),
            ..KeyedStats::default()
        };
        match self.limits.on_full {
            OnFull::ShareOverflow => stats.overflowed = turned_away,
            OnFull::Reject => stats.rejected = turned_away,
            OnFull::AdmitUnguarded => stats.unguarded = turned_away,
        }
        stats
    }

    pub(super) fn for_each(&self, mut each: impl FnMut(&K, &Breaker)) {
        let pinned = self.map.pin();
        for (key, slot) in &pinned {
            if let Some(breaker) = slot.handle().or_else(|| self.peek(key)) {
                each(key, &breaker);
            }
        }
    }
}

impl<K> Set<K> {
    pub(super) fn new(
        name: Name,
        shared_name: Option<Name>,
        plan: Plan,
        clock: Clock,
        limits: Limits,
    ) -> Self {
        Self {
            identity: Identity::new(name, clock),
            map: HashMap::with_hasher(Hashing::default()),
            held: AtomicUsize::new(0),
            ring: Mutex::new(Ring { keys: VecDeque::new(), tired_until: 0 }),
            plan: Mutex::new(plan),
            limits,
            shared: OnceLock::new(),
            shared_name,
            evicted: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn overflow(&self) -> Option<Breaker> {
        self.shared.get().cloned()
    }

    /// What is behind the lock is whole whenever user code runs under it, so a panic there does no harm.
    fn lock(&self) -> MutexGuard<'_, Ring<K>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Registered for Set<K> {
    fn name(&self) -> Name {
        self.identity.name
    }

    fn kind(&self) -> Kind {
        Kind::KeyedSet
    }

    /// None: a set has no condition of its own, each of its breakers has.
    fn source(self: Arc<Self>) -> Option<Arc<dyn StateSource>> {
        None
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

// === impl Slot ===

impl Slot {
    /// A handle, unless the breaker is not there yet, or marked as evicted. One half of the agreement; the other is
    /// [`Machine::give_up`].
    #[inline]
    fn handle(&self) -> Option<Breaker> {
        let machine = self.0.get()?;
        machine.used.touch();
        let machine = machine.clone();
        fence(Ordering::SeqCst);
        (!machine.is_given_up()).then(|| Breaker::from_machine(machine))
    }
}

/// Whether anybody beside the map holds it.
fn is_shared(machine: &Arc<Machine>) -> bool {
    Arc::strong_count(machine) != 1
}

/// The jitter's seed for a key: different keys do not come back all at once. With the same seed for the set it is the
/// same in every process, because this hasher has fixed keys.
fn seed_of(key: &impl Hash, seed: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    key.hash(&mut hasher);
    hasher.finish()
}
