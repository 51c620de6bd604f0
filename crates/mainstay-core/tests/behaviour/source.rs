//! Bells and those who watch them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::Thread;

use mainstay_core::{Bell, Watch};

fn is_rung(watch: &mut Watch) -> bool {
    pin!(watch.changed()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_watch_waits_for_the_next_ring() {
    let bell = Bell::new();
    let mut watch = bell.watch();
    assert!(!is_rung(&mut watch));
    bell.ring();
    assert!(is_rung(&mut watch));
    assert!(!is_rung(&mut watch));
}

#[test]
fn rings_between_two_looks_are_one() {
    let bell = Bell::new();
    let mut watch = bell.watch();
    (0..10).for_each(|_| bell.ring());
    assert!(watch.take());
    assert!(!watch.take());
}

#[test]
fn a_watch_begins_when_it_is_made() {
    let bell = Bell::new();
    bell.ring();
    assert!(!bell.watch().take());
}

#[test]
fn every_watch_hears_every_ring() {
    let bell = Bell::new();
    let mut watches = [bell.watch(), bell.watch(), bell.watch()];
    bell.ring();
    assert!(watches.iter_mut().all(Watch::take));
}

#[test]
fn whoever_waits_is_woken() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let bell = Bell::new();
    let mut watch = bell.watch();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut changed = pin!(watch.changed());
    assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    bell.ring();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn a_wait_that_is_given_up_misses_nothing() {
    let bell = Bell::new();
    let mut watch = bell.watch();
    assert!(!is_rung(&mut watch));
    bell.ring();
    assert!(watch.take());
}

#[test]
fn no_ring_is_missed_between_two_threads() {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (ping, pong) = (Bell::new(), Bell::new());
    let answer = |hear: &mut Watch, ring: &Arc<Bell>, times| {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        for _ in 0..times {
            let mut changed = pin!(hear.changed());
            while changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                std::thread::park();
            }
            ring.ring();
        }
    };
    let (mut at_ping, mut at_pong) = (ping.watch(), pong.watch());
    std::thread::scope(|scope| {
        scope.spawn(|| answer(&mut at_ping, &pong, 2000));
        ping.ring();
        answer(&mut at_pong, &ping, 2000);
    });
}

#[test]
fn a_watch_outlives_its_bell() {
    let bell = Bell::new();
    let mut watch = bell.watch();
    bell.ring();
    drop(bell);
    assert!(watch.take());
    assert!(!is_rung(&mut watch));
}
