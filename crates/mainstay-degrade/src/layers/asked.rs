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
        // Until it is ready.
        question: Option<(S, Req)>,
        #[pin]
        answer: Option<S::Future>,
    }
}

impl<S: Service<Req>, Req> Asked<S, Req> {
    pub(super) fn new(service: S, request: Req) -> Self {
        Self { question: Some((service, request)), answer: None }
    }
}

impl<S: Service<Req>, Req> Future for Asked<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some((service, _)) = this.question.as_mut() {
            let is_ready = ready!(service.poll_ready(cx));
            let question = this.question.take();
            is_ready?;
            this.answer.set(question.map(|(mut service, request)| service.call(request)));
        }
        match this.answer.as_pin_mut() {
            Some(answer) => answer.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for Asked<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("waits", &self.question.is_some()).finish_non_exhaustive()
    }
}
