use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::counts::{Tally, one_less, one_more};
use crate::{Counts, Switches};

/// The switches of one service. Clones are the same switches.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    plan: watch::Sender<Arc<Plan>>,
    tally: Tally,
}

/// Switches, and how many calls have come since they were turned.
#[derive(Debug, Default)]
struct Plan {
    switches: Switches,
    calls: AtomicU64,
}

/// A call that shall fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injected;

/// A call that is under way, until this is dropped.
#[derive(Debug)]
pub struct Call {
    shared: Arc<Shared>,
    pace: Duration,
    /// How many pieces of the answer are still let through.
    left: Option<u64>,
}

impl Faults {
    /// All off.
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns the switches, for calls that arrive from now on. Calls that hang go on if they hang no more.
    pub fn set(&self, switches: Switches) {
        tracing::info!(?switches, "fault switches turned");
        self.shared.plan.send_replace(Arc::new(Plan { switches, calls: AtomicU64::new(0) }));
    }

    /// As the switches are.
    pub fn switches(&self) -> Switches {
        self.shared.plan.borrow().switches
    }

    /// What has happened since the service started.
    pub fn counts(&self) -> Counts {
        self.shared.tally.counts()
    }

    /// Lets a call pass: late, never, or not, as the switches say.
    ///
    /// # Errors
    ///
    /// If it shall fail.
    pub async fn arrive(&self) -> Result<Call, Injected> {
        let plan = self.shared.plan.borrow().clone();
        let Switches { delay, pace, break_after, .. } = plan.switches;
        // Decided at once, so that the order in which calls arrive decides, and not the one in which they wake.
        let fails = plan.next_call_fails();
        let call = Call::begin(&self.shared, pace, break_after);
        if !delay.is_zero() {
            one_more(&self.shared.tally.delayed);
            tokio::time::sleep(delay).await;
        }
        if plan.switches.hang {
            one_more(&self.shared.tally.hung);
            // Cannot fail: the sender is in what this borrows.
            let _ = self.shared.plan.subscribe().wait_for(|plan| !plan.switches.hang).await;
        }
        if fails {
            one_more(&self.shared.tally.failed);
            return Err(Injected);
        }
        Ok(call)
    }
}

impl Plan {
    fn next_call_fails(&self) -> bool {
        // In whole millionths, because sums of fractions drift.
        const WHOLE: u128 = 1_000_000;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the rate is from 0 to 1"
        )]
        let rate = (self.switches.error_rate * 1e6).round() as u128;
        // Only distinct numbers are needed, so relaxed is enough.
        let before = u128::from(self.calls.fetch_add(1, Ordering::Relaxed));
        (before + 1) * rate / WHOLE > before * rate / WHOLE
    }
}

impl Call {
    fn begin(shared: &Arc<Shared>, pace: Duration, left: Option<u64>) -> Self {
        one_more(&shared.tally.arrived);
        one_more(&shared.tally.under_way);
        Self { shared: shared.clone(), pace, left }
    }

    /// Lets a piece of the answer pass, at the pace of the switches. False: the answer breaks off here.
    pub async fn piece(&mut self) -> bool {
        if self.left == Some(0) {
            one_more(&self.shared.tally.broken);
            return false;
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        if !self.pace.is_zero() {
            tokio::time::sleep(self.pace).await;
        }
        true
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        one_less(&self.shared.tally.under_way);
    }
}
