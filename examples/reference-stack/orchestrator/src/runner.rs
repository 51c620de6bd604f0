//! From a task that is asked for to one that has ended: accepted when it is in the spool, run, kept as it ended.
//!
//! Look at [`Runner::accept`] for what it takes to be accepted, and at `find.rs` for who knows a task.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use mainstay::Verdict;
use mainstay::health::{InFlight, Phase};
use mainstay::spool::{Fault, PushError, Refusal, Spool, Ticket};
use metrics::{counter, gauge, histogram};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Code, Status as Refused};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::execute::{Done, Executor};
use crate::live::{Live, LiveTask, Place, goes_on_later};
use crate::refusal::{self, down, elsewhere, ending, exhausted};
use crate::store::{Record, Store};
use crate::task::{Status, Task, Work, now_ms};
use crate::waiting::Waiting;

/// How long to wait before a record is offered to the spool again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a start waits until the database says of what the spool has not ended whether it has ended elsewhere; then for what it has
/// not ended itself; and how long it waits before it asks again.
const CHECKED_WITHIN: Duration = Duration::from_secs(5);
const RESUMED_WITHIN: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long whoever hands a task in waits for the disk; it may be accepted later all the same.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(8);
/// How long whoever cancels a task waits for its record.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);
/// How long one that is about to end waits until the database has a task's end, before it tells it.
const DELIVERED_WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) id: String,
    pub(crate) live: Live,
    pub(crate) spool: Spool<Record>,
    pub(crate) waiting: Waiting,
    pub(crate) store: Store,
    pub(crate) executor: Executor,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
    /// Nothing new is accepted.
    pub(crate) closed: CancellationToken,
    /// What runs is left as it is; it is on disk.
    pub(crate) halted: CancellationToken,
}

impl Runner {
    /// Accepts a task, or finds the one of this id. It goes on if whoever asked goes away.
    pub(crate) async fn submit(&self, task: Task) -> Result<Task, Refused> {
        let runner = self.clone();
        let accepting = tokio::spawn(async move {
            let began = Instant::now();
            let result = runner.accepted(task).await;
            let verdict = match &result {
                Err(refused) if refused.code() == Code::Unavailable && !refusal::is_ending(refused) => {
                    Verdict::Failure
                }
                Err(_) => Verdict::Ignore,
                Ok(_) => Verdict::Success,
            };
            runner.executor.mainstay.degradation().observe(verdict, began.elapsed());
            result
        });
        match timeout(ACCEPTED_WITHIN, accepting).await {
            Ok(accepted) => accepted.unwrap_or_else(|_| Err(Refused::internal("the task was not accepted"))),
            // Neither a refusal nor a yes: it may be accepted here yet, so that nobody else should be asked.
            Err(_) => Err(Refused::deadline_exceeded("the task is not stored yet")),
        }
    }

    async fn accepted(&self, task: Task) -> Result<Task, Refused> {
        loop {
            let live = match self.live.take(task.id, &task.user, task.run) {
                Place::Taken(live) => live,
                Place::There(other) => match other.accepted().await {
                    Some(known) => return same_user(known, &task.user),
                    // It was refused, as this one may be.
                    None => continue,
                },
            };
            let accepted = self.accept(&live, task).await;
            if !matches!(&accepted, Ok((_, true))) {
                self.live.remove(live.id);
                live.leave(elsewhere());
            }
            return accepted.map(|(task, _)| task);
        }
    }

    /// The task of this id, and whether it is this one.
    async fn accept(&self, live: &Arc<LiveTask>, mut task: Task) -> Result<(Task, bool), Refused> {
        if self.closed.is_cancelled() {
            return Err(ending("the orchestrator is about to end"));
        }
        if let Some(known) = self.in_spool(task.id).await? {
            return Ok((same_user(known, &task.user)?, false));
        }
        // A database that cannot be asked is no reason to refuse. If it has the task already, the task runs once more, which is
        // harmless: the agents and the language model have no effects, and a record changes the database's only if its version is
        // higher. Those of this run have the versions 1 to 3 again, so that a task that has ended there stays as it ended.
        match self.store.get(task.id).await {
            Ok(Some(known)) => return Ok((same_user(known, &task.user)?, false)),
            Ok(None) => {}
            Err(_) => task.unchecked = true,
        }
        let slot = self.slots.clone().try_acquire_owned();
        let slot = slot.map_err(|_| exhausted("as many tasks run as may"))?;
        let under_way = self.executor.mainstay.health().begin_work();
        drop(self.push(&task).await.map_err(|error| refused(error.refusal()))?);
        live.put(task.clone());
        self.waiting.add(&task);
        counter!("orchestrator_tasks_accepted_total", "mode" => mode_name(&task)).increment(1);
        self.spawn(live.clone(), task.clone(), Some(slot), under_way);
        Ok((task, true))
    }

    /// Runs it when there is a slot, to its last record.
    fn spawn(
        &self,
        live: Arc<LiveTask>,
        task: Task,
        slot: Option<OwnedSemaphorePermit>,
        under_way: InFlight,
    ) {
        let runner = self.clone();
        self.tasks.spawn(async move {
            let _under_way = under_way;
            gauge!("orchestrator_tasks_running").increment(1);
            let left = tokio::select! {
                biased;
                () = runner.halted.cancelled() => true,
                ended = runner.run(&live, task, slot) => ended.is_none(),
            };
            gauge!("orchestrator_tasks_running").decrement(1);
            runner.live.remove(live.id);
            if left {
                live.leave(goes_on_later());
            }
        });
    }

    /// None if its end could not be kept because the spool is shut down: it runs again after the next start.
    async fn run(&self, live: &LiveTask, task: Task, slot: Option<OwnedSemaphorePermit>) -> Option<()> {
        let _slot = match slot {
            Some(slot) => Some(slot),
            None => tokio::select! {
                biased;
                () = live.cancel.cancelled() => None,
                slot = self.slots.clone().acquire_owned() => Some(slot.ok()?),
            },
        };
        let began = Instant::now();
        let (assessment, now) = self.executor.decide(task.mode);
        // What was decided before a crash stays so.
        let decided = task.decided.clone().unwrap_or(now);
        let running = Task { decided: Some(decided.clone()), ..task.next(Status::Running) };
        if let Err(error) = self.push(&running).await {
            warn!(error = %error.refusal(), "that a task runs is not recorded");
        }
        live.put(running.clone());
        live.tell(crate::task::Event::Started(decided.mode));

        let work = running.work.clone();
        let work = work.unwrap_or_else(|| Arc::new(Work::default()));
        let execute = self.executor.run(live, &running, &work, &decided, &assessment);
        let done = tokio::select! {
            biased;
            () = live.cancel.cancelled() => None,
            done = AssertUnwindSafe(execute).catch_unwind() => Some(done.unwrap_or_else(|_| {
                error!(task = %task.id, "a task panicked");
                Done::failed("the task broke down")
            })),
        };
        let ended = ended(&running, done, live);
        let delivered = self.keep(&ended).await?;
        if self.executor.mainstay.health().report().phase() != Phase::Running {
            // Soon nobody can ask here, and the others know what the database knows.
            let _ = timeout(DELIVERED_WITHIN, delivered).await;
        }
        counter!("orchestrator_tasks_ended_total", "mode" => mode_name(&ended), "status" => ended.status.as_str())
            .increment(1);
        histogram!("orchestrator_task_duration_seconds", "mode" => mode_name(&ended)).record(began.elapsed());
        live.put(ended);
        Some(())
    }

    /// Puts the last record into the spool, however long that takes; whoever halts the orchestrator ends it.
    async fn keep(&self, ended: &Task) -> Option<Ticket> {
        let mut said = String::new();
        let ticket = loop {
            let refusal = match self.push(ended).await.map_err(|error| error.refusal()) {
                Ok(ticket) => break ticket,
                Err(Refusal::Closed) => return None,
                Err(refusal) => refusal.to_string(),
            };
            // Each reason once, not twice a second.
            if refusal != said {
                warn!(task = %ended.id, error = refusal, "that a task has ended is not recorded yet");
                said = refusal;
            }
            sleep(AGAIN).await;
        };
        if !said.is_empty() {
            info!(task = %ended.id, "that a task has ended is recorded now");
        }
        Some(ticket)
    }

    /// Cancels a task that has not ended.
    pub(crate) async fn cancel(&self, id: Uuid, user: &str) -> Result<Task, Refused> {
        if let Some(live) = self.live.get(id).filter(|live| live.user == user) {
            live.cancel.cancel();
            match timeout(CANCELLED_WITHIN, live.ended()).await {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) => {}
                Err(_) => return Err(down("spool", "the task is cancelled, but not recorded yet", None)),
            }
        }
        let task = self.find(id, user).await?;
        match task.has_ended() {
            true => Ok(task),
            false => Err(elsewhere()),
        }
    }

    async fn push(&self, task: &Task) -> Result<Ticket, PushError<Record>> {
        let record = Record::Task(Box::new(task.clone()));
        self.spool.push_with(task.id.to_string(), record).await
    }

    /// Goes on with what an earlier run accepted and did not end: first with what its spool has, then with what the database has under
    /// this name; later, if it cannot be asked now.
    pub(crate) async fn resume(&self) -> Result<(), Fault> {
        let (before, until) = (now_ms(), Instant::now() + CHECKED_WITHIN);
        for task in crate::resume::unfinished(&self.spool, &self.waiting).await? {
            // It may have been handed in to another one, and ended there.
            let unchecked = match timeout_at(until.into(), self.stored(task.id)).await {
                Ok(Some(stored)) if stored.has_ended() => continue,
                Ok(None) => task.unchecked,
                Ok(Some(_)) | Err(_) => true,
            };
            self.go_on(Task { unchecked, ..task });
        }
        if timeout(RESUMED_WITHIN, self.resume_from_store(before)).await.is_ok() {
            return Ok(());
        }
        warn!("what the database has not ended goes on when it can be asked");
        let runner = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = runner.closed.cancelled() => {}
                () = runner.resume_from_store(before) => {}
            }
        });
        Ok(())
    }

    async fn resume_from_store(&self, before: i64) {
        let mut left = loop {
            match self.store.unfinished(&self.id, before).await {
                Ok(unfinished) => break unfinished,
                Err(_) => sleep(ASK_AGAIN).await,
            }
        };
        while !left.is_empty() {
            let mut unknown = Vec::new();
            for task in left {
                match self.is_left(task.id).await {
                    Ok(true) => self.go_on(task),
                    Ok(false) => {}
                    Err(_) => unknown.push(task),
                }
            }
            left = unknown;
            if !left.is_empty() {
                sleep(AGAIN).await;
            }
        }
    }

    /// Whether a task that the database has not ended goes on nowhere; it may have gone on from the spool, and ended, meanwhile.
    async fn is_left(&self, id: Uuid) -> Result<bool, Refused> {
        if self.live.get(id).is_some() || self.in_spool(id).await?.is_some() {
            return Ok(false);
        }
        let stored = self.store.get(id).await.map_err(|_| down("database", "it cannot be asked", None))?;
        Ok(stored.is_some_and(|task| !task.has_ended()))
    }

    /// What the database has of a task, as soon as it can be asked.
    async fn stored(&self, id: Uuid) -> Option<Task> {
        loop {
            match self.store.get(id).await {
                Ok(stored) => return stored,
                Err(_) => sleep(ASK_AGAIN).await,
            }
        }
    }

    fn go_on(&self, task: Task) {
        let task = Task { run: task.run.saturating_add(1), ..task };
        let Place::Taken(live) = self.live.take(task.id, &task.user, task.run) else { return };
        live.put(task.clone());
        self.waiting.add(&task);
        counter!("orchestrator_tasks_resumed_total").increment(1);
        self.spawn(live, task, None, self.executor.mainstay.health().begin_work());
    }

    /// Leaves what runs as it is, and tells its readers.
    pub(crate) async fn halt(&self) {
        self.halted.cancel();
        self.tasks.close();
        let _ = timeout(Duration::from_secs(5), self.tasks.wait()).await;
        self.live.leave_all();
    }
}

/// How a task ended; cancelled if nothing was done.
fn ended(running: &Task, done: Option<Done>, live: &LiveTask) -> Task {
    let status = match &done {
        Some(Done { answer: Ok(_), .. }) => Status::Succeeded,
        Some(Done { answer: Err(_), .. }) => Status::Failed,
        None => Status::Cancelled,
    };
    let mut ended = Task { work: None, events: live.events().into(), ..running.next(status) };
    if let Some(done) = done {
        (ended.degradation, ended.aggregate) = (done.degradation, done.aggregate);
        (ended.usage, ended.finish_reason) = (done.usage, done.finish_reason);
        ended.model = done.model.unwrap_or(ended.model);
        match done.answer {
            Ok(answer) => ended.answer = answer,
            Err(error) => ended.error = error,
        }
    }
    ended
}

fn mode_name(task: &Task) -> &'static str {
    use mainstay::degrade::Mode;
    task.decided.as_ref().map_or(task.mode, |decided| decided.mode).name()
}

/// One id, one task: also of another user's, whom that is not told.
fn same_user(task: Task, user: &str) -> Result<Task, Refused> {
    if task.user == user { Ok(task) } else { Err(Refused::already_exists("id: is taken")) }
}

/// Why a task was not accepted.
fn refused(refusal: Refusal) -> Refused {
    warn!(error = %refusal, "a task was not accepted");
    match refusal {
        Refusal::Full { .. } | Refusal::Store(Fault::DiskFull) => {
            exhausted("there is no room for more tasks")
        }
        Refusal::TooLarge { .. } | Refusal::Unserializable => {
            Refused::invalid_argument("messages: too large")
        }
        Refusal::Closed => ending("the orchestrator is about to end"),
        _ => down("spool", "the task could not be stored", None),
    }
}
