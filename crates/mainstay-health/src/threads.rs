use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use mainstay_core::Clock;

/// Where blocking checks run: threads of the manager's own, one for each run, never more than a fixed number. The
/// runtime's threads for blocking work are left to the program: a few checks that hang must not take them all.
#[derive(Debug)]
pub(crate) struct Threads {
    free: Arc<Semaphore>,
}

/// There was no thread: all are taken, or the system gives none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoThread;

impl Threads {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(most)) })
    }

    /// A place for a thread, waited for until `deadline`.
    pub(crate) async fn place(
        &self,
        clock: &Clock,
        deadline: Duration,
    ) -> Result<OwnedSemaphorePermit, NoThread> {
        let place = self.free.clone().acquire_owned();
        tokio::select! {
            biased;
            place = place => place.map_err(|_| NoThread),
            () = clock.sleep_until(deadline) => Err(NoThread),
        }
    }

    /// Runs a job on a thread of its own. The answer is lost if nobody waits for it any more; `ended` is called in any case.
    pub(crate) fn run<T: Send + 'static>(
        place: OwnedSemaphorePermit,
        job: impl FnOnce() -> T + Send + 'static,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, NoThread> {
        let (send, answer) = oneshot::channel();
        let thread = thread::Builder::new().name("mainstay-check".to_owned()).spawn(move || {
            let answer = job();
            let _ = send.send(answer);
            drop(place);
            ended();
        });
        thread.map(|_| answer).map_err(|_| NoThread)
    }
}
