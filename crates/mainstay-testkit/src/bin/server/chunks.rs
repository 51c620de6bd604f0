use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// A body that is produced by a task, piece by piece, and may break off.
pub(super) struct Chunks {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
}

/// What a body is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipe {
    pub(super) bytes: u64,
    /// Bytes in each piece, and the time between two.
    pub(super) piece: usize,
    pub(super) gap: Duration,
    pub(super) breaks_off: bool,
}

/// The body's bytes.
const LETTER: u8 = b'm';

/// Long enough for what was produced to be written, which an error in a body would overtake.
const FLUSH: Duration = Duration::from_millis(50);

// === impl Chunks ===

impl Chunks {
    /// Starts producing.
    pub(super) fn of(recipe: Recipe) -> Self {
        let (send, pieces) = mpsc::channel(1);
        tokio::spawn(async move { send_all(recipe, &send).await });
        Self { pieces }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(context).map_ok(Frame::data)
    }
}

/// Ends early when nobody reads any more.
async fn send_all(recipe: Recipe, pieces: &mpsc::Sender<io::Result<Bytes>>) {
    let piece = Bytes::from(vec![LETTER; recipe.piece.max(1)]);
    let mut left = recipe.bytes;
    while left > 0 {
        let length = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if pieces.send(Ok(piece.slice(..length))).await.is_err() {
            return;
        }
        left -= length as u64;
        if left > 0 && !recipe.gap.is_zero() {
            tokio::select! {
                () = sleep(recipe.gap) => {}
                () = pieces.closed() => return,
            }
        }
    }
    if recipe.breaks_off {
        sleep(FLUSH).await;
        let _ = pieces.send(Err(io::Error::other("broken off, as asked"))).await;
    }
}
