use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mainstay_core::{Clock, panics};

use super::result::Outcome;

/// One of the things that a [`Gather`](super::Gather) waits for.
#[must_use = "a part does nothing until it is added to a gather"]
pub struct Part<'a, T, E> {
    pub(super) source: String,
    pub(super) required: bool,
    pub(super) deadline: Option<Duration>,
    pub(super) weight: Option<f64>,
    pub(super) work: Work<'a, T, E>,
}

/// A part's value, and how good it is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PartValue<T> {
    /// The value.
    pub value: T,
    /// How sure its source is of it: 0 to 1.
    pub confidence: f64,
    /// Whether it is less than what was asked for: from a cache, by a cheaper way.
    pub degraded: bool,
    /// What else its source says about it.
    pub metadata: BTreeMap<String, String>,
}

/// How a part ended.
pub(super) struct Ending<T, E> {
    pub(super) outcome: Outcome,
    pub(super) value: Option<PartValue<T>>,
    pub(super) error: Option<E>,
    pub(super) panic: Option<String>,
    /// When it did.
    pub(super) at: Duration,
}

/// The user's future. It may panic when it is polled and when it is dropped; neither leaves this.
pub(super) struct Work<'a, T, E>(Option<Asked<'a, T, E>>);

/// The future as it was given. One around it would drop it before the answer is out, and a panic of that drop would take the answer
/// along.
enum Asked<'a, T, E> {
    Plain(BoxFuture<'a, Result<T, E>>),
    Rated(BoxFuture<'a, Result<PartValue<T>, E>>),
}

type Panic = Box<dyn Any + Send>;

// === impl Part ===

impl<'a, T, E> Part<'a, T, E> {
    /// A part whose value is as good as any.
    ///
    /// `source` names it in the results: 1 to 128 bytes, and of a gather's parts only one has it.
    pub fn new(source: impl Into<String>, future: impl Future<Output = Result<T, E>> + Send + 'a) -> Self {
        Self::of(source.into(), Asked::Plain(Box::pin(future)))
    }

    /// A part that says how good its value is.
    pub fn rated(
        source: impl Into<String>,
        future: impl Future<Output = Result<PartValue<T>, E>> + Send + 'a,
    ) -> Self {
        Self::of(source.into(), Asked::Rated(Box::pin(future)))
    }

    fn of(source: String, asked: Asked<'a, T, E>) -> Self {
        Self { source, required: false, deadline: None, weight: None, work: Work(Some(asked)) }
    }

    /// Without it there is no answer, whatever else succeeds.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// How long it may take from its start. Default: none of its own, so until the gather ends.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// What it counts for in the share: 0 to a million, to a millionth. One of 0 counts for nothing, also not in the policy's
    /// minimum. Default: the policy's weight for its name, else 1.
    pub fn weight(mut self, weight: f64) -> Self {
        self.weight = Some(weight);
        self
    }
}

impl<T, E> fmt::Debug for Part<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, required, deadline, weight, .. } = self;
        f.debug_struct("Part")
            .field("source", source)
            .field("required", required)
            .field("deadline", deadline)
            .field("weight", weight)
            .finish_non_exhaustive()
    }
}

// === impl PartValue ===

impl<T> PartValue<T> {
    /// A value as good as any: its confidence is 1, and it is not degraded.
    pub fn new(value: T) -> Self {
        Self { value, confidence: 1.0, degraded: false, metadata: BTreeMap::new() }
    }

    /// How sure its source is of it. What is below 0 is 0, above 1 is 1; what is no number is 0.
    #[must_use]
    pub fn confidence(mut self, confidence: f64) -> Self {
        self.confidence = if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) };
        self
    }

    /// It is less than what was asked for: from a cache, by a cheaper way.
    #[must_use]
    pub fn degraded(mut self) -> Self {
        self.degraded = true;
        self
    }

    /// Something else to say about it.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

// === impl Work ===

impl<T, E> Work<'_, T, E> {
    /// Runs it until it ends, or its time does. One that is ready when its time is over has ended.
    pub(super) async fn attempt(mut self, clock: &Clock, until: Option<Duration>) -> Ending<T, E> {
        let answer = tokio::select! {
            biased;
            answer = poll_fn(|cx| self.poll(cx)) => Some(answer),
            () = over(clock, until) => None,
        };
        let at = clock.now();
        // What it gave is kept, whatever it does when it is dropped.
        let left = self.end().err().map(panics::text);
        let ended = Ending::new(Outcome::TimedOut, at);
        match answer {
            Some(Ok(Ok(value))) => {
                Ending { outcome: Outcome::Success, value: Some(value), panic: left, ..ended }
            }
            Some(Ok(Err(error))) => {
                Ending { outcome: Outcome::Failure, error: Some(error), panic: left, ..ended }
            }
            Some(Err(panic)) => {
                Ending { outcome: Outcome::Panicked, panic: Some(panics::text(panic)), ..ended }
            }
            None => Ending { panic: left, ..ended },
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Result<PartValue<T>, E>, Panic>> {
        let Some(asked) = &mut self.0 else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| match asked {
            Asked::Plain(future) => future.as_mut().poll(cx).map_ok(PartValue::new),
            Asked::Rated(future) => future.as_mut().poll(cx),
        }));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }

    fn end(&mut self) -> Result<(), Panic> {
        let asked = self.0.take();
        catch_unwind(AssertUnwindSafe(|| drop(asked)))
    }
}

impl<T, E> Drop for Work<'_, T, E> {
    fn drop(&mut self) {
        if let Err(panic) = self.end() {
            panics::text(panic);
        }
    }
}

impl<T, E> Ending<T, E> {
    pub(super) fn new(outcome: Outcome, at: Duration) -> Self {
        Self { outcome, value: None, error: None, panic: None, at }
    }

    pub(super) fn is_success(&self) -> bool {
        self.outcome == Outcome::Success
    }
}

async fn over(clock: &Clock, at: Option<Duration>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
