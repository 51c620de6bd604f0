//! Closures that are called with every transition never run inside.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use mainstay_breaker::{Breaker, Clock, Control, ManualClock, OpenFor, State, Transition, Trip};

const OPEN: Duration = Duration::from_secs(10);
/// How long a test waits for what must come. It passes only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

fn breaker() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("told").trip(Trip::consecutive_failures(1));
    (builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap(), time)
}

/// Every transition that a closure is called with, sent here.
fn told(breaker: &Breaker) -> Receiver<Transition> {
    let (sender, receiver) = channel();
    breaker.on_transition(move |transition| sender.send(*transition).unwrap_or_default()).unwrap();
    receiver
}

#[test]
fn a_closure_is_called_with_every_transition_in_order() {
    let (breaker, time) = breaker();
    let told = told(&breaker);
    breaker.trip();
    time.advance(OPEN);
    breaker.poll();
    breaker.reset();
    let states: Vec<_> = (0..3).map(|_| told.recv_timeout(PATIENCE).unwrap().to).collect();
    assert_eq!(states, [State::Open, State::HalfOpen, State::Closed]);
}

#[test]
fn closures_run_on_one_thread_that_is_not_a_callers() {
    let (breaker, _) = breaker();
    let (sender, threads) = channel();
    for _ in 0..3 {
        let sender = sender.clone();
        breaker.on_transition(move |_| sender.send(std::thread::current().id()).unwrap()).unwrap();
    }
    breaker.trip();
    let ids: Vec<_> = (0..3).map(|_| threads.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0] && *id != std::thread::current().id()));
}

#[test]
fn a_closure_that_calls_the_breaker_does_not_deadlock() {
    let (breaker, _) = breaker();
    let own = breaker.clone();
    let act = move |transition: &Transition| {
        if transition.to == State::Open {
            let _ = (own.snapshot(), own.call(|| Err::<(), _>("refused")), own.subscribe());
            own.set_control(Control::Automatic);
            own.reconfigure(own.settings()).unwrap();
            own.on_transition(|_| ()).unwrap();
            own.reset();
        }
    };
    breaker.on_transition(act).unwrap();
    let told = told(&breaker);
    breaker.trip();
    let states = [(); 2].map(|()| told.recv_timeout(PATIENCE).unwrap().to);
    assert_eq!(states, [State::Open, State::Closed]);
}

#[test]
fn a_slow_closure_delays_no_call() {
    let (breaker, time) = breaker();
    let (entered, closure_entered) = channel();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let slow = move |_: &Transition| {
        entered.send(()).unwrap();
        let _ = released.lock().unwrap().recv();
    };
    breaker.on_transition(slow).unwrap();
    breaker.trip();
    closure_entered.recv_timeout(PATIENCE).unwrap();
    // It is inside now, and stays there while the breaker goes through all its states.
    for _ in 0..300 {
        time.advance(OPEN);
        breaker.try_acquire().unwrap().failure();
        assert!(breaker.try_acquire().is_err());
    }
    breaker.reset();
    assert!(breaker.call(|| Ok::<_, &str>(())).is_ok());
    drop(release);
}

#[test]
fn a_slow_closure_delays_no_stream() {
    let (breaker, _) = breaker();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    breaker.on_transition(move |_| _ = released.lock().unwrap().recv()).unwrap();
    let mut transitions = breaker.subscribe();
    breaker.trip();
    breaker.reset();
    assert_eq!(std::iter::from_fn(|| transitions.try_recv()).count(), 2);
    drop(release);
}

#[test]
fn a_closure_that_panics_is_called_again_and_hurts_nobody_else() {
    let (breaker, _) = breaker();
    let (sender, calls) = channel();
    let panics = move |transition: &Transition| {
        sender.send(transition.epoch).unwrap();
        panic!("the closure's own");
    };
    breaker.on_transition(panics).unwrap();
    let told = told(&breaker);
    for epoch in 1..=3 {
        breaker.reset();
        assert_eq!(calls.recv_timeout(PATIENCE), Ok(epoch));
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().epoch, epoch);
    }
}

#[test]
fn closures_are_let_go_when_the_breaker_is_gone() {
    let (breaker, _) = breaker();
    let [one, other] = [told(&breaker), told(&breaker)];
    breaker.trip();
    drop(breaker);
    for told in [one, other] {
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().to, State::Open);
        assert_eq!(told.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}
