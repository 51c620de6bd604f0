//! Which breakers of a set go, which stay, and that two never stand for one key.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics fails, as it should")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use mainstay_breaker::{
    Breaker, BreakerError, Clock, Control, HalfOpen, Keyed, KeyedBuilder, ManualClock, OnFull, OpenFor,
    RejectReason, Settings, Stage, State, Trip,
};

const IDLE: Duration = Duration::from_secs(600);
const OPEN: Duration = Duration::from_secs(10);
const NS: Duration = Duration::from_nanos(1);

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

// --- the bound

#[test]
fn the_bound_holds_while_threads_insert() {
    let (set, _time) = small(50, OnFull::Reject);
    thread::scope(|scope| {
        for thread in 0..4 {
            let set = &set;
            scope.spawn(move || {
                for key in 0..2_000 {
                    let _ = set.call(&format!("{thread}-{key}"), || Ok::<_, ()>(()));
                    assert!(set.len() <= 50);
                }
            });
        }
    });
    let stats = set.stats();
    assert_eq!(stats.keys, 50);
    assert_eq!(stats.evicted + stats.rejected, 8_000 - 50);
}

#[test]
fn a_new_key_takes_the_place_of_one_that_was_not_used_lately() {
    let (set, _time) = small(3, OnFull::Reject);
    for key in ["a", "b", "c", "a", "c"] {
        succeed(&set, key);
    }
    succeed(&set, "d");
    assert!(set.peek("b").is_none());
    assert_eq!((set.len(), set.stats().evicted), (3, 1));
    // All were used again; but whoever is not in use must go rather than turn a key away.
    for key in ["a", "c", "d", "e"] {
        succeed(&set, key);
    }
    assert_eq!((set.len(), set.stats().evicted, set.stats().rejected), (3, 2, 0));
}

#[test]
fn a_scan_of_new_keys_does_not_evict_a_hot_one() {
    let (set, _time) = small(20, OnFull::Reject);
    for key in 0..1_000 {
        succeed(&set, "hot");
        succeed(&set, &key.to_string());
    }
    assert_eq!(set.peek("hot").unwrap().snapshot().totals.success, 1_000);
}

#[test]
fn an_evicted_key_starts_afresh() {
    let (set, _time) = small(1, OnFull::Reject);
    fail(&set, "a");
    succeed(&set, "b");
    fail(&set, "a");
    let snapshot = set.peek("a").unwrap().snapshot();
    assert_eq!(
        (snapshot.state, snapshot.consecutive_failures, snapshot.totals.failure),
        (State::Closed, 1, 1)
    );
}

// --- idle breakers

#[test]
fn idle_breakers_go_and_the_others_stay() {
    let (set, time) = small(1_000, OnFull::Reject);
    for key in 0..600 {
        succeed(&set, &key.to_string());
    }
    time.advance(IDLE / 2);
    for key in 0..100 {
        succeed(&set, &key.to_string());
    }
    assert_eq!(set.evict_idle(), 0);
    time.advance(IDLE / 2);
    assert_eq!(set.evict_idle(), 500);
    assert_eq!(set.len(), 100);
    time.advance(IDLE / 2 - NS);
    assert_eq!(set.evict_idle(), 0);
    time.advance(NS);
    assert_eq!((set.evict_idle(), set.len(), set.stats().evicted), (100, 0, 600));
}

#[test]
fn peeking_keeps_nothing_alive() {
    let (set, time) = small(10, OnFull::Reject);
    succeed(&set, "a");
    time.advance(IDLE);
    assert!(set.peek("a").is_some());
    assert_eq!(set.evict_idle(), 1);
}

#[test]
fn what_counts_is_the_last_verdict_however_it_came() {
    let verdicts: [fn(&Breaker); 5] = [
        |breaker| breaker.try_acquire().unwrap().success(),
        |breaker| breaker.try_acquire().unwrap().failure(),
        |breaker| breaker.try_acquire().unwrap().ignore(),
        |breaker| drop(breaker.try_acquire()),
        |breaker| {
            let late = breaker.try_acquire().unwrap();
            breaker.reset();
            late.success();
        },
    ];
    for record in verdicts {
        let (set, time) = small(10, OnFull::Reject);
        let handle = set.breaker("a").unwrap();
        time.advance(IDLE);
        record(&handle);
        drop(handle);
        time.advance(IDLE - NS);
        drop(set.breaker("a"));
        assert_eq!(set.evict_idle(), 0);
        time.advance(NS);
        assert_eq!(set.evict_idle(), 1);
    }
}

#[test]
fn new_keys_evict_idle_ones_in_passing() {
    let (set, time) = small(1_000, OnFull::Reject);
    for key in 0..100 {
        succeed(&set, &key.to_string());
    }
    time.advance(IDLE);
    for key in 100..150 {
        succeed(&set, &key.to_string());
    }
    assert_eq!((set.len(), set.stats().evicted), (50, 100));
}

// --- what is in use is never evicted

/// Makes `busy` in a set of one, and sees it stay whatever is tried; then makes it idle, and sees it go.
fn is_never_evicted<H>(
    busy: impl FnOnce(&Keyed<String>, &ManualClock) -> H,
    idle: impl FnOnce(H, &Keyed<String>),
) {
    let (builder, time) = hosts();
    let set = builder.max_keys(1).on_full(OnFull::Reject).build().unwrap();
    let held = busy(&set, &time);
    time.advance(IDLE);
    assert_eq!(set.evict_idle(), 0);
    assert!(!set.remove("busy"));
    assert_eq!(set.try_acquire("other").unwrap_err().reason(), RejectReason::KeysFull);
    assert!(set.peek("busy").is_some());
    assert_eq!((set.stats().evicted, set.stats().rejected), (0, 1));
    idle(held, &set);
    assert!(set.remove("busy"));
    assert_eq!((set.len(), set.stats().evicted), (0, 1));
}

#[test]
fn a_breaker_with_a_handle_is_in_use() {
    is_never_evicted(|set, _| set.breaker("busy").unwrap(), |handle, _| drop(handle));
}

#[test]
fn a_breaker_with_a_clone_of_a_handle_is_in_use() {
    is_never_evicted(|set, _| set.breaker("busy").unwrap().clone(), |handle, _| drop(handle));
}

#[test]
fn a_breaker_with_a_call_in_flight_is_in_use() {
    is_never_evicted(|set, _| set.try_acquire("busy").unwrap(), |permit, _| permit.success());
}

#[test]
fn a_breaker_whose_call_is_running_is_in_use() {
    let (set, _time) = small(1, OnFull::Reject);
    let answer = set.call("busy", || {
        assert!(!set.remove("busy"));
        Ok::<_, ()>(set.try_acquire("other").unwrap_err().reason())
    });
    assert_eq!(answer, Ok(RejectReason::KeysFull));
    assert!(set.remove("busy"));
}

#[test]
fn an_open_breaker_is_in_use_even_when_its_time_is_up() {
    is_never_evicted(|set, _| trip(set, "busy"), |(), set| set.peek("busy").unwrap().reset());
}

#[test]
fn a_half_open_breaker_is_in_use() {
    let busy = |set: &Keyed<String>, time: &ManualClock| {
        trip(set, "busy");
        time.advance(OPEN);
        set.try_acquire("busy").unwrap().success();
        assert_eq!(set.peek("busy").unwrap().state(), State::HalfOpen);
    };
    is_never_evicted(busy, |(), set| set.try_acquire("busy").unwrap().success());
}

#[test]
fn a_breaker_under_the_operators_hand_is_in_use() {
    for control in [Control::ForcedOpen, Control::ForcedClosed, Control::ObserveOnly] {
        is_never_evicted(
            |set, _| set.breaker("busy").unwrap().set_control(control),
            |(), set| set.peek("busy").unwrap().set_control(Control::Automatic),
        );
    }
}

#[test]
fn a_breaker_whose_ramp_is_over_is_closed_though_nobody_called() {
    let (builder, time) = hosts();
    let half_open = HalfOpen { close_after: 1, ..HalfOpen::default() };
    let set = builder.settings(settings().half_open(half_open).ramp(OPEN)).build().unwrap();
    trip(&set, "a");
    time.advance(OPEN);
    set.try_acquire("a").unwrap().success();
    assert_eq!(set.peek("a").unwrap().snapshot().half_open.unwrap().stage, Stage::Ramping);
    time.advance(OPEN - NS);
    assert!(!set.remove("a"));
    time.advance(NS);
    assert!(set.remove("a"));
}

#[test]
fn a_leaked_breaker_stays_for_ever() {
    let (set, time) = small(10, OnFull::Reject);
    let leaked = set.breaker("a").unwrap().leak();
    time.advance(IDLE);
    assert_eq!(set.evict_idle(), 0);
    leaked.trip();
    assert_eq!(set.peek("a").unwrap().state(), State::Open);
}

#[test]
fn removing_what_is_not_there_removes_nothing() {
    let (set, _time) = small(10, OnFull::Reject);
    assert!(!set.remove("a"));
    for _ in 0..1_000 {
        succeed(&set, "a");
        assert!(set.remove("a"));
    }
    assert_eq!((set.len(), set.stats().evicted), (0, 1_000));
}

#[test]
fn a_handle_outlives_its_set() {
    let (set, _time) = small(10, OnFull::Reject);
    let handle = set.breaker("a").unwrap();
    drop(set);
    assert_eq!(handle.call(|| Ok::<_, ()>(1)), Ok(1));
}

// --- threads

/// A few keys, a bound below their number, and threads that call, hold, peek, remove and evict at random. Whoever holds a
/// handle must find the key's breaker to be the same one, and no call that was recorded on a held breaker may be lost.
#[test]
fn no_key_ever_has_two_breakers() {
    const KEYS: u32 = 6;
    const ROUNDS: u32 = 30_000;
    let (clock, time) = Clock::manual();
    let set = Keyed::<u32>::builder("hammered")
        .settings(Settings::new().trip(Trip::consecutive_failures(u32::MAX)))
        .max_keys(4)
        .idle_after(Duration::from_nanos(640))
        .on_full(OnFull::Reject)
        .clock(clock)
        .build()
        .unwrap();
    let done = AtomicBool::new(false);
    let calls = AtomicU64::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4u32)
            .map(|thread| {
                let (set, calls, time) = (&set, &calls, &time);
                scope.spawn(move || {
                    let mut dice = 0x9e37_79b9 ^ thread;
                    for _ in 0..ROUNDS {
                        dice ^= dice << 13;
                        dice ^= dice >> 17;
                        dice ^= dice << 5;
                        let key = dice / 16 % KEYS;
                        match dice % 16 {
                            0 => _ = set.remove(&key),
                            1 => _ = set.evict_idle(),
                            2 => time.advance(Duration::from_nanos(100)),
                            3..6 => {
                                // Two ways to one breaker: a failure on one is seen on the other.
                                let Ok(held) = set.breaker(&key) else { continue };
                                let before = held.snapshot().totals.failure;
                                let _ = set.call(&key, || Err::<(), _>(()));
                                let again = set.peek(&key).unwrap();
                                assert!(held.snapshot().totals.failure > before);
                                assert!(again.snapshot().totals.failure > before);
                            }
                            _ => {
                                if set.call(&key, || Ok::<_, ()>(())).is_ok() {
                                    calls.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(set.len() <= 4);
                let _ = set.snapshots();
            }
        });
        let ends: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Relaxed);
        ends.into_iter().for_each(|end| end.unwrap());
    });
    let stats = set.stats();
    assert!(stats.evicted > 0 && stats.rejected > 0 && calls.into_inner() > 0, "{stats:?}");
}

/// Every call on a key is made with a handle to it held by somebody, so none of its breakers may be evicted, and in the
/// end one breaker has counted them all.
#[test]
fn totals_of_held_keys_are_exact_while_others_are_evicted() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 20_000;
    // Time stands still: what is counted must not leave its window meanwhile.
    let (clock, _) = Clock::manual();
    let set =
        Keyed::<u64>::builder("counted").max_keys(8).on_full(OnFull::Reject).clock(clock).build().unwrap();
    let held: Vec<_> = (0..4).map(|key| set.breaker(&key).unwrap()).collect();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let set = &set;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    set.call(&(round % 4), || Ok::<_, ()>(())).unwrap();
                    // Keys that come and go.
                    let _ = set.call(&(1_000 + thread * ROUNDS + round), || Ok::<_, ()>(()));
                    if round % 64 == 0 {
                        set.evict_idle();
                        set.remove(&(round % 4));
                    }
                }
            });
        }
    });
    for breaker in &held {
        let snapshot = breaker.snapshot();
        assert_eq!(
            (snapshot.totals.success, snapshot.rules[1].calls),
            (THREADS * ROUNDS / 4, THREADS * ROUNDS / 4)
        );
    }
}

/// Counts how many breakers of a key are alive at once, by the only sign that there is from outside: the permits.
#[test]
fn a_half_open_key_lets_no_more_probes_in_than_one_breaker_would() {
    let (builder, time) = hosts();
    let half_open = HalfOpen { max_in_flight: 3, close_after: 1_000, reopen_after: 1, probe_timeout: IDLE };
    let set = builder
        .settings(settings().half_open(half_open))
        .max_keys(2)
        .on_full(OnFull::Reject)
        .build()
        .unwrap();
    trip(&set, "a");
    time.advance(OPEN);
    let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (set, inside, most) = (&set, &inside, &most);
            scope.spawn(move || {
                for round in 0..2_000 {
                    if let Ok(permit) = set.try_acquire("a") {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        permit.ignore();
                    }
                    let _ = set.try_acquire(&format!("{thread}-{round}"));
                    let _ = set.remove("a");
                }
            });
        }
    });
    assert!((1..=3).contains(&most.into_inner()));
}

#[test]
fn a_key_whose_hash_panics_harms_nobody_else() {
    #[derive(Clone)]
    struct Touchy(u32, Arc<AtomicU32>);
    impl PartialEq for Touchy {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Touchy {}
    impl std::hash::Hash for Touchy {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            if self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) == Ok(1) {
                std::panic::resume_unwind(Box::new("hash"));
            }
            self.0.hash(state);
        }
    }
    let set = Keyed::<Touchy>::builder("touchy").max_keys(2).on_full(OnFull::Reject).build().unwrap();
    // The hash is taken several times for a new key that evicts another; panic at each of them in turn.
    for fuse in 1..8 {
        for id in 0..4 {
            let key = Touchy(id, Arc::new(AtomicU32::new(fuse)));
            let _ =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| set.call(&key, || Ok::<_, ()>(()))));
            key.1.store(0, Ordering::SeqCst);
            assert!(set.call(&key, || Ok::<_, ()>(())).is_ok());
            assert!(set.len() <= 2);
        }
    }
}
