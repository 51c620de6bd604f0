//! Which breaker guards a request, and how its permits get to the futures.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use mainstay_core::panics::contain;

use crate::machine::Machine;
use crate::permit::{Held, Host};
use crate::ticket::Ticket;
use crate::{Breaker, Keyed, RejectReason, Rejected};

/// Which breaker guards a request. Sealed: [`One`] for all, or [`ByKey`] one for each key.
pub trait Guard<Req>: private::Guard<Req> {}

pub(crate) mod private {
    use super::{Breaker, Held, Rejected, Tether};

    pub trait Guard<Req> {
        /// The breaker that decides whether the service is ready, if that is known before the request.
        #[doc(hidden)]
        fn gatekeeper(&self) -> Option<&Breaker>;

        /// A permit, if that is to be had without a closer look.
        #[doc(hidden)]
        fn admit_at_once(&mut self) -> Option<HeldBy>;

        /// A permit for a request; none for a request that nobody guards.
        #[doc(hidden)]
        fn admit(&mut self, request: &Req) -> Result<Option<HeldBy>, Rejected>;

        /// The rejection of a call that was made without the inner service being ready.
        #[doc(hidden)]
        fn unready(&self, rejected: &mut Option<Rejected>);
    }

    #[doc(hidden)]
    #[allow(missing_debug_implementations)]
    pub struct HeldBy(pub(crate) Held<Tether>);
}

pub(crate) use private::HeldBy;

/// One breaker for every request.
///
/// The futures of a service keep their breaker alive. To count them on the breaker itself would make every thread write
/// the same cache line; so each service has an `Arc` of its own around its handle, and its futures count on that. A
/// clone shares its parent's, so that cloning for one call allocates nothing, and makes its own at its second call.
pub struct One {
    breaker: Breaker,
    tether: Tether,
    /// The tether was made for this very service.
    own: bool,
    called: bool,
}

/// A breaker for each key, from a set.
pub struct ByKey<K, F> {
    set: Keyed<K>,
    key: F,
}

/// Keeps a machine alive for a future. A leaked one needs no counting.
#[derive(Clone)]
pub(crate) enum Tether {
    Leaked(&'static Machine),
    Counted(Arc<Breaker>),
    /// A breaker of a set, which another request may never see again. None once it was let go.
    Single(Option<Arc<Machine>>),
}

impl One {
    pub(crate) fn new(breaker: Breaker) -> Self {
        let tether = match breaker.leaked() {
            Some(machine) => Tether::Leaked(machine),
            None => Tether::Counted(Arc::new(breaker.clone())),
        };
        Self { breaker, tether, own: true, called: false }
    }

    #[inline]
    fn tether(&mut self) -> Tether {
        match &self.tether {
            Tether::Leaked(machine) => Tether::Leaked(machine),
            _ => self.counted(),
        }
    }

    #[inline(never)]
    fn counted(&mut self) -> Tether {
        if let Tether::Counted(tether) = &mut self.tether
            && (self.own || !self.called)
        {
            self.called = true;
            return Tether::Counted(tether.clone());
        }
        self.counted_anew()
    }

    /// From its second call on a clone counts on an `Arc` of its own.
    #[cold]
    #[inline(never)]
    fn counted_anew(&mut self) -> Tether {
        if let Tether::Counted(tether) = &mut self.tether {
            *tether = Arc::new(self.breaker.clone());
            self.own = true;
        }
        self.tether.clone()
    }
}

impl Clone for One {
    fn clone(&self) -> Self {
        Self { breaker: self.breaker.clone(), tether: self.tether.clone(), own: false, called: false }
    }
}

impl<Req> Guard<Req> for One {}

impl<Req> private::Guard<Req> for One {
    #[inline]
    fn gatekeeper(&self) -> Option<&Breaker> {
        Some(&self.breaker)
    }

    #[inline(always)]
    fn admit_at_once(&mut self) -> Option<HeldBy> {
        // Two ways to the end, so that nobody asks again which handle it is.
        if let Tether::Leaked(machine) = self.tether {
            let ticket = machine.admit().ok()?;
            return Some(HeldBy(Held::new(Tether::Leaked(machine), ticket)));
        }
        let ticket = self.breaker.machine().admit().ok()?;
        Some(HeldBy(Held::new(self.counted(), ticket)))
    }

    fn admit(&mut self, _: &Req) -> Result<Option<HeldBy>, Rejected> {
        let ticket = self.breaker.machine().ticket()?;
        Ok(Some(HeldBy(Held::new(self.tether(), ticket))))
    }

    #[inline]
    fn unready(&self, rejected: &mut Option<Rejected>) {
        self.breaker.machine().reject_unready(rejected);
    }
}

impl fmt::Debug for One {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.breaker.fmt(f)
    }
}

impl<K, F> ByKey<K, F> {
    pub(crate) fn new(set: Keyed<K>, key: F) -> Self {
        Self { set, key }
    }
}

impl<K, F: Clone> Clone for ByKey<K, F> {
    fn clone(&self) -> Self {
        Self { set: self.set.clone(), key: self.key.clone() }
    }
}

impl<K, F, Req> Guard<Req> for ByKey<K, F>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    F: Fn(&Req) -> K,
{
}

impl<K, F, Req> private::Guard<Req> for ByKey<K, F>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    F: Fn(&Req) -> K,
{
    fn gatekeeper(&self) -> Option<&Breaker> {
        None
    }

    fn admit_at_once(&mut self) -> Option<HeldBy> {
        None
    }

    fn admit(&mut self, request: &Req) -> Result<Option<HeldBy>, Rejected> {
        let breaker = self.set.breaker(&(self.key)(request))?;
        let ticket = breaker.machine().ticket()?;
        Ok(Some(HeldBy(Held::new(Tether::of(breaker), ticket))))
    }

    fn unready(&self, rejected: &mut Option<Rejected>) {
        *rejected = Some(Rejected::in_nanos(self.set.name(), RejectReason::NotReady, 0, None));
    }
}

impl<K, F> fmt::Debug for ByKey<K, F>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKey").field("set", &self.set.name()).finish_non_exhaustive()
    }
}

impl Tether {
    fn of(breaker: Breaker) -> Self {
        match breaker.into_shared() {
            Ok(machine) => Self::Single(Some(machine)),
            Err(machine) => Self::Leaked(machine),
        }
    }
}

impl Host for Tether {
    #[inline]
    fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Leaked(machine) => Some(machine),
            Self::Counted(breaker) => Some(breaker.machine()),
            Self::Single(machine) => machine.as_deref(),
        }
    }

    fn handle(&self) -> Option<Breaker> {
        match self {
            Self::Leaked(machine) => Some(Breaker::from_leaked(machine)),
            Self::Counted(breaker) => Some(Breaker::clone(breaker)),
            Self::Single(machine) => machine.clone().map(Breaker::from_machine),
        }
    }

    /// By value, and only if there is something to do: a future whose address nobody takes need not be in memory.
    #[inline(always)]
    fn let_go(&mut self, ticket: Ticket) {
        if !ticket.is_spent() {
            let (word, probe, time) = ticket.into_parts();
            cancel(std::mem::replace(self, Self::Single(None)), word, probe, time);
        } else if !matches!(self, Self::Leaked(_)) {
            untie(std::mem::replace(self, Self::Single(None)));
        }
    }
}

/// A panic in what is the user's (the log, or what the last handle drops) ends here; so nothing unwinds from it, and
/// nobody needs a clean-up around it, which would keep every future in memory.
#[allow(improper_ctypes_definitions, reason = "the ABI is only there to say that nothing unwinds")]
#[inline(never)]
extern "C" fn cancel(tether: Tether, word: u64, probe: u64, time: u64) {
    contain(|| {
        if let Some(ticket) = Ticket::from_parts(word, probe, time).take()
            && let Some(machine) = tether.machine()
        {
            machine.abandon(ticket);
        }
        drop(tether);
    });
}

/// The same where the verdict is known.
#[allow(improper_ctypes_definitions, reason = "the ABI is only there to say that nothing unwinds")]
#[inline(never)]
extern "C" fn untie(tether: Tether) {
    match tether {
        Tether::Leaked(_) | Tether::Single(None) => {}
        Tether::Counted(breaker) => {
            if let Some(last) = Arc::into_inner(breaker) {
                drop_last(last);
            }
        }
        Tether::Single(Some(machine)) => {
            if let Some(last) = Arc::into_inner(machine) {
                drop_last(last);
            }
        }
    }
}

/// Drops what the last one let go of. A function of its own, so that the usual way has no room to make for it.
#[cold]
#[inline(never)]
fn drop_last<T>(last: T) {
    contain(|| drop(last));
}
