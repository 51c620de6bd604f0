use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock, StateSource};

use crate::Signal;
use crate::board::Board;

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
    let mut watch = source.watch();
    loop {
        board.look();
        let clock = source.clock();
        let least = clock.now().saturating_add(LEAST_WAIT);
        let next = source.next_change().map(|at| at.max(least));
        tokio::select! {
            () = watch.changed() => {}
            () = due(&clock, next) => {}
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

async fn due(clock: &Clock, at: Option<Duration>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
