//! Sleepers of the system's clock: each is woken, at its time and not before, whatever the others do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use mainstay_core::{Clock, Sleep};

const SOON: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);
/// For what must happen, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says its name when it is woken.
struct Bell(&'static str, Sender<&'static str>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.1.send(self.0);
    }
}

fn bell(name: &'static str) -> (Waker, Receiver<&'static str>) {
    let (sender, receiver) = channel();
    (Waker::from(Arc::new(Bell(name, sender))), receiver)
}

fn poll(sleep: &mut Sleep, waker: &Waker) -> Poll<()> {
    pin!(sleep).poll(&mut Context::from_waker(waker))
}

/// Sleeps on this thread.
fn sleep_here(clock: &Clock, sleep: Duration) {
    let (waker, woken) = bell("here");
    let until = clock.now() + sleep;
    let mut sleep = clock.sleep_until(until);
    while poll(&mut sleep, &waker).is_pending() {
        woken.recv_timeout(PATIENCE).unwrap();
    }
    assert!(clock.now() >= until, "woken before its time");
}

#[test]
fn sleepers_of_many_threads_are_all_woken_and_none_too_early() {
    let clock = Clock::monotonic();
    thread::scope(|scope| {
        for slot in 0..40_u32 {
            let clock = &clock;
            scope.spawn(move || {
                for turn in 0..50_u32 {
                    // Times that come before, between and after those of the others.
                    sleep_here(clock, Duration::from_micros(u64::from(slot * 7 + turn * 13) % 1_000 * 3));
                }
            });
        }
    });
}

#[test]
fn one_who_sleeps_less_long_is_woken_before_those_who_came_first() {
    let clock = Clock::monotonic();
    let (late, _woken) = bell("late");
    let mut others: Vec<_> = (0..100).map(|_| clock.sleep_until(clock.now() + LONG)).collect();
    others.iter_mut().for_each(|sleep| assert!(poll(sleep, &late).is_pending()));
    sleep_here(&clock, SOON);
}

#[test]
fn whoever_asked_last_is_woken() {
    let clock = Clock::monotonic();
    // Until both have asked in time.
    loop {
        let ((first, before), (second, after)) = (bell("first"), bell("second"));
        let mut sleep = clock.sleep_until(clock.now() + SOON * 4);
        if poll(&mut sleep, &first).is_pending() && poll(&mut sleep, &second).is_pending() {
            assert_eq!(after.recv_timeout(PATIENCE), Ok("second"));
            assert!(before.try_recv().is_err(), "only the last who asked");
            return;
        }
    }
}

/// A bell whose waker a sleeper has, for a long time.
fn sleeper() -> (Arc<Bell>, Waker, Sleep) {
    let clock = Clock::monotonic();
    let bell = Arc::new(Bell("sleeper", channel().0));
    let waker = Waker::from(bell.clone());
    let mut sleep = clock.sleep_until(clock.now() + LONG);
    assert!(poll(&mut sleep, &waker).is_pending());
    (bell, waker, sleep)
}

#[test]
fn who_is_given_up_is_forgotten_with_his_waker() {
    let (bell, _waker, sleep) = sleeper();
    assert_eq!(Arc::strong_count(&bell), 3);
    drop(sleep);
    assert_eq!(Arc::strong_count(&bell), 2);
}

#[test]
fn who_asks_again_and_again_waits_once() {
    let (bell, waker, mut sleep) = sleeper();
    (0..100).for_each(|_| assert!(poll(&mut sleep, &waker).is_pending()));
    assert_eq!(Arc::strong_count(&bell), 3);
}

#[test]
fn a_waker_that_panics_leaves_the_others_awake() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("the waker's own");
        }
    }
    let clock = Clock::monotonic();
    let at = clock.now() + SOON;
    let mut bad = clock.sleep_until(at);
    let _ = poll(&mut bad, &Waker::from(Arc::new(Panics)));
    sleep_here(&clock, SOON * 2);
    sleep_here(&clock, SOON);
}
