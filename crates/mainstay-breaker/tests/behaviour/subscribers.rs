//! Who listens never runs inside.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use mainstay_breaker::{Breaker, Cause, Clock, Control, ManualClock, OpenFor, State, Trip};

const OPEN: Duration = Duration::from_secs(10);

fn breaker() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("told").trip(Trip::consecutive_failures(1));
    (builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap(), time)
}

#[test]
fn a_transition_says_from_where_to_where_why_and_when() {
    let (breaker, time) = breaker();
    time.advance(OPEN);
    let mut transitions = breaker.subscribe();
    breaker.try_acquire().unwrap().failure();
    let opened = transitions.try_recv().unwrap();
    assert_eq!((opened.name.as_str(), opened.from, opened.to), ("told", State::Closed, State::Open));
    assert_eq!((opened.epoch, opened.stage, opened.at), (1, None, OPEN));
    assert_eq!(opened.cause, Cause::ConsecutiveFailures { rule: 0, failures: 1, limit: 1 });
    assert_eq!(opened.wall, std::time::SystemTime::UNIX_EPOCH + OPEN);
}

#[test]
fn transitions_arrive_in_order_and_once() {
    let (breaker, time) = breaker();
    let mut transitions = breaker.subscribe();
    breaker.trip();
    time.advance(OPEN);
    breaker.try_acquire().unwrap().failure();
    breaker.reset();
    let states: Vec<_> = std::iter::from_fn(|| transitions.try_recv()).map(|t| (t.epoch, t.to)).collect();
    let expected = [(1, State::Open), (2, State::HalfOpen), (3, State::Open), (4, State::Closed)];
    assert_eq!(states, expected);
}

#[test]
fn a_subscription_begins_when_it_is_made() {
    let (breaker, _) = breaker();
    breaker.trip();
    let mut transitions = breaker.subscribe();
    breaker.reset();
    assert_eq!(transitions.try_recv().unwrap().cause, Cause::Reset);
    assert_eq!(transitions.try_recv(), None);
}

#[test]
fn every_subscription_gets_every_transition() {
    let (breaker, _) = breaker();
    let [mut one, mut other] = [breaker.subscribe(), breaker.subscribe()];
    breaker.trip();
    assert_eq!(one.try_recv(), other.try_recv());
}

#[test]
fn a_stream_is_bounded_and_says_what_it_missed() {
    let (breaker, _) = breaker();
    let mut transitions = breaker.subscribe();
    for _ in 0..150 {
        breaker.trip();
        breaker.reset();
    }
    assert_eq!(transitions.missed(), 300 - 256);
    let epochs: Vec<_> = std::iter::from_fn(|| transitions.try_recv()).map(|t| t.epoch).collect();
    assert_eq!(epochs, (45..=300).collect::<Vec<_>>());
    assert_eq!(transitions.missed(), 44);
}

#[test]
fn a_subscription_that_keeps_up_misses_nothing() {
    let (breaker, _) = breaker();
    let mut transitions = breaker.subscribe();
    for _ in 0..1000 {
        breaker.reset();
        assert!(transitions.try_recv().is_some());
    }
    assert_eq!(transitions.missed(), 0);
}

#[test]
fn a_subscription_can_be_awaited() {
    let (breaker, _) = breaker();
    let mut transitions = breaker.subscribe();
    assert!(transitions.recv().now_or_never().is_none());
    breaker.trip();
    assert_eq!(transitions.recv().now_or_never().unwrap().unwrap().to, State::Open);
}

#[test]
fn a_subscription_is_a_stream() {
    let (breaker, _) = breaker();
    let mut transitions = breaker.subscribe();
    breaker.trip();
    breaker.reset();
    drop(breaker);
    let mut states = Vec::new();
    while let Some(next) = transitions.next().now_or_never().unwrap() {
        states.push(next.to);
    }
    assert_eq!(states, [State::Open, State::Closed]);
}

#[test]
fn a_reader_who_waits_is_woken() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (breaker, _) = breaker();
    let mut transitions = breaker.subscribe();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    assert!(transitions.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    breaker.trip();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_subscription_ends_when_the_breaker_is_gone() {
    let (breaker, _) = breaker();
    let mut transitions = breaker.subscribe();
    breaker.trip();
    drop(breaker);
    assert_eq!(transitions.recv().now_or_never().unwrap().unwrap().to, State::Open);
    assert_eq!(transitions.recv().now_or_never(), Some(None));
}

#[test]
fn a_change_of_control_is_not_a_transition() {
    let (breaker, _) = breaker();
    let mut transitions = breaker.subscribe();
    breaker.set_control(Control::ForcedOpen);
    assert_eq!(transitions.try_recv(), None);
}

#[test]
fn a_waker_that_calls_the_breaker_when_it_is_dropped_does_not_deadlock() {
    /// What a waker may hold last: a task with a permit in it.
    struct Last(Breaker);
    impl Wake for Last {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.reset();
        }
    }
    let (breaker, _) = breaker();
    let mut transitions = breaker.subscribe();
    let (done, finished) = channel();
    std::thread::spawn(move || {
        let last = Waker::from(Arc::new(Last(breaker.clone())));
        assert!(transitions.poll_next_unpin(&mut Context::from_waker(&last)).is_pending());
        drop(last);
        // Takes the place of the other waker, which is dropped here.
        let _ = transitions.poll_next_unpin(&mut Context::from_waker(Waker::noop()));
        done.send(breaker.snapshot().epoch).unwrap();
    });
    assert_eq!(finished.recv_timeout(Duration::from_secs(5)), Ok(1));
}
