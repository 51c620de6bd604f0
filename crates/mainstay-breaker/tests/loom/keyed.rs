//! Keyed sets: lookups, which take no lock, against evictions.
//!
//! loom knows neither the map nor the counts of `Arc`: to it each of their operations is one step that all threads see at
//! once. What it explores is what is between them: the lock, the word with its mark, the fences, and the key's hash and
//! comparison. The hash is where the map's own order is told to loom: who finds an entry sees what was in it when it was
//! added. The comparison is a step of its own, so that a lookup can be interrupted between finding an entry and taking a
//! handle.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use mainstay_breaker::{Breaker, Clock, Keyed, OnFull, State};

use crate::explore::explore;

/// A key, and where its hash and its comparison leave a trace for loom.
#[derive(Clone)]
struct Key(u8, Arc<AtomicUsize>);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.1.fetch_add(1, Ordering::AcqRel);
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0 == other.0
    }
}

impl Eq for Key {}

/// A set with a breaker for key 1 that nobody holds; and keys 1 and 2.
fn set(max_keys: usize) -> (Keyed<Key>, [Key; 2]) {
    let (clock, _) = Clock::manual();
    let keyed =
        Keyed::builder("loom").max_keys(max_keys).on_full(OnFull::Reject).clock(clock).build().unwrap();
    let trace = Arc::new(AtomicUsize::new(0));
    let keys = [1, 2].map(|key| Key(key, trace.clone()));
    drop(keyed.breaker(&keys[0]).unwrap());
    (keyed, keys)
}

/// Looks a key up on a thread of its own.
fn look_up(keyed: &Keyed<Key>, key: &Key) -> thread::JoinHandle<Option<Breaker>> {
    let (keyed, key) = (keyed.clone(), key.clone());
    thread::spawn(move || keyed.breaker(&key).ok())
}

#[test]
fn whoever_got_a_handle_beside_an_eviction_holds_the_breaker_of_the_key() {
    explore(None, || {
        let (keyed, [key, _]) = set(8);
        let other = look_up(&keyed, &key);
        keyed.remove(&key);
        let held = other.join().unwrap().unwrap();
        held.trip();
        assert_eq!(keyed.breaker(&key).unwrap().state(), State::Open);
        assert_eq!(keyed.len(), 1);
        assert!(!keyed.remove(&key), "it is in use");
    });
}

#[test]
fn what_was_done_with_a_handle_beside_an_eviction_is_not_lost_with_it() {
    explore(None, || {
        let (keyed, [key, _]) = set(8);
        let (set, of) = (keyed.clone(), key.clone());
        let other = thread::spawn(move || set.breaker(&of).unwrap().trip());
        keyed.remove(&key);
        other.join().unwrap();
        assert_eq!(keyed.peek(&key).map(|breaker| breaker.state()), Some(State::Open));
    });
}

#[test]
fn two_who_look_a_key_up_beside_an_eviction_get_the_same_breaker() {
    explore(Some(3), || {
        let (keyed, [key, _]) = set(8);
        let others = [look_up(&keyed, &key), look_up(&keyed, &key)];
        keyed.remove(&key);
        let [one, other] = others.map(|other| other.join().unwrap().unwrap());
        one.trip();
        assert_eq!(other.state(), State::Open);
        assert_eq!(keyed.peek(&key).unwrap().state(), State::Open);
    });
}

#[test]
fn two_who_look_a_new_key_up_get_the_same_breaker() {
    explore(None, || {
        let (keyed, [_, key]) = set(8);
        let other = look_up(&keyed, &key);
        let one = keyed.breaker(&key).unwrap();
        let other = other.join().unwrap().unwrap();
        one.trip();
        assert_eq!(other.state(), State::Open);
        assert_eq!(keyed.len(), 2);
    });
}

#[test]
fn a_new_key_takes_the_place_of_one_that_is_looked_up_or_finds_none() {
    explore(None, || {
        let (keyed, [old, new]) = set(1);
        let other = look_up(&keyed, &old);
        let one = keyed.breaker(&new).ok();
        let other = other.join().unwrap();
        assert!(one.is_some() != other.is_some(), "there is one place, and it is given to one of the two");
        assert_eq!(keyed.len(), 1);
        assert_eq!(
            (keyed.peek(&new).is_some(), keyed.peek(&old).is_some()),
            (one.is_some(), other.is_some())
        );
    });
}

#[test]
fn a_peek_beside_an_eviction_finds_the_breaker_or_none() {
    explore(None, || {
        let (keyed, [key, _]) = set(8);
        let (set, of) = (keyed.clone(), key.clone());
        let other = thread::spawn(move || set.peek(&of));
        let removed = keyed.remove(&key);
        let found = other.join().unwrap();
        assert_eq!(found.is_some(), !removed, "what is held is not evicted, and what stays is found");
        assert_eq!(keyed.len(), usize::from(!removed));
    });
}
