use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use mainstay_breaker::{Classified, OwnedPermit, Verdict};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::fault::Fault;
use crate::{Calls, status};

pin_project! {
    /// The body of a guarded response: the same frames, with an eye on how they end.
    ///
    /// It holds the call's permit and records its verdict when the trailers come, the body ends or breaks off, or it is
    /// dropped. See [`Calls`](crate::Calls).
    pub struct GuardedBody<B> {
        // None for a response that was made here.
        #[pin]
        inner: Option<B>,
        watch: Watch,
    }
}

/// What is known of a call whose response has begun.
struct Watch {
    // None once the verdict is known.
    permit: Option<OwnedPermit>,
    calls: Calls,
    /// The first message has come, or some of it.
    answered: bool,
    /// Runs out when nothing comes for too long. In a box that is made once it is needed: most calls have none.
    silence: Option<Pin<Box<Sleep>>>,
    /// It runs.
    silent: bool,
}

/// While the inner body is polled: a panic there settles the permit while the thread unwinds, and so as a failure.
struct OnPanic<'a>(&'a mut Option<OwnedPermit>);

// === impl GuardedBody ===

impl<B> GuardedBody<B> {
    pub(crate) fn new(inner: B, permit: Option<OwnedPermit>, calls: Calls) -> Self {
        Self { inner: Some(inner), watch: Watch::new(permit, calls) }
    }

    /// The body of a response without messages.
    pub(crate) fn empty() -> Self {
        Self { inner: None, watch: Watch::new(None, Calls::new()) }
    }
}

impl<B> Body for GuardedBody<B>
where
    B: Body,
    B::Error: 'static,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let on_panic = OnPanic(&mut this.watch.permit);
        let polled = inner.as_mut().poll_frame(cx);
        std::mem::forget(on_panic);
        match &polled {
            Poll::Pending => {
                if !this.watch.too_quiet(cx) {
                    return Poll::Pending;
                }
                // The stream is reset.
                this.inner.set(None);
                return Poll::Ready(Some(Ok(Frame::trailers(deadline_exceeded()))));
            }
            Poll::Ready(Some(Ok(frame))) => this.watch.frame(frame),
            Poll::Ready(Some(Err(error))) => this.watch.error(error),
            Poll::Ready(None) => this.watch.settle(Classified::failure()),
        }
        // Many look at this after a frame, and then no further.
        if this.watch.permit.is_some() && inner.is_end_stream() {
            this.watch.settle(Classified::failure());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

fn deadline_exceeded() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(status::GRPC_STATUS, HeaderValue::from_static("4"));
    trailers.insert(status::GRPC_MESSAGE, HeaderValue::from_static("nothing more came in time"));
    trailers
}

impl<B> fmt::Debug for GuardedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedBody")
            .field("permit", &self.watch.permit)
            .field("answered", &self.watch.answered)
            .finish_non_exhaustive()
    }
}

// === impl Watch ===

impl Watch {
    fn new(permit: Option<OwnedPermit>, calls: Calls) -> Self {
        Self { permit, calls, answered: false, silence: None, silent: false }
    }

    fn frame<D: Buf>(&mut self, frame: &Frame<D>) {
        self.silent = false;
        if let Some(trailers) = frame.trailers_ref() {
            let verdict = match status::code(trailers) {
                Some(code) => self.calls.verdict(code, trailers),
                None => Classified::failure(),
            };
            self.settle(verdict);
        } else if !self.answered && frame.data_ref().is_some_and(Buf::has_remaining) {
            self.answered = true;
            if let Some(permit) = &mut self.permit {
                permit.answered(Verdict::Success);
            }
        }
    }

    fn error<E: Any>(&mut self, error: &E) {
        match Fault::of(error) {
            Fault::Dependency => self.settle(Classified::failure()),
            Fault::NotAsked | Fault::CutOff if self.answered => self.settle(Classified::success()),
            Fault::NotAsked => self.settle(Classified::ignore()),
            Fault::CutOff => self.permit = None,
        }
    }

    /// Whether nothing has come for too long, which is a failure.
    fn too_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        // What is judged already is not waited for: it may be no gRPC at all.
        let (Some(longest), Some(_)) = (self.calls.max_silence, &self.permit) else { return false };
        let silence = match &mut self.silence {
            Some(silence) => {
                if !self.silent {
                    silence.set(sleep(longest));
                }
                silence
            }
            None => self.silence.insert(Box::pin(sleep(longest))),
        };
        self.silent = true;
        if silence.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.settle(Classified::failure());
        true
    }

    fn settle(&mut self, verdict: Classified) {
        if let Some(permit) = self.permit.take() {
            permit.record(verdict);
        }
    }
}

/// Dropped by the caller: after a message that is a success; before it, and while a panic unwinds, it is as with any permit.
impl Drop for Watch {
    fn drop(&mut self) {
        if self.answered && !std::thread::panicking() {
            self.settle(Classified::success());
        }
    }
}

// === impl OnPanic ===

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        *self.0 = None;
    }
}
