use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The body of an answer: one piece, or none for HEAD.
#[derive(Clone, Debug, Default)]
pub struct ProbeBody(Bytes);

impl ProbeBody {
    pub(crate) fn new(content: Bytes) -> Self {
        Self(content)
    }

    /// What of it has not been read yet.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Body for ProbeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let content = std::mem::take(&mut self.0);
        Poll::Ready(
            Some(content).filter(|content| !content.is_empty()).map(|content| Ok(Frame::data(content))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}
