use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_breaker::Breaker;
use mainstay_core::{Clock, NoRuntime};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, oneshot, watch};
use tokio::task::JoinHandle;

use crate::books::{Books, Push, Shared, wall};
use crate::clerk::Clerk;
use crate::dispatch::{Dispatch, Phase};
use crate::figures::{Figures, add};
use crate::row::Row;
use crate::ticket::Tickets;
use crate::{
    DeadLetter, Fault, Finding, ItemId, OpenError, PushError, Queued, Refusal, Sink, SpoolSettings,
    SpoolStats, Ticket, log,
};

/// A queue on disk between a program and a [`Sink`]. Cheap to clone; all clones share one queue.
///
/// When the last clone is dropped the spool stops at once, as after [`drain`](Self::drain) with no time: nothing is lost, and what
/// is left is delivered after the next opening. The files are closed a moment later: to open them again in the same process, drain
/// first.
pub struct Spool<T> {
    inner: Arc<Inner>,
    items: PhantomData<fn(T) -> T>,
}

struct Inner {
    settings: SpoolSettings,
    clerk: Clerk,
    shared: Arc<Shared>,
    findings: Vec<Finding>,
    phase: watch::Sender<Phase>,
    closed: AtomicBool,
    ending: Mutex<Ending>,
}

/// How far the shutdown is.
struct Ending {
    dispatch: Option<JoinHandle<()>>,
    drained: Option<Drained>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Halted);
    }
}

/// How a spool was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// How many items are not delivered. They are on disk, unless the spool is in memory only.
    pub left: u64,
    /// What was wrong with the files at the end, if anything was; [`Fault::Io`] also if they could not be closed in time. What was accepted
    /// is as safe as the policy promised.
    pub fault: Option<Fault>,
}

// === impl Spool ===

impl<T> Spool<T>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Opens the spool of a directory, or makes one, and begins to deliver. The directory is this spool's alone; another one that opens
    /// it is refused. Files that are corrupt, foreign or newer are set aside: see [`findings`](Self::findings).
    ///
    /// It reads the files once, to see whether they are sound: that takes about a second for a few gigabytes, and blocks.
    ///
    /// # Errors
    ///
    /// A setting that is refused, no tokio runtime, a directory that cannot be used or is in use.
    pub fn open(
        dir: impl AsRef<Path>,
        settings: SpoolSettings,
        sink: impl Sink<T>,
    ) -> Result<Self, OpenError> {
        Self::begin(Some(dir.as_ref()), settings, sink)
    }

    /// A spool that promises nothing across the end of the process. The bounds are those of memory.
    ///
    /// # Errors
    ///
    /// A setting that is refused, no tokio runtime.
    pub fn in_memory(settings: SpoolSettings, sink: impl Sink<T>) -> Result<Self, OpenError> {
        Self::begin(None, settings, sink)
    }

    fn begin(dir: Option<&Path>, settings: SpoolSettings, sink: impl Sink<T>) -> Result<Self, OpenError> {
        settings.validate()?;
        let runtime = Handle::try_current().map_err(|_| NoRuntime::new())?;
        let shared = Arc::new(Shared {
            name: settings.name.clone(),
            figures: Figures::default(),
            tickets: Tickets::new(dir.is_none()),
            news: Notify::new(),
        });
        let (books, findings) = Books::open(dir, &settings, shared.clone())?;
        findings.iter().for_each(|finding| log::found(&shared.name, finding));
        let clerk = Clerk::start(books)?;
        let (phase, follows) = watch::channel(Phase::Running);
        let dispatch = Dispatch::new(settings.clone(), sink, clerk.clone(), shared.clone(), follows);
        let dispatch = Some(runtime.spawn(dispatch.run()));
        let (closed, ending) = (AtomicBool::new(false), Mutex::new(Ending { dispatch, drained: None }));
        let inner = Inner { settings, clerk, shared, findings, phase, closed, ending };
        Ok(Self { inner: Arc::new(inner), items: PhantomData })
    }

    /// Puts an item into the queue. When this returns the item is as safe as the [`FsyncPolicy`](crate::FsyncPolicy) says.
    ///
    /// If the future is dropped before it ends the item may be in the queue or not.
    ///
    /// # Errors
    ///
    /// The item, and why it was not accepted. Nothing is ever dropped silently.
    pub async fn push(&self, item: T) -> Result<Ticket, PushError<T>> {
        let answer = self.send(None, &item);
        let answer = match answer {
            Ok(answer) => answer.await.unwrap_or(Err(Refusal::Closed)),
            Err(refusal) => Err(refusal),
        };
        answer.map_err(|refusal| PushError::new(item, refusal))
    }

    /// The same for an item with an order key: items of one key are delivered in the order in which they were accepted, one
    /// at a time. One that fails holds back its key, and nothing else.
    ///
    /// # Errors
    ///
    /// As for [`push`](Self::push).
    pub async fn push_with(&self, key: impl AsRef<str>, item: T) -> Result<Ticket, PushError<T>> {
        let answer = match self.send(Some(key.as_ref()), &item) {
            Ok(answer) => answer.await.unwrap_or(Err(Refusal::Closed)),
            Err(refusal) => Err(refusal),
        };
        answer.map_err(|refusal| PushError::new(item, refusal))
    }

    /// [`push`](Self::push), or [`push_with`](Self::push_with) with a key, for code that is not async: it blocks the thread.
    ///
    /// # Errors
    ///
    /// As for [`push`](Self::push).
    pub fn push_blocking(&self, key: Option<&str>, item: T) -> Result<Ticket, PushError<T>> {
        let answer = self.send(key, &item).and_then(|answer| wait(answer).unwrap_or(Err(Refusal::Closed)));
        answer.map_err(|refusal| PushError::new(item, refusal))
    }

    fn send(
        &self,
        key: Option<&str>,
        item: &T,
    ) -> Result<oneshot::Receiver<Result<Ticket, Refusal>>, Refusal> {
        self.try_send(key, item).inspect_err(|refusal| {
            add(&self.inner.shared.figures.refused, 1);
            log::refused(&self.inner.shared.name, *refusal);
        })
    }

    fn try_send(
        &self,
        key: Option<&str>,
        item: &T,
    ) -> Result<oneshot::Receiver<Result<Ticket, Refusal>>, Refusal> {
        let inner = &self.inner;
        if inner.closed.load(Ordering::Acquire) {
            return Err(Refusal::Closed);
        }
        let body = rmp_serde::to_vec_named(item).map_err(|_| Refusal::Unserializable)?;
        let (accepted, answer) = oneshot::channel();
        let push = Push { key: key.map(Arc::from), version: inner.settings.item_version, body, accepted };
        let (bytes, most) = (push.bytes(), inner.settings.item_bytes);
        if bytes > most {
            return Err(Refusal::TooLarge { bytes, most });
        }
        inner.clerk.push(push)?;
        Ok(answer)
    }

    /// The dead letters, in the order in which their items were accepted, behind a given one or from the first, at most so many; fewer if
    /// they are large. Empty when there are no more.
    ///
    /// # Errors
    ///
    /// What is wrong with the file. [`Fault::Other`] after the shutdown.
    pub async fn dead_letters(
        &self,
        after: Option<ItemId>,
        most: usize,
    ) -> Result<Vec<DeadLetter<T>>, Fault> {
        let bytes = self.inner.settings.window_bytes;
        let found = self.inner.clerk.ask(move |books| books.dead_letters(after, most, bytes)).await;
        let newest = self.inner.settings.item_version;
        let letters = found.ok_or(Fault::Other)??.into_iter().map(|(row, grave)| DeadLetter {
            id: row.id,
            key: row.key.clone(),
            tries: row.tries,
            cause: grave.cause,
            error: grave.error,
            accepted: wall(row.accepted),
            died: wall(grave.died),
            item: row.decode(newest).ok(),
            body: row.body,
        });
        Ok(letters.collect())
    }
}

impl<T: DeserializeOwned> Spool<T> {
    /// What is queued: not delivered, and no dead letter. Oldest first, behind a given one or from the first, at most so many; fewer if they
    /// are large. Empty when there are no more.
    ///
    /// # Errors
    ///
    /// What is wrong with the file. [`Fault::Other`] after the shutdown.
    pub async fn queued(&self, after: Option<&Queued<T>>, most: usize) -> Result<Vec<Queued<T>>, Fault> {
        let (place, bytes) = (after.map_or(i64::MIN, |after| after.place), self.inner.settings.window_bytes);
        let found = self.inner.clerk.ask(move |books| books.after(place, most, bytes)).await;
        Ok(found.ok_or(Fault::Other)??.into_iter().map(|row| self.as_queued(row)).collect())
    }

    /// The item of this order key that was accepted last, if it is not delivered. For programs that read what they have written, also
    /// while it is on its way, and after a restart.
    ///
    /// # Errors
    ///
    /// As for [`queued`](Self::queued).
    pub async fn newest_of(&self, key: &str) -> Result<Option<Queued<T>>, Fault> {
        let key = key.to_owned();
        let found = self.inner.clerk.ask(move |books| books.newest_of(&key)).await;
        Ok(found.ok_or(Fault::Other)??.map(|row| self.as_queued(row)))
    }

    fn as_queued(&self, row: Row) -> Queued<T> {
        Queued {
            id: row.id,
            tries: row.tries,
            accepted: wall(row.accepted),
            item: row.decode(self.inner.settings.item_version).ok(),
            key: row.key,
            place: row.place,
        }
    }
}

impl<T> Spool<T> {
    /// Puts a dead letter back at the end of the queue, with the same id and no tries. `None` if there is none with this id.
    ///
    /// # Errors
    ///
    /// Why it could not be put there. It is still a dead letter then. Where the disk does not sync it may be in the queue as well, and be
    /// delivered.
    pub async fn requeue(&self, id: ItemId) -> Result<Option<Ticket>, Refusal> {
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(Refusal::Closed);
        }
        self.inner.clerk.ask(move |books| books.requeue(id)).await.unwrap_or(Err(Refusal::Closed))
    }

    /// Drops a dead letter for good. False if there is none with this id.
    ///
    /// # Errors
    ///
    /// What is wrong with the file. [`Fault::Other`] after the shutdown.
    pub async fn drop_dead_letter(&self, id: ItemId) -> Result<bool, Fault> {
        self.inner.clerk.ask(move |books| books.drop_dead_letter(id)).await.unwrap_or(Err(Fault::Other))
    }

    /// What was not sound when the spool was opened.
    pub fn findings(&self) -> &[Finding] {
        &self.inner.findings
    }

    /// How the spool is, and what it has done.
    pub fn stats(&self) -> SpoolStats {
        self.inner.shared.figures.stats()
    }

    /// The breaker around the sink, if there is one: a `StateSource` for health and degradation.
    pub fn breaker(&self) -> Option<&Breaker> {
        self.inner.settings.breaker.as_ref()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.settings.name
    }

    /// Shuts the spool down: nothing more is accepted, what is queued is delivered, and the files are closed. After `within` it stops
    /// where it is; what is left stays on disk. A delivery that is under way then is cut off; a sink that blocks its thread is left behind. A disk
    /// that hangs is left behind a second later.
    ///
    /// If the future is dropped, what is queued is delivered still; the files are closed when it is called again or the last clone is dropped.
    /// Whoever calls it again has the same end, until the earlier of the deadlines.
    pub async fn drain(&self, within: Duration) -> Drained {
        let inner = &self.inner;
        let clock: &Clock = &inner.settings.clock;
        let deadline = clock.now().saturating_add(within);
        inner.closed.store(true, Ordering::Release);
        let mut end = std::pin::pin!(self.end());
        tokio::select! {
            biased;
            drained = &mut end => return drained,
            () = clock.sleep_until(deadline) => {}
        }
        inner.phase.send_replace(Phase::Halted);
        // In real time: the disk knows no other.
        let clock = Clock::monotonic();
        tokio::select! {
            biased;
            drained = end => drained,
            () = clock.sleep_until(clock.now().saturating_add(CLOSING)) => {
                Drained { left: inner.shared.figures.stats().backlog, fault: Some(Fault::Io) }
            }
        }
    }

    /// Delivers what is left, or what can be until somebody halts it, and closes the files. It may be dropped anywhere, and called again.
    async fn end(&self) -> Drained {
        let inner = &self.inner;
        let mut ending = inner.ending.lock().await;
        if let Some(drained) = ending.drained {
            return drained;
        }
        // What was pushed before the door was shut is in the queue then.
        inner.clerk.catch_up().await;
        inner.phase.send_if_modified(|phase| {
            let runs = *phase == Phase::Running;
            *phase = if runs { Phase::Draining } else { *phase };
            runs
        });
        if let Some(dispatch) = &mut ending.dispatch {
            let _ = dispatch.await;
        }
        ending.dispatch = None;
        inner.phase.send_replace(Phase::Halted);
        let fault = inner.clerk.close().await.err();
        let left = inner.shared.figures.stats().backlog;
        log::drained(&inner.shared.name, left);
        *ending.drained.insert(Drained { left, fault })
    }
}

/// How long the files may take to be closed.
const CLOSING: Duration = Duration::from_secs(1);

/// Blocks the thread until the answer is there, also within a runtime.
fn wait<R>(mut answer: oneshot::Receiver<R>) -> Option<R> {
    use std::pin::Pin;
    use std::task::{Context, Poll, Wake, Waker};

    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match Future::poll(Pin::new(&mut answer), &mut cx) {
            Poll::Ready(answer) => return answer.ok(),
            Poll::Pending => std::thread::park(),
        }
    }
}

impl<T> Clone for Spool<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), items: PhantomData }
    }
}

impl<T> fmt::Debug for Spool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool")
            .field("name", &self.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
