use std::fmt;
use std::hash::Hash;
use std::task::{Context, Poll};

use tower_service::Service;

use super::future::Asking;
use super::{Keeping, StaleFuture, StaleLayer};
use crate::{Behavior, Degraded, ExecutionMode, Mode};

/// A tower service that remembers. Made by [`StaleLayer`](crate::StaleLayer).
pub struct StaleService<S, F, Key, T, P, M: Mode = ExecutionMode> {
    pub(super) inner: S,
    pub(super) options: StaleLayer<F, Key, T, P, M>,
}

impl<S, F, Key, T, P, M: Mode, Req> Service<Req> for StaleService<S, F, Key, T, P, M>
where
    S: Service<Req, Response = T>,
    F: Fn(&Req) -> Option<Key>,
    Key: Eq + Hash + Clone,
    P: Keeping<Req, T, S::Error> + Clone,
{
    type Response = T;
    type Error = S::Error;
    type Future = StaleFuture<S::Future, Key, T, P, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let options = &self.options;
        let key = if options.keeping.may_keep(&request) { (options.key)(&request) } else { None };
        let Some(key) = key else { return StaleFuture::asking(self.inner.call(request), None) };
        let now = options.degrade.clock().now();
        let mut refresh = None;
        if let Some(kept) = options.store.get(&key)
            && let Some(answer) = kept.answer(now, options.max_staleness)
            && (kept.is_failing() || options.uses_cache())
        {
            refresh = kept.refresh(now, options.refresh_every);
            if refresh.is_none() {
                let copy = <P as Keeping<Req, T, S::Error>>::copy(&options.keeping, &answer.response);
                let age = Degraded::Stale { age: answer.age(now) };
                return StaleFuture::answered(<P as Keeping<Req, T, S::Error>>::mark(
                    &options.keeping,
                    copy,
                    age,
                ));
            }
        }
        let asking = Asking {
            key,
            asked_at: now,
            store: options.store.clone(),
            keeping: options.keeping.clone(),
            clock: options.degrade.clock().clone(),
            max_staleness: options.max_staleness,
            refresh_every: options.refresh_every,
            _refresh: refresh,
        };
        StaleFuture::asking(self.inner.call(request), Some(asking))
    }
}

impl<F, Key, T, P, M: Mode> StaleLayer<F, Key, T, P, M> {
    fn uses_cache(&self) -> bool {
        let operation = self.operation.as_deref();
        operation.is_some_and(|operation| self.degrade.behavior(operation).behavior == Behavior::UseCache)
    }
}

impl<S: Clone, F: Clone, Key, T, P: Clone, M: Mode> Clone for StaleService<S, F, Key, T, P, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), options: self.options.clone() }
    }
}

impl<S: fmt::Debug, F, Key, T, P, M: Mode> fmt::Debug for StaleService<S, F, Key, T, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaleService")
            .field("inner", &self.inner)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
