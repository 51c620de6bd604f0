use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use mainstay_breaker::OwnedPermit;
use mainstay_core::{Classified, Clock};
use tokio::task::{JoinError, JoinHandle};

use crate::books::Shared;
use crate::window::Entry;
use crate::{Item, Outcome, Sink};

/// A delivery that has ended.
pub(crate) struct Delivered<T> {
    pub(crate) entries: Vec<Entry>,
    pub(crate) answer: Answer<T>,
    /// When it began.
    pub(crate) begun: Duration,
}

pub(crate) enum Answer<T> {
    /// An outcome for each, and the items that the sink could not take.
    Outcomes(Vec<Outcome>, Vec<Option<Item<T>>>),
    Panicked,
    TimedOut,
}

type Answered<T> = (Vec<Outcome>, Vec<Option<Item<T>>>);

/// The sink's own task. It ends with this.
struct Task<T>(JoinHandle<Answered<T>>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the deliveries of a spool have in common.
pub(crate) struct Route<S> {
    pub(crate) sink: Arc<S>,
    pub(crate) clock: Clock,
    pub(crate) deadline: Duration,
    pub(crate) shared: Arc<Shared>,
}

/// Gives a batch to the sink, in a task of its own: a panic stays there, and so does a call that never returns.
pub(crate) async fn deliver<T, S>(
    route: Arc<Route<S>>,
    items: Vec<Item<T>>,
    entries: Vec<Entry>,
    permit: Option<OwnedPermit>,
) -> Delivered<T>
where
    T: Send + Sync + 'static,
    S: Sink<T>,
{
    let begun = route.clock.now();
    let mut sleep = route.clock.sleep_until(begun.saturating_add(route.deadline));
    let sink = route.sink.clone();
    let mut task = Task(tokio::spawn(async move {
        let outcomes = sink.deliver(&items).await;
        let left =
            |(index, item)| matches!(outcomes.get(index), Some(Outcome::Unavailable { .. })).then_some(item);
        let left = items.into_iter().enumerate().map(left).collect();
        (outcomes, left)
    }));
    let mut answer = std::future::poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut task.0).poll(cx) {
            return Poll::Ready(Answer::from(result));
        }
        Pin::new(&mut sleep).poll(cx).map(|()| Answer::TimedOut)
    })
    .await;
    if let Some(permit) = permit {
        permit.record(verdict(&answer, &entries, &route.shared));
    }
    if matches!(answer, Answer::TimedOut) {
        task.0.abort();
        // A sink that blocks its thread is not cut off by that: nothing else of these keys is delivered until it has ended.
        if let Ok(late) = (&mut task.0).await {
            answer = Answer::Outcomes(late.0, late.1);
        }
    }
    Delivered { entries, answer, begun }
}

impl<T> From<Result<Answered<T>, JoinError>> for Answer<T> {
    fn from(result: Result<Answered<T>, JoinError>) -> Self {
        result.map_or(Self::Panicked, |(outcomes, left)| Self::Outcomes(outcomes, left))
    }
}

/// Whether an item that was tried alone is at fault for a delivery that took too long: only if the sink has delivered something else
/// since it did the same before.
pub(crate) fn is_at_fault(entry: &Entry, shared: &Shared) -> bool {
    let delivered = shared.figures.delivered.load(Ordering::Relaxed);
    entry.mark.hung_at.is_some_and(|then| delivered > then)
}

/// What a delivery says about the sink: that it works, if it did anything with any item; nothing, if all that failed is an item's own
/// fault.
fn verdict<T>(answer: &Answer<T>, entries: &[Entry], shared: &Shared) -> Classified {
    let outcomes = match (answer, entries) {
        (Answer::Outcomes(outcomes, _), _) => outcomes,
        (Answer::Panicked, [_]) => return Classified::ignore(),
        (Answer::TimedOut, [alone]) if is_at_fault(alone, shared) => return Classified::ignore(),
        _ => return Classified::failure(),
    };
    let (mut works, mut unavailable) = (false, None);
    for outcome in outcomes {
        match outcome {
            Outcome::Done | Outcome::Poison { .. } => works = true,
            Outcome::Retry { .. } => {}
            Outcome::Unavailable { after, .. } => unavailable = unavailable.max(Some(*after)),
        }
    }
    match unavailable {
        Some(Some(after)) => Classified::failure().retry_after(after),
        Some(None) => Classified::failure(),
        None if works => Classified::success(),
        None => Classified::ignore(),
    }
}
