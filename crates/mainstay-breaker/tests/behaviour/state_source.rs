//! How others find a breaker and watch it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::FutureExt;
use mainstay_breaker::{
    Breaker, Clock, Condition, Control, HalfOpen, ManualClock, OpenFor, Registry, StateSource,
};

const OPEN: Duration = Duration::from_secs(10);

fn breaker() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { close_after: 1, ..HalfOpen::default() };
    let builder = Breaker::builder("source").half_open(half_open).ramp(2 * OPEN).clock(clock);
    (builder.open_for(OpenFor::fixed(OPEN)).build().unwrap(), time)
}

#[test]
fn its_condition_follows_its_state_as_time_goes_by() {
    let (breaker, time) = breaker();
    assert_eq!(breaker.condition(), Condition::Up);
    breaker.trip();
    assert_eq!(breaker.condition(), Condition::Down);
    time.advance(OPEN);
    assert_eq!(breaker.condition(), Condition::Recovering);
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.condition(), Condition::Recovering);
    time.advance(2 * OPEN);
    assert_eq!(breaker.condition(), Condition::Up);
}

#[test]
fn the_operators_hand_is_stronger_than_the_state() {
    let (breaker, _) = breaker();
    breaker.set_control(Control::ForcedOpen);
    assert_eq!(breaker.condition(), Condition::Down);
    breaker.trip();
    breaker.set_control(Control::ForcedClosed);
    assert_eq!(breaker.condition(), Condition::Up);
    breaker.set_control(Control::ObserveOnly);
    assert_eq!(breaker.condition(), Condition::Up);
    breaker.set_control(Control::Automatic);
    assert_eq!(breaker.condition(), Condition::Down);
}

#[test]
fn it_says_when_time_alone_will_change_it() {
    let (breaker, time) = breaker();
    assert_eq!(breaker.next_change(), None);
    breaker.trip();
    assert_eq!(breaker.next_change(), Some(OPEN));
    time.advance(OPEN);
    assert_eq!(breaker.next_change(), None);
    let probe = breaker.try_acquire().unwrap();
    assert_eq!(breaker.next_change(), Some(OPEN + HalfOpen::default().probe_timeout));
    probe.success();
    assert_eq!(breaker.next_change(), Some(OPEN + 2 * OPEN));
}

#[test]
fn whoever_sleeps_until_the_next_change_and_polls_misses_nothing() {
    let (breaker, time) = breaker();
    let mut transitions = breaker.subscribe();
    breaker.trip();
    transitions.try_recv().unwrap();
    let next = breaker.next_change().unwrap();
    time.advance(next - StateSource::clock(&breaker).now());
    StateSource::poll(&breaker);
    assert_eq!(transitions.try_recv().unwrap().at, next);
}

#[test]
fn a_watch_reports_transitions() {
    let (breaker, time) = breaker();
    let mut watch = breaker.watch();
    assert!(watch.changed().now_or_never().is_none());
    breaker.trip();
    assert!(watch.changed().now_or_never().is_some());
    assert!(watch.changed().now_or_never().is_none());
    time.advance(OPEN);
    assert!(!watch.take());
    breaker.poll();
    assert!(watch.take());
}

#[test]
fn a_watch_reports_the_operators_hand() {
    let (breaker, _) = breaker();
    let mut watch = breaker.watch();
    breaker.set_control(Control::ForcedOpen);
    assert!(watch.take());
    breaker.set_control(Control::ForcedOpen);
    assert!(!watch.take());
}

#[test]
fn a_registry_lists_breakers_as_long_as_they_live() {
    let registry = Registry::new();
    let build = |name: &str| Breaker::builder(name).registry(&registry).build().unwrap();
    let names = || registry.list().iter().map(|entry| entry.name().as_str()).collect::<Vec<_>>();
    let redis = build("redis");
    let _postgres = build("postgres");
    assert_eq!(names(), ["redis", "postgres"]);
    drop(redis);
    assert_eq!(names(), ["postgres"]);
    let _redis = build("redis");
    assert_eq!(names(), ["postgres", "redis"]);
}

#[test]
fn a_breaker_found_in_a_registry_is_the_same_breaker() {
    let registry = Registry::new();
    let breaker = Breaker::builder("redis").registry(&registry).build().unwrap();
    Breaker::all(&registry)[0].trip();
    assert_eq!(breaker.condition(), Condition::Down);
    let source = registry.list().remove(0).source().unwrap();
    assert_eq!((source.name().as_str(), source.condition()), ("redis", Condition::Down));
}

#[test]
fn a_leaked_breaker_stays_in_its_registry() {
    let registry = Registry::new();
    let breaker = Breaker::builder("redis").registry(&registry).build().unwrap().leak();
    drop(breaker);
    assert_eq!(Breaker::all(&registry).len(), 1);
}
