//! Which breaker guards a request, and how its permits get to the futures.

use std::fmt;
use std::sync::Arc;

use crate::machine::Machine;
use crate::permit::{Held, Host};
use crate::{Breaker, Rejected};

/// Which breaker guards a request. Sealed: [`One`] for all, or one per key.
pub trait Guard<Req>: private::Guard<Req> {}

pub(crate) mod private {
    use super::{Breaker, Held, Rejected, Tether};

    pub trait Guard<Req> {
        /// The breaker that decides whether the service is ready, if that is known before the request.
        #[doc(hidden)]
        fn gatekeeper(&self) -> Option<&Breaker>;

        /// A permit for a request; none for a request that nobody guards.
        #[doc(hidden)]
        fn admit(&mut self, request: &Req) -> Result<Option<HeldBy>, Rejected>;

        /// The rejection of a call that was made without the inner service being ready.
        #[doc(hidden)]
        fn unready(&self) -> Rejected;
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

/// Keeps a machine alive for a future. A leaked one needs no counting.
#[derive(Clone)]
pub(crate) enum Tether {
    Leaked(&'static Machine),
    Counted(Arc<Breaker>),
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
        match &mut self.tether {
            Tether::Leaked(machine) => Tether::Leaked(machine),
            Tether::Counted(tether) => {
                if self.called && !self.own {
                    *tether = Arc::new(self.breaker.clone());
                    self.own = true;
                }
                self.called = true;
                Tether::Counted(tether.clone())
            }
        }
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

    #[inline]
    fn admit(&mut self, _: &Req) -> Result<Option<HeldBy>, Rejected> {
        let machine = self.breaker.machine();
        let ticket = match machine.admit() {
            Ok(ticket) => ticket,
            Err(word) => machine.admit_slowly(word)?,
        };
        Ok(Some(HeldBy(Held::new(self.tether(), ticket))))
    }

    #[inline]
    fn unready(&self) -> Rejected {
        self.breaker.machine().reject_unready()
    }
}

impl fmt::Debug for One {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.breaker.fmt(f)
    }
}

impl Host for Tether {
    #[inline]
    fn machine(&self) -> &Machine {
        match self {
            Self::Leaked(machine) => machine,
            Self::Counted(breaker) => breaker.machine(),
        }
    }
}
