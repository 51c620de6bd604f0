//! Waiting until a breaker may be tried again: `OnOpen::NotReady`. See `gate` for the idea.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use event_listener::EventListener;
use mainstay_core::Sleep;

use crate::Breaker;
use crate::gate::Wake;

/// A place in the queue.
pub(crate) struct Waiter {
    listener: EventListener<Wake>,
    lead: Option<Lead>,
}

/// Leads the queue until it is dropped.
struct Lead {
    breaker: Breaker,
    timer: Option<Sleep>,
}

/// Ready when a call would be admitted. Takes no slot: that is for the call to do.
pub(crate) fn poll_admissible(
    breaker: &Breaker,
    waiter: &mut Option<Waiter>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let machine = breaker.machine();
    // Only who has just come, or was woken to go, looks whether there is a way through: a stray poll must not overtake
    // those who were woken.
    let mut look = waiter.is_none();
    loop {
        let until = machine.would_admit();
        if look && until.is_ok() {
            *waiter = None;
            return Poll::Ready(());
        }
        let place = match waiter {
            Some(place) => place,
            None => {
                *waiter = Some(Waiter { listener: machine.rare().gate.wait(), lead: None });
                // It may have opened before the listener was there.
                continue;
            }
        };
        look = match Pin::new(&mut place.listener).poll(cx) {
            Poll::Ready(wake) => {
                place.listener = machine.rare().gate.wait();
                wake == Wake::Go
            }
            Poll::Pending if place.lead(breaker, until.err().flatten(), cx) => {
                machine.rare().gate.leader_goes(true);
                machine.poll();
                machine.rare().gate.leader_goes(false);
                true
            }
            Poll::Pending => return Poll::Pending,
        };
    }
}

impl Waiter {
    /// Leads if nobody else does. True when the leader's timer has rung.
    fn lead(&mut self, breaker: &Breaker, until: Option<std::time::Duration>, cx: &mut Context<'_>) -> bool {
        if self.lead.is_none() && breaker.machine().rare().gate.lead() {
            self.lead = Some(Lead { breaker: breaker.clone(), timer: None });
        }
        let Some(lead) = &mut self.lead else { return false };
        // The timer that was set first: when it rings, the time that it was set for is no longer to be seen.
        if lead.rings(cx) {
            return true;
        }
        let machine = breaker.machine();
        // Probing with free slots: those who were woken for them should come; if they do not, the leader does.
        let until = until.or_else(|| machine.patience());
        if lead.timer.as_ref().map(Sleep::until) == until {
            return false;
        }
        lead.timer = until.map(|until| machine.identity.clock.sleep_until(until));
        lead.rings(cx)
    }
}

impl Lead {
    fn rings(&mut self, cx: &mut Context<'_>) -> bool {
        let rung = self.timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(cx).is_ready());
        if rung {
            self.timer = None;
        }
        rung
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.breaker.machine().rare().gate.resign();
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("leads", &self.lead.is_some()).finish()
    }
}
