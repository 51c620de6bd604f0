use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// A clone of a service that is asked as soon as it is ready.
    #[must_use = "futures do nothing unless polled"]
    pub struct Asked<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        stage: Stage<S, Req, S::Future>,
    }
}

pin_project! {
    // One place for both: it is moved with every future around it.
    #[project = StageProjection]
    enum Stage<S, Req, F> {
        // Until it is ready.
        Question { question: Option<(S, Req)> },
        Answer { #[pin] answer: F },
    }
}

impl<S: Service<Req>, Req> Asked<S, Req> {
    pub(super) fn new(service: S, request: Req) -> Self {
        Self { stage: Stage::Question { question: Some((service, request)) } }
    }
}

impl<S: Service<Req>, Req> Future for Asked<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                StageProjection::Question { question } => {
                    // Nothing is left of it if it was not ready and never will be, or panicked.
                    let Some((service, _)) = question.as_mut() else { return Poll::Pending };
                    let is_ready = ready!(service.poll_ready(cx));
                    let asked = question.take();
                    is_ready?;
                    let Some((mut service, request)) = asked else { return Poll::Pending };
                    this.stage.set(Stage::Answer { answer: service.call(request) });
                }
                StageProjection::Answer { answer } => return answer.poll(cx),
            }
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for Asked<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("waits", &matches!(self.stage, Stage::Question { question: Some(_) }))
            .finish_non_exhaustive()
    }
}
