//! A panic is a failure, goes on, and wedges nothing.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::FutureExt;
use mainstay_breaker::{Breaker, Clock, OpenFor, State, Trip, Verdict};

/// On a clock that stands, so that it is open for as long as a test looks at it.
fn breaker() -> Breaker {
    let (clock, _) = Clock::manual();
    Breaker::builder("panics").clock(clock).trip(Trip::consecutive_failures(2)).build().unwrap()
}

fn unwinds<T>(work: impl FnOnce() -> T) -> Box<dyn std::any::Any + Send> {
    catch_unwind(AssertUnwindSafe(work)).err().unwrap()
}

fn panics() -> Result<(), &'static str> {
    panic!("the call's own")
}

#[test]
fn a_panic_in_a_call_counts_as_a_failure() {
    let breaker = breaker();
    unwinds(|| breaker.call(panics));
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.failure, totals.ignored, totals.cancelled), (1, 0, 0));
}

#[test]
fn a_panic_in_a_call_goes_on_unchanged() {
    let breaker = breaker();
    let payload = unwinds(|| breaker.call(panics));
    assert_eq!(payload.downcast_ref(), Some(&"the call's own"));
}

#[test]
fn panics_trip() {
    let breaker = breaker();
    unwinds(|| breaker.call(panics));
    unwinds(|| breaker.call(panics));
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_panic_in_an_async_call_counts_as_a_failure() {
    let breaker = breaker();
    unwinds(|| breaker.run(async { panics() }).now_or_never());
    assert_eq!(breaker.snapshot().totals.failure, 1);
}

#[test]
fn a_panic_in_a_task_counts_as_a_failure() {
    let breaker = breaker().leak();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let task = breaker.clone();
    let joined = runtime.block_on(runtime.spawn(async move { task.run(async { panics() }).await }));
    assert!(joined.unwrap_err().is_panic());
    assert_eq!(breaker.snapshot().totals.failure, 1);
}

#[test]
fn a_panicking_classifier_counts_as_a_failure_and_poisons_nothing() {
    let breaker = breaker();
    let classify = |_: &Result<(), &str>| -> Verdict { panic!("the classifier's own") };
    unwinds(|| breaker.call_with(classify, || Ok(())));
    assert_eq!(breaker.snapshot().totals.failure, 1);
    assert!(breaker.call(|| Ok::<_, &str>(())).is_ok());
    unwinds(|| breaker.run_with(classify, async { Ok(()) }).now_or_never());
    assert_eq!(breaker.snapshot().totals.failure, 2);
}

#[test]
fn a_permit_dropped_by_a_panic_that_began_after_it_was_taken_is_a_failure() {
    let breaker = breaker();
    unwinds(|| {
        let _permit = breaker.try_acquire().unwrap();
        panic!("between taking and recording");
    });
    unwinds(|| {
        let _permit = breaker.try_acquire_owned().unwrap();
        panic!("between taking and recording");
    });
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_permit_recorded_before_the_panic_is_not_counted_again() {
    let breaker = breaker();
    unwinds(|| {
        breaker.try_acquire().unwrap().success();
        panic!("after recording");
    });
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.success, totals.failure), (1, 0));
}

#[test]
fn a_permit_taken_while_the_thread_unwinds_already_is_not_blamed_for_that_panic() {
    struct CleanUp<'a>(&'a Breaker);
    impl Drop for CleanUp<'_> {
        fn drop(&mut self) {
            drop(self.0.try_acquire());
        }
    }
    let breaker = breaker();
    unwinds(|| {
        let _clean_up = CleanUp(&breaker);
        panic!("somebody else's");
    });
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.failure, totals.ignored), (0, 1));
}

#[test]
fn a_call_made_while_the_thread_unwinds_already_is_judged_by_its_result() {
    struct CleanUp<'a>(&'a Breaker);
    impl Drop for CleanUp<'_> {
        fn drop(&mut self) {
            let _ = self.0.call(|| Ok::<_, &str>(()));
        }
    }
    let breaker = breaker();
    unwinds(|| {
        let _clean_up = CleanUp(&breaker);
        panic!("somebody else's");
    });
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.success, totals.failure), (1, 0));
}

#[test]
fn a_panicking_probe_reopens_and_gives_its_slot_back() {
    let (clock, time) = Clock::manual();
    let open = Duration::from_secs(10);
    let builder = Breaker::builder("panics").open_for(OpenFor::fixed(open)).clock(clock);
    let breaker = builder.build().unwrap();
    breaker.trip();
    time.advance(open);
    unwinds(|| breaker.call(panics));
    assert_eq!(breaker.state(), State::Open);
    time.advance(open);
    assert_eq!(breaker.snapshot().half_open.unwrap().in_flight, 0);
}

#[test]
fn a_panic_is_a_failure_whatever_drops_are() {
    let builder = Breaker::builder("panics").count_dropped_as_failure(true);
    let breaker = builder.build().unwrap();
    unwinds(|| breaker.call(panics));
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.failure, totals.cancelled), (1, 0));
}

#[cfg(all(feature = "tower", feature = "tracing"))]
mod of_the_log {
    use futures_util::FutureExt;
    use mainstay_breaker::{BreakerError, BreakerLayer};
    use tower::{Layer, Service, service_fn};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, SubscriberExt};

    use super::*;

    struct Panics;

    impl<S: Subscriber> tracing_subscriber::Layer<S> for Panics {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            panic!("the log's own");
        }
    }

    fn logged_by_one_who_panics<T>(work: impl FnOnce() -> T) -> T {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Panics), work)
    }

    #[test]
    fn it_ends_where_it_began_and_the_call_gets_its_result() {
        let breaker = breaker();
        let results = logged_by_one_who_panics(|| [(); 2].map(|()| breaker.call(|| Err::<(), _>("down"))));
        assert!(results.iter().all(|result| matches!(result, Err(BreakerError::Inner("down")))));
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn it_ends_where_it_began_and_the_caller_of_a_service_gets_its_result() {
        let breaker = breaker();
        let mut service =
            BreakerLayer::new(breaker.clone()).layer(service_fn(async |()| Err::<(), _>("down")));
        let results = logged_by_one_who_panics(|| {
            [(); 2].map(|()| {
                let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).now_or_never();
                assert!(matches!(ready, Some(Ok(()))));
                service.call(()).now_or_never().unwrap()
            })
        });
        assert!(results.iter().all(|result| matches!(result, Err(BreakerError::Inner("down")))));
        assert_eq!(breaker.state(), State::Open);
    }
}
