mod conclude;
mod outage;
mod rejection;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_core::{Sleep, StateSource, Watch};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::outage::Outage;
use self::rejection::Rejection;
use crate::books::{Settlement, Shared, wall};
use crate::clerk::Clerk;
use crate::deliver::{Delivered, Route, deliver};
use crate::figures::set;
use crate::row::Row;
use crate::window::{Entry, Mark, Ready, Window};
use crate::{DeathCause, Fault, Item, Sink, SpoolSettings};

/// How far the spool's shutdown is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Until nothing is left.
    Draining,
    Halted,
}

/// Takes items from the log to the sink.
pub(crate) struct Dispatch<T, S> {
    settings: SpoolSettings,
    route: Arc<Route<S>>,
    clerk: Clerk,
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
    window: Window<T>,
    deliveries: JoinSet<Delivered<T>>,
    outage: Outage,
    rejection: Rejection,
    /// Reports when the breaker is in another state.
    breaker: Option<Watch>,
    /// What the log could not take yet.
    unsettled: Settlement,
    /// What was in it, by place.
    settling: HashMap<i64, Entry>,
    /// After a failure the log is left alone until then.
    log_rests_until: Duration,
}

/// The most rows that are read at once.
const READ: usize = 512;
/// How long the log is left alone after it failed.
const REST: Duration = Duration::from_secs(1);
/// The files are closed: there is nothing to do any more.
struct Closed;

impl<T, S> Dispatch<T, S>
where
    T: DeserializeOwned + Send + Sync + 'static,
    S: Sink<T>,
{
    pub(crate) fn new(
        settings: SpoolSettings,
        sink: S,
        clerk: Clerk,
        shared: Arc<Shared>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let window = Window::new(settings.window, settings.window_bytes);
        let (clock, deadline) = (settings.clock.clone(), settings.deadline);
        let route = Arc::new(Route { sink: Arc::new(sink), clock, deadline, shared: shared.clone() });
        let breaker = settings.breaker.as_ref().map(StateSource::watch);
        Self {
            settings,
            route,
            clerk,
            shared,
            phase,
            window,
            deliveries: JoinSet::new(),
            outage: Outage::default(),
            rejection: Rejection::default(),
            breaker,
            unsettled: Settlement::default(),
            settling: HashMap::new(),
            log_rests_until: Duration::ZERO,
        }
    }

    pub(crate) async fn run(mut self) {
        // Whoever halts it does not wait for the log either.
        let mut phase = self.phase.clone();
        let halted = async move {
            // The spool is gone: the same.
            let _ = phase.wait_for(|phase| *phase == Phase::Halted).await;
        };
        tokio::select! {
            biased;
            () = halted => {}
            _ = self.work() => {}
        }
    }

    async fn work(&mut self) -> Result<(), Closed> {
        loop {
            while let Some(ended) = self.deliveries.try_join_next() {
                self.conclude(ended);
            }
            self.recall().await?;
            self.settle().await?;
            // A part of what is new: however fast it comes, it keeps nobody from delivering.
            let more = self.read().await?;
            let next = self.launch();
            self.measure();
            if *self.phase.borrow() == Phase::Draining && self.is_empty() {
                return Ok(());
            }
            if !more {
                self.pause(next).await;
            }
        }
    }

    fn now(&self) -> Duration {
        self.settings.clock.now()
    }

    fn log_rests(&self) -> bool {
        self.now() < self.log_rests_until
    }

    fn rest(&mut self, fault: Fault) {
        self.shared.fault(fault);
        self.log_rests_until = self.now().saturating_add(REST);
    }

    fn more_to_read(&self) -> bool {
        self.window.cursor < self.shared.figures.last.load(Ordering::Acquire)
    }

    fn is_empty(&self) -> bool {
        !self.more_to_read()
            && self.window.ready() == 0
            && self.window.waiting() == 0
            && self.deliveries.is_empty()
            && self.settling.is_empty()
    }

    fn measure(&self) {
        let figures = &self.shared.figures;
        set(&figures.in_memory, self.window.in_memory() as u64);
        set(&figures.in_flight, self.deliveries.len() as u64);
        set(&figures.waiting, self.window.waiting() as u64);
    }

    // === from the log into the window ===

    /// Reads a part of what is new. True if there is more of it.
    async fn read(&mut self) -> Result<bool, Closed> {
        let room = self.window.room_for_new().filter(|_| self.more_to_read() && !self.log_rests());
        let Some((rows, bytes)) = room else {
            return Ok(false);
        };
        let (cursor, last) = (self.window.cursor, self.shared.figures.last.load(Ordering::Acquire));
        let read = self.clerk.ask(move |books| books.after(cursor, rows.min(READ), bytes)).await;
        match read.ok_or(Closed)? {
            // The last ones were delivered in an earlier life, or are gone.
            Ok(rows) if rows.is_empty() => {
                self.window.cursor = last.max(cursor);
            }
            Ok(rows) => rows.into_iter().filter(|row| row.place > cursor).for_each(|row| {
                self.window.cursor = row.place;
                if self.window.claim(row.key.as_ref(), row.place) {
                    self.admit(row, Mark::default());
                }
            }),
            Err(fault) => self.rest(fault),
        }
        Ok(self.more_to_read() && !self.log_rests() && self.window.room_for_new().is_some())
    }

    /// Brings back what waited for its next try.
    async fn recall(&mut self) -> Result<(), Closed> {
        let Some((items, bytes)) = self.window.room().filter(|_| !self.log_rests()) else {
            return Ok(());
        };
        let due = self.window.due(self.now(), items.min(READ));
        if due.is_empty() {
            return Ok(());
        }
        let places: Vec<i64> = due.iter().map(|entry| entry.place).collect();
        match self.clerk.ask(move |books| books.get(&places, bytes)).await.ok_or(Closed)? {
            Ok(rows) => {
                let mut rows = rows.into_iter();
                for entry in due {
                    match rows.next() {
                        // The index that led here is damaged, or was.
                        Some(Some(row)) if row.key != entry.key => {
                            self.give_up(entry, DeathCause::Corrupt, DeathCause::Corrupt.text().to_owned());
                        }
                        Some(Some(row)) => {
                            let tries = entry.tries.max(row.tries);
                            self.admit(Row { tries, ..row }, entry.mark);
                        }
                        // It is gone: only its key is still to be told.
                        Some(None) => {
                            self.settling.insert(entry.place, entry);
                        }
                        // No more bytes: the next time.
                        None => self.window.wait(self.now(), entry),
                    }
                }
            }
            Err(fault) => {
                self.rest(fault);
                due.into_iter().for_each(|entry| self.window.wait(self.log_rests_until, entry));
            }
        }
        Ok(())
    }

    /// Puts an item whose key is claimed into the window, or gives it up if it cannot be read.
    fn admit(&mut self, row: Row, mark: Mark) {
        let bytes = row.bytes();
        let entry = Entry { place: row.place, key: row.key.clone(), tries: row.tries, bytes, mark };
        match row.decode(self.settings.item_version) {
            Ok(value) => {
                let item = Item {
                    id: row.id,
                    key: row.key.clone(),
                    attempt: row.tries.saturating_add(1),
                    accepted: wall(row.accepted),
                    value,
                };
                self.window.add(Ready { item, entry, since: self.now() });
            }
            Err(cause) => self.give_up(entry, cause, cause.text().to_owned()),
        }
    }

    // === from the window to the sink ===

    /// Begins what may begin. Returns when more may.
    fn launch(&mut self) -> Option<Duration> {
        loop {
            // What is not on the log yet is in memory, so there must not be ever more of it.
            if self.deliveries.len() >= self.settings.concurrency || !self.settling.is_empty() {
                return None;
            }
            let now = self.now();
            // Nothing is asked of the window for a sink that is left alone: everything that is pushed comes by here.
            let left_alone = self.outage.until().max(self.rejection.until());
            if left_alone > now && self.window.ready() > 0 {
                return Some(left_alone);
            }
            let drains = *self.phase.borrow() != Phase::Running;
            let linger = if drains { Duration::ZERO } else { self.settings.linger };
            let due = self.window.batch_due(self.settings.batch, linger)?;
            if due > now {
                return Some(due);
            }
            let permit = match self.settings.breaker.as_ref().map(|breaker| breaker.try_acquire_owned()) {
                Some(Err(rejected)) => {
                    self.rejection.begins(&rejected, now);
                    return Some(self.rejection.until());
                }
                Some(Ok(permit)) => Some(permit),
                None => None,
            };
            let batch = self.window.take(self.settings.batch);
            let (items, entries) = batch.into_iter().map(|ready| (ready.item, ready.entry)).unzip();
            self.deliveries.spawn(deliver(self.route.clone(), items, entries, permit));
        }
    }

    async fn pause(&mut self, next_launch: Option<Duration>) {
        let reads = self.more_to_read() && self.window.room_for_new().is_some();
        let settles = !self.settling.is_empty();
        let log = (reads || settles).then_some(self.log_rests_until);
        let due = self.window.next_due().filter(|_| self.window.room().is_some());
        let times = [next_launch, due.map(|due| due.max(self.log_rests_until)), log];
        let until = times.into_iter().flatten().min();
        let sleep: Option<Sleep> = until.map(|until| self.settings.clock.sleep_until(until));
        let alarm = async {
            match sleep {
                Some(sleep) => sleep.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = self.deliveries.join_next(), if !self.deliveries.is_empty() => {
                if let Some(ended) = ended {
                    self.conclude(ended);
                }
            }
            () = self.shared.news.notified() => {}
            () = changed(&mut self.breaker) => self.rejection.lifted(),
            _ = self.phase.changed() => {}
            () = alarm => {}
        }
    }

    // === from the sink to the log ===

    /// Tells the log what became of the items, and makes way for what stood behind them.
    async fn settle(&mut self) -> Result<(), Closed> {
        while !self.log_rests() && (!self.settling.is_empty() || !self.unsettled.tried.is_empty()) {
            let settlement = std::mem::take(&mut self.unsettled);
            let settled = self.clerk.ask(move |books| {
                let settled = books.settle(&settlement);
                (settlement, settled)
            });
            let unburied = match settled.await.ok_or(Closed)? {
                (_, Ok(unburied)) => unburied,
                (settlement, Err(fault)) => {
                    // Nothing is gone from the queue. What is among the dead letters already may be put there again.
                    self.unsettled = settlement;
                    self.rest(fault);
                    return Ok(());
                }
            };
            let mut next = Vec::new();
            for (place, mut entry) in std::mem::take(&mut self.settling) {
                if unburied.contains(&place) {
                    entry.tries = entry.tries.min(self.settings.tries.saturating_sub(1));
                    entry.mark.failed = true;
                    let due = self.now().saturating_add(self.settings.backoff.cap());
                    self.window.wait(due, entry);
                } else if let Some(behind) = self.window.release(entry.key.as_ref()) {
                    next.extend(entry.key.map(|key| (key, behind)));
                }
            }
            next.sort_by_key(|(_, place)| *place);
            self.follow(next).await?;
        }
        Ok(())
    }

    /// Finds what stood behind an item that is gone. It is read when there is room for it, as what waited.
    async fn follow(&mut self, next: Vec<(Arc<str>, i64)>) -> Result<(), Closed> {
        if next.is_empty() {
            return Ok(());
        }
        let (cursor, wanted) = (self.window.cursor, next.clone());
        let read = self.clerk.ask(move |books| {
            let places = wanted.iter().map(|(key, from)| books.of_key(key, *from, cursor));
            places.collect::<Result<Vec<_>, Fault>>()
        });
        let now = self.now();
        match read.await.ok_or(Closed)? {
            Ok(places) => {
                for ((key, _), (place, behind)) in next.into_iter().zip(places) {
                    self.window.behind(&key, behind);
                    match place {
                        Some(place) => self.window.wait(now, Entry::untried(place, key)),
                        None => {
                            self.window.release(Some(&key));
                        }
                    }
                }
            }
            Err(fault) => {
                self.rest(fault);
                for (key, place) in next {
                    self.window.behind(&key, Some(place.saturating_add(1)));
                    self.window.wait(self.log_rests_until, Entry::untried(place, key));
                }
            }
        }
        Ok(())
    }
}

/// Never, where there is no breaker.
async fn changed(breaker: &mut Option<Watch>) {
    match breaker {
        Some(breaker) => breaker.changed().await,
        None => std::future::pending().await,
    }
}
