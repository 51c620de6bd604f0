use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock, StateSource, Watch};

use crate::Signal;
use crate::board::Board;
use crate::traffic::LEAST_WAIT as LEAST_WAIT_OF_TRAFFIC;

/// A source that says that it changes at a moment that has passed is looked at again after this time.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// Looks when a level or a pin ends by time, and now and then at what cannot be watched.
pub(crate) async fn keep(board: Arc<Board>) {
    loop {
        let next = board.look();
        tokio::select! {
            () = board.clock.sleep_until(next) => {}
            () = board.keeper.notified() => {}
        }
    }
}

/// Looks whenever a source has changed, or said that it would by time.
pub(crate) async fn source(board: Arc<Board>, source: Arc<dyn StateSource>) {
    // A source that panics is looked at by the keeper, now and then.
    let Ok(mut watch) = catch_unwind(AssertUnwindSafe(|| source.watch())) else { return };
    loop {
        board.look();
        let next = catch_unwind(AssertUnwindSafe(|| Some((source.clock(), source.next_change()?))));
        tokio::select! {
            () = watch.changed() => {}
            () = due(next.ok().flatten()) => {}
        }
    }
}

/// Looks whenever a signal is set to something else.
pub(crate) async fn signal(board: Arc<Board>, signal: Signal) {
    let mut watch = signal.watch();
    loop {
        board.look();
        watch.changed().await;
    }
}

/// How often the traffic is looked at while there is some. A failure is looked at at once, and once more when those that
/// followed it are counted.
const TRAFFIC_EVERY: Duration = Duration::from_secs(1);

/// Looks at the traffic: at its failures at once, at its latency, and at what leaves the window, every second.
pub(crate) async fn traffic(board: Arc<Board>, mut watch: Watch) {
    let mut seen = None;
    let mut wait = TRAFFIC_EVERY;
    loop {
        let figures = board.traffic.figures();
        if figures != seen {
            seen = figures;
            board.look();
        }
        let next = board.clock.now().saturating_add(wait);
        wait = tokio::select! {
            () = watch.changed() => LEAST_WAIT_OF_TRAFFIC,
            () = board.clock.sleep_until(next) => TRAFFIC_EVERY,
        };
    }
}

async fn due(change: Option<(Clock, Duration)>) {
    match change {
        Some((clock, at)) => clock.sleep_until(at.max(clock.now().saturating_add(LEAST_WAIT))).await,
        None => std::future::pending().await,
    }
}
