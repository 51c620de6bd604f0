//! Works without any runtime, and under tokio with its time paused.
#![allow(clippy::unwrap_used)]

use std::future::{pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use futures_util::FutureExt;
use mainstay_breaker::{Breaker, BreakerError, Cause, Clock, ErrorsAreFailures, OpenFor, Run};

const PATIENCE: Duration = Duration::from_secs(2);
const OPEN: Duration = Duration::from_secs(10);

/// The smallest executor: this thread, parked.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn hanging() -> impl Future<Output = Result<(), &'static str>> {
    pending()
}

#[test]
fn an_async_call_needs_no_runtime() {
    let breaker = Breaker::new("plain").unwrap();
    assert_eq!(block_on(breaker.run(ready(Ok::<_, &str>(1)))), Ok(1));
}

#[test]
fn a_time_out_needs_no_runtime() {
    let breaker = Breaker::new("plain").unwrap();
    let result = block_on(breaker.run_timeout(Duration::from_millis(1), hanging()));
    assert!(matches!(result, Err(BreakerError::TimedOut(_))));
    assert_eq!(breaker.snapshot().totals.failure, 1);
}

#[test]
fn a_time_out_follows_a_manual_clock() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("manual").timeout(PATIENCE).clock(clock).build().unwrap();
    let mut call = pin!(breaker.run(hanging()));
    assert!(call.as_mut().now_or_never().is_none());
    time.advance(PATIENCE - Duration::from_nanos(1));
    assert!(call.as_mut().now_or_never().is_none());
    time.advance(Duration::from_nanos(1));
    let result = call.now_or_never().unwrap();
    assert!(matches!(result, Err(BreakerError::TimedOut(after)) if after.after() == PATIENCE));
}

#[test]
fn a_manual_clock_that_moves_wakes_a_call_whose_time_is_over() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("manual").timeout(PATIENCE).clock(clock).build().unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| block_on(breaker.run(hanging())));
        while !call.is_finished() {
            time.advance(PATIENCE);
            std::thread::yield_now();
        }
        assert!(matches!(call.join().unwrap(), Err(BreakerError::TimedOut(_))));
    });
}

#[test]
fn a_call_that_times_out_is_dropped_at_once() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("manual").timeout(PATIENCE).clock(clock).build().unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let guard = Dropped(drops.clone());
    let work = async move {
        let _guard = guard;
        hanging().await
    };
    let mut call = pin!(breaker.run(work));
    assert!(call.as_mut().now_or_never().is_none());
    time.advance(PATIENCE);
    assert!(call.as_mut().now_or_never().is_some());
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_probe_that_times_out_reopens() {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("manual").timeout(PATIENCE).open_for(OpenFor::fixed(OPEN));
    let breaker = builder.clock(clock).build().unwrap();
    breaker.trip();
    time.advance(OPEN);
    let mut probe = pin!(breaker.run(hanging()));
    assert!(probe.as_mut().now_or_never().is_none());
    time.advance(PATIENCE);
    assert!(probe.as_mut().now_or_never().is_some());
    assert_eq!(breaker.snapshot().last_trip, Some(Cause::ProbeFailed { failures: 1, limit: 1 }));
}

#[test]
fn a_call_that_answers_in_its_last_moment_has_answered() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("manual").timeout(PATIENCE).clock(clock).build().unwrap();
    let mut polls = 0;
    let work = std::future::poll_fn(|_| {
        polls += 1;
        if polls == 2 { Poll::Ready(Ok::<_, &str>("just")) } else { Poll::Pending }
    });
    let mut call = pin!(breaker.run(work));
    assert!(call.as_mut().now_or_never().is_none());
    time.advance(PATIENCE);
    assert_eq!(call.now_or_never(), Some(Ok("just")));
}

#[test]
fn the_time_out_of_one_call_replaces_that_of_the_breaker() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("manual").timeout(PATIENCE).clock(clock).build().unwrap();
    let mut call = pin!(breaker.run_timeout(2 * PATIENCE, hanging()));
    assert!(call.as_mut().now_or_never().is_none());
    time.advance(PATIENCE);
    assert!(call.as_mut().now_or_never().is_none());
    time.advance(PATIENCE);
    assert!(call.now_or_never().is_some());
}

#[test]
fn a_time_out_of_zero_drops_a_call_that_does_not_answer_at_once() {
    let breaker = Breaker::new("hasty").unwrap();
    assert_eq!(breaker.run_timeout(Duration::ZERO, ready(Ok::<_, &str>(1))).now_or_never(), Some(Ok(1)));
    let result = breaker.run_timeout(Duration::ZERO, hanging()).now_or_never();
    assert!(matches!(result, Some(Err(BreakerError::TimedOut(_)))));
}

#[test]
fn the_longest_time_out_panics_nothing() {
    let breaker = Breaker::new("patient").unwrap();
    assert!(breaker.run_timeout(Duration::MAX, hanging()).now_or_never().is_none());
}

#[test]
fn a_guarded_future_can_be_sent_if_the_work_can() {
    fn sent<T: Send>() {}
    sent::<Run<'static, std::future::Ready<Result<(), ()>>, ErrorsAreFailures>>();
}

#[cfg(feature = "tokio")]
mod under_tokio {
    use super::*;
    use mainstay_breaker::{State, Trip};
    use tokio::time::{advance, sleep, timeout};

    fn breaker() -> Breaker {
        let builder = Breaker::builder("tokio").trip(Trip::consecutive_failures(1)).clock(Clock::tokio());
        builder.open_for(OpenFor::fixed(OPEN)).build().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn paused_time_moves_the_breaker_through_its_states() {
        let breaker = breaker();
        let _ = breaker.run(ready(Err::<(), _>("refused"))).await;
        assert_eq!(breaker.state(), State::Open);
        advance(OPEN - Duration::from_millis(1)).await;
        assert_eq!(breaker.state(), State::Open);
        advance(Duration::from_millis(1)).await;
        assert_eq!(breaker.state(), State::HalfOpen);
        breaker.run(ready(Ok::<_, &str>(()))).await.unwrap();
        breaker.run(ready(Ok::<_, &str>(()))).await.unwrap();
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn sleeping_for_the_retry_after_is_enough() {
        let breaker = breaker();
        breaker.trip();
        let wait = breaker.try_acquire().unwrap_err().retry_after().unwrap();
        sleep(wait).await;
        assert!(breaker.try_acquire().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_out_uses_paused_time() {
        let breaker = breaker();
        let before = tokio::time::Instant::now();
        assert!(breaker.run_timeout(PATIENCE, hanging()).await.is_err());
        assert_eq!(before.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outer_time_out_gives_the_slot_of_a_hanging_probe_back() {
        let breaker = breaker();
        breaker.trip();
        sleep(OPEN).await;
        for _ in 0..10 {
            assert!(timeout(Duration::from_millis(1), breaker.run(hanging())).await.is_err());
        }
        assert_eq!(breaker.snapshot().half_open.unwrap().in_flight, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_woken_by_a_transition() {
        let breaker = breaker();
        let mut transitions = breaker.subscribe();
        let reader = tokio::spawn(async move { transitions.recv().await.unwrap().to });
        tokio::task::yield_now().await;
        breaker.trip();
        assert_eq!(reader.await.unwrap(), State::Open);
    }

    #[test]
    fn of_a_thousand_tasks_exactly_as_many_get_in_as_there_are_slots() {
        let (clock, time) = Clock::manual();
        let builder = Breaker::builder("tasks").open_for(OpenFor::fixed(OPEN)).clock(clock);
        let breaker = builder.build().unwrap();
        breaker.trip();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        for _ in 0..3 {
            time.advance(OPEN);
            let admitted = runtime.block_on(async {
                let tasks: Vec<_> = (0..1000)
                    .map(|_| {
                        let breaker = breaker.clone();
                        tokio::spawn(async move { breaker.try_acquire_owned().ok() })
                    })
                    .collect();
                let mut admitted = Vec::new();
                for task in tasks {
                    admitted.extend(task.await.unwrap());
                }
                admitted
            });
            assert_eq!(admitted.len(), 3);
            admitted.into_iter().for_each(|permit| permit.failure());
        }
    }

    #[test]
    fn a_runtime_without_a_timer_is_enough() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let breaker = breaker();
        let result = runtime.block_on(breaker.run_timeout(Duration::from_millis(1), hanging()));
        assert!(matches!(result, Err(BreakerError::TimedOut(_))));
    }

    #[test]
    fn tokios_clock_works_outside_a_runtime() {
        let breaker = breaker();
        let result = block_on(breaker.run_timeout(Duration::from_millis(1), hanging()));
        assert!(matches!(result, Err(BreakerError::TimedOut(_))));
        assert_eq!(breaker.state(), State::Open);
    }
}
