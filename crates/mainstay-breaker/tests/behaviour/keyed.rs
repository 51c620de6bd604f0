//! A set of breakers: one for each key, what a full set does, settings for all, and what it shows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics fails, as it should")]

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use mainstay_breaker::{
    Breaker, BreakerError, Clock, HalfOpen, Keyed, KeyedBuilder, ManualClock, OnFull, OpenFor, Registry,
    RejectReason, Settings, State, Trip, Window,
};

const IDLE: Duration = Duration::from_secs(600);
const OPEN: Duration = Duration::from_secs(10);

fn settings() -> Settings {
    Settings::new().trip(Trip::consecutive_failures(2)).open_for(OpenFor::fixed(OPEN))
}

fn hosts() -> (KeyedBuilder<String>, ManualClock) {
    let (clock, time) = Clock::manual();
    (Keyed::builder("hosts").settings(settings()).idle_after(IDLE).clock(clock), time)
}

fn small(keys: usize, on_full: OnFull) -> (Keyed<String>, ManualClock) {
    let (builder, time) = hosts();
    (builder.max_keys(keys).on_full(on_full).build().unwrap(), time)
}

fn succeed(set: &Keyed<String>, key: &str) {
    assert_eq!(set.call(key, || Ok::<_, ()>(())), Ok(()));
}

fn fail(set: &Keyed<String>, key: &str) {
    assert_eq!(set.call(key, || Err::<(), _>("down")), Err(BreakerError::Inner("down")));
}

fn trip(set: &Keyed<String>, key: &str) {
    fail(set, key);
    fail(set, key);
}

// --- one breaker per key

#[test]
fn one_keys_failures_do_not_open_another() {
    let (set, _time) = small(10, OnFull::Reject);
    trip(&set, "a");
    succeed(&set, "b");
    assert_eq!(set.breaker("a").unwrap().state(), State::Open);
    assert_eq!(set.breaker("b").unwrap().state(), State::Closed);
    let rejected = set.try_acquire("a").unwrap_err();
    assert_eq!((rejected.reason(), rejected.retry_after()), (RejectReason::Open, Some(OPEN)));
    assert_eq!(rejected.name(), "hosts");
}

#[test]
fn every_borrowed_form_of_a_key_is_the_same_key() {
    let (set, _time) = small(10, OnFull::Reject);
    trip(&set, "a");
    assert_eq!(set.breaker(&String::from("a")).unwrap().state(), State::Open);
    assert_eq!(set.len(), 1);
}

#[test]
fn clones_share_one_set() {
    let (set, _time) = small(10, OnFull::Reject);
    trip(&set.clone(), "a");
    assert_eq!(set.peek("a").unwrap().state(), State::Open);
}

#[test]
fn peeking_makes_no_breaker() {
    let (set, _time) = small(10, OnFull::Reject);
    assert!(set.peek("a").is_none());
    assert!(set.is_empty());
    succeed(&set, "a");
    assert!(set.peek("a").is_some());
}

#[test]
fn a_keyed_breaker_trips_probes_and_closes_like_any_other() {
    let (builder, time) = hosts();
    let half_open = HalfOpen { max_in_flight: 1, close_after: 1, reopen_after: 1, probe_timeout: OPEN };
    let set = builder.settings(settings().half_open(half_open)).build().unwrap();
    trip(&set, "a");
    time.advance(OPEN);
    let probe = set.try_acquire("a").unwrap();
    assert_eq!(set.try_acquire("a").unwrap_err().reason(), RejectReason::ProbesBusy);
    probe.success();
    assert_eq!(set.breaker("a").unwrap().state(), State::Closed);
}

#[test]
fn a_keyed_breaker_counts_like_any_other() {
    let (builder, time) = hosts();
    let rate = Trip::failure_rate(0.5).over(Window::time(Duration::from_secs(12))).min_calls(10);
    let set = builder.settings(Settings::new().trip(rate)).build().unwrap();
    for _ in 0..9 {
        succeed(&set, "a");
    }
    time.advance(Duration::from_secs(6));
    for _ in 0..8 {
        succeed(&set, "a");
        fail(&set, "a");
    }
    let snapshot = set.peek("a").unwrap().snapshot();
    assert_eq!((snapshot.totals.success, snapshot.totals.failure), (17, 8));
    assert_eq!((snapshot.rules[0].calls, snapshot.rules[0].failures), (25, 8));
    // The nine are out; half of the others failed.
    time.advance(Duration::from_secs(6));
    fail(&set, "a");
    let snapshot = set.peek("a").unwrap().snapshot();
    assert_eq!(snapshot.state, State::Open);
    assert_eq!(snapshot.last_trip.unwrap().to_string(), "9 of 17 calls failed (limit 50 %)");
}

#[tokio::test(start_paused = true)]
async fn async_calls_go_through_the_keys_breaker_and_its_time_out() {
    let set = Keyed::<u32>::builder("tenants")
        .settings(settings().timeout(Duration::from_secs(1)))
        .clock(Clock::tokio())
        .build()
        .unwrap();
    assert_eq!(set.run(&1, async { Ok::<_, ()>(5) }).await, Ok(5));
    for _ in 0..2 {
        let cut_off = set.run(&1, std::future::pending::<Result<(), ()>>()).await;
        assert!(matches!(cut_off, Err(BreakerError::TimedOut(_))));
    }
    let rejected = set.run(&1, async { Ok::<_, ()>(5) }).await.unwrap_err();
    assert_eq!(rejected.rejected().unwrap().reason(), RejectReason::Open);
    assert_eq!(set.run(&2, async { Ok::<_, ()>(5) }).await, Ok(5));
}

#[test]
fn threads_that_meet_at_a_new_key_get_one_breaker() {
    let (set, _time) = small(1_000, OnFull::Reject);
    let (threads, keys) = (8, 200);
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for key in 0..keys {
                    barrier.wait();
                    succeed(&set, &key.to_string());
                }
            });
        }
    });
    let snapshots = set.snapshots();
    assert_eq!(snapshots.len(), keys);
    assert!(snapshots.iter().all(|(_, snapshot)| snapshot.totals.success == threads as u64));
}

// --- when it is full

#[test]
fn a_full_set_shares_one_overflow_breaker() {
    let (set, _time) = small(1, OnFull::default());
    let _held = set.breaker("a").unwrap();
    assert!(set.overflow().is_none());
    fail(&set, "b");
    fail(&set, "c");
    let rejected = set.try_acquire("d").unwrap_err();
    assert_eq!((rejected.name().as_str(), rejected.reason()), ("hosts overflow", RejectReason::Open));
    assert_eq!(set.overflow().unwrap().state(), State::Open);
    succeed(&set, "a");
    let stats = set.stats();
    assert_eq!((stats.keys, stats.overflowed, stats.rejected, stats.unguarded), (1, 3, 0, 0));
}

#[test]
fn a_full_set_rejects_if_it_shall() {
    let (set, _time) = small(1, OnFull::Reject);
    let _held = set.breaker("a").unwrap();
    let rejected = set.call("b", || Ok::<_, ()>(())).unwrap_err();
    let rejected = *rejected.rejected().unwrap();
    assert_eq!((rejected.name().as_str(), rejected.reason()), ("hosts", RejectReason::KeysFull));
    assert_eq!((rejected.retry_after(), rejected.cause()), (None, None));
    assert!(set.overflow().is_none());
    let stats = set.stats();
    assert_eq!((stats.keys, stats.overflowed, stats.rejected, stats.unguarded), (1, 0, 1, 0));
}

#[test]
fn a_full_set_admits_unguarded_if_it_shall() {
    let (set, _time) = small(1, OnFull::AdmitUnguarded);
    let _held = set.breaker("a").unwrap();
    for _ in 0..100 {
        fail(&set, "b");
    }
    assert!(set.try_acquire("b").unwrap().is_bypass());
    let unguarded = set.overflow().unwrap();
    assert_eq!((unguarded.name().as_str(), unguarded.state()), ("hosts unguarded", State::Closed));
    let stats = set.stats();
    assert_eq!((stats.keys, stats.overflowed, stats.rejected, stats.unguarded), (1, 0, 0, 101));
}

#[test]
fn a_key_that_overflowed_gets_a_place_when_one_is_free() {
    let (set, _time) = small(1, OnFull::ShareOverflow);
    let held = set.breaker("a").unwrap();
    assert_eq!(set.breaker("b").unwrap().name(), "hosts overflow");
    drop(held);
    assert_eq!(set.breaker("b").unwrap().name(), "hosts");
    assert!(set.peek("a").is_none());
}

// --- settings

#[test]
fn new_settings_reach_every_breaker_and_change_no_state() {
    let (set, _time) = small(3, OnFull::ShareOverflow);
    trip(&set, "open");
    fail(&set, "failed once");
    let held: Vec<_> = ["open", "failed once", "third"].map(|key| set.breaker(key).unwrap()).into();
    fail(&set, "overflowing");

    let stricter = settings().trip(Trip::failures(7));
    set.reconfigure(stricter.clone()).unwrap();

    assert_eq!(set.settings(), stricter);
    let mut seen = 0;
    set.for_each(|_, breaker| {
        assert_eq!(breaker.settings(), stricter);
        seen += 1;
    });
    assert_eq!(seen, 3);
    assert_eq!(set.overflow().unwrap().settings(), stricter);
    assert_eq!(held[0].state(), State::Open);
    assert_eq!(held[1].snapshot().consecutive_failures, 1);
    drop(held);
    succeed(&set, "new");
    assert_eq!(set.peek("new").unwrap().settings(), stricter);
}

#[test]
fn invalid_settings_leave_everything_as_it_was() {
    let (set, _time) = small(10, OnFull::Reject);
    succeed(&set, "a");
    let half_open = HalfOpen { max_in_flight: 0, ..HalfOpen::default() };
    let error = set.reconfigure(settings().half_open(half_open)).unwrap_err();
    assert_eq!((error.field.as_str(), error.value.as_str()), ("half_open.max_in_flight", "0"));
    assert_eq!(set.settings(), settings());
    assert_eq!(set.peek("a").unwrap().settings(), settings());
}

#[test]
fn threads_that_reconfigure_leave_one_of_their_settings_everywhere() {
    let (set, _time) = small(1_000, OnFull::Reject);
    thread::scope(|scope| {
        for thread in 0..4 {
            let set = &set;
            scope.spawn(move || {
                for round in 1..100 {
                    succeed(set, &format!("{thread}-{round}"));
                    set.reconfigure(Settings::new().trip(Trip::consecutive_failures(thread * 100 + round)))
                        .unwrap();
                }
            });
        }
    });
    let agreed = set.settings();
    set.for_each(|key, breaker| assert_eq!(breaker.settings(), agreed, "{key}"));
    assert_eq!(set.len(), 4 * 99);
}

#[test]
fn every_bad_setting_of_a_set_is_refused() {
    let refused = |builder: KeyedBuilder<u32>| {
        let error = builder.build().unwrap_err();
        (error.field, error.value)
    };
    let builder = || Keyed::<u32>::builder("set");
    assert_eq!(refused(builder().max_keys(0)), ("max_keys".into(), "0".into()));
    assert_eq!(refused(builder().max_keys(16_777_217)).0, "max_keys");
    assert_eq!(refused(builder().idle_after(Duration::ZERO)).0, "idle_after");
    assert_eq!(refused(builder().idle_after(Duration::MAX)).0, "idle_after");
    assert_eq!(refused(builder().settings(settings().ramp(Duration::ZERO))).0, "ramp");
    assert_eq!(refused(Keyed::builder("")).0, "name");
    // Too long only with what is appended.
    let long = "n".repeat(128);
    assert_eq!(refused(Keyed::builder(&long)).0, "name");
    assert_eq!(refused(Keyed::builder(&long).on_full(OnFull::AdmitUnguarded)).0, "name");
    assert!(Keyed::<u32>::builder(&long).on_full(OnFull::Reject).build().is_ok());
}

#[test]
fn jitter_differs_by_key_and_repeats_by_seed() {
    let open_times = |seed| {
        let (builder, _time) = hosts();
        let jittered = settings().open_for(OpenFor::exponential(OPEN, OPEN * 4).jitter(1.0));
        let set = builder.settings(jittered).jitter_seed(seed).build().unwrap();
        ["a", "b"].map(|key| {
            trip(&set, key);
            set.peek(key).unwrap().snapshot().retry_after.unwrap()
        })
    };
    let [a, b] = open_times(1);
    assert_ne!(a, b);
    assert_eq!(open_times(1), [a, b]);
    assert_ne!(open_times(2), [a, b]);
}

// --- looking at it

#[test]
fn snapshots_show_every_key() {
    let (set, _time) = small(10, OnFull::Reject);
    succeed(&set, "a");
    trip(&set, "b");
    let mut snapshots = set.snapshots();
    snapshots.sort_by(|(a, _), (b, _)| a.cmp(b));
    let seen: Vec<_> = snapshots.iter().map(|(key, snapshot)| (key.as_str(), snapshot.state)).collect();
    assert_eq!(seen, [("a", State::Closed), ("b", State::Open)]);
    assert!(snapshots.iter().all(|(_, snapshot)| snapshot.name == "hosts"));
}

#[test]
fn a_closure_over_all_breakers_may_use_the_set() {
    let (set, _time) = small(10, OnFull::Reject);
    for key in ["a", "b", "c"] {
        succeed(&set, key);
    }
    set.for_each(|key, breaker| {
        assert!(!set.remove(key));
        breaker.trip();
        assert_eq!(set.peek(key).unwrap().state(), State::Open);
        let _ = set.breaker("d");
    });
}

#[test]
fn a_registry_lists_the_set_once() {
    let registry = Registry::new();
    let (builder, _time) = hosts();
    let set = builder.registry(&registry).build().unwrap();
    succeed(&set, "a");
    let listed = registry.list();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name().as_str(), listed[0].kind()), ("hosts", mainstay_core::Kind::KeyedSet));
    drop(listed);
    let found = Keyed::<String>::all(&registry);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].len(), 1);
    assert!(Keyed::<u64>::all(&registry).is_empty());
    assert!(Breaker::all(&registry).is_empty());

    let taken = Keyed::<u64>::builder("hosts").registry(&registry).build().unwrap_err();
    assert_eq!(taken.field, "name");
    drop((set, found));
    assert!(registry.list().is_empty());
}
