use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::FallBackOn;
use crate::{Asked, Degraded, Mark};

pin_project! {
    /// The future of a [`FallbackService`](crate::FallbackService).
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<S, F, Req, K, W>
    where
        S: Service<Req>,
        F: Service<Req>,
    {
        #[pin]
        stage: Stage<Asked<S, Req>, Asked<F, Req>>,
        // Until the fallback has it.
        instead: Option<(F, Req)>,
        // What the inner service said, for the case that the fallback fails too.
        said: Option<Result<S::Response, S::Error>>,
        mark: K,
        when: W,
    }
}

pin_project! {
    #[project = StageNow]
    enum Stage<C, D> {
        Inner { #[pin] work: C },
        Fallback { #[pin] work: D },
    }
}

impl<S, F, Req, K, W> FallbackFuture<S, F, Req, K, W>
where
    S: Service<Req>,
    F: Service<Req>,
{
    pub(super) fn asking(inner: S, fallback: F, request: Req, mark: K, when: W) -> Self
    where
        Req: Clone,
    {
        let stage = Stage::Inner { work: Asked::new(inner, request.clone()) };
        Self { stage, instead: Some((fallback, request)), said: None, mark, when }
    }

    pub(super) fn instead(fallback: F, request: Req, mark: K, when: W) -> Self {
        let stage = Stage::Fallback { work: Asked::new(fallback, request) };
        Self { stage, instead: None, said: None, mark, when }
    }
}

impl<S, F, Req, K, W> Future for FallbackFuture<S, F, Req, K, W>
where
    S: Service<Req>,
    F: Service<Req, Response = S::Response>,
    F::Error: Into<S::Error>,
    K: Mark<S::Response>,
    W: FallBackOn<S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                StageNow::Inner { work } => {
                    let result = ready!(work.poll(cx));
                    if !this.when.falls_back(&result) {
                        return Poll::Ready(result);
                    }
                    let Some((fallback, request)) = this.instead.take() else { return Poll::Ready(result) };
                    *this.said = Some(result);
                    this.stage.set(Stage::Fallback { work: Asked::new(fallback, request) });
                }
                StageNow::Fallback { work } => {
                    return Poll::Ready(match ready!(work.poll(cx)) {
                        Ok(response) => Ok(this.mark.mark(response, Degraded::Fallback)),
                        Err(error) => this.said.take().unwrap_or_else(|| Err(error.into())),
                    });
                }
            }
        }
    }
}

impl<S, F, Req, K, W> fmt::Debug for FallbackFuture<S, F, Req, K, W>
where
    S: Service<Req>,
    F: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Inner { .. } => "inner",
            Stage::Fallback { .. } => "fallback",
        };
        f.debug_struct("FallbackFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
