use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_timer::Delay;

use crate::Clock;
use crate::wakers::Seat;

/// Ends when its clock reaches a point in time. Made by [`Clock::sleep_until`].
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    clock: Clock,
    at: Duration,
    alarm: Option<Alarm>,
}

/// What wakes the sleeper. Made at the first poll, when it is known where the future runs.
enum Alarm {
    Thread(Delay),
    Moved(Seat),
    /// Costs no other thread a wake-up, which the timer thread does.
    #[cfg(feature = "tokio")]
    Tokio(Pin<Box<tokio::time::Sleep>>),
}

impl Sleep {
    pub(crate) fn new(clock: Clock, at: Duration) -> Self {
        Self { clock, at, alarm: None }
    }

    /// When it ends.
    pub fn until(&self) -> Duration {
        self.at
    }

    fn alarm(&self) -> Alarm {
        if self.clock.hands().is_some() {
            return Alarm::Moved(Seat::default());
        }
        #[cfg(feature = "tokio")]
        if let Some(timer) = tokios::timer(self.left(), self.clock.is_tokio()) {
            return Alarm::Tokio(timer);
        }
        self.thread()
    }

    fn thread(&self) -> Alarm {
        Alarm::Thread(Delay::new(self.left()))
    }

    fn left(&self) -> Duration {
        self.at.saturating_sub(self.clock.now())
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.clock.now() >= self.at {
                return Poll::Ready(());
            }
            let mut alarm = match self.alarm.take() {
                Some(alarm) => alarm,
                None => self.alarm(),
            };
            let rung = match &mut alarm {
                Alarm::Thread(delay) => Pin::new(delay).poll(cx).is_ready(),
                Alarm::Moved(seat) => {
                    if let Some(hands) = self.clock.hands() {
                        seat.wait(&hands.moved, cx.waker());
                    }
                    // It may have moved before the seat was taken.
                    self.clock.now() >= self.at
                }
                #[cfg(feature = "tokio")]
                Alarm::Tokio(timer) => match tokios::rings(timer, cx) {
                    Some(rings) => rings,
                    None => {
                        self.alarm = Some(self.thread());
                        continue;
                    }
                },
            };
            if !rung {
                self.alarm = Some(alarm);
                return Poll::Pending;
            }
            #[cfg(feature = "tokio")]
            if matches!(alarm, Alarm::Tokio(_)) && !self.clock.is_tokio() && self.clock.now() < self.at {
                // Tokio's timer is never early: its time is paused, and this clock's is not.
                self.alarm = Some(self.thread());
            }
        }
    }
}

/// Tokio's timers, without its panics.
#[cfg(feature = "tokio")]
mod tokios {
    use std::future::Future;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Context;
    use std::time::Duration;

    use tokio::runtime::Handle;
    use tokio::time::Sleep;

    use crate::panics::contain;

    /// A runtime was met that was built without a timer, which only a panic tells: once is enough for clocks that can do without.
    static LACKING: AtomicBool = AtomicBool::new(false);

    /// One of the runtime that this is called in, if it has any.
    pub(super) fn timer(left: Duration, by_its_clock: bool) -> Option<Pin<Box<Sleep>>> {
        if Handle::try_current().is_err() || !by_its_clock && LACKING.load(Ordering::Relaxed) {
            return None;
        }
        let timer = without_panic(|| Box::pin(tokio::time::sleep(left)));
        if timer.is_none() {
            LACKING.store(true, Ordering::Relaxed);
        }
        timer
    }

    /// Whether it rings; nothing if its runtime has ended, of which tokio makes a panic.
    pub(super) fn rings(timer: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> Option<bool> {
        without_panic(|| timer.as_mut().poll(cx).is_ready())
    }

    fn without_panic<T>(run: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(done) => Some(done),
            Err(panic) => {
                contain(|| drop(panic));
                None
            }
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("until", &self.at).finish()
    }
}
