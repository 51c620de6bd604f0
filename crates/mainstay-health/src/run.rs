use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::attempt::{ask, on_thread, read, until};
use crate::board::Board;
use crate::probe::{Kind, Sensor};
use crate::slot::Slot;
use crate::state::Plan;

/// A source that says that it changes at a moment that has passed is looked at again after this time, not at once for ever.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// The manager's pulse, and its eye on the time.
pub(crate) async fn watch(board: Arc<Board>) {
    loop {
        let next = board.pulse();
        tokio::select! {
            () = until(&board.clock, next) => {}
            () = board.watchman.notified() => {}
        }
    }
}

/// A check's task, from its registration to its end.
pub(crate) async fn run(board: Arc<Board>, slot: Arc<Slot>, generation: u64) {
    match &slot.probe.0 {
        Kind::Async(_) | Kind::Blocking(_) => asked(&board, &slot, generation).await,
        Kind::Watched(sensor) => watched(&board, &slot, generation, sensor.as_ref()).await,
    }
}

/// Asks at every turn.
async fn asked(board: &Arc<Board>, slot: &Arc<Slot>, generation: u64) {
    loop {
        // Whatever the settings and the answers are: others have their turn.
        tokio::task::consume_budget().await;
        match board.plan(slot, generation, false) {
            Plan::End => return,
            Plan::Wait(at) => {
                tokio::select! {
                    () = until(&board.clock, at) => {}
                    () = slot.nudged() => {}
                }
            }
            Plan::Run { id, settings } => {
                let attempt = async {
                    match &slot.probe.0 {
                        Kind::Async(run) => ask(board, slot, run.as_ref(), settings.timeout()).await,
                        Kind::Blocking(run) => on_thread(board, slot, run, settings.timeout()).await,
                        Kind::Watched(sensor) => read(board, slot, sensor.as_ref()),
                    }
                };
                tokio::select! {
                    biased;
                    report = attempt => board.record(slot, id, report),
                    () = voided(board, slot, id) => {}
                }
            }
        }
    }
}

/// Ends when a run does not count any more: the check was switched off, removed or stopped, or another blocks it.
async fn voided(board: &Board, slot: &Arc<Slot>, id: u64) {
    while board.awaits(slot, id) {
        slot.nudged().await;
    }
}

/// Looks at every turn, whenever the source says that it changed, and when it said that it would.
async fn watched(board: &Arc<Board>, slot: &Arc<Slot>, generation: u64, sensor: &dyn Sensor) {
    // Taken before the first look, so that no change is lost between them. A source that panics is looked at by turns.
    let mut watch = catch_unwind(AssertUnwindSafe(|| sensor.watch())).ok();
    let mut rung = true;
    loop {
        tokio::task::consume_budget().await;
        match board.plan(slot, generation, rung) {
            Plan::End => return,
            Plan::Wait(at) => {
                let changed = async {
                    match &mut watch {
                        Some(watch) => watch.changed().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = until(&board.clock, at) => {}
                    () = slot.nudged() => {}
                    () = changed => rung = true,
                    () = due(sensor) => rung = true,
                }
            }
            Plan::Run { id, .. } => {
                rung = false;
                let report = read(board, slot, sensor);
                board.record(slot, id, report);
            }
        }
    }
}

/// Ends when the source said that it would change by time.
async fn due(sensor: &dyn Sensor) {
    let next = catch_unwind(AssertUnwindSafe(|| Some((sensor.next_change()?, sensor.clock()))));
    match next {
        Ok(Some((at, clock))) => until(&clock, at.max(clock.now().saturating_add(LEAST_WAIT))).await,
        Ok(None) | Err(_) => std::future::pending().await,
    }
}
