//! The list of everything that has a name.
#![allow(clippy::unwrap_used)]

use std::any::Any;
use std::sync::Arc;

use mainstay_core::{Kind, Name, Registered, Registry, StateSource};

struct Entry(Name, Kind);

impl Entry {
    fn new(name: &str, kind: Kind) -> Arc<Self> {
        Arc::new(Self(Name::new(name).unwrap(), kind))
    }
}

impl Registered for Entry {
    fn name(&self) -> Name {
        self.0
    }

    fn kind(&self) -> Kind {
        self.1
    }

    fn source(self: Arc<Self>) -> Option<Arc<dyn StateSource>> {
        None
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

fn names(registry: &Registry) -> Vec<&'static str> {
    registry.list().iter().map(|entry| entry.name().as_str()).collect()
}

#[test]
fn entries_are_listed_in_the_order_of_their_registration() {
    let registry = Registry::new();
    let entries = ["b", "a", "c"].map(|name| Entry::new(name, Kind::Check));
    entries.iter().for_each(|entry| registry.register(entry).unwrap());
    assert_eq!(names(&registry), ["b", "a", "c"]);
}

#[test]
fn a_name_that_is_taken_is_refused_to_things_of_the_same_kind() {
    let registry = Registry::new();
    let (first, second) = (Entry::new("redis", Kind::Check), Entry::new("redis", Kind::Check));
    registry.register(&first).unwrap();
    let error = registry.register(&second).unwrap_err();
    assert_eq!((error.field.as_str(), error.value.as_str()), ("name", "\"redis\""));
    assert_eq!(registry.list().len(), 1);
}

#[test]
fn a_breaker_and_the_check_of_the_same_dependency_may_have_its_name() {
    let registry = Registry::new();
    let (breaker, check) = (Entry::new("redis", Kind::Breaker), Entry::new("redis", Kind::Check));
    registry.register(&breaker).unwrap();
    registry.register(&check).unwrap();
    assert_eq!(registry.list().len(), 2);
}

#[test]
fn breakers_and_keyed_sets_share_their_names() {
    let registry = Registry::new();
    let (breaker, set) = (Entry::new("hosts", Kind::Breaker), Entry::new("hosts", Kind::KeyedSet));
    registry.register(&breaker).unwrap();
    assert!(registry.register(&set).is_err());
}

#[test]
fn ten_thousand_entries_that_come_and_go_leave_nothing_behind() {
    let registry = Registry::new();
    for round in 0..10_000 {
        registry.register(&Entry::new(&format!("entry-{}", round % 100), Kind::Check)).unwrap();
    }
    assert!(registry.list().is_empty());
}

#[test]
fn the_same_entry_twice_is_refused() {
    let registry = Registry::new();
    let entry = Entry::new("redis", Kind::Breaker);
    registry.register(&entry).unwrap();
    assert!(registry.register(&entry).is_err());
}

#[test]
fn an_entry_that_is_dropped_disappears_and_its_name_is_free() {
    let registry = Registry::new();
    let entry = Entry::new("redis", Kind::Breaker);
    registry.register(&entry).unwrap();
    drop(entry);
    assert!(registry.list().is_empty());
    let successor = Entry::new("redis", Kind::Level);
    registry.register(&successor).unwrap();
    assert_eq!(registry.list()[0].kind(), Kind::Level);
}

#[test]
fn clones_share_one_list() {
    let registry = Registry::new();
    let entry = Entry::new("redis", Kind::Breaker);
    registry.clone().register(&entry).unwrap();
    assert_eq!(names(&registry), ["redis"]);
}

#[test]
fn two_registries_may_have_the_same_name() {
    let entry = Entry::new("redis", Kind::Breaker);
    Registry::new().register(&entry).unwrap();
    Registry::new().register(&entry).unwrap();
}

#[test]
fn the_crate_that_registered_an_entry_finds_its_type_again() {
    let registry = Registry::new();
    let entry = Entry::new("redis", Kind::Breaker);
    registry.register(&entry).unwrap();
    let found = registry.list().remove(0).into_any().downcast::<Entry>().ok().unwrap();
    assert!(Arc::ptr_eq(&found, &entry));
}

#[test]
fn of_threads_that_register_the_same_name_one_gets_it() {
    let registry = Registry::new();
    let entries: Vec<_> = (0..16).map(|_| Entry::new("redis", Kind::Breaker)).collect();
    let registered = std::thread::scope(|scope| {
        let threads: Vec<_> = entries.iter().map(|entry| scope.spawn(|| registry.register(entry))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().is_ok()).collect::<Vec<_>>()
    });
    assert_eq!(registered.iter().filter(|registered| **registered).count(), 1);
}
