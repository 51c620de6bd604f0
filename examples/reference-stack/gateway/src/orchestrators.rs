//! The orchestrators: each behind a breaker of its own, asked by turns. Look at `Orchestrators::ask`, the only way to them, and at
//! `stream.rs`, which goes on with another one where a stream breaks off.

mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mainstay::breaker::{Breaker, State};
use mainstay::health::CheckOutcome;
use mainstay_grpc::{AsStatus, Codes, GrpcLayer};
use quick_cache::sync::Cache;
use stack_protocol::v1::orchestrator_client::OrchestratorClient;
use stack_protocol::v1::{
    CancelTaskRequest, GetTaskRequest, ListTasksReply, ListTasksRequest, StreamTaskRequest,
    SubmitTaskRequest, Task, TaskEvent, TaskStatus,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tower::Layer;

pub use stream::TaskStream;

use crate::problem::Problem;

/// Until a call's head is there.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest a stream may say nothing.
const SILENCE: Duration = Duration::from_secs(120);
/// How many tasks' homes are remembered.
const HOMES: usize = 10_000;
/// The largest message.
const MESSAGE: usize = 16 * 1024 * 1024;

type Client = OrchestratorClient<<GrpcLayer<AsStatus> as Layer<Channel>>::Service>;

/// All of them. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Orchestrators {
    all: Arc<[Orchestrator]>,
    turn: Arc<AtomicUsize>,
    /// Which of them was last seen to run a task: only that one has the events of a task that has not ended.
    homes: Arc<Cache<String, usize>>,
    /// How long a stream looks for one to go on with.
    patience: Duration,
}

#[derive(Debug)]
struct Orchestrator {
    client: Client,
    health: mainstay_health_client::Client,
    breaker: Breaker,
}

impl Orchestrators {
    /// At these endpoints, each with its breaker. Nothing is connected before it is asked.
    ///
    /// # Errors
    ///
    /// An endpoint is no URI.
    pub fn new(
        endpoints: impl IntoIterator<Item = (String, Breaker)>,
        patience: Duration,
    ) -> Result<Self, tonic::transport::Error> {
        let all = endpoints.into_iter().map(|(uri, breaker)| Orchestrator::new(uri, breaker));
        let all = all.collect::<Result<_, _>>()?;
        Ok(Self { all, turn: Arc::default(), homes: Arc::new(Cache::new(HOMES)), patience })
    }

    /// Hands a task in. The request has the task's id, so that asking another one is harmless when the first did not answer.
    ///
    /// # Errors
    ///
    /// What the last of them said.
    pub async fn submit(&self, request: SubmitTaskRequest) -> Result<Task, Problem> {
        let id = request.id.clone();
        let accepted = self.ask(&id, is_away, move |mut client| {
            let request = request.clone();
            async move { client.submit_task(request).await }
        });
        let (home, task) = accepted.await.map_err(|status| Problem::of_status(&status))?;
        self.homes.insert(id, home);
        Ok(task)
    }

    /// A task. Each of them may have it in its own spool: only when all say that there is none, there is none.
    ///
    /// # Errors
    ///
    /// 404, or 503 if one that may know it cannot be asked.
    pub async fn get(&self, user: &str, id: &str) -> Result<Task, Problem> {
        let request = GetTaskRequest { id: id.to_owned(), user: user.to_owned() };
        let found = self.ask(id, does_not_have_it, move |mut client| {
            let request = request.clone();
            async move { client.get_task(request).await }
        });
        found.await.map(|(_, task)| task).map_err(|status| Problem::of_status(&status))
    }

    /// A user's tasks, newest first.
    ///
    /// # Errors
    ///
    /// What the last of them said.
    pub async fn list(&self, request: ListTasksRequest) -> Result<ListTasksReply, Problem> {
        let listed = self.ask("", is_away, move |mut client| {
            let request = request.clone();
            async move { client.list_tasks(request).await }
        });
        listed.await.map(|(_, page)| page).map_err(|status| Problem::of_status(&status))
    }

    /// Cancels a task. Only the one that runs it can stop it, and nobody knows which that is: all are asked.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub async fn cancel(&self, user: &str, id: &str) -> Result<Task, Problem> {
        let request = CancelTaskRequest { id: id.to_owned(), user: user.to_owned() };
        let answers = join_all(self.all.iter().map(|orchestrator| {
            let (mut client, request) = (orchestrator.client.clone(), request.clone());
            async move { client.cancel_task(request).await.map(tonic::Response::into_inner) }
        }));
        let (mut tasks, mut refusals) = (Vec::new(), Vec::new());
        for answer in answers.await {
            match answer {
                Ok(task) => tasks.push(task),
                Err(status) => refusals.push(status),
            }
        }
        // The one that ran it knows best: its record is the newest.
        let newest = tasks
            .into_iter()
            .max_by_key(|task| (task.status == i32::from(TaskStatus::Cancelled), task.updated_ms));
        newest.ok_or_else(|| Problem::of_status(&worst(refusals)))
    }

    /// A task's events from the one after `after` on.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get); later ones are in the stream.
    pub async fn stream(&self, user: &str, id: &str, after: u64) -> Result<TaskStream, Problem> {
        let request = StreamTaskRequest { id: id.to_owned(), user: user.to_owned(), after };
        let events = self.open(&request).await.map_err(|status| Problem::of_status(&status))?;
        Ok(TaskStream::new(self.clone(), request, events, self.patience))
    }

    async fn open(&self, request: &StreamTaskRequest) -> Result<Streaming<TaskEvent>, Status> {
        let (id, request) = (request.id.clone(), request.clone());
        let opened = self.ask(&id, does_not_have_it, move |mut client| {
            let request = request.clone();
            async move { client.stream_task(request).await }
        });
        let (home, events) = opened.await?;
        self.homes.insert(id, home);
        Ok(events)
    }

    /// Asks one, and the next one if `goes_on` says so of what it answered. The home of the task comes first, those whose breakers
    /// are open last. Tells which one answered.
    async fn ask<T, F>(
        &self,
        task: &str,
        goes_on: fn(&Status) -> bool,
        call: impl Fn(Client) -> F,
    ) -> Result<(usize, T), Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut refusals = Vec::new();
        for (at, orchestrator) in self.by_turns(task) {
            match call(orchestrator.client.clone()).await {
                Ok(answer) => return Ok((at, answer.into_inner())),
                Err(status) if goes_on(&status) => {
                    tracing::debug!(breaker = %orchestrator.breaker.name(), code = ?status.code(), "asking the next");
                    refusals.push(status);
                }
                Err(status) => return Err(status),
            }
        }
        Err(worst(refusals))
    }

    fn by_turns(&self, task: &str) -> Vec<(usize, &Orchestrator)> {
        let home = self.homes.get(task);
        let count = self.all.len().max(1);
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let mut order: Vec<_> = self.all.iter().enumerate().collect();
        order.sort_by_key(|(at, orchestrator)| {
            let is_open = orchestrator.breaker.state() == State::Open;
            (is_open, home != Some(*at), (at + count - first) % count)
        });
        order
    }

    /// For the health check: healthy if all serve, degraded if one does.
    pub async fn look(&self) -> CheckOutcome {
        let asked = self.all.iter().map(|orchestrator| orchestrator.health.serves());
        let up = join_all(asked).await.into_iter().filter(|serves| *serves).count();
        let outcome = match up {
            0 => CheckOutcome::unhealthy("no orchestrator serves"),
            up if up == self.all.len() => CheckOutcome::healthy(),
            _ => CheckOutcome::degraded("not every orchestrator serves"),
        };
        outcome.detail("up", up as u64).detail("all", self.all.len() as u64)
    }
}

impl Orchestrator {
    fn new(uri: String, breaker: Breaker) -> Result<Self, tonic::transport::Error> {
        let channel = Endpoint::from_shared(uri)?
            .connect_timeout(Duration::from_secs(2))
            // So that a network that swallows packets is noticed.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .connect_lazy();
        // It takes one in good order to say that a task is not in a state for that.
        let codes = Codes::new().succeed(Code::FailedPrecondition);
        let guard = GrpcLayer::client(breaker.clone())
            .codes(codes)
            .timeout(ANSWER)
            .max_silence(SILENCE)
            .reject_with_status();
        let health = mainstay_health_client::Client::new(guard.layer(channel.clone()));
        let client = OrchestratorClient::new(guard.layer(channel)).max_decoding_message_size(MESSAGE);
        Ok(Self { client, health, breaker })
    }
}

/// The health service of an orchestrator.
mod mainstay_health_client {
    use std::time::Duration;

    use mainstay_grpc::{AsStatus, GrpcLayer};
    use mainstay_health_grpc::pb::HealthCheckRequest;
    use mainstay_health_grpc::pb::health_check_response::ServingStatus;
    use mainstay_health_grpc::pb::health_client::HealthClient;
    use tonic::transport::Channel;
    use tower::Layer;

    #[derive(Debug, Clone)]
    pub(super) struct Client(HealthClient<<GrpcLayer<AsStatus> as Layer<Channel>>::Service>);

    impl Client {
        pub(super) fn new(channel: <GrpcLayer<AsStatus> as Layer<Channel>>::Service) -> Self {
            Self(HealthClient::new(channel))
        }

        pub(super) async fn serves(&self) -> bool {
            let mut client = self.0.clone();
            let asked = client.check(HealthCheckRequest { service: String::new() });
            match tokio::time::timeout(Duration::from_secs(2), asked).await {
                Ok(Ok(answer)) => answer.into_inner().status() == ServingStatus::Serving,
                _ => false,
            }
        }
    }
}

/// It did not answer, or will not: another one may. A status of our own making (with a source) is a connection that broke.
fn is_away(status: &Status) -> bool {
    let is_ours = std::error::Error::source(status).is_some();
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted)
        || (is_ours && matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled))
}

/// It does not know the task, or cannot know: another one may.
fn does_not_have_it(status: &Status) -> bool {
    is_away(status)
        || matches!(status.code(), Code::NotFound | Code::FailedPrecondition | Code::DeadlineExceeded)
}

/// Nobody has it only if everybody says so: a refusal of another kind goes before.
fn worst(refusals: Vec<Status>) -> Status {
    let mut worst = None;
    for status in refusals {
        if status.code() != Code::NotFound || worst.is_none() {
            worst = Some(status);
        }
    }
    worst.unwrap_or_else(|| Status::unavailable("no orchestrator"))
}
