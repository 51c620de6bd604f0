//! Deadlines for waits on the server.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    /// One timer for all the waits of a call, which lives in the call's future.
    ///
    /// A wait that ends in time leaves it set: the next one is due later in nearly every case, and moves it only when it
    /// rings. So a thousand rows cost a thousand looks at the clock, and not a thousand trips to the runtime's timers.
    pub(crate) struct Alarm {
        #[pin]
        sleep: Option<Sleep>,
    }
}

pin_project! {
    /// A wait that must end within a limit. The clock starts when the work is first found unfinished.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Within<'a, W> {
        #[pin]
        work: W,
        alarm: Pin<&'a mut Alarm>,
        limit: Duration,
        due: Due,
    }
}

enum Due {
    /// Nobody has waited yet.
    Unset,
    At(Instant),
    /// So far away that the clock cannot tell.
    Never,
}

/// The limit has passed.
pub(crate) struct Expired;

// === impl Alarm ===

impl Alarm {
    pub(crate) fn new() -> Self {
        Self { sleep: None }
    }

    pub(crate) fn within<W: Future>(self: Pin<&mut Self>, limit: Duration, work: W) -> Within<'_, W> {
        Within { work, alarm: self, limit, due: Due::Unset }
    }

    fn poll_due(self: Pin<&mut Self>, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut sleep = self.project().sleep;
        if sleep.is_none() {
            sleep.set(Some(sleep_until(due)));
        }
        let Some(mut sleep) = sleep.as_pin_mut() else { return Poll::Pending };
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            // It was still set for an earlier wait.
            sleep.as_mut().reset(due);
        }
    }
}

// === impl Within ===

impl<W: Future> Future for Within<'_, W> {
    type Output = Result<W::Output, Expired>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The work first: an answer that is there counts, however late the caller comes to look.
        if let Poll::Ready(output) = this.work.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if let Due::Unset = this.due {
            *this.due = Instant::now().checked_add(*this.limit).map_or(Due::Never, Due::At);
        }
        match *this.due {
            Due::At(due) => this.alarm.as_mut().poll_due(due, cx).map(|()| Err(Expired)),
            Due::Unset | Due::Never => Poll::Pending,
        }
    }
}
