use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tower_service::Service;

use super::future::{Asking, Unanswered};
use super::kept::Kept;
use super::{Keeping, StaleFuture, StaleLayer};
use crate::{Asked, Assessed, Behavior, Current, Degraded, ExecutionMode, Mode};

/// A tower service that remembers. Made by [`StaleLayer`](crate::StaleLayer).
pub struct StaleService<S, F, Key, T, P, M: Mode = ExecutionMode, A = Current> {
    pub(super) inner: S,
    pub(super) options: StaleLayer<F, Key, T, P, M, A>,
}

impl<S, F, Key, T, P, M: Mode, A, Req> Service<Req> for StaleService<S, F, Key, T, P, M, A>
where
    S: Service<Req, Response = T> + Clone,
    F: Fn(&Req) -> Option<Key>,
    Key: Eq + Hash + Clone,
    P: Keeping<Req, T, S::Error> + Clone,
    A: Assessed<Req>,
{
    type Response = T;
    type Error = S::Error;
    type Future = StaleFuture<Asked<S, Req>, Key, T, P, Req>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let options = &self.options;
        let key = if options.keeping.may_keep(&request) { (options.key)(&request) } else { None };
        let Some(key) = key else {
            return StaleFuture::asking(Asked::new(self.inner.clone(), request), None);
        };
        let now = options.degrade.clock().now();
        let (mut unanswered, mut refresh) = (None, None);
        if let Some(kept) = options.store.get(&key)
            && let Some(answer) = kept.answer(now, options.max_staleness)
        {
            if kept.is_failing() || options.uses_cache(&request) {
                refresh = kept.refresh(now, options.refresh_every);
                if refresh.is_none() {
                    let copy = <P as Keeping<Req, T, S::Error>>::copy(&options.keeping, &answer.response);
                    let stale = Degraded::Stale { age: answer.age(now) };
                    let marked = <P as Keeping<Req, T, S::Error>>::mark(&options.keeping, copy, stale);
                    return StaleFuture::answered(marked);
                }
            }
            unanswered = Some(options.unanswered(kept, now));
        }
        let asking = Asking {
            key,
            asked_at: now,
            store: options.store.clone(),
            keeping: options.keeping.clone(),
            clock: options.degrade.clock().clone(),
            max_staleness: options.max_staleness,
            refresh_every: options.refresh_every,
            unanswered,
            _refresh: refresh,
        };
        StaleFuture::asking(Asked::new(self.inner.clone(), request), Some(asking))
    }
}

impl<F, Key, T, P, M: Mode, A> StaleLayer<F, Key, T, P, M, A> {
    fn uses_cache<Req>(&self, request: &Req) -> bool
    where
        A: Assessed<Req>,
    {
        let Some(operation) = self.operation.as_deref() else { return false };
        let decision = match self.assessed.assessment(request) {
            Some(own) => self.degrade.behavior_by(&own, operation),
            None => self.degrade.behavior(operation),
        };
        decision.behavior == Behavior::UseCache
    }

    fn unanswered(&self, kept: Arc<Kept<T>>, asked_at: Duration) -> Unanswered<T> {
        let clock = self.degrade.clock().clone();
        Unanswered { kept, asked_at, clock, refresh_every: self.refresh_every, answered: false }
    }
}

impl<S: Clone, F: Clone, Key, T, P: Clone, M: Mode, A: Clone> Clone for StaleService<S, F, Key, T, P, M, A> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), options: self.options.clone() }
    }
}

impl<S: fmt::Debug, F, Key, T, P, M: Mode, A> fmt::Debug for StaleService<S, F, Key, T, P, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaleService")
            .field("inner", &self.inner)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
