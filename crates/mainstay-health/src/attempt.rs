use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mainstay_core::{Clock, panics};

use crate::board::Board;
use crate::check::class_of;
use crate::event::Event;
use crate::outcome::Cause;
use crate::probe::{BoxRun, Sensor};
use crate::report::RunReport;
use crate::slot::Slot;
use crate::threads::Threads;
use crate::{CheckError, CheckOutcome, Details, ErrorClass, Reason, Status};

/// From which time on a poll is reported as blocking the runtime.
const LONG_POLL: Duration = Duration::from_millis(100);

/// Runs an async check once. Whatever it does, this ends with a report at its time-out.
pub(crate) async fn ask(
    board: &Board,
    slot: &Slot,
    run: &(dyn Fn() -> BoxRun + Send + Sync),
    timeout: Duration,
) -> RunReport {
    let clock = &board.clock;
    let began = clock.now();
    let deadline = began.saturating_add(timeout);
    let mut longest = Duration::ZERO;
    let mut future = Guarded(None);
    let answer = poll_fn(|cx| {
        let before = clock.now();
        // The closure's own code runs in the first poll, and so do its panics.
        let polled = catch_unwind(AssertUnwindSafe(|| future.0.get_or_insert_with(run).as_mut().poll(cx)));
        longest = longest.max(clock.now().saturating_sub(before));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    });
    let answer = tokio::select! {
        biased;
        answer = answer => Some(answer),
        () = clock.sleep_until(deadline) => None,
    };
    // What it leaves behind is the user's too, and may panic when it is dropped.
    let dropped = future.end();
    if longest > LONG_POLL {
        Event::BlockedRuntime { check: slot.name, took: longest }.log(board.service);
    }
    let took = clock.now().saturating_sub(began);
    let mut report = match (answer, dropped) {
        // An answer that comes after its time is none: a poll that blocked kept the alarm from being heard.
        (Some(Ok(_)) | None, Ok(())) if took >= timeout => timed_out(timeout),
        (Some(Ok(outcome)), Ok(())) => judge(slot, outcome),
        (Some(Err(panic)), _) | (_, Err(panic)) => panicked(panic),
        (None, Ok(())) => timed_out(timeout),
    };
    report.latency = Some(took);
    report.blocked_runtime = Some(longest).filter(|longest| *longest > LONG_POLL);
    report
}

/// Runs a blocking check once, on a thread of its own. At its time-out the thread is left alone.
pub(crate) async fn on_thread(
    board: &Arc<Board>,
    slot: &Arc<Slot>,
    run: &Arc<dyn Fn() -> CheckOutcome + Send + Sync>,
    timeout: Duration,
) -> RunReport {
    let clock = &board.clock;
    // An earlier run whose answer nobody waits for any more: it hangs only once its time is over.
    while let Some(earlier) = slot.thread() {
        let deadline = earlier.saturating_add(timeout);
        let ended = tokio::select! {
            biased;
            () = slot.freed.notified() => true,
            () = clock.sleep_until(deadline) => false,
        };
        if !ended && slot.thread() == Some(earlier) {
            board.hangs(slot, Some(earlier));
            return report(Status::Unhealthy, Reason::Hung);
        }
    }
    let began = clock.now();
    let deadline = began.saturating_add(timeout);
    let Ok(place) = board.threads.place(clock, deadline).await else {
        return report(Status::Unhealthy, Reason::NoThread);
    };
    slot.thread_begins(began);
    let job = {
        let (run, slot, clock) = (run.clone(), slot.clone(), clock.clone());
        move || {
            let began = clock.now();
            let mut report = match catch_unwind(AssertUnwindSafe(|| run())) {
                Ok(outcome) => judge(&slot, outcome),
                Err(panic) => panicked(panic),
            };
            report.latency = Some(clock.now().saturating_sub(began));
            // Before the answer is there, so that the next run, which may follow at once, does not find this one.
            slot.thread_ends();
            report
        }
    };
    let ended = {
        let (board, slot) = (board.clone(), slot.clone());
        move || {
            board.hangs(&slot, None);
            slot.freed.notify_one();
            slot.nudge();
        }
    };
    let Ok(answer) = Threads::run(place, job, ended) else {
        slot.thread_ends();
        return report(Status::Unhealthy, Reason::NoThread);
    };
    tokio::select! {
        biased;
        answer = answer => answer.unwrap_or_else(|_| report(Status::Unhealthy, Reason::Panicked)),
        () = clock.sleep_until(deadline) => {
            board.hangs(slot, Some(began));
            RunReport { latency: Some(timeout), ..timed_out(timeout) }
        }
    }
}

/// Reads what a check watches.
pub(crate) fn read(board: &Board, slot: &Slot, sensor: &dyn Sensor) -> RunReport {
    let began = board.clock.now();
    let report = match catch_unwind(AssertUnwindSafe(|| sensor.read())) {
        Ok(outcome) => judge(slot, outcome),
        Err(panic) => panicked(panic),
    };
    let took = board.clock.now().saturating_sub(began);
    if took > LONG_POLL {
        Event::BlockedRuntime { check: slot.name, took }.log(board.service);
    }
    RunReport { blocked_runtime: Some(took).filter(|took| *took > LONG_POLL), ..report }
}

/// A run under way. What it leaves behind is the user's, and may panic when it is dropped, also when the run is cut off.
struct Guarded(Option<BoxRun>);

impl Guarded {
    fn end(mut self) -> Result<(), Box<dyn Any + Send>> {
        let run = self.0.take();
        catch_unwind(AssertUnwindSafe(|| drop(run)))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let run = self.0.take();
        panics::contain(|| drop(run));
    }
}

fn judge(slot: &Slot, outcome: CheckOutcome) -> RunReport {
    let CheckOutcome { status, reason, message, error, details } = outcome;
    let error = error.map(|error| match error {
        Cause::Classified(error) => error,
        Cause::Raw(error) => {
            // Printing an error, and dropping it, is the user's code as well.
            let classified = catch_unwind(AssertUnwindSafe(|| {
                let class = class_of(slot.classify.as_ref(), error.as_ref());
                CheckError::from_error(class, error.as_ref())
            }));
            panics::contain(|| drop(error));
            classified.unwrap_or_else(|_| {
                CheckError::new(ErrorClass::Other, "an error that panics when it is printed")
            })
        }
    });
    RunReport { message, error, details, ..report(status, reason) }
}

fn timed_out(timeout: Duration) -> RunReport {
    let error = CheckError::new(ErrorClass::TimedOut, format_args!("no answer within {timeout:?}"));
    RunReport { error: Some(error), ..report(Status::Unhealthy, Reason::TimedOut) }
}

fn panicked(panic: Box<dyn Any + Send>) -> RunReport {
    let error = CheckError::new(ErrorClass::Panicked, panics::text(panic));
    RunReport { error: Some(error), ..report(Status::Unhealthy, Reason::Panicked) }
}

/// An empty report; when it was made is filled in when it is recorded.
fn report(status: Status, reason: Reason) -> RunReport {
    RunReport {
        status,
        reason,
        at: Duration::ZERO,
        at_wall: std::time::UNIX_EPOCH,
        latency: None,
        message: None,
        error: None,
        details: Details::default(),
        blocked_runtime: None,
    }
}

/// A wait that may be without end.
pub(crate) async fn until(clock: &Clock, at: Duration) {
    if at == Duration::MAX { std::future::pending().await } else { clock.sleep_until(at).await }
}
