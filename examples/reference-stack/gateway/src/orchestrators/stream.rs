//! A task's events as one stream, whatever becomes of the orchestrator that tells them.

use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use stack_protocol::v1::task_event::Event;
use stack_protocol::v1::{StreamTaskRequest, TaskEvent};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status, Streaming};

use super::{Orchestrators, may_be_elsewhere};
use crate::problem::Problem;

/// Between two looks for an orchestrator to go on with.
const PAUSE: Duration = Duration::from_millis(200);

/// The events of a task, in order, each once. If the task has to run again, those of the newer run follow.
#[derive(Debug)]
pub struct TaskStream {
    orchestrators: Orchestrators,
    request: StreamTaskRequest,
    /// None while it is lost.
    events: Option<Streaming<TaskEvent>>,
    lost_since: Option<Instant>,
    /// Whether this one of the orchestrators has told anything yet.
    told: bool,
    ended: bool,
}

impl TaskStream {
    /// With the first event still to come.
    pub(super) async fn open(
        orchestrators: Orchestrators,
        request: StreamTaskRequest,
    ) -> Result<Self, Problem> {
        let mut stream =
            Self { orchestrators, request, events: None, lost_since: None, told: false, ended: false };
        loop {
            match stream.orchestrators.open(&stream.request).await {
                Ok(events) => {
                    (stream.events, stream.lost_since) = (Some(events), None);
                    return Ok(stream);
                }
                // All were asked.
                Err(status) if status.code() == Code::NotFound => return Err(Problem::of_status(&status)),
                Err(status) => stream.lost(status).await?,
            }
        }
    }

    /// The next event; none after the last, or after an error.
    pub async fn next(&mut self) -> Option<Result<TaskEvent, Problem>> {
        while !self.ended {
            let told = match &mut self.events {
                Some(events) => events.message().await,
                None => match self.orchestrators.open(&self.request).await {
                    Ok(events) => {
                        (self.events, self.told) = (Some(events), false);
                        continue;
                    }
                    Err(status) => Err(status),
                },
            };
            match told {
                // After another one took over, it may tell what we have; but an end is an end.
                Ok(Some(event)) if self.is_known(&event) && !is_last(&event) => self.told = true,
                Ok(Some(event)) => {
                    (self.lost_since, self.told) = (None, true);
                    (self.request.run, self.request.after) = (event.run, event.sequence);
                    self.ended = is_last(&event);
                    return Some(Ok(event));
                }
                // The caller has the last event already.
                Ok(None) if !self.told => self.ended = true,
                told => {
                    let cut = || Status::unavailable("the stream ended before the task");
                    if let Err(problem) = self.lost(told.err().unwrap_or_else(cut)).await {
                        self.ended = true;
                        return Some(Err(problem));
                    }
                }
            }
        }
        None
    }

    /// Whether the caller has it, or something newer. A run that nobody named is the one that is told.
    fn is_known(&self, event: &TaskEvent) -> bool {
        let run = if self.request.run == 0 { event.run } else { self.request.run };
        (event.run, event.sequence) <= (run, self.request.after)
    }

    /// As a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<TaskEvent, Problem>> + Send {
        unfold(self, |mut stream| async move { Some((stream.next().await?, stream)) })
    }

    /// Waits before the next try, if there is still patience for one.
    async fn lost(&mut self, status: Status) -> Result<(), Problem> {
        self.events = None;
        let since = *self.lost_since.get_or_insert_with(Instant::now);
        let may_come_back = may_be_elsewhere(&status) || status.code() == Code::Unknown;
        if !may_come_back || since.elapsed() >= self.orchestrators.patience {
            return Err(match status.code() {
                // It was there: whoever has it is away.
                Code::NotFound => Problem::of_status(&Status::unavailable("")),
                _ => Problem::of_status(&status),
            });
        }
        sleep(PAUSE).await;
        Ok(())
    }
}

fn is_last(event: &TaskEvent) -> bool {
    matches!(event.event, Some(Event::Ended(_)))
}
