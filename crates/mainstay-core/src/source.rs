use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::wakers::{Seat, Wakers};
use crate::{Clock, Name};

/// What a dependency's guard says of it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Condition {
    /// Traffic flows.
    Up,
    /// Traffic is let in again, a little at a time. Does not count as down: if it did, a fallback would keep away
    /// the very calls that end the outage.
    Recovering,
    /// Traffic is kept away.
    Down,
}

/// What sort of evidence it is that something is down: which of the counts of a degradation level it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Weight {
    /// A breaker that keeps traffic away.
    Breaker,
    /// A critical check that fails.
    Critical,
    /// A check that fails and is not critical.
    NonCritical,
}

/// Something whose condition others act on: a breaker, a check, a level. This is how the members meet without
/// importing each other.
///
/// Whoever watches sleeps until [`next_change`](Self::next_change) or until the [`Watch`] reports, and then calls
/// [`poll`](Self::poll), so that nothing waits for traffic.
pub trait StateSource: Send + Sync {
    /// Who this is.
    fn name(&self) -> Name;

    /// The condition effective now, with every change that is due; reading it changes nothing.
    fn condition(&self) -> Condition;

    /// When the condition will change by time alone, as a duration since the zero of [`clock`](Self::clock), if it
    /// will.
    fn next_change(&self) -> Option<Duration>;

    /// Reports every change that is delivered, and when [`next_change`](Self::next_change) has become earlier.
    fn watch(&self) -> Watch;

    /// Delivers the changes that are due.
    fn poll(&self);

    /// The clock that [`next_change`](Self::next_change) is told in.
    fn clock(&self) -> Clock;

    /// Names everything that is down now. A source that stands for one thing names itself, as a breaker, while it is
    /// [`Condition::Down`]; one that knows of several, such as a health manager, names each of them.
    fn down(&self, name: &mut dyn FnMut(Name, Weight)) {
        if self.condition() == Condition::Down {
            name(self.name(), Weight::Breaker);
        }
    }
}

/// The sending side of a [`Watch`]: rung at every change.
pub struct Bell {
    rings: AtomicU64,
    watchers: Wakers,
}

/// Waits for the next change of a [`StateSource`]. Changes between two waits are reported as one.
pub struct Watch {
    bell: Arc<Bell>,
    seen: u64,
    seat: Seat,
}

// === impl Bell ===

impl Bell {
    /// A bell that nobody has rung.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { rings: AtomicU64::new(0), watchers: Wakers::default() })
    }

    /// Wakes everybody who waits. Runs their wakers, so no lock may be held.
    pub fn ring(&self) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        self.watchers.wake_all();
    }

    /// A watch that reports every ring from now on.
    pub fn watch(self: &Arc<Self>) -> Watch {
        Watch { seen: self.rings.load(Ordering::SeqCst), bell: self.clone(), seat: Seat::default() }
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("rings", &self.rings.load(Ordering::Relaxed)).finish()
    }
}

// === impl Watch ===

impl Watch {
    /// Waits until something changed since the last call (or since the watch was made). Cancel safe.
    pub async fn changed(&mut self) {
        std::future::poll_fn(|cx| {
            if self.take() {
                return Poll::Ready(());
            }
            self.seat.wait(&self.bell.watchers, cx.waker());
            // It may have rung before the seat was taken.
            if self.take() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether something changed since the last call, without waiting.
    pub fn take(&mut self) -> bool {
        let rings = self.bell.rings.load(Ordering::SeqCst);
        std::mem::replace(&mut self.seen, rings) != rings
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("seen", &self.seen).finish()
    }
}
