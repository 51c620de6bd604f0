use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::Transition;

/// How many transitions a subscription holds before the oldest is dropped.
const CAPACITY: usize = 256;

/// The transitions of a breaker, in order, from the moment of subscribing.
///
/// A subscription holds up to 256 transitions for a reader that is behind; then the oldest is dropped, and
/// [`missed`](Self::missed) says so. A slow reader delays nobody. It ends when the breaker is gone.
pub struct Transitions {
    queue: Arc<Queue>,
}

/// The bounded queue between a breaker and one subscriber.
pub(crate) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Transition>,
    missed: u64,
    closed: bool,
    reader: Option<Waker>,
}

// === impl Transitions ===

impl Transitions {
    pub(crate) fn new() -> Self {
        Self { queue: Arc::new(Queue(Mutex::default())) }
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The next transition; `None` once the breaker is gone. Cancel safe.
    pub async fn recv(&mut self) -> Option<Transition> {
        std::future::poll_fn(|cx| self.queue.poll_pop(cx)).await
    }

    /// The next transition, if there is one already.
    pub fn try_recv(&mut self) -> Option<Transition> {
        self.queue.state().waiting.pop_front()
    }

    /// How many transitions this subscription has dropped because its reader was behind.
    pub fn missed(&self) -> u64 {
        self.queue.state().missed
    }
}

/// The reader's waker is dropped here, and not where the queue happens to be dropped last, which may be under a lock.
impl Drop for Transitions {
    fn drop(&mut self) {
        let reader = self.queue.state().reader.take();
        drop(reader);
    }
}

impl Stream for Transitions {
    type Item = Transition;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Transition>> {
        self.queue.poll_pop(cx)
    }
}

impl fmt::Debug for Transitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.queue.state();
        f.debug_struct("Transitions")
            .field("waiting", &state.waiting.len())
            .field("missed", &state.missed)
            .finish()
    }
}

// === impl Queue ===

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a transition. The waker must be woken by the caller, when it holds no lock.
    pub(crate) fn push(&self, transition: Transition) -> Option<Waker> {
        let mut state = self.state();
        if state.waiting.len() == CAPACITY {
            state.waiting.pop_front();
            state.missed += 1;
        }
        state.waiting.push_back(transition);
        state.reader.take()
    }

    /// No transition will come any more.
    pub(crate) fn close(&self) {
        let reader = {
            let mut state = self.state();
            state.closed = true;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(crate) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<Transition>> {
        // Cloned before the lock is taken, and the old one dropped after it is released: both run code of the user's,
        // and dropping a waker may drop a task that holds a permit.
        let waker = cx.waker().clone();
        let mut state = self.state();
        match state.waiting.pop_front() {
            Some(transition) => Poll::Ready(Some(transition)),
            None if state.closed => Poll::Ready(None),
            None => {
                let old = state.reader.replace(waker);
                drop(state);
                drop(old);
                Poll::Pending
            }
        }
    }
}
