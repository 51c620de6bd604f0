//! A breaker per key, beside a bare map of the same kind and size.

use std::collections::hash_map::RandomState;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, LazyLock};

use mainstay_breaker::{Keyed, Settings, Trip};
use mainstay_core::Clock;
use papaya::HashMap;

use crate::catalog::Visitor;
use crate::id::{Face, Id, Path, Who};
use crate::subject::{Answer, Outcome, Subject};

/// How many keys there are. Fewer in a debug build, where nobody measures.
pub const KEYS: u64 = if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };

const HOT: u64 = 1_000;

/// Hands over lookups of one key, of a few hot keys, and of any key.
pub fn visit(visitor: &mut impl Visitor) {
    for (name, span) in [("one key", 1), ("1,000 hot keys", HOT), ("any key", KEYS)] {
        let id = |who| Id::new(Face::Sync, Path::Keyed, who, name);
        visitor.subject(id(Who::Bare), || Lookup::filled(BareMap, span));
        visitor.subject(id(Who::Floor), || Lookup::filled(CountedMap, span));
        visitor.subject(id(Who::Mainstay), || Lookup::filled(Set, span));
    }
}

/// A keyed set with a breaker for every key.
pub fn filled(keys: u64, settings: Settings) -> Keyed<u64> {
    let most = usize::try_from(2 * keys).unwrap_or(usize::MAX);
    #[allow(clippy::expect_used, reason = "settings that are refused are a mistake in this file")]
    let set =
        Keyed::builder("keys").settings(settings).max_keys(most).build().expect("settings that are in range");
    for key in 0..keys {
        drop(set.breaker(&key));
    }
    set
}

/// The plainest settings that trip.
pub fn consecutive() -> Settings {
    Settings::new().trip(Trip::consecutive_failures(5))
}

/// The map of a keyed set with counters instead of breakers.
pub type Counters = HashMap<u64, AtomicU64, RandomState>;

/// Such a map with a counter for every key.
pub fn counters(keys: u64) -> Counters {
    let map = HashMap::with_capacity_and_hasher(0, RandomState::new());
    for key in 0..keys {
        map.pin().insert(key, AtomicU64::new(key + 1));
    }
    map
}

/// Something to look up by key.
trait Keys: Clone + Send + 'static {
    fn call(&self, key: u64) -> Answer;
}

/// Asks for keys in an order that no cache foresees. A clone has an order of its own, so that threads do not ask for the same at once.
struct Lookup<K> {
    keys: K,
    span: u64,
    state: u64,
}

impl<K: Keys> Lookup<K> {
    fn filled(keys: K, span: u64) -> Self {
        // The first lookup of all fills the set.
        keys.call(0);
        Self { keys, span, state: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl<K: Clone> Clone for Lookup<K> {
    fn clone(&self) -> Self {
        static CLONES: AtomicU64 = AtomicU64::new(1);
        let clone = CLONES.fetch_add(1, Ordering::Relaxed);
        let state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(2 * clone + 1);
        Self { keys: self.keys.clone(), span: self.span, state }
    }
}

impl<K: Keys> Subject for Lookup<K> {
    #[inline]
    fn call(&mut self) -> Answer {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let turn = (u128::from(self.state) * u128::from(self.span)) >> 64;
        self.keys.call(turn as u64 * (KEYS / self.span))
    }
}

#[derive(Clone)]
struct Set;

impl Keys for Set {
    #[inline]
    fn call(&self, key: u64) -> Answer {
        static SET: LazyLock<Keyed<u64>> = LazyLock::new(|| filled(KEYS, consecutive()));
        SET.call(&key, || crate::work::perform(key + 1)).answer()
    }
}

/// The map alone, with a counter that is read in place of a breaker that is used.
#[derive(Clone)]
struct BareMap;

impl Keys for BareMap {
    #[inline]
    fn call(&self, key: u64) -> Answer {
        static MAP: LazyLock<Counters> = LazyLock::new(|| counters(KEYS));
        match MAP.pin().get(&key) {
            Some(value) => crate::work::perform(value.load(Ordering::Acquire)).answer(),
            None => Answer::Rejected,
        }
    }
}

/// The least that a keyed breaker could do. The map, and in it what outlives its entry, because the call may: counted up and
/// down, with a fence by which whoever evicts sees it; a word that is looked at before and after the work; the time of the
/// last use; and one locked count, because a row for each thread would not fit into 256 bytes.
#[derive(Clone)]
struct CountedMap;

#[derive(Default)]
struct Counted {
    word: AtomicU64,
    used: AtomicU64,
    count: AtomicU64,
}

impl Keys for CountedMap {
    #[inline]
    fn call(&self, key: u64) -> Answer {
        static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::monotonic);
        static MAP: LazyLock<HashMap<u64, Arc<Counted>, RandomState>> = LazyLock::new(|| {
            let map = HashMap::with_capacity_and_hasher(0, RandomState::new());
            for key in 0..KEYS {
                map.pin().insert(key, Arc::default());
            }
            map
        });
        let Some(counted) = MAP.pin().get(&key).map(|counted| {
            // Has all of it brought before a locked instruction makes what follows wait.
            black_box(counted.used.load(Ordering::Relaxed));
            counted.clone()
        }) else {
            return Answer::Rejected;
        };
        fence(Ordering::SeqCst);
        let word = counted.word.load(Ordering::Acquire);
        let result = crate::work::perform(key + 1);
        if counted.word.load(Ordering::Acquire) == word {
            counted.used.store(CLOCK.coarse_nanos(), Ordering::Relaxed);
            counted.count.fetch_add(1, Ordering::AcqRel);
        }
        result.answer()
    }
}
