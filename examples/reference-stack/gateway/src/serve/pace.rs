//! How fast a connection's requests come: hyper has one time-out for a head that comes slowly and for a connection that nobody uses, but
//! who sends half a head shall not have as long as a balancer that keeps a connection for later.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A connection whose heads come in time, from its begin or from their first byte on, or it breaks off.
pub(super) struct Paced {
    stream: TcpStream,
    head_time: Duration,
    /// Runs while a head is awaited.
    head: Option<Pin<Box<Sleep>>>,
    handling: Handling,
    /// How many requests there were when it was looked last.
    seen: u32,
}

/// How many requests have begun and ended: while one is being handled, what comes is no head.
#[derive(Clone, Default)]
pub(super) struct Handling(Arc<(AtomicU32, AtomicU32)>);

/// It is, until this is dropped.
pub(super) struct Handled(Handling);

impl Paced {
    pub(super) fn new(stream: TcpStream, head_time: Duration, handling: Handling) -> Self {
        Self { stream, head_time, head: Some(Box::pin(sleep(head_time))), handling, seen: 0 }
    }
}

impl Handling {
    pub(super) fn begin(&self) -> Handled {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        Handled(self.clone())
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        self.0.0.1.fetch_add(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (begun, ended) = &*self.handling.0;
        let (begun, ended) = (begun.load(Ordering::Relaxed), ended.load(Ordering::Relaxed));
        if begun != self.seen {
            // The head was there.
            (self.seen, self.head) = (begun, None);
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if begun == ended && read.is_ready() && self.head.is_none() {
            self.head = Some(Box::pin(sleep(self.head_time)));
        }
        match &mut self.head {
            Some(head) if read.is_pending() => {
                head.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
            _ => read,
        }
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
