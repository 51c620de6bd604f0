use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use mainstay_core::sync::{AtomicU64, Ordering, fence};
use mainstay_core::{Bell, Watch};

use crate::Cause;
use crate::books::Plan;
use crate::deliver::Delivery;
#[cfg(feature = "tower")]
use crate::gate::Gate;
use crate::machine::Machine;
use crate::phase::nanos;

/// What a machine with plain settings has no need of until it opens or somebody watches it: made when it is first
/// needed, but at once in the striped form. None of it needs the lock.
pub(crate) struct Rare {
    /// When time alone changes something next, or a full half-open frees a slot.
    due: AtomicU64,
    /// Why it opened last, for rejections.
    cause: [AtomicU64; Cause::CELLS],
    /// From which duration on a verdict is slow.
    slow_limit: AtomicU64,
    /// The breaker's own time-out; 0 for none.
    timeout: AtomicU64,
    slow: AtomicU64,
    would_reject: AtomicU64,
    #[cfg(feature = "tower")]
    pub(crate) gate: Gate,
    pub(crate) bell: OnceLock<Arc<Bell>>,
    pub(crate) delivery: Mutex<Option<Arc<Delivery>>>,
}

impl Default for Rare {
    fn default() -> Self {
        Self {
            due: AtomicU64::new(u64::MAX),
            cause: std::array::from_fn(|_| AtomicU64::new(0)),
            slow_limit: AtomicU64::new(u64::MAX),
            timeout: AtomicU64::new(0),
            slow: AtomicU64::new(0),
            would_reject: AtomicU64::new(0),
            #[cfg(feature = "tower")]
            gate: Gate::new(),
            bell: OnceLock::new(),
            delivery: Mutex::new(None),
        }
    }
}

impl Rare {
    /// Puts up what rejections must know.
    pub(crate) fn post(&self, due: u64, cause: Option<Cause>) {
        self.due.store(due, Ordering::Relaxed);
        for (cell, value) in self.cause.iter().zip(Cause::pack(cause)) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    /// The deadline and the cells of the cause, which may belong together or not.
    #[inline]
    pub(crate) fn posted(&self) -> (u64, [u64; Cause::CELLS]) {
        let mut cells = [0; Cause::CELLS];
        for (value, cell) in cells.iter_mut().zip(&self.cause) {
            *value = cell.load(Ordering::Relaxed);
        }
        (self.due.load(Ordering::Relaxed), cells)
    }
}

impl Machine {
    pub(crate) fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// After something was written that waiting services and watchers look at: where they wait, if anybody does. The
    /// fence is for those who come at this moment: either this sees them, or they, who look after they came, see what
    /// was written.
    pub(crate) fn watched(&self) -> Option<&Rare> {
        fence(Ordering::SeqCst);
        self.rare.get()
    }

    /// Whether a service waits. Whoever begins to wait after this looks once more whether it must.
    pub(crate) fn is_awaited(&self) -> bool {
        #[cfg(feature = "tower")]
        return self.watched().is_some_and(|rare| rare.gate.is_awaited());
        #[cfg(not(feature = "tower"))]
        false
    }

    /// Whether anybody wants to know when something will change.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched().is_some_and(|rare| rare.bell.get().is_some())
    }

    pub(crate) fn watch(&self) -> Watch {
        self.rare().bell.get_or_init(Bell::new).watch()
    }

    /// Under the lock: what calls must know of a plan without it.
    pub(crate) fn show_limits(&self, plan: &Plan) {
        let timeout = plan.settings.timeout.map_or(0, nanos);
        if self.rare.get().is_some() || plan.slow_limit != u64::MAX || timeout != 0 {
            let rare = self.rare();
            rare.slow_limit.store(plan.slow_limit, Ordering::Relaxed);
            rare.timeout.store(timeout, Ordering::Relaxed);
        }
    }

    #[inline]
    /// Under the lock: puts up when something is due next.
    pub(crate) fn post_due(&self, due: u64) {
        if due != u64::MAX || self.rare.get().is_some() {
            self.rare().due.store(due, Ordering::Relaxed);
        }
    }

    pub(crate) fn due(&self) -> u64 {
        self.rare.get().map_or(u64::MAX, |rare| rare.due.load(Ordering::Relaxed))
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self.rare.get()?.timeout.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// Whether a verdict that took so long is slow for any rule; 0 if nobody measured.
    #[inline]
    pub(crate) fn is_slow(&self, took: u64) -> bool {
        took > 0 && self.rare.get().is_some_and(|rare| took >= rare.slow_limit.load(Ordering::Relaxed))
    }

    pub(crate) fn count_slow(&self) {
        self.rare().slow.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_would_reject(&self) {
        self.rare().would_reject.fetch_add(1, Ordering::Relaxed);
    }

    /// The verdicts that were slow, and the calls that only observing let through.
    pub(crate) fn rare_totals(&self) -> (u64, u64) {
        let total = |counter: fn(&Rare) -> &AtomicU64| {
            self.rare.get().map_or(0, |rare| counter(rare).load(Ordering::Relaxed))
        };
        (total(|rare| &rare.slow), total(|rare| &rare.would_reject))
    }
}
