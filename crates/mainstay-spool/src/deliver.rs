use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mainstay_breaker::OwnedPermit;
use mainstay_core::{Classified, Clock};
use tokio::task::JoinHandle;

use crate::window::Entry;
use crate::{Item, Outcome, Sink};

/// A delivery that has ended.
pub(crate) struct Delivered {
    pub(crate) entries: Vec<Entry>,
    pub(crate) answer: Answer,
}

pub(crate) enum Answer {
    /// An outcome for each.
    Outcomes(Vec<Outcome>),
    Panicked,
    TimedOut,
}

/// The sink's own task. It is dropped with this.
struct Task(JoinHandle<Vec<Outcome>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Gives a batch to the sink, in a task of its own: a panic stays there, and so does a call that never returns.
pub(crate) async fn deliver<T, S>(
    sink: Arc<S>,
    items: Vec<Item<T>>,
    entries: Vec<Entry>,
    permit: Option<OwnedPermit>,
    clock: Clock,
    deadline: Duration,
) -> Delivered
where
    T: Send + Sync + 'static,
    S: Sink<T>,
{
    let mut sleep = clock.sleep_until(clock.now().saturating_add(deadline));
    let mut task = Task(tokio::spawn(async move { sink.deliver(&items).await }));
    let answer = std::future::poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut task.0).poll(cx) {
            return Poll::Ready(result.map_or(Answer::Panicked, Answer::Outcomes));
        }
        Pin::new(&mut sleep).poll(cx).map(|()| Answer::TimedOut)
    })
    .await;
    if let Some(permit) = permit {
        permit.record(verdict(&answer));
    }
    Delivered { entries, answer }
}

/// What a delivery says about the sink: it works if it did anything with any item. One item that is to be tried again says something of
/// itself alone; several, and nothing else, say something of the sink.
fn verdict(answer: &Answer) -> Classified {
    let Answer::Outcomes(outcomes) = answer else {
        return Classified::failure();
    };
    let (mut works, mut retries, mut unavailable) = (false, 0, None);
    for outcome in outcomes {
        match outcome {
            Outcome::Done | Outcome::Poison { .. } => works = true,
            Outcome::Retry { .. } => retries += 1,
            Outcome::Unavailable { after, .. } => unavailable = unavailable.max(Some(*after)),
        }
    }
    match unavailable {
        Some(Some(after)) => Classified::failure().retry_after(after),
        Some(None) => Classified::failure(),
        None if works => Classified::success(),
        None if retries == 1 => Classified::ignore(),
        None => Classified::failure(),
    }
}
