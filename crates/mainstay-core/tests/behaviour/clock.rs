//! Time that is injected.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, SystemTime};

use mainstay_core::{Clock, Sleep};

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);

fn is_over(sleep: &mut std::pin::Pin<&mut Sleep>) -> bool {
    sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

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

#[test]
fn a_manual_clock_stands_still_until_it_is_advanced() {
    let (clock, time) = Clock::manual();
    assert_eq!((clock.now(), clock.coarse(), time.now()), (Duration::ZERO, Duration::ZERO, Duration::ZERO));
    time.advance(SECOND);
    assert_eq!((clock.now(), clock.coarse(), time.now()), (SECOND, SECOND, SECOND));
}

#[test]
fn clones_tell_the_same_time() {
    let (clock, time) = Clock::manual();
    let (clock, time) = (clock.clone(), [time.clone(), time]);
    time.iter().for_each(|time| time.advance(SECOND));
    assert_eq!(clock.now(), 2 * SECOND);
}

#[test]
fn two_manual_clocks_are_independent() {
    let ((one, time), (other, _)) = (Clock::manual(), Clock::manual());
    time.advance(SECOND);
    assert_eq!((one.now(), other.now()), (SECOND, Duration::ZERO));
}

#[test]
fn a_manual_clock_stands_at_its_end_instead_of_overflowing() {
    let (clock, time) = Clock::manual();
    for by in [Duration::MAX, SECOND, Duration::MAX] {
        time.advance(by);
        assert_eq!(clock.now_nanos(), u64::MAX);
    }
}

#[test]
fn advancing_from_many_threads_loses_nothing() {
    let (clock, time) = Clock::manual();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| time.advance(NANO)));
        }
    });
    assert_eq!(clock.now(), 40_000 * NANO);
}

#[test]
fn the_wall_times_of_a_manual_clock_are_repeatable() {
    let (clock, time) = Clock::manual();
    time.advance(SECOND);
    assert_eq!(clock.wall(3 * SECOND), SystemTime::UNIX_EPOCH + 3 * SECOND);
}

#[test]
fn a_wall_time_that_cannot_be_told_panics_nothing() {
    let (manual, _) = Clock::manual();
    for clock in [manual, Clock::monotonic()] {
        let _ = (clock.wall(Duration::MAX), clock.wall(Duration::ZERO));
    }
}

#[test]
fn the_monotonic_clock_never_goes_back() {
    let clock = Clock::monotonic();
    let readings: Vec<_> = (0..100_000).map(|_| clock.now()).collect();
    assert!(readings.is_sorted());
}

#[test]
fn the_coarse_reading_lags_by_a_tick_and_never_leads() {
    let clock = Clock::monotonic();
    // A tick is at most 10 ms; a virtual machine may be late with its ticks.
    let lag = Duration::from_millis(200);
    for _ in 0..100_000 {
        let before = clock.now();
        let coarse = clock.coarse();
        assert!(coarse <= clock.now());
        assert!(coarse + lag >= before, "{coarse:?} before {before:?}");
    }
}

#[test]
fn monotonic_clocks_share_one_zero() {
    let (one, other) = (Clock::monotonic(), Clock::default());
    let readings = [one.now(), other.now(), one.now(), other.now()];
    assert!(readings.is_sorted());
}

#[test]
fn a_monotonic_wall_time_is_reckoned_from_the_present() {
    let clock = Clock::monotonic();
    let before = SystemTime::now();
    let wall = clock.wall(clock.now());
    // A wall clock that is stepped meanwhile would move it; a minute is far more than any slew.
    let apart = wall.duration_since(before).unwrap_or_else(|error| error.duration());
    assert!(apart < Duration::from_secs(60));
}

#[test]
fn a_sleep_ends_when_its_clock_reaches_the_time_and_not_before() {
    let (clock, time) = Clock::manual();
    let mut sleep = pin!(clock.sleep_until(SECOND));
    assert_eq!(sleep.until(), SECOND);
    assert!(!is_over(&mut sleep));
    time.advance(SECOND - NANO);
    assert!(!is_over(&mut sleep));
    time.advance(NANO);
    assert!(is_over(&mut sleep));
}

#[test]
fn a_sleep_until_the_past_is_over_at_once() {
    let (clock, time) = Clock::manual();
    time.advance(SECOND);
    assert!(is_over(&mut pin!(clock.sleep_until(SECOND))));
}

#[test]
fn a_manual_clock_that_moves_wakes_its_sleepers() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (clock, time) = Clock::manual();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut sleep = pin!(clock.sleep_until(2 * SECOND));
    for woken in 0..2 {
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), woken);
        time.advance(SECOND);
    }
    assert!(is_over(&mut sleep));
}

#[test]
fn no_sleeper_misses_a_clock_that_moves_meanwhile() {
    for _ in 0..500 {
        let (clock, time) = Clock::manual();
        std::thread::scope(|scope| {
            let sleepers = [(); 3].map(|()| scope.spawn(|| block_on(clock.sleep_until(SECOND))));
            time.advance(SECOND);
            sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
        });
    }
}

#[test]
fn a_sleep_on_the_systems_clock_needs_no_runtime() {
    let clock = Clock::monotonic();
    let until = clock.now() + Duration::from_millis(1);
    block_on(clock.sleep_until(until));
    assert!(clock.now() >= until);
}

#[test]
fn the_longest_sleep_panics_nothing() {
    let (manual, _) = Clock::manual();
    for clock in [manual, Clock::monotonic()] {
        assert!(!is_over(&mut pin!(clock.sleep_until(Duration::MAX))));
    }
}

#[cfg(feature = "tokio")]
mod under_tokio {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_is_followed() {
        let clock = Clock::tokio();
        assert_eq!(clock.now(), Duration::ZERO);
        tokio::time::advance(SECOND).await;
        assert_eq!((clock.now(), clock.coarse()), (SECOND, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_lets_paused_time_pass() {
        let clock = Clock::tokio();
        clock.sleep_until(3600 * SECOND).await;
        assert!(clock.now() >= 3600 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_sleep_panics_nothing_under_tokio() {
        assert!(!is_over(&mut pin!(Clock::tokio().sleep_until(Duration::MAX))));
    }

    #[test]
    fn outside_a_runtime_it_tells_real_time() {
        let clock = Clock::tokio();
        let until = clock.now() + Duration::from_millis(1);
        block_on(clock.sleep_until(until));
        assert!(clock.now() >= until);
    }

    #[test]
    fn a_runtime_without_a_timer_panics_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = Clock::tokio();
        let until = clock.now() + Duration::from_millis(1);
        runtime.block_on(clock.sleep_until(until));
        assert!(clock.now() >= until);
    }
}
