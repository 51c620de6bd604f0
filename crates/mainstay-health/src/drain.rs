use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use mainstay_core::{Bell, StripedCounter};

use crate::{HealthManager, Phase};

/// What is under way, counted without a write that two threads share.
pub(crate) struct Work {
    began: StripedCounter,
    ended: StripedCounter,
    /// Somebody waits for the end of all of it.
    awaited: AtomicBool,
    bell: Arc<Bell>,
}

/// A piece of work that a drain waits for. It ends when this is dropped. Made by [`HealthManager::begin_work`].
#[must_use = "the work ends when this is dropped"]
pub struct InFlight(Arc<Work>);

/// How a [drain](HealthManager::drain) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// How much work was still under way when it was no longer waited for; 0 if all of it ended.
    pub left: u64,
    /// How long it took, from the moment at which readiness failed.
    pub took: Duration,
}

impl HealthManager {
    /// Counts a piece of work that a [drain](Self::drain) waits for.
    pub fn begin_work(&self) -> InFlight {
        self.work().began.bump();
        InFlight(self.work().clone())
    }

    /// How much [work](Self::begin_work) is under way.
    pub fn in_flight(&self) -> u64 {
        self.work().under_way()
    }

    /// Prepares the end of the process: readiness fails at once ([`Phase::Draining`]); after
    /// [`drain_delay`](crate::HealthManagerBuilder::drain_delay) no more work shall be accepted ([`Phase::Closing`]); then
    /// [work](Self::begin_work) that is under way is waited for, up to
    /// [`drain_limit`](crate::HealthManagerBuilder::drain_limit) ([`Phase::Drained`]). Each step is in the report, wakes who
    /// subscribes, and is a `tracing` event.
    ///
    /// A manager that does not run has nothing to drain, and this ends at once. There is no way back but a stop and a start. A second call joins the first. If the future is dropped, the drain goes on
    /// from where it was with the next call. [`Shutdown`](crate::Shutdown) does all of it for a server.
    pub async fn drain(&self) -> Drained {
        let began = self.begin_drain();
        if !self.report().phase().is_draining() {
            return Drained { left: self.in_flight(), took: Duration::ZERO };
        }
        let limits = self.limits();
        let closing = began.saturating_add(limits.drain_delay);
        self.clock().sleep_until(closing).await;
        self.go(Phase::Closing, began);
        tokio::select! {
            biased;
            () = self.idle() => {}
            () = self.clock().sleep_until(closing.saturating_add(limits.drain_limit)) => {}
        }
        self.go(Phase::Drained, began);
        Drained { left: self.in_flight(), took: self.clock().now().saturating_sub(began) }
    }

    /// Readiness fails. Returns since when it does.
    pub(crate) fn begin_drain(&self) -> Duration {
        self.board().change(|state, now| state.begin_drain(now))
    }

    /// Goes on with the drain that began then, never back.
    pub(crate) fn go(&self, phase: Phase, began: Duration) {
        self.board().change(|state, _| {
            let order = |phase| match phase {
                Phase::Draining => 1,
                Phase::Closing => 2,
                Phase::Drained => 3,
                _ => 0,
            };
            let same = state.phase().is_draining() && state.drains_since == began;
            if same && order(phase) > order(state.phase()) {
                state.go(phase);
            }
        });
    }

    /// Ends when no work is under way.
    pub(crate) async fn idle(&self) {
        let work = self.work();
        let mut watch = work.bell.watch();
        work.awaited.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        while work.under_way() > 0 {
            watch.changed().await;
        }
    }
}

impl Default for Work {
    fn default() -> Self {
        Self {
            began: StripedCounter::new(),
            ended: StripedCounter::new(),
            awaited: AtomicBool::new(false),
            bell: Bell::new(),
        }
    }
}

impl Work {
    fn under_way(&self) -> u64 {
        // The ends first: what ends meanwhile is still counted. The fence pairs with that of who ends: whose end is seen
        // here, its beginning is seen below.
        let ended = self.ended.sum();
        fence(Ordering::Acquire);
        self.began.sum().saturating_sub(ended)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        fence(Ordering::Release);
        self.0.ended.bump();
        // Pairs with the fence of who waits: either that one's sum has this end in it, or this sees that it waits.
        fence(Ordering::SeqCst);
        if self.0.awaited.load(Ordering::SeqCst) {
            self.0.bell.ring();
        }
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("under_way", &self.0.under_way()).finish()
    }
}
