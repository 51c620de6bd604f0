//! A breaker that is not told how its calls end says so.
#![cfg(all(feature = "tokio", feature = "tracing"))]
#![allow(clippy::unwrap_used)]

use std::future::{pending, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_breaker::{Breaker, BreakerError, Clock, State, Trip};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};

const PATIENCE: Duration = Duration::from_millis(100);

/// The `breaker_blind` events of the present thread: all their fields as text.
#[derive(Clone, Default)]
struct BlindEvents(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{field}={value:?};");
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for BlindEvents {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().name() == "breaker_blind" {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}

impl BlindEvents {
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let events = Self::default();
        let subscriber = tracing_subscriber::registry().with(events.clone());
        (events, tracing::subscriber::set_default(subscriber))
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn breaker() -> Breaker {
    Breaker::builder("blind").trip(Trip::consecutive_failures(5)).clock(Clock::tokio()).build().unwrap()
}

/// Calls a dependency that never answers, until the caller's own time-out drops the call.
async fn cut_off(breaker: &Breaker, times: usize) {
    for _ in 0..times {
        let hanging = breaker.run(pending::<Result<(), &str>>());
        assert!(tokio::time::timeout(PATIENCE, hanging).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_dependency_behind_an_outer_time_out_is_reported_as_blind() {
    let (events, _guard) = BlindEvents::listen();
    let breaker = breaker();
    cut_off(&breaker, 19).await;
    assert_eq!((breaker.snapshot().blind, events.count()), (false, 0));
    cut_off(&breaker, 1).await;
    assert_eq!((breaker.snapshot().blind, events.count()), (true, 1));
    assert_eq!((breaker.state(), breaker.snapshot().totals.cancelled), (State::Closed, 20));
}

#[tokio::test(start_paused = true)]
async fn blindness_is_reported_once_however_long_it_lasts() {
    let (events, _guard) = BlindEvents::listen();
    let breaker = breaker();
    cut_off(&breaker, 200).await;
    assert_eq!((breaker.snapshot().blind, events.count()), (true, 1));
}

#[tokio::test(start_paused = true)]
async fn a_verdict_ends_blindness_and_the_next_streak_is_reported_again() {
    let (events, _guard) = BlindEvents::listen();
    let breaker = breaker();
    cut_off(&breaker, 20).await;
    breaker.run(ready(Ok::<_, &str>(()))).await.unwrap();
    assert!(!breaker.snapshot().blind);
    cut_off(&breaker, 20).await;
    assert_eq!((breaker.snapshot().blind, events.count()), (true, 2));
}

#[tokio::test(start_paused = true)]
async fn a_verdict_now_and_then_keeps_the_breaker_from_being_blind() {
    let (events, _guard) = BlindEvents::listen();
    let breaker = breaker();
    for _ in 0..10 {
        cut_off(&breaker, 19).await;
        breaker.run(ready(Ok::<_, &str>(()))).await.unwrap();
    }
    assert_eq!((breaker.snapshot().blind, events.count()), (false, 0));
}

#[tokio::test(start_paused = true)]
async fn the_report_names_the_breaker_and_the_fix() {
    let (events, _guard) = BlindEvents::listen();
    cut_off(&breaker(), 20).await;
    let event = events.0.lock().unwrap()[0].clone();
    assert!(event.contains("\"blind\"") && event.contains(".timeout(d)"), "{event}");
}

#[tokio::test(start_paused = true)]
async fn drops_that_count_as_failures_are_not_blind() {
    let (events, _guard) = BlindEvents::listen();
    let builder = Breaker::builder("seeing").trip(Trip::consecutive_failures(50)).clock(Clock::tokio());
    let breaker = builder.count_dropped_as_failure(true).build().unwrap();
    cut_off(&breaker, 30).await;
    assert_eq!((breaker.snapshot().blind, events.count()), (false, 0));
}

#[tokio::test(start_paused = true)]
async fn with_a_time_out_of_its_own_a_hanging_dependency_trips() {
    let (events, _guard) = BlindEvents::listen();
    let builder = Breaker::builder("seeing").trip(Trip::consecutive_failures(5)).clock(Clock::tokio());
    let breaker = builder.timeout(PATIENCE).build().unwrap();
    for _ in 0..5 {
        let result = breaker.run(pending::<Result<(), &str>>()).await;
        assert!(matches!(result, Err(BreakerError::TimedOut(timed_out)) if timed_out.after() == PATIENCE));
    }
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.blind, events.count()), (State::Open, false, 0));
    assert_eq!((snapshot.totals.failure, snapshot.totals.cancelled), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn with_a_time_out_for_one_call_a_hanging_dependency_trips() {
    let breaker = breaker();
    for _ in 0..5 {
        assert!(breaker.run_timeout(PATIENCE, pending::<Result<(), &str>>()).await.is_err());
    }
    assert_eq!(breaker.state(), State::Open);
}
