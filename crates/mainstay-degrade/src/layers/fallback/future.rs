use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::FallBackOn;
use crate::{Degraded, Mark};

pin_project! {
    /// The future of a [`FallbackService`](crate::FallbackService).
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<C, F, D, Req, K, W, T, E> {
        #[pin]
        stage: Stage<C, D>,
        fallback: F,
        // Until the fallback has it.
        request: Option<Req>,
        // What the inner service said, for the case that the fallback fails too.
        said: Option<Result<T, E>>,
        mark: K,
        when: W,
    }
}

pin_project! {
    #[project = StageNow]
    enum Stage<C, D> {
        Inner { #[pin] work: C },
        Readying,
        Fallback { #[pin] work: D },
    }
}

impl<C, F, D, Req, K, W, T, E> FallbackFuture<C, F, D, Req, K, W, T, E> {
    pub(super) fn calling(work: C, fallback: F, request: Req, mark: K, when: W) -> Self {
        Self { stage: Stage::Inner { work }, fallback, request: Some(request), said: None, mark, when }
    }

    pub(super) fn instead(fallback: F, request: Req, mark: K, when: W) -> Self {
        Self { stage: Stage::Readying, fallback, request: Some(request), said: None, mark, when }
    }
}

impl<C, F, Req, K, W, T, E> Future for FallbackFuture<C, F, F::Future, Req, K, W, T, E>
where
    C: Future<Output = Result<T, E>>,
    F: Service<Req, Response = T>,
    F::Error: Into<E>,
    K: Mark<T>,
    W: FallBackOn<T, E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let failed = match this.stage.as_mut().project() {
                StageNow::Inner { work } => {
                    let result = ready!(work.poll(cx));
                    if !this.when.falls_back(&result) {
                        return Poll::Ready(result);
                    }
                    *this.said = Some(result);
                    this.stage.set(Stage::Readying);
                    continue;
                }
                StageNow::Readying => match ready!(this.fallback.poll_ready(cx)) {
                    Ok(()) => {
                        let Some(request) = this.request.take() else { return Poll::Pending };
                        let work = this.fallback.call(request);
                        this.stage.set(Stage::Fallback { work });
                        continue;
                    }
                    Err(error) => error,
                },
                StageNow::Fallback { work } => match ready!(work.poll(cx)) {
                    Ok(response) => return Poll::Ready(Ok(this.mark.mark(response, Degraded::Fallback))),
                    Err(error) => error,
                },
            };
            return Poll::Ready(this.said.take().unwrap_or_else(|| Err(failed.into())));
        }
    }
}

impl<C, F, D, Req, K, W, T, E> fmt::Debug for FallbackFuture<C, F, D, Req, K, W, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Inner { .. } => "inner",
            Stage::Readying | Stage::Fallback { .. } => "fallback",
        };
        f.debug_struct("FallbackFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
