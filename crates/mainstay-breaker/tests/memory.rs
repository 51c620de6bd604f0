//! What breakers take from the heap: what is promised of a keyed one, and nothing for what has not happened.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use allocation_counter::measure;
use mainstay_breaker::{Breaker, Keyed, Settings, Trip, Window};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What one key of many takes, where neither the map nor the order of eviction grows.
fn bytes_of_a_key(settings: Settings) -> i64 {
    let set = Keyed::<u64>::builder("keys").settings(settings).build().unwrap();
    let bytes = (0..64).map(|key| measure(|| drop(set.breaker(&key))).bytes_current);
    bytes.min().unwrap()
}

/// A breaker of a set, which has had one success.
fn in_use(settings: Settings) -> Breaker {
    let set = Keyed::<u64>::builder("keys").settings(settings).build().unwrap();
    let breaker = set.breaker(&1).unwrap();
    breaker.try_acquire().unwrap().success();
    breaker
}

fn over(window: Window) -> Settings {
    Settings::new().trip(Trip::failure_rate(0.5).over(window))
}

#[test]
fn a_keyed_breaker_with_a_run_or_a_window_of_calls_takes_at_most_200_bytes() {
    assert!(bytes_of_a_key(Settings::new().trip(Trip::consecutive_failures(5))) <= 200);
    assert!(bytes_of_a_key(over(Window::calls(100))) <= 200);
}

#[test]
fn a_keyed_breaker_with_the_default_rules_takes_at_most_256_bytes() {
    assert!(bytes_of_a_key(Settings::new()) <= 256);
}

#[test]
fn the_same_settings_again_take_nothing() {
    let breaker = in_use(Settings::new());
    let kept = measure(|| breaker.reconfigure(Settings::new()).unwrap());
    assert_eq!(kept.bytes_current, 0);
}

#[test]
fn another_window_of_time_takes_no_more_than_the_one_before() {
    let breaker = in_use(over(Window::time(secs(30))));
    let kept = measure(|| breaker.reconfigure(over(Window::time(secs(60)))).unwrap());
    assert_eq!(kept.bytes_current, 0);
}

#[test]
fn a_reset_keeps_the_total_of_successes_only_where_there_were_some() {
    let reset = |breaker: &Breaker| measure(|| breaker.reset()).bytes_current;
    let set = Keyed::<u64>::builder("keys").build().unwrap();
    let (idle, used) = (set.breaker(&1).unwrap(), in_use(Settings::new()));
    assert!(reset(&idle) < reset(&used));
}
