//! One question to all orchestrators at once: one that hangs holds up nobody who has an answer.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use stack_protocol::v1::Task;
use tokio::time::{Instant, timeout_at};
use tonic::{Response, Status};

use super::{Client, Orchestrator, has_ended};

/// How long the others are waited for once one knows the task, and those that are asked only to be sure.
pub(super) const A_MOMENT: Duration = Duration::from_secs(1);

/// What they said.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) tasks: Vec<Task>,
    /// Who was not waited for is among them.
    pub(super) refusals: Vec<Status>,
}

/// Asks them all until one says how the task ended, which is final. From when on one knows the task the others have a moment more; without
/// one they have until `deadline`, or as long as a call may take. Who is not waited for goes on all the same: his breaker learns how it ends.
pub(super) async fn ask_together<'o, F>(
    orchestrators: impl Iterator<Item = &'o Orchestrator>,
    mut deadline: Option<Instant>,
    call: impl Fn(Client) -> F,
) -> Heard
where
    F: Future<Output = Result<Response<Task>, Status>> + Send + 'static,
{
    let calls = orchestrators.map(|orchestrator| tokio::spawn(call(orchestrator.client.clone())));
    let mut calls: FuturesUnordered<_> = calls.collect();
    let mut heard = Heard::default();
    while !calls.is_empty() {
        let answered = match deadline {
            Some(deadline) => timeout_at(deadline, calls.next()).await.unwrap_or_default(),
            None => calls.next().await,
        };
        match answered {
            Some(Ok(Ok(task))) => {
                heard.tasks.push(task.into_inner());
                if heard.tasks.last().is_some_and(has_ended) {
                    return heard;
                }
                deadline = deadline.or_else(|| Some(Instant::now() + A_MOMENT));
            }
            Some(Ok(Err(status))) => heard.refusals.push(status),
            // It panicked.
            Some(Err(_)) => heard.refusals.push(Status::internal("")),
            None => break,
        }
    }
    let late = calls.iter().map(|_| Status::deadline_exceeded("no answer in time"));
    heard.refusals.extend(late);
    heard
}
