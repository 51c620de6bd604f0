use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use super::headers;
use crate::{Assessment, Marks};

pin_project! {
    /// The future of a [`DecisionService`](crate::DecisionService).
    #[must_use = "futures do nothing unless polled"]
    pub struct DecisionFuture<F> {
        #[pin]
        work: F,
        // What to say in the headers, unless somebody else does.
        assessment: Option<Arc<Assessment>>,
        names: bool,
    }
}

impl<F> DecisionFuture<F> {
    pub(super) fn new(work: F, assessment: Option<Arc<Assessment>>, names: bool) -> Self {
        Self { work, assessment, names }
    }
}

impl<F, D, E> Future for DecisionFuture<F>
where
    F: Future<Output = Result<Response<D>, E>>,
{
    type Output = Result<Response<D>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.work.poll(cx))?;
        if let Some(assessment) = this.assessment {
            let marks = Marks::of(&response);
            headers::write(response.headers_mut(), assessment, marks, *this.names);
        }
        Poll::Ready(Ok(response))
    }
}

impl<F> fmt::Debug for DecisionFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.assessment.as_ref().map(|assessment| assessment.level);
        f.debug_struct("DecisionFuture").field("level", &level).finish_non_exhaustive()
    }
}
