use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::books::{Books, Push};
use crate::{Fault, Refusal};

/// The thread that alone touches the files, as seen by everybody else. Ends when the last handle is dropped.
#[derive(Clone)]
pub(crate) struct Clerk(Arc<Handle>);

struct Handle(Arc<Desk>);

/// What lies before the clerk.
#[derive(Default)]
struct Desk {
    pile: Mutex<Pile>,
    bell: Condvar,
}

#[derive(Default)]
struct Pile {
    pushes: VecDeque<Push>,
    bytes: usize,
    /// Done before the pushes: it needs no sync, mostly, and deliveries wait for it.
    work: VecDeque<Work>,
    /// Done when no push is left.
    behind: VecDeque<Work>,
    closing: Vec<oneshot::Sender<Result<(), Fault>>>,
    is_closed: bool,
    has_left: bool,
    /// The clerk sleeps until so many pushes are there. None if it is awake.
    sleeps_for: Option<usize>,
}

type Work = Box<dyn FnOnce(&mut Books) + Send>;

enum Turn {
    Accept(Vec<Push>),
    Work(VecDeque<Work>),
    /// The end of an interval.
    Sync,
    Close(Vec<oneshot::Sender<Result<(), Fault>>>),
}

/// The most pushes of one commit, and the most of their bytes: what a commit takes is what the first of them waits for.
const MOST_PUSHES: usize = 4_096;
const MOST_BYTES: usize = 8 << 20;
/// How long a disk that does not sync is left alone.
const REST: Duration = Duration::from_secs(1);

// === impl Clerk ===

impl Clerk {
    pub(crate) fn start(books: Books) -> Result<Self, Fault> {
        let desk = Arc::<Desk>::default();
        let at = Seat(desk.clone());
        std::thread::Builder::new().name("mainstay-spool".to_owned()).spawn(move || at.work(books))?;
        Ok(Self(Arc::new(Handle(desk))))
    }

    pub(crate) fn push(&self, push: Push) -> Result<(), Refusal> {
        let mut pile = self.pile()?;
        pile.bytes = pile.bytes.saturating_add(push.bytes());
        pile.pushes.push_back(push);
        if pile.is_enough() {
            self.wake(pile);
        }
        Ok(())
    }

    /// Has something done, and waits for the answer. `None` if the files are closed.
    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Books) -> R + Send + 'static,
    ) -> Option<R> {
        let (tell, answer) = oneshot::channel();
        let work = Box::new(move |books: &mut Books| {
            let _ = tell.send(work(books));
        });
        self.put(|pile| pile.work.push_back(work)).ok()?;
        answer.await.ok()
    }

    /// Waits until everything that was pushed before is accepted or refused.
    pub(crate) async fn catch_up(&self) {
        let (tell, answer) = oneshot::channel();
        let work = Box::new(move |_: &mut Books| {
            let _ = tell.send(());
        });
        if self.put(|pile| pile.behind.push_back(work)).is_ok() {
            let _ = answer.await;
        }
    }

    /// Brings everything to the disk and closes the files. What was pushed before is accepted first.
    pub(crate) async fn close(&self) -> Result<(), Fault> {
        match self.ask_to_close() {
            Some(answer) => answer.await.unwrap_or(Err(Fault::Other)),
            None => Ok(()),
        }
    }

    fn ask_to_close(&self) -> Option<oneshot::Receiver<Result<(), Fault>>> {
        let (tell, answer) = oneshot::channel();
        let mut pile = self.0.0.pile();
        if pile.has_left {
            return None;
        }
        pile.is_closed = true;
        pile.closing.push(tell);
        self.wake(pile);
        Some(answer)
    }

    fn put(&self, put: impl FnOnce(&mut Pile)) -> Result<(), Refusal> {
        let mut pile = self.pile()?;
        put(&mut pile);
        self.wake(pile);
        Ok(())
    }

    fn pile(&self) -> Result<MutexGuard<'_, Pile>, Refusal> {
        Some(self.0.0.pile()).filter(|pile| !pile.is_closed).ok_or(Refusal::Closed)
    }

    fn wake(&self, mut pile: MutexGuard<'_, Pile>) {
        let sleeps = pile.sleeps_for.take().is_some();
        drop(pile);
        if sleeps {
            self.0.0.bell.notify_one();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.pile().is_closed = true;
        self.0.bell.notify_one();
    }
}

// === impl Desk ===

impl Desk {
    fn pile(&self) -> MutexGuard<'_, Pile> {
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, rally: &mut Rally, most: usize, sync: Option<Instant>) -> Turn {
        let mut pile = self.pile();
        loop {
            let now = Instant::now();
            let syncs = sync.is_some_and(|sync| now >= sync);
            let others =
                syncs || rally.has_come(&pile, now) || (pile.pushes.is_empty() && !pile.behind.is_empty());
            let works = !rally.others_turn || !others;
            if works && !pile.work.is_empty() {
                rally.others_turn = true;
                return Turn::Work(std::mem::take(&mut pile.work));
            }
            rally.others_turn = false;
            if syncs {
                return Turn::Sync;
            }
            if rally.is_over(&pile, now) {
                rally.expected = 1;
                if !pile.pushes.is_empty() {
                    return Turn::Accept(pile.take(most));
                }
            }
            if pile.pushes.is_empty() {
                if !pile.behind.is_empty() {
                    return Turn::Work(std::mem::take(&mut pile.behind));
                }
                if pile.is_closed {
                    return Turn::Close(std::mem::take(&mut pile.closing));
                }
            }
            let rally_ends = (rally.expected > 1).then_some(rally.until);
            let until = [rally_ends, sync].into_iter().flatten().min();
            pile.sleeps_for = Some(rally.expected);
            pile = match until {
                Some(until) => {
                    let left = until.saturating_duration_since(now);
                    self.bell.wait_timeout(pile, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.bell.wait(pile).unwrap_or_else(PoisonError::into_inner),
            };
            pile.sleeps_for = None;
        }
    }
}

impl Pile {
    fn is_enough(&self) -> bool {
        self.sleeps_for.is_some_and(|enough| self.pushes.len() >= enough || self.bytes >= MOST_BYTES)
    }

    fn take(&mut self, most: usize) -> Vec<Push> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < most
            && bytes < MOST_BYTES
            && let Some(push) = self.pushes.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(push.bytes());
            // Who has gone is not told, and his item is not kept for a slow disk.
            if !push.accepted.is_closed() {
                bytes += push.bytes();
                taken.push(push);
            }
        }
        taken
    }
}

/// Those who were answered together come back one after the other: without patience the first of them would have a sync for themselves,
/// and all others would wait for it.
struct Rally {
    /// How many waited when the last commit ended, its own callers included; 1 when they have had their time.
    expected: usize,
    /// They are waited for until then.
    until: Instant,
    /// There was work before: it is the turn of whatever else waits.
    others_turn: bool,
}

impl Rally {
    fn new() -> Self {
        Self { expected: 1, until: Instant::now(), others_turn: false }
    }

    /// Whether nobody is waited for any more.
    fn is_over(&self, pile: &Pile, now: Instant) -> bool {
        pile.pushes.len() >= self.expected || pile.bytes >= MOST_BYTES || now >= self.until || pile.is_closed
    }

    fn has_come(&self, pile: &Pile, now: Instant) -> bool {
        !pile.pushes.is_empty() && self.is_over(pile, now)
    }

    /// A commit of so many is stored, and took so long. They are not told yet.
    fn stored(&mut self, desk: &Desk, count: usize, took: Duration) {
        self.expected = (count + desk.pile().pushes.len()).min(MOST_PUSHES);
        self.until = Instant::now() + took / 4;
    }
}

/// The clerk's own end. Whoever waits is told when it leaves, however it does.
struct Seat(Arc<Desk>);

impl Seat {
    fn work(self, mut books: Books) {
        let desk = &self.0;
        let mut rally = Rally::new();
        let most = if books.syncs_each() { 1 } else { MOST_PUSHES };
        let (mut dirty_since, mut rests_until) = (None, Instant::now());
        loop {
            let sync = books.sync_interval().zip(dirty_since);
            let sync = sync.and_then(|(interval, since): (_, Instant)| since.checked_add(interval));
            let sync = sync.map(|sync| sync.max(rests_until));
            match desk.next(&mut rally, most, sync) {
                Turn::Accept(pushes) => {
                    let (count, begun, groups) = (pushes.len(), Instant::now(), books.groups());
                    books.accept(pushes, || {
                        if groups {
                            rally.stored(desk, count, begun.elapsed());
                        }
                    });
                }
                Turn::Work(work) => work.into_iter().for_each(|work| work(&mut books)),
                Turn::Sync => {
                    if !books.sync() {
                        rests_until = Instant::now() + REST;
                    }
                    dirty_since = None;
                }
                Turn::Close(closing) => {
                    let closed = books.close();
                    closing.into_iter().for_each(|tell| {
                        let _ = tell.send(closed);
                    });
                    return;
                }
            }
            dirty_since = books.is_dirty().then(|| dirty_since.unwrap_or_else(Instant::now));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut pile = self.0.pile();
        let left = std::mem::take(&mut *pile);
        (pile.is_closed, pile.has_left) = (true, true);
        drop(pile);
        drop(left);
    }
}
