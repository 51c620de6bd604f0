//! The RPCs. What is asked is checked here, and refused with the field and the rule; the work is the runner's.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use stack_openai::ChatMessage;
use stack_protocol::v1::orchestrator_server::Orchestrator;
use stack_protocol::v1::{
    self, CancelTaskRequest, GetTaskRequest, ListTasksReply, ListTasksRequest, StreamTaskRequest,
    SubmitTaskRequest, TaskEvent,
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::list;
use crate::refusal::{elsewhere, exhausted, invalid};
use crate::runner::Runner;
use crate::task::{self, Sampling, Task, Work, message_of_proto, mode_of_proto, now_ms, status_of_proto};

/// The most messages of a task, and the most bytes of text in them.
const MESSAGES: usize = 256;
const BYTES: usize = 1024 * 1024;
/// The longest name: of a user, a session, a model.
const NAME: usize = 256;

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) runner: Runner,
    pub(crate) readers: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Orchestrator for Service {
    async fn submit_task(&self, request: Request<SubmitTaskRequest>) -> Result<Response<v1::Task>, Status> {
        let task = read_task(request.into_inner(), &self.runner.id)?;
        let task = self.runner.submit(task).await?;
        Ok(Response::new(task.to_proto()))
    }

    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<v1::Task>, Status> {
        let GetTaskRequest { id, user } = request.into_inner();
        let task = self.runner.find(read_id(&id)?, &read_user(user)?).await?;
        Ok(Response::new(task.to_proto()))
    }

    type StreamTaskStream = Pin<Box<dyn Stream<Item = Result<TaskEvent, Status>> + Send>>;

    async fn stream_task(
        &self,
        request: Request<StreamTaskRequest>,
    ) -> Result<Response<Self::StreamTaskStream>, Status> {
        let StreamTaskRequest { id, user, after, run } = request.into_inner();
        let (id, user) = (read_id(&id)?, read_user(user)?);
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        let place = self.readers.clone().try_acquire_owned();
        let place = place.map_err(|_| exhausted("as many readers as may be are there"))?;
        if let Some(live) = self.runner.live.get(id).filter(|live| live.user == user) {
            // One that is refused meanwhile ends the stream.
            return Ok(Response::new(live.read(after, run, place).boxed()));
        }
        let task = self.runner.find(id, &user).await?;
        if !task.has_ended() {
            return Err(elsewhere());
        }
        Ok(Response::new(stream::iter(events(&task, after, run)).boxed()))
    }

    async fn cancel_task(&self, request: Request<CancelTaskRequest>) -> Result<Response<v1::Task>, Status> {
        let CancelTaskRequest { id, user } = request.into_inner();
        let task = self.runner.cancel(read_id(&id)?, &read_user(user)?).await?;
        Ok(Response::new(task.to_proto()))
    }

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksReply>, Status> {
        let ListTasksRequest { user, page_size, page_token, status } = request.into_inner();
        let user = read_user(user)?;
        let size = match page_size {
            0 => 20,
            1..=100 => page_size,
            _ => return Err(invalid("page_size", "must be from 1 to 100, or 0 for 20")),
        };
        let status =
            v1::TaskStatus::try_from(status).map_err(|_| invalid("status", "must be one that there is"))?;
        let before = list::read_token(&page_token)?;
        let reply = list::page(&self.runner, &user, status_of_proto(status), before, size as usize).await?;
        Ok(Response::new(reply))
    }
}

/// The events of a task that has ended, behind one of them; all if that one is of another run.
fn events(task: &Task, after: usize, run: u32) -> Vec<Result<TaskEvent, Status>> {
    let after = if run == 0 || run == task.run { after } else { 0 };
    let end = task.events.len() + 1;
    let behind = task.events.iter().enumerate().skip(after);
    let mut events: Vec<_> = behind.map(|(at, event)| Ok(event.to_proto(task.run, at + 1))).collect();
    // A reader who has seen more saw an earlier run, which a crash has ended.
    if after != end {
        events.push(Ok(task.end_event(end)));
    }
    events
}

fn read_task(request: SubmitTaskRequest, owner: &str) -> Result<Task, Status> {
    let SubmitTaskRequest { id, user, session, mode, model, messages, traceparent, tracestate, sampling } =
        request;
    let is_one = |header: &str, most| {
        (1..=most).contains(&header.len()) && header.bytes().all(|b| (b' '..=b'~').contains(&b))
    };
    let header = |text: String, most| Some(text).filter(|text| is_one(text, most));
    let mode = v1::Mode::try_from(mode).map_err(|_| invalid("mode", "must be one that there is"))?;
    let now = now_ms();
    Ok(Task {
        id: read_id(&id)?,
        user: read_user(user)?,
        session: read_name("session", session)?,
        version: 1,
        owner: owner.to_owned(),
        run: 1,
        unchecked: false,
        mode: mode_of_proto(mode),
        status: task::Status::Queued,
        model: read_name("model", model)?,
        decided: None,
        work: Some(Arc::new(Work {
            messages: read_messages(messages)?,
            traceparent: header(traceparent, 256),
            tracestate: header(tracestate, 512),
            sampling: read_sampling(sampling.unwrap_or_default())?,
        })),
        answer: String::new(),
        error: String::new(),
        finish_reason: String::new(),
        usage: None,
        degradation: None,
        aggregate: String::new(),
        events: Arc::default(),
        created_ms: now,
        updated_ms: now,
    })
}

fn read_id(id: &str) -> Result<Uuid, Status> {
    let id = Uuid::try_parse(id).ok().filter(|id| !id.is_nil());
    id.ok_or_else(|| invalid("id", "must be a UUID"))
}

fn read_user(user: String) -> Result<String, Status> {
    if user.is_empty() {
        return Err(invalid("user", "must not be empty"));
    }
    read_name("user", user)
}

fn read_name(field: &str, name: String) -> Result<String, Status> {
    if name.len() > NAME || name.chars().any(char::is_control) {
        return Err(invalid(field, "must be at most 256 bytes without control characters"));
    }
    Ok(name)
}

/// What no language model takes is refused here; the rest is theirs to judge.
fn read_sampling(sampling: v1::Sampling) -> Result<Sampling, Status> {
    let v1::Sampling { max_tokens, temperature, top_p, stop, max_completion_tokens } = sampling;
    for (field, most) in
        [("sampling.max_tokens", max_tokens), ("sampling.max_completion_tokens", max_completion_tokens)]
    {
        if most == Some(0) {
            return Err(invalid(field, "must be at least 1"));
        }
    }
    if !temperature.is_none_or(|temperature| (0.0..=2.0).contains(&temperature)) {
        return Err(invalid("sampling.temperature", "must be from 0 to 2"));
    }
    if !top_p.is_none_or(|top_p| (0.0..=1.0).contains(&top_p)) {
        return Err(invalid("sampling.top_p", "must be from 0 to 1"));
    }
    if stop.len() > 4 || stop.iter().any(|text| text.is_empty() || text.len() > NAME) {
        return Err(invalid("sampling.stop", "must be at most 4 texts of 1 to 256 bytes"));
    }
    Ok(Sampling { max_tokens, max_completion_tokens, temperature, top_p, stop })
}

fn read_messages(messages: Vec<v1::Message>) -> Result<Vec<ChatMessage>, Status> {
    if messages.is_empty() || messages.len() > MESSAGES {
        return Err(invalid("messages", "must be 1 to 256"));
    }
    let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
    if bytes > BYTES {
        return Err(invalid("messages", "must be at most 1 MiB of text"));
    }
    let read = |(at, message)| {
        let rule = "must be \"system\", \"user\" or \"assistant\"";
        message_of_proto(message).ok_or_else(|| invalid(&format!("messages[{at}].role"), rule))
    };
    messages.into_iter().enumerate().map(read).collect()
}
