use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use mainstay_core::Sleep;

use crate::Breaker;
use crate::deliver::wake;

/// Where services wait that are not ready while their breaker is open.
///
/// They stand in one queue. From the front of it are woken: as many as there are slots when probing begins, one for each
/// slot given back, all when the breaker closes, ramps up or is released. Whoever is woken and goes away passes
/// the wake on. Time alone wakes nobody, so as long as somebody waits the gate has one timer, which belongs to no task: it
/// delivers what is due, and it offers slots again that nobody took within `probe_timeout`.
pub(crate) struct Gate(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    queue: VecDeque<(u64, Waker)>,
    /// Those who were woken and have not come yet.
    woken: Vec<u64>,
    next: u64,
    timer: Option<Pin<Box<Sleep>>>,
    /// Until when those who were woken for free slots may take their time.
    offer: Option<Duration>,
    /// As long as somebody waits.
    breaker: Option<Breaker>,
}

/// A place in the queue.
pub(crate) struct Place {
    id: u64,
    breaker: Breaker,
}

/// What the timer wakes. It keeps the breaker alive, but no longer than somebody waits.
struct Ring(Breaker);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes so many of those who wait.
    pub(crate) fn open(&self, waiters: usize) {
        let woken: Vec<Waker> = {
            let mut waiting = self.waiting();
            let count = waiters.min(waiting.queue.len());
            let (ids, wakers): (Vec<u64>, Vec<Waker>) = waiting.queue.drain(..count).unzip();
            waiting.woken.extend(ids);
            waiting.offer = None;
            wakers
        };
        woken.into_iter().for_each(wake);
    }

    pub(crate) fn is_awaited(&self) -> bool {
        !self.waiting().queue.is_empty()
    }

    /// The breaker, if somebody waits for it.
    pub(crate) fn awaited(&self) -> Option<Breaker> {
        self.waiting().breaker.clone()
    }

    /// A place at the end of the queue.
    fn enter(&self, breaker: &Breaker, waker: &Waker) -> Place {
        let (breaker, waker) = (breaker.clone(), waker.clone());
        let mut waiting = self.waiting();
        let id = waiting.next;
        waiting.next = id.wrapping_add(1);
        waiting.queue.push_back((id, waker));
        waiting.breaker.get_or_insert_with(|| breaker.clone());
        Place { id, breaker }
    }

    /// Whether the place was woken since it was last asked; it is no longer in the queue then.
    fn was_woken(&self, place: &Place, waker: &Waker) -> bool {
        // Cloned before and dropped after the lock: both may run code of the user's.
        let waker = waker.clone();
        let mut waiting = self.waiting();
        if let Some(index) = waiting.woken.iter().position(|id| *id == place.id) {
            waiting.woken.swap_remove(index);
            return true;
        }
        let old = waiting
            .queue
            .iter_mut()
            .find(|(id, _)| *id == place.id)
            .map(|(_, old)| std::mem::replace(old, waker));
        drop(waiting);
        drop(old);
        false
    }

    /// Sets the timer. True if it has rung already.
    fn set_timer(&self, breaker: &Breaker, next: Next) -> bool {
        let waker = Waker::from(Arc::new(Ring(breaker.clone())));
        let mut waiting = self.waiting();
        let at = match next {
            Next::Never => None,
            Next::Due(at) => Some(at),
            // The first time that is told stands, however often the gate is asked.
            Next::Offer(until) => Some(waiting.offer.unwrap_or(until)),
        };
        waiting.offer = at.filter(|_| matches!(next, Next::Offer(_)));
        if waiting.queue.is_empty() || waiting.timer.as_ref().map(|timer| timer.until()) == at {
            return false;
        }
        let mut timer = at.map(|at| Box::pin(breaker.clock().sleep_until(at)));
        let rung = timer
            .as_mut()
            .is_some_and(|timer| timer.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        let old = std::mem::replace(&mut waiting.timer, timer.filter(|_| !rung));
        drop(waiting);
        drop(old);
        rung
    }

    /// Whether the timer has rung; it is gone then. One that was woken before its time goes on.
    fn has_rung(&self, waker: &Waker) -> bool {
        let mut waiting = self.waiting();
        let Some(timer) = &mut waiting.timer else { return false };
        if timer.as_mut().poll(&mut Context::from_waker(waker)).is_pending() {
            return false;
        }
        let old = waiting.timer.take();
        drop(waiting);
        drop(old);
        true
    }

    /// Gives a place up. What it was woken for goes to the next.
    fn leave(&self, id: u64) {
        let mut waiting = self.waiting();
        let queued = waiting.queue.iter().position(|(queued, _)| *queued == id);
        let left = queued.and_then(|index| waiting.queue.remove(index));
        let owed = waiting.woken.iter().position(|woken| *woken == id);
        if let Some(index) = owed {
            waiting.woken.swap_remove(index);
        }
        let idle = waiting.queue.is_empty().then(|| (waiting.timer.take(), waiting.breaker.take()));
        drop(waiting);
        drop((left, idle));
        if owed.is_some() {
            self.open(1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.breaker.gate().leave(self.id);
    }
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        let breaker = self.0.clone();
        if breaker.gate().has_rung(&Waker::from(self)) {
            breaker.open_gate_by_time();
        }
    }
}

impl Breaker {
    fn gate(&self) -> &Gate {
        &self.machine().rare().gate
    }

    /// The timer has rung: delivers what is due, which opens the gate; slots that are still free after they were
    /// offered are offered again.
    fn open_gate_by_time(&self) {
        let machine = self.machine();
        let before = machine.epoch();
        machine.poll();
        if machine.epoch() == before {
            self.gate().open(machine.free_slots());
        }
        self.set_gate_timer();
    }

    /// Sets the timer for what time alone will change next, if somebody waits.
    pub(crate) fn set_gate_timer(&self) {
        while self.gate().set_timer(self, self.machine().next()) {
            self.machine().poll();
        }
    }
}

/// What time alone changes next for those who wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// Nothing; they wait for the operator, or need not wait.
    Never,
    /// The state.
    Due(Duration),
    /// Nothing, but slots are free; if nobody has come for them by then they are offered again.
    Offer(Duration),
}

/// Ready when a call would be admitted. Takes no slot: that is for the call to do.
pub(crate) fn poll_admissible(
    breaker: &Breaker,
    place: &mut Option<Place>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let (machine, gate) = (breaker.machine(), breaker.gate());
    // While there are only so many slots, a stray poll must not overtake those who were woken for them.
    let look = match place {
        Some(waiting) => gate.was_woken(waiting, cx.waker()) || !machine.is_probing(),
        None => true,
    };
    if look {
        if !machine.would_admit() {
            *place = Some(gate.enter(breaker, cx.waker()));
        }
        // Also after the place was taken: it may have opened just before.
        if machine.would_admit() {
            *place = None;
            return Poll::Ready(());
        }
    }
    breaker.set_gate_timer();
    Poll::Pending
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("id", &self.id).finish_non_exhaustive()
    }
}
