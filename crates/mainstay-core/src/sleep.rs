use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::Clock;
use crate::timer;
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
    System(timer::Alarm),
    Moved(Seat),
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
        if self.clock.is_tokio() && tokio::runtime::Handle::try_current().is_ok() {
            let left = self.at.saturating_sub(self.clock.now());
            // Tokio panics here, and only here, when its runtime was built without a timer.
            let timer = std::panic::catch_unwind(|| Box::pin(tokio::time::sleep(left)));
            if let Ok(timer) = timer {
                return Alarm::Tokio(timer);
            }
        }
        Alarm::System(timer::Alarm::new(self.clock.system_nanos(self.at)))
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
                Alarm::System(alarm) => {
                    alarm.wake(cx.waker());
                    false
                }
                Alarm::Moved(seat) => {
                    if let Some(hands) = self.clock.hands() {
                        seat.wait(&hands.moved, cx.waker());
                    }
                    // It may have moved before the seat was taken.
                    self.clock.now() >= self.at
                }
                #[cfg(feature = "tokio")]
                Alarm::Tokio(sleep) => sleep.as_mut().poll(cx).is_ready(),
            };
            if !rung {
                self.alarm = Some(alarm);
                return Poll::Pending;
            }
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("until", &self.at).finish()
    }
}
