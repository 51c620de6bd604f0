//! Telling others what happened, after the lock is released: subscribers, watchers, waiting services, the log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Builder, Thread};

#[cfg(feature = "tracing")]
use mainstay_core::panics::contain;

use crate::machine::Machine;
pub(crate) use crate::subscribe::Queue;
use crate::{Control, Transition, Transitions};

/// What happened under the lock and must be told.
#[derive(Default)]
pub(crate) struct Outbox {
    transitions: Vec<Transition>,
    wakers: Vec<Waker>,
    control: Option<Control>,
    /// How many waiting services may try now.
    gate: usize,
    /// How many more may, because slots were given back.
    slots: usize,
    /// Time alone will change something sooner than before.
    sooner: bool,
    blind: Option<u32>,
}

impl Outbox {
    /// Puts a transition into the queues. They are filled under the lock, which keeps them in order; their readers are
    /// woken after it.
    pub(crate) fn transition(&mut self, transition: Transition, queues: &mut Vec<Weak<Queue>>) {
        // What was to be had in the state before is to be had no longer.
        (self.gate, self.slots) = (0, 0);
        self.transitions.push(transition);
        queues.retain(|queue| match queue.upgrade() {
            Some(queue) => {
                self.wakers.extend(queue.push(transition));
                true
            }
            None => false,
        });
    }

    pub(crate) fn control(&mut self, control: Control) {
        self.control = Some(control);
        self.open_gate(usize::MAX);
    }

    pub(crate) fn open_gate(&mut self, waiters: usize) {
        self.gate = self.gate.max(waiters);
    }

    pub(crate) fn slot_free(&mut self) {
        self.slots += 1;
    }

    pub(crate) fn sooner(&mut self) {
        self.sooner = true;
    }

    pub(crate) fn blind(&mut self, drops: u32) {
        self.blind = Some(drops);
    }
}

impl Machine {
    pub(crate) fn deliver(&self, outbox: Outbox) {
        outbox.wakers.into_iter().for_each(wake);
        let watched = self.watched();
        let changed = !outbox.transitions.is_empty() || outbox.control.is_some() || outbox.sooner;
        if changed && let Some(bell) = watched.and_then(|rare| rare.bell.get()) {
            let _ = catch_unwind(AssertUnwindSafe(|| bell.ring()));
        }
        #[cfg(feature = "tower")]
        if let Some(rare) = watched {
            rare.gate.open(outbox.gate.saturating_add(outbox.slots));
            if let Some(breaker) = rare.gate.awaited() {
                breaker.set_gate_timer();
            }
        }
        #[cfg(feature = "tracing")]
        contain(|| self.log(&outbox.transitions, outbox.control, outbox.blind));
        #[cfg(not(feature = "tracing"))]
        let _ = outbox.blind;
    }

    #[cfg(feature = "tracing")]
    fn log(&self, transitions: &[Transition], control: Option<Control>, blind: Option<u32>) {
        let breaker = self.identity.name.as_str();
        for Transition { from, to, stage, epoch, cause, .. } in transitions {
            let opened = *to == crate::State::Open;
            macro_rules! event {
                ($level:ident) => {
                    tracing::$level!(
                        name: "breaker_transition", target: "mainstay", breaker, ?from, ?to, ?stage, epoch, %cause,
                        "breaker changed its state"
                    )
                };
            }
            if opened { event!(warn) } else { event!(info) }
        }
        if let Some(control) = control {
            tracing::info!(
                name: "breaker_control", target: "mainstay", breaker, ?control,
                "breaker was put under another control"
            );
        }
        if let Some(drops) = blind {
            tracing::warn!(
                name: "breaker_blind", target: "mainstay", breaker, drops,
                "breaker sees nothing: calls are cut off from outside before they answer; give the breaker the \
                 time-out instead, with `.timeout(d)` or `run_timeout`"
            );
        }
    }

    /// A subscription, from now on.
    pub(crate) fn subscribe(&self) -> Transitions {
        let transitions = Transitions::new();
        let queue = Arc::downgrade(transitions.queue());
        self.with(|inner, _| {
            inner.news.queues.retain(|queue| queue.strong_count() > 0);
            inner.news.queues.push(queue);
        });
        transitions
    }

    pub(crate) fn on_transition(&self, closure: Closure) -> std::io::Result<()> {
        let mut slot = self.rare().delivery.lock().unwrap_or_else(PoisonError::into_inner);
        let delivery = match &*slot {
            Some(delivery) => delivery.clone(),
            None => slot.insert(Delivery::start(self.identity.name.as_str())?).clone(),
        };
        drop(slot);
        delivery.add(self.subscribe(), closure);
        Ok(())
    }
}

/// Wakes somebody. A waker that panics hurts nobody else: the others are woken all the same.
pub(crate) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

type Closure = Box<dyn Fn(&Transition) + Send + Sync>;

/// The thread on which closures run: one per breaker, started with the first of them.
pub(crate) struct Delivery {
    subscribers: Mutex<Vec<Arc<(Transitions, Closure)>>>,
    thread: std::sync::OnceLock<Thread>,
}

impl Delivery {
    fn start(name: &str) -> std::io::Result<Arc<Self>> {
        let delivery = Arc::new(Self { subscribers: Mutex::default(), thread: std::sync::OnceLock::new() });
        let own = delivery.clone();
        let thread = Builder::new().name(format!("breaker {name}")).spawn(move || own.run())?;
        // A waker that comes before this finds no thread to unpark; `add` unparks it once more.
        let _ = delivery.thread.set(thread.thread().clone());
        Ok(delivery)
    }

    fn add(&self, transitions: Transitions, closure: Closure) {
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.push(Arc::new((transitions, closure)));
        drop(subscribers);
        self.unpark();
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Runs until the breaker is gone.
    fn run(self: Arc<Self>) {
        let _ = self.thread.set(std::thread::current());
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let ended = subscribers.iter().filter(|subscriber| deliver_all(subscriber, &mut cx)).count();
            if ended > 0 {
                return;
            }
            // A wake since the polls above makes this return at once.
            std::thread::park();
        }
    }
}

impl Wake for Delivery {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }
}

/// Hands on what is waiting. True if nothing will come any more. A closure that panics hurts nobody else.
fn deliver_all(subscriber: &(Transitions, Closure), cx: &mut Context<'_>) -> bool {
    let (transitions, closure) = subscriber;
    loop {
        match transitions.queue().poll_pop(cx) {
            Poll::Ready(Some(transition)) => {
                let _ = catch_unwind(AssertUnwindSafe(|| closure(&transition)));
            }
            Poll::Ready(None) => return true,
            Poll::Pending => return false,
        }
    }
}
