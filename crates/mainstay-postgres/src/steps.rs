//! A stream made from a future.
//!
//! The problem: the rows of a statement borrow the connection, and the stream that gives them to the caller owns it. A
//! struct cannot own what its other field borrows; an async block can. So the block runs the statement and hands each
//! step to the stream around it, and the two need a place to meet: a box shared by both costs an allocation and a lock
//! for every row. The idea: they meet only while the stream is being polled, on the thread that polls it, and what is
//! handed over is taken before that poll returns. So a slot of the thread will do. It is empty whenever no hand-over is
//! under way: between setting it and taking it nothing runs but the returns from the block's poll.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;
use sqlx::postgres::{PgQueryResult, PgRow};
use sqlx::{Either, Error};

/// What a statement answers with: rows, and at the end of each command how many rows it affected.
pub(crate) type Step = Either<PgQueryResult, PgRow>;

thread_local! {
    static SLOT: Cell<Option<Step>> = const { Cell::new(None) };
}

pin_project! {
    /// The stream around a future that [`hand_over`]s its steps.
    pub(crate) struct Steps<F> {
        // None: it has ended, and let go of all it held.
        #[pin]
        work: Option<F>,
    }
}

/// Gives a step to the stream around the calling future. To be awaited by that future itself, directly.
pub(crate) fn hand_over(step: Step) -> HandOver {
    HandOver { step: Some(step) }
}

#[must_use = "futures do nothing unless polled"]
pub(crate) struct HandOver {
    step: Option<Step>,
}

// === impl Steps ===

impl<F> Steps<F> {
    pub(crate) fn new(work: F) -> Self {
        Self { work: Some(work) }
    }
}

impl<F> Stream for Steps<F>
where
    F: Future<Output = Result<(), Error>>,
{
    type Item = Result<Step, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let Some(work) = this.work.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        match work.poll(cx) {
            Poll::Ready(result) => {
                this.work.set(None);
                Poll::Ready(result.err().map(Err))
            }
            Poll::Pending => match SLOT.take() {
                Some(step) => Poll::Ready(Some(Ok(step))),
                None => Poll::Pending,
            },
        }
    }
}

// === impl HandOver ===

impl Future for HandOver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match self.step.take() {
            Some(step) => {
                SLOT.set(Some(step));
                // Nobody has to be woken: the stream returns this step now, and polls again when it is asked again.
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}
