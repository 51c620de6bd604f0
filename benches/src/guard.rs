//! Blocking calls: a breaker's own call method around the work.

use crate::subject::{Answer, Failure, Subject};
use crate::work::{Work, perform};

/// A breaker that guards blocking calls; clones share its state.
pub trait Guard: Clone + Send + 'static {
    /// Makes one guarded call.
    fn call(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Answer;
}

/// A guard with the work it guards.
#[derive(Clone)]
pub struct Guarded<G, W> {
    guard: G,
    work: W,
}

impl<G: Guard, W: Work> Guarded<G, W> {
    /// Puts `guard` around fresh work.
    pub fn new(guard: G) -> Self {
        Self { guard, work: W::new() }
    }
}

impl<G: Guard, W: Work> Subject for Guarded<G, W> {
    #[inline]
    fn call(&mut self) -> Answer {
        let request = self.work.request();
        self.guard.call(|| perform(request))
    }
}
