use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::ItemId;

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// The sink has it.
    Delivered,
    /// It could not be delivered, and is among the dead letters.
    DeadLettered {
        /// The last error.
        error: String,
    },
    /// The spool was shut down first. It is on disk, and is delivered after the next opening.
    Kept,
    /// The spool was in memory only, and was shut down first.
    Lost,
}

/// The fate of an accepted item, as a future. Dropping it changes nothing.
#[must_use = "a ticket tells what becomes of the item; drop it if nobody wants to know"]
pub struct Ticket {
    id: ItemId,
    place: i64,
    fate: oneshot::Receiver<Fate>,
    tickets: Arc<Tickets>,
}

/// Who waits for the fate of what, by place in the queue. A dropped ticket is not here, so that it takes no memory.
#[derive(Default)]
pub(crate) struct Tickets {
    waiting: Mutex<HashMap<i64, oneshot::Sender<Fate>>>,
    in_memory: bool,
}

// === impl Ticket ===

impl Ticket {
    /// Who the item is.
    pub fn id(&self) -> ItemId {
        self.id
    }
}

impl Future for Ticket {
    type Output = Fate;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fate> {
        let fate = ready!(Pin::new(&mut self.fate).poll(cx));
        // Nobody answers any more: the spool is gone.
        Poll::Ready(fate.unwrap_or_else(|_| self.tickets.unresolved()))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tickets.lock().remove(&self.place);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("id", &self.id).finish_non_exhaustive()
    }
}

// === impl Tickets ===

impl Tickets {
    pub(crate) fn new(in_memory: bool) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), in_memory })
    }

    pub(crate) fn issue(self: &Arc<Self>, id: ItemId, place: i64) -> Ticket {
        let (tell, fate) = oneshot::channel();
        self.lock().insert(place, tell);
        Ticket { id, place, fate, tickets: self.clone() }
    }

    pub(crate) fn resolve(&self, place: i64, fate: impl FnOnce() -> Fate) {
        let waiting = self.lock().remove(&place);
        if let Some(waiting) = waiting {
            let _ = waiting.send(fate());
        }
    }

    /// The spool is shut down.
    pub(crate) fn resolve_all(&self) {
        let waiting = std::mem::take(&mut *self.lock());
        for (_, waiting) in waiting {
            let _ = waiting.send(self.unresolved());
        }
    }

    fn unresolved(&self) -> Fate {
        if self.in_memory { Fate::Lost } else { Fate::Kept }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, oneshot::Sender<Fate>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
