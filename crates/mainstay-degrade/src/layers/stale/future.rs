use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mainstay_core::Clock;
use pin_project_lite::pin_project;

use super::kept::{Kept, Refresh};
use super::store::Store;
use super::{Keeping, Worth};
use crate::Degraded;

pin_project! {
    /// The future of a [`StaleService`](crate::StaleService).
    #[must_use = "futures do nothing unless polled"]
    pub struct StaleFuture<C, Key, T, P, Req> {
        #[pin]
        work: Option<C>,
        asking: Option<Asking<Key, T, P>>,
        answered: Option<T>,
        request: PhantomData<fn(Req)>,
    }
}

/// What is done with the answer.
pub(super) struct Asking<Key, T, P> {
    pub(super) key: Key,
    pub(super) asked_at: Duration,
    pub(super) store: Arc<Store<Key, T>>,
    pub(super) keeping: P,
    pub(super) clock: Clock,
    pub(super) max_staleness: Duration,
    pub(super) refresh_every: Duration,
    /// If something was kept when it was asked. It is dropped first, so that nobody may ask again before the failure is known.
    pub(super) unanswered: Option<Unanswered<T>>,
    /// Given back when the answer is there, or nobody waits for it any more.
    pub(super) _refresh: Option<Refresh<T>>,
}

/// Dropped before there is a result, it counts as a failure.
pub(super) struct Unanswered<T> {
    pub(super) kept: Arc<Kept<T>>,
    pub(super) asked_at: Duration,
    pub(super) clock: Clock,
    pub(super) refresh_every: Duration,
    pub(super) answered: bool,
}

impl<C, Key, T, P, Req> StaleFuture<C, Key, T, P, Req> {
    pub(super) fn asking(work: C, asking: Option<Asking<Key, T, P>>) -> Self {
        Self { work: Some(work), asking, answered: None, request: PhantomData }
    }

    pub(super) fn answered(answer: T) -> Self {
        Self { work: None, asking: None, answered: Some(answer), request: PhantomData }
    }
}

impl<C, Key, T, P, E, Req> Future for StaleFuture<C, Key, T, P, Req>
where
    C: Future<Output = Result<T, E>>,
    Key: Eq + Hash + Clone,
    P: Keeping<Req, T, E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(work) = this.work.as_pin_mut() else {
            return this.answered.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)));
        };
        let result = ready!(work.poll(cx));
        Poll::Ready(match this.asking.take() {
            Some(asking) => asking.conclude::<Req, E>(result),
            None => result,
        })
    }
}

impl<Key: Eq + Hash + Clone, T, P> Asking<Key, T, P> {
    fn conclude<Req, E>(mut self, result: Result<T, E>) -> Result<T, E>
    where
        P: Keeping<Req, T, E>,
    {
        if let Some(unanswered) = &mut self.unanswered {
            unanswered.answered = true;
        }
        match (self.keeping.worth(&result), &result) {
            (Worth::Keep, Ok(response)) => {
                self.store.keep(&self.key, self.keeping.copy(response), self.asked_at);
                result
            }
            (Worth::Forget, _) => {
                self.store.forget(&self.key, self.asked_at);
                result
            }
            (Worth::Keep | Worth::Pass, _) => {
                if let Some(kept) = self.store.get(&self.key) {
                    kept.succeeded(self.asked_at);
                }
                result
            }
            (Worth::Fail, _) => {
                let now = self.clock.now();
                let Some(kept) = self.store.get(&self.key) else { return result };
                let Some(answer) = kept.answer(now, self.max_staleness) else { return result };
                kept.failed(self.asked_at, now.saturating_add(self.refresh_every));
                let stale = Degraded::Stale { age: answer.age(now) };
                Ok(self.keeping.mark(self.keeping.copy(&answer.response), stale))
            }
        }
    }
}

impl<T> Drop for Unanswered<T> {
    fn drop(&mut self) {
        if !self.answered {
            self.kept.failed(self.asked_at, self.clock.now().saturating_add(self.refresh_every));
        }
    }
}

impl<C, Key, T, P, Req> fmt::Debug for StaleFuture<C, Key, T, P, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaleFuture").field("asks", &self.work.is_some()).finish_non_exhaustive()
    }
}
