use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::tail::Tail;

pin_project! {
    /// The body of a response whose call is not over before the body is.
    ///
    /// It passes everything on: frames, trailers, errors, the size. The call's verdict is recorded when the body ends
    /// or is dropped (then the head's verdict stands), or when it breaks off (a failure). One that is neither read nor
    /// dropped holds no probe slot, only a handle to its breaker.
    ///
    /// It allocates nothing.
    pub struct GuardedBody<B: Body> {
        #[pin]
        inner: Inner<B>,
        tail: Tail,
    }
}

pin_project! {
    #[project = InnerProjection]
    enum Inner<B: Body> {
        Given { #[pin] body: B },
        Written { data: Option<B::Data> },
    }
}

impl<B: Body> GuardedBody<B> {
    pub(crate) fn new(body: B, tail: Tail) -> Self {
        Self { inner: Inner::Given { body }, tail }
    }

    /// A body of one piece that guards nothing, for responses that are made in place of the inner service's: see
    /// [`HttpLayer::reject_with`](crate::HttpLayer::reject_with).
    pub fn written(data: B::Data) -> Self {
        Self { inner: Inner::Written { data: Some(data).filter(Buf::has_remaining) }, tail: Tail::none() }
    }

    /// A body without content that guards nothing.
    pub fn empty() -> Self {
        Self { inner: Inner::Written { data: None }, tail: Tail::none() }
    }
}

impl<B: Body> Body for GuardedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let mut body = match this.inner.as_mut().project() {
            InnerProjection::Given { body } => body,
            InnerProjection::Written { data } => return Poll::Ready(data.take().map(Frame::data).map(Ok)),
        };
        let on_panic = OnPanic(this.tail);
        let polled = body.as_mut().poll_frame(cx);
        if on_panic.0.is_open() {
            match &polled {
                Poll::Pending => {}
                // Whoever knows that this was the last frame polls no more.
                Poll::Ready(Some(Ok(frame))) => {
                    if frame.is_trailers() || body.is_end_stream() {
                        on_panic.0.ended();
                    }
                }
                Poll::Ready(Some(Err(_))) => on_panic.0.broke(),
                Poll::Ready(None) => on_panic.0.ended(),
            }
        }
        std::mem::forget(on_panic);
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Given { body } => body.is_end_stream(),
            Inner::Written { data } => data.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Given { body } => body.size_hint(),
            Inner::Written { data } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.remaining() as u64))
            }
        }
    }
}

/// While the inner body is polled: a panic there is a failure, other than one of its reader.
struct OnPanic<'a>(&'a mut Tail);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        self.0.broke();
    }
}

/// [`GuardedBody::empty`].
impl<B: Body> Default for GuardedBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B: Body> fmt::Debug for GuardedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedBody").field("guarding", &self.tail.is_open()).finish_non_exhaustive()
    }
}
