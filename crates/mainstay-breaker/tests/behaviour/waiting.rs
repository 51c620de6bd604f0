//! Services that are not ready while their breaker is open: nobody is forgotten, and no more are woken than can go.
#![cfg(feature = "tower")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use mainstay_breaker::{
    Breaker, BreakerError, BreakerLayer, Clock, Control, HalfOpen, ManualClock, OnOpen, OpenFor, OwnedPermit,
    StateSource, Trip,
};
use tower::{Layer, Service, service_fn, util::BoxService};

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Opens for 1 s, with one probe at a time that may take 10 s.
fn breaker(half_open: HalfOpen) -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("upstream").trip(Trip::consecutive_failures(1)).half_open(half_open);
    (builder.open_for(OpenFor::fixed(secs(1))).clock(clock).build().unwrap(), time)
}

fn one_probe() -> HalfOpen {
    HalfOpen { max_in_flight: 1, close_after: 1, reopen_after: 1, probe_timeout: secs(10) }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A service with its task, as an executor would drive it: polled when woken.
struct Task {
    service: BoxService<(), (), BreakerError<()>>,
    wakes: Arc<Wakes>,
    seen: usize,
}

impl Task {
    fn new(breaker: &Breaker) -> Self {
        let layer = BreakerLayer::new(breaker.clone()).on_open(OnOpen::NotReady);
        let service = BoxService::new(layer.layer(service_fn(async |(): ()| Ok::<(), ()>(()))));
        Self { service, wakes: Arc::default(), seen: 0 }
    }

    fn poll(&mut self) -> bool {
        self.seen = self.wakes.0.load(Ordering::SeqCst);
        let waker = Waker::from(self.wakes.clone());
        self.service.poll_ready(&mut Context::from_waker(&waker)).is_ready()
    }

    fn was_woken(&self) -> bool {
        self.wakes.0.load(Ordering::SeqCst) > self.seen
    }
}

/// Polls whoever was woken, until nobody is; who became ready.
fn run(tasks: &mut [Task]) -> Vec<usize> {
    let mut ready = Vec::new();
    while let Some(index) = tasks.iter().position(Task::was_woken) {
        if tasks[index].poll() {
            ready.push(index);
        }
    }
    ready
}

fn waiting(breaker: &Breaker, count: usize) -> Vec<Task> {
    let mut tasks: Vec<_> = (0..count).map(|_| Task::new(breaker)).collect();
    for task in &mut tasks {
        assert!(!task.poll(), "it is open");
    }
    tasks
}

fn probe(breaker: &Breaker) -> OwnedPermit {
    breaker.try_acquire_owned().expect("a slot is free")
}

#[test]
fn a_service_that_is_no_longer_polled_keeps_nobody_else_waiting_for_ever() {
    let (breaker, time) = breaker(one_probe());
    breaker.trip();
    let mut tasks = waiting(&breaker, 2);
    // The first one's caller has given up, but keeps the service.
    tasks[0].seen = usize::MAX;
    time.advance(secs(1));
    assert!(run(&mut tasks).is_empty(), "the one slot was offered to the first");
    time.advance(secs(10));
    assert_eq!(run(&mut tasks), [1], "it did not come for it");
}

#[test]
fn a_breaker_that_closes_wakes_all() {
    let (breaker, _time) = breaker(one_probe());
    breaker.trip();
    let mut tasks = waiting(&breaker, 3);
    drop(tasks.remove(0));
    breaker.reset();
    assert_eq!(run(&mut tasks), [0, 1]);
}

#[test]
fn a_stray_poll_of_a_breaker_that_closed_is_ready() {
    let (breaker, _time) = breaker(one_probe());
    breaker.trip();
    let mut tasks = waiting(&breaker, 1);
    breaker.set_control(Control::ForcedClosed);
    assert!(tasks[0].poll());
}

#[test]
fn a_breaker_that_reopens_for_a_shorter_time_wakes_in_time() {
    let (breaker, time) = breaker(one_probe());
    breaker.trip();
    let mut tasks = waiting(&breaker, 3);
    time.advance(secs(1));
    assert_eq!(run(&mut tasks).len(), 1);
    probe(&breaker).failure();
    time.advance(secs(1));
    assert_eq!(
        run(&mut tasks).len(),
        1,
        "open for one second again, and not for as long as a probe may take"
    );
}

#[test]
fn each_slot_that_is_given_back_wakes_one_however_long_the_stay() {
    let (breaker, time) = breaker(HalfOpen { close_after: 100, reopen_after: 100, ..one_probe() });
    breaker.trip();
    let mut tasks = waiting(&breaker, 10);
    time.advance(secs(1));
    for round in 0..5 {
        assert_eq!(run(&mut tasks).len(), 1, "round {round}");
        let permit = probe(&breaker);
        time.advance(secs(9));
        assert!(run(&mut tasks).is_empty(), "round {round}: the slot is taken");
        permit.success();
    }
}

#[test]
fn a_slot_whose_probe_never_answers_wakes_the_next_when_its_time_is_over() {
    let (breaker, time) = breaker(HalfOpen { reopen_after: 100, ..one_probe() });
    breaker.trip();
    let mut tasks = waiting(&breaker, 3);
    time.advance(secs(1));
    assert_eq!(run(&mut tasks).len(), 1);
    std::mem::forget(probe(&breaker));
    time.advance(secs(10));
    assert_eq!(run(&mut tasks).len(), 1);
}

#[test]
fn a_woken_service_that_goes_away_passes_the_wake_on() {
    let (breaker, time) = breaker(one_probe());
    breaker.trip();
    let mut tasks = waiting(&breaker, 2);
    time.advance(secs(1));
    let woken = tasks.iter().position(Task::was_woken).unwrap();
    drop(tasks.remove(woken));
    assert_eq!(run(&mut tasks), [0]);
}

#[test]
fn a_breaker_that_nobody_waits_for_any_more_is_freed() {
    let (breaker, _time) = breaker(one_probe());
    let mut transitions = breaker.subscribe();
    breaker.trip();
    drop(waiting(&breaker, 3));
    drop(breaker);
    let waker = Waker::noop();
    let mut end = std::pin::pin!(async { while transitions.recv().await.is_some() {} });
    assert!(
        end.as_mut().poll(&mut Context::from_waker(waker)).is_ready(),
        "the stream ends with the breaker"
    );
}

#[test]
fn a_waker_that_panics_leaves_the_others_awake() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker")
        }
    }
    let (breaker, _time) = breaker(one_probe());
    let mut transitions = breaker.subscribe();
    let waker = Waker::from(Arc::new(Panics));
    assert!(Box::pin(transitions.recv()).as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    breaker.set_control(Control::ForcedOpen);
    let mut tasks = waiting(&breaker, 1);
    breaker.set_control(Control::Automatic);
    breaker.reset();
    assert_eq!(run(&mut tasks), [0]);
}

#[test]
fn a_watcher_is_told_when_a_probe_brings_the_next_change_forward() {
    let (breaker, time) = breaker(one_probe());
    let mut watch = breaker.watch();
    breaker.trip();
    time.advance(secs(1));
    StateSource::poll(&breaker);
    assert!(watch.take());
    assert_eq!(breaker.next_change(), None);
    std::mem::forget(breaker.try_acquire().unwrap());
    assert_eq!(breaker.next_change(), Some(secs(11)));
    assert!(watch.take());
}

#[test]
fn an_observing_breaker_rejects_a_call_without_ready_for_that_reason_alone() {
    let (breaker, _time) = breaker(one_probe());
    breaker.trip();
    breaker.set_control(Control::ObserveOnly);
    let mut service = BreakerLayer::new(breaker).layer(service_fn(async |(): ()| Ok::<(), ()>(())));
    let mut call = Box::pin(service.call(()));
    let answer = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let std::task::Poll::Ready(Err(error)) = answer else { panic!("it was never ready") };
    assert_eq!(error.rejected().unwrap().reason(), mainstay_breaker::RejectReason::NotReady);
}
