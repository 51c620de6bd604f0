use std::fmt;
use std::time::Duration;

use mainstay_core::Classified;

use crate::Breaker;
use crate::machine::Machine;
use crate::ticket::Ticket;

/// The right to make one call, borrowed from its breaker.
///
/// Recording a verdict consumes it. Dropping it without one gives its slot back and counts as ignored (or as a
/// failure, with `count_dropped_as_failure`); dropping it because of a panic that began after it was taken counts as a
/// failure. A permit that is forgotten holds a probe slot until `probe_timeout`, and nothing else.
#[must_use = "a permit that is dropped at once is a cancelled call"]
pub struct Permit<'a>(pub(crate) Held<&'a Machine>);

/// The right to make one call, with a handle to its breaker: a [`Permit`] that can be sent and stored.
#[must_use = "a permit that is dropped at once is a cancelled call"]
pub struct OwnedPermit(pub(crate) Held<Breaker>);

/// A ticket with the way to its machine, settled on drop.
pub(crate) struct Held<H: Host> {
    host: H,
    /// Says itself when it is spent.
    ticket: Ticket,
}

/// The way to a machine.
pub(crate) trait Host {
    /// None once it was let go.
    fn machine(&self) -> Option<&Machine>;

    /// A handle that lives by itself, if it can be had from here.
    fn handle(&self) -> Option<Breaker>;

    /// The permit is dropped, perhaps before a verdict.
    #[inline(always)]
    fn let_go(&mut self, mut ticket: Ticket) {
        if let Some(ticket) = ticket.take()
            && let Some(machine) = self.machine()
        {
            machine.abandon(ticket);
        }
    }
}

macro_rules! verdicts {
    () => {
        /// Records a verdict: a [`Verdict`](mainstay_core::Verdict), or a [`Classified`] with a retry-after.
        #[inline]
        pub fn record(self, verdict: impl Into<Classified>) {
            self.0.settle(verdict.into());
        }

        /// The dependency did its part.
        #[inline]
        pub fn success(self) {
            self.0.settle(Classified::success());
        }

        /// The dependency failed to do its part.
        pub fn failure(self) {
            self.0.settle(Classified::failure());
        }

        /// The dependency failed, and asked to be left alone for a while: if this failure opens the breaker, it opens
        /// for at least `min(after, retry_after_cap)`.
        pub fn failure_retry_after(self, after: Duration) {
            self.0.settle(Classified::failure().retry_after(after));
        }

        /// The result says nothing about the dependency.
        pub fn ignore(self) {
            self.0.settle(Classified::ignore());
        }

        /// The head of a long answer (a stream) is in. The duration that makes a call slow ends here. A probe counts
        /// for half-open now, with this verdict, and its slot is free; the permit still has to be recorded at the end
        /// of the answer, for the totals and windows. Telling it twice changes nothing.
        pub fn answered(&mut self, verdict: impl Into<Classified>) {
            self.0.answered(verdict.into());
        }

        /// Whether this call was let through only because of the operator's hand (forced closed, or observing): its
        /// verdict decides nothing.
        pub fn is_bypass(&self) -> bool {
            self.0.ticket.is_bypass()
        }
    };
}

impl Permit<'_> {
    verdicts!();
}

impl OwnedPermit {
    verdicts!();
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("Permit", f)
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("OwnedPermit", f)
    }
}

// === impl Held ===

impl<H: Host> Held<H> {
    #[inline]
    pub(crate) fn new(host: H, ticket: Ticket) -> Self {
        Self { host, ticket }
    }

    // Always: otherwise two verdicts in one caller are reason enough for the compiler to make it a call, which costs
    // more than what it does.
    #[inline(always)]
    pub(crate) fn settle(mut self, classified: Classified) {
        // Spent first: a verdict is recorded at most once, whatever happens.
        let ticket = self.ticket;
        self.ticket.spend();
        if let Some(machine) = self.host.machine() {
            machine.record(ticket, classified);
        }
    }

    /// The same, for a permit that stays where it is.
    #[inline(always)]
    pub(crate) fn settle_here(&mut self, classified: Classified) {
        // Spent first: a verdict is recorded at most once, whatever happens.
        if let Some(ticket) = self.ticket.take()
            && let Some(machine) = self.host.machine()
        {
            machine.record_quietly(ticket, classified);
        }
    }

    /// The same right, on a handle of its own; this one is spent.
    pub(crate) fn hand_over(&mut self) -> Option<Held<Breaker>> {
        let handle = self.host.handle()?;
        Some(Held::new(handle, self.ticket.take()?))
    }

    pub(crate) fn answered(&mut self, classified: Classified) {
        if let Some(machine) = self.host.machine() {
            self.ticket = machine.answered(self.ticket, classified);
        }
    }

    #[inline]
    pub(crate) fn machine(&self) -> Option<&Machine> {
        self.host.machine()
    }

    /// The breaker's own time-out, if it had one when the permit was taken.
    #[cfg(feature = "tower")]
    #[inline(always)]
    pub(crate) fn is_limited(&self) -> bool {
        self.ticket.is_limited()
    }

    fn debug(&self, what: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ticket = &self.ticket;
        let mut debug = f.debug_struct(what);
        if let Some(machine) = self.host.machine() {
            debug.field("breaker", &machine.identity.name);
        }
        debug.field("epoch", &ticket.epoch());
        debug.field("probe", &ticket.is_probe()).field("bypass", &ticket.is_bypass()).finish()
    }
}

impl<H: Host> Drop for Held<H> {
    #[inline(always)]
    fn drop(&mut self) {
        let ticket = self.ticket;
        self.ticket.spend();
        self.host.let_go(ticket);
    }
}

impl Host for &Machine {
    #[inline]
    fn machine(&self) -> Option<&Machine> {
        Some(self)
    }

    fn handle(&self) -> Option<Breaker> {
        None
    }
}

impl Host for Breaker {
    #[inline]
    fn machine(&self) -> Option<&Machine> {
        Some(self.machine())
    }

    fn handle(&self) -> Option<Breaker> {
        Some(self.clone())
    }
}
