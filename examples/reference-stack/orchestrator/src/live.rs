//! The tasks that run here: their events, who reads them, and how they are cancelled.
//!
//! A task is here from before its first record is in the spool until its last one is. So whoever looks here, then into the spool, then
//! into the database, finds it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, stream};
use stack_protocol::v1::TaskEvent;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use crate::refusal;
use crate::task::{Event, Task};

/// From this many events on, pieces of text are joined.
const JOIN_FROM: usize = 500;
/// Until they have this many bytes. With the longest answer there are less than a thousand events.
const JOIN_TO: usize = 1024;

/// All of them.
#[derive(Clone, Default)]
pub(crate) struct Live {
    tasks: Arc<Mutex<HashMap<Uuid, Arc<LiveTask>>>>,
}

/// One of them.
pub(crate) struct LiveTask {
    pub(crate) id: Uuid,
    pub(crate) user: String,
    /// Which run its events are of.
    run: u32,
    /// Ends its work at once.
    pub(crate) cancel: CancellationToken,
    state: Mutex<State>,
    /// Rung whenever the state changes.
    news: watch::Sender<()>,
}

struct State {
    stage: Stage,
    events: Vec<Event>,
    /// Text that waits for more of it.
    joining: String,
}

enum Stage {
    /// It is not known yet whether it is accepted.
    Asked,
    /// Its newest record.
    Accepted(Box<Task>),
    /// Nobody runs it any more: it was refused, or the orchestrator ends. What its readers are told.
    Left(Status),
}

/// Who may have a task of an id.
pub(crate) enum Place {
    /// Whoever asked: nobody else has it.
    Taken(Arc<LiveTask>),
    /// It is here already.
    There(Arc<LiveTask>),
}

// === impl Live ===

impl Live {
    pub(crate) fn get(&self, id: Uuid) -> Option<Arc<LiveTask>> {
        self.lock().get(&id).cloned()
    }

    pub(crate) fn take(&self, id: Uuid, user: &str, run: u32) -> Place {
        let mut tasks = self.lock();
        if let Some(task) = tasks.get(&id) {
            return Place::There(task.clone());
        }
        let state = State { stage: Stage::Asked, events: Vec::new(), joining: String::new() };
        let task = Arc::new(LiveTask {
            id,
            user: user.to_owned(),
            run,
            cancel: CancellationToken::new(),
            state: Mutex::new(state),
            news: watch::Sender::new(()),
        });
        tasks.insert(id, task.clone());
        Place::Taken(task)
    }

    /// It is in the spool as it ended, or was not accepted.
    pub(crate) fn remove(&self, id: Uuid) {
        self.lock().remove(&id);
    }

    /// Tells all readers that nobody goes on here.
    pub(crate) fn leave_all(&self) {
        let tasks: Vec<_> = self.lock().drain().map(|(_, task)| task).collect();
        tasks.iter().for_each(|task| task.leave(goes_on_later()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<LiveTask>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl LiveTask ===

impl LiveTask {
    /// Its newest record, if it is accepted.
    pub(crate) fn now(&self) -> Option<Task> {
        match &self.lock().stage {
            Stage::Accepted(task) => Some(task.as_ref().clone()),
            Stage::Asked | Stage::Left(_) => None,
        }
    }

    /// It has a newer record.
    pub(crate) fn put(&self, task: Task) {
        self.change(|state| state.stage = Stage::Accepted(Box::new(task)));
    }

    pub(crate) fn leave(&self, why: Status) {
        self.change(|state| state.stage = Stage::Left(why));
    }

    /// Its newest record, once it is known whether it is accepted; none if it is not.
    pub(crate) async fn accepted(&self) -> Option<Task> {
        self.when(|state| match &state.stage {
            Stage::Asked => None,
            Stage::Accepted(task) => Some(Some(task.as_ref().clone())),
            Stage::Left(_) => Some(None),
        })
        .await
    }

    /// Its last record; none if nobody goes on with it here.
    pub(crate) async fn ended(&self) -> Option<Task> {
        self.when(|state| match &state.stage {
            Stage::Accepted(task) if task.has_ended() => Some(Some(task.as_ref().clone())),
            Stage::Left(_) => Some(None),
            Stage::Asked | Stage::Accepted(_) => None,
        })
        .await
    }

    /// Tells what happened.
    pub(crate) fn tell(&self, event: Event) {
        self.change(|state| {
            if let Event::Text(text) = event {
                state.joining.push_str(&text);
                if state.events.len() >= JOIN_FROM && state.joining.len() < JOIN_TO {
                    return;
                }
                state.flush();
            } else {
                state.flush();
                state.events.push(event);
            }
        });
    }

    /// All that happened.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut state = self.lock();
        state.flush();
        state.events.clone()
    }

    /// What happened behind an event of a run (0 is this one), and happens until the end. Of another run nothing is known: all is told.
    pub(crate) fn read(
        self: Arc<Self>,
        after: usize,
        run: u32,
        place: OwnedSemaphorePermit,
    ) -> impl Stream<Item = Result<TaskEvent, Status>> + Send + 'static {
        let after = if run == 0 || run == self.run { after } else { 0 };
        let reader = Some((self, after, place));
        stream::unfold(reader, |reader| async {
            let (task, after, place) = reader?;
            let next = task.next(after).await;
            let goes_on = matches!(&next, Ok((_, false)));
            Some((next.map(|(event, _)| event), goes_on.then_some((task, after.saturating_add(1), place))))
        })
    }

    /// The event behind one, and whether it is the last.
    async fn next(&self, after: usize) -> Result<(TaskEvent, bool), Status> {
        self.when(|state| {
            let sequence = after.saturating_add(1);
            if let Some(event) = state.events.get(after) {
                return Some(Ok((event.to_proto(self.run, sequence), false)));
            }
            match &state.stage {
                Stage::Accepted(task) if task.has_ended() => {
                    // A reader who has seen more saw an earlier run, which a crash has ended.
                    Some(Ok((task.end_event(state.events.len() + 1), true)))
                }
                Stage::Left(why) => Some(Err(why.clone())),
                Stage::Asked | Stage::Accepted(_) => None,
            }
        })
        .await
    }

    /// What the state has to say, as soon as it says something.
    async fn when<T>(&self, mut says: impl FnMut(&State) -> Option<T>) -> T {
        let mut news = self.news.subscribe();
        loop {
            // What changes from here on is heard of.
            news.mark_unchanged();
            if let Some(said) = says(&self.lock()) {
                return said;
            }
            // The sender is ours: it cannot fail.
            let _ = news.changed().await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.news.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What readers are told when the orchestrator ends before the task does.
pub(crate) fn goes_on_later() -> Status {
    refusal::ending("the orchestrator ends; the task goes on elsewhere, or later")
}

// === impl State ===

impl State {
    fn flush(&mut self) {
        if !self.joining.is_empty() {
            self.events.push(Event::Text(std::mem::take(&mut self.joining)));
        }
    }
}
