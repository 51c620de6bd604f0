use crate::{Degraded, Mark};

/// What a [`StaleLayer`](crate::StaleLayer) keeps: [`KeepHttp`](crate::KeepHttp), [`KeepOk`], or your own for another protocol.
pub trait Keeping<Req, T, E> {
    /// Whether answers to this request may be kept, and it may be answered with what was kept.
    fn may_keep(&self, request: &Req) -> bool;

    /// What is to be done with a result.
    fn worth(&self, result: &Result<T, E>) -> Worth;

    /// A copy of an answer: to keep it, and to answer with it.
    fn copy(&self, response: &T) -> T;

    /// Says on an answer that it is stale.
    fn mark(&self, response: T, degraded: Degraded) -> T;
}

/// What a result is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// A good answer, which is kept.
    Keep,
    /// An answer that goes to the caller, and is not kept.
    Pass,
    /// An answer that goes to the caller, and says that what was kept no longer holds: it is gone, or may not be kept any more.
    Forget,
    /// A failure: if there is an answer that was kept, the caller gets that.
    Fail,
}

/// Keeps every answer that is no error, whatever the request. The parameter marks them: see [`Mark`]. **Not for HTTP**, where it
/// would keep what belongs to one user: take [`KeepHttp`](crate::KeepHttp) there.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepOk<K>(pub K);

impl<Req, T: Clone, E, K: Mark<T>> Keeping<Req, T, E> for KeepOk<K> {
    fn may_keep(&self, _: &Req) -> bool {
        true
    }

    fn worth(&self, result: &Result<T, E>) -> Worth {
        if result.is_ok() { Worth::Keep } else { Worth::Fail }
    }

    fn copy(&self, response: &T) -> T {
        response.clone()
    }

    fn mark(&self, response: T, degraded: Degraded) -> T {
        self.0.mark(response, degraded)
    }
}
