use std::sync::mpsc;

use tokio::sync::oneshot;

use crate::books::{Books, Push};
use crate::{Fault, Refusal};

/// The thread that alone touches the files, as seen by everybody else. Ends when the last handle is dropped.
#[derive(Clone)]
pub(crate) struct Clerk(mpsc::Sender<Job>);

enum Job {
    Push(Push),
    Do(Box<dyn FnOnce(&mut Books) + Send>),
    Close(oneshot::Sender<Result<(), Fault>>),
}

/// The most pushes of one commit, and the most of their bytes: what a commit takes is what the first of them waits for.
const MOST_PUSHES: usize = 4_096;
const MOST_BYTES: usize = 8 << 20;

// === impl Clerk ===

impl Clerk {
    pub(crate) fn start(books: Books) -> Result<Self, Fault> {
        let (jobs, received) = mpsc::channel();
        std::thread::Builder::new()
            .name("mainstay-spool".to_owned())
            .spawn(move || work(books, &received))?;
        Ok(Self(jobs))
    }

    pub(crate) fn push(&self, push: Push) -> Result<(), Refusal> {
        self.0.send(Job::Push(push)).map_err(|_| Refusal::Closed)
    }

    /// Has something done, and waits for the answer. `None` if the files are closed.
    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Books) -> R + Send + 'static,
    ) -> Option<R> {
        let (tell, answer) = oneshot::channel();
        let job = Box::new(move |books: &mut Books| {
            let _ = tell.send(work(books));
        });
        self.0.send(Job::Do(job)).ok()?;
        answer.await.ok()
    }

    /// Brings everything to the disk and closes the files. What was sent before is done first.
    pub(crate) async fn close(&self) -> Result<(), Fault> {
        let (tell, answer) = oneshot::channel();
        if self.0.send(Job::Close(tell)).is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }
}

fn work(mut books: Books, jobs: &mpsc::Receiver<Job>) {
    let mut pushes: Vec<Push> = Vec::new();
    while let Ok(job) = jobs.recv() {
        let mut next = Some(job);
        let mut bytes = 0;
        // Whatever has come meanwhile is committed together.
        while let Some(Job::Push(push)) = next {
            bytes += push.bytes();
            pushes.push(push);
            next = match pushes.len() < MOST_PUSHES && bytes < MOST_BYTES {
                true => jobs.try_recv().ok(),
                false => None,
            };
        }
        if !pushes.is_empty() {
            books.accept(std::mem::take(&mut pushes));
        }
        match next {
            Some(Job::Do(work)) => work(&mut books),
            Some(Job::Close(tell)) => {
                let _ = tell.send(books.close());
                return;
            }
            Some(Job::Push(_)) | None => {}
        }
    }
    let _ = books.close();
}
