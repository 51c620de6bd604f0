//! The orchestrators: each behind a breaker of its own. Look at `Orchestrators::ask`, which asks one after the other, at `by_rendezvous`,
//! which says whom first, at `together.rs`, which asks all at once, and at `stream.rs`, which goes on with another one where a stream breaks off.

mod stream;
mod together;

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;

use futures_util::future::{BoxFuture, join_all};
use mainstay::breaker::{Breaker, State, Verdict};
use mainstay::health::CheckOutcome;
use mainstay_grpc::{AsStatus, Codes, GrpcLayer};
use sha2::{Digest, Sha256};
use stack_protocol::v1::orchestrator_client::OrchestratorClient;
use stack_protocol::v1::{
    CancelTaskRequest, GetTaskRequest, ListTasksReply, ListTasksRequest, StreamTaskRequest,
    SubmitTaskRequest, Task, TaskEvent, TaskStatus,
};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tower::Layer;

pub use stream::TaskStream;
use together::{A_MOMENT, ask_together};

use crate::events::EventId;
use crate::problem::{FAILED_DEPENDENCY, Problem};

/// Until a call's head is there.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest a stream may say nothing: a task may think for long, and whether the connection lives HTTP/2's pings tell.
const SILENCE: Duration = Duration::from_secs(15 * 60);
/// The largest message.
const MESSAGE: usize = 16 * 1024 * 1024;

type Client = OrchestratorClient<<GrpcLayer<AsStatus> as Layer<Channel>>::Service>;

/// All of them. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Orchestrators {
    all: Arc<[Orchestrator]>,
    /// Whose turn it is where it does not matter whom one asks.
    turn: Arc<AtomicUsize>,
    /// How long a stream looks for one to go on with.
    patience: Duration,
}

/// A task as far as it is known.
#[derive(Debug)]
pub struct Found {
    /// The newest that anybody told.
    pub task: Task,
    /// It has not ended, and one that may know more could not be asked.
    pub may_be_older: bool,
}

#[derive(Debug)]
struct Orchestrator {
    /// Where it is; by it all gateways agree on an order.
    uri: String,
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
        // A stream shall not lose its patience with the first one that does not answer.
        let answer = (patience * 2 / 3).clamp(Duration::from_secs(1), ANSWER);
        let all = endpoints.into_iter().map(|(uri, breaker)| Orchestrator::new(uri, breaker, answer));
        let all = all.collect::<Result<_, _>>()?;
        Ok(Self { all, turn: Arc::default(), patience })
    }

    /// Hands a task in. The request has the task's id: whoever hands it in again asks the same orchestrator first, which knows it. One that
    /// does not answer in time may have taken it, so no other is asked then. Before it goes to any but the first the others are asked whether
    /// they have it.
    ///
    /// # Errors
    ///
    /// What the last of them said.
    pub async fn submit(&self, request: SubmitTaskRequest) -> Result<Task, Problem> {
        let home = self.all.iter().map(|orchestrator| orchestrator.rank(&request.id)).max();
        let mut refusals = Vec::new();
        for orchestrator in self.by_rendezvous(&request.id) {
            if Some(orchestrator.rank(&request.id)) != home
                && let Some(task) = self.known_to_others(orchestrator, &request).await
            {
                return Ok(task);
            }
            match orchestrator.client.clone().submit_task(request.clone()).await {
                Ok(task) => return Ok(task.into_inner()),
                Err(status) if is_away(&status) => refusals.push(orchestrator.refused(status)),
                Err(status) => return Err(Problem::of_status(&status)),
            }
        }
        Err(Problem::of_status(&worst(refusals)))
    }

    /// What is to be handed in to this one, if another one has it already.
    async fn known_to_others(&self, to: &Orchestrator, request: &SubmitTaskRequest) -> Option<Task> {
        let others = self.all.iter().filter(|other| other.uri != to.uri);
        let deadline = Some(Instant::now() + A_MOMENT);
        let heard = ask_together(others, deadline, get_task(&request.user, &request.id)).await;
        newest(heard.tasks)
    }

    /// A task. Each of them may have it in its own spool: only when all say that there is none, there is none. And what one of them knows
    /// from the database may be older than what another has: only an end is final. So all are asked.
    ///
    /// # Errors
    ///
    /// 404, or 503 if one that may know it cannot be asked.
    pub async fn get(&self, user: &str, id: &str) -> Result<Found, Problem> {
        let heard = ask_together(self.all.iter(), None, get_task(user, id)).await;
        let is_away = heard.refusals.iter().any(|status| status.code() != Code::NotFound);
        match newest(heard.tasks) {
            Some(task) => Ok(Found { may_be_older: is_away && !has_ended(&task), task }),
            None => Err(Problem::of_status(&worst(heard.refusals))),
        }
    }

    /// A user's tasks, newest first.
    ///
    /// # Errors
    ///
    /// What the last of them said.
    pub async fn list(&self, request: ListTasksRequest) -> Result<ListTasksReply, Problem> {
        let listed = self.ask(self.by_turns(), may_be_elsewhere, move |mut client| {
            let request = request.clone();
            async move { client.list_tasks(request).await }
        });
        listed.await.map_err(|status| Problem::of_status(&status))
    }

    /// Cancels a task. Only the one that runs it can stop it, and nobody knows which that is: all are asked.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub async fn cancel(&self, user: &str, id: &str) -> Result<Task, Problem> {
        let request = CancelTaskRequest { id: id.to_owned(), user: user.to_owned() };
        let call = move |mut client: Client| {
            let request = request.clone();
            async move { client.cancel_task(request).await }
        };
        let heard = ask_together(self.all.iter(), None, call).await;
        newest(heard.tasks).ok_or_else(|| Problem::of_status(&worst(heard.refusals)))
    }

    /// A task's events from the one after `after` on.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get), but only after a while: whoever has the task may be back soon. Later ones are in the stream.
    pub async fn stream(&self, user: &str, id: &str, after: EventId) -> Result<TaskStream, Problem> {
        let EventId { run, sequence: after } = after;
        let request = StreamTaskRequest { id: id.to_owned(), user: user.to_owned(), after, run };
        TaskStream::open(self.clone(), request).await
    }

    async fn open(&self, request: &StreamTaskRequest) -> Result<Streaming<TaskEvent>, Status> {
        self.ask(self.by_rendezvous(&request.id), may_be_elsewhere, move |mut client| {
            let request = request.clone();
            async move { client.stream_task(request).await }
        })
        .await
    }

    /// Asks one after the other, as long as `goes_on` says so of what they answer.
    async fn ask<T, F>(
        &self,
        order: Vec<&Orchestrator>,
        goes_on: fn(&Status) -> bool,
        call: impl Fn(Client) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut refusals = Vec::new();
        for orchestrator in order {
            match call(orchestrator.client.clone()).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if goes_on(&status) => {
                    refusals.push(orchestrator.refused(status));
                }
                Err(status) => return Err(status),
            }
        }
        Err(worst(refusals))
    }

    /// In an order that is the task's own (rendezvous hashing) and the same for all gateways, so that a task that is handed in twice at
    /// once meets itself. Those whose breakers are not closed come last: whether they are back the health check finds out.
    fn by_rendezvous(&self, task: &str) -> Vec<&Orchestrator> {
        let mut order: Vec<_> = self.all.iter().collect();
        order.sort_by_cached_key(|orchestrator| {
            (orchestrator.is_in_doubt(), Reverse(orchestrator.rank(task)))
        });
        order
    }

    /// One after the other, where all know the same.
    fn by_turns(&self) -> Vec<&Orchestrator> {
        let mut order: Vec<_> = self.all.iter().collect();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % order.len().max(1);
        order.rotate_left(first);
        order.sort_by_key(|orchestrator| orchestrator.is_in_doubt());
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
    fn new(uri: String, breaker: Breaker, answer: Duration) -> Result<Self, tonic::transport::Error> {
        let channel = Endpoint::from_shared(uri.clone())?
            .connect_timeout(Duration::from_secs(2))
            // So that a network that swallows packets is noticed.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .connect_lazy();
        // It takes one in good order to say that a task runs elsewhere, or not yet; and to have as much to do as it may.
        let codes = Codes::new().succeed(Code::FailedPrecondition).ignore(Code::ResourceExhausted);
        let guard = GrpcLayer::client(breaker.clone())
            .codes(codes)
            .judge(says_nothing_of_itself)
            .timeout(answer)
            .max_silence(SILENCE)
            .reject_with_status();
        let health = mainstay_health_client::Client::new(guard.layer(channel.clone()));
        let client = OrchestratorClient::new(guard.layer(channel)).max_decoding_message_size(MESSAGE);
        Ok(Self { uri, client, health, breaker })
    }

    fn is_in_doubt(&self) -> bool {
        self.breaker.state() != State::Closed
    }

    /// How much a task is this one's own.
    fn rank(&self, task: &str) -> [u8; 32] {
        Sha256::new().chain_update(task).chain_update(&self.uri).finalize().into()
    }

    /// What it said, for whoever asks the next.
    fn refused(&self, status: Status) -> Status {
        tracing::debug!(breaker = %self.breaker.name(), code = ?status.code(), "asking the next");
        status
    }
}

fn get_task(
    user: &str,
    id: &str,
) -> impl Fn(Client) -> BoxFuture<'static, Result<tonic::Response<Task>, Status>> + use<> {
    let request = GetTaskRequest { id: id.to_owned(), user: user.to_owned() };
    move |mut client| {
        let request = request.clone();
        Box::pin(async move { client.get_task(request).await })
    }
}

/// Who runs it knows best: its record is the newest; but an end is an end.
fn newest(tasks: Vec<Task>) -> Option<Task> {
    tasks.into_iter().max_by_key(|task| (has_ended(task), task.updated_ms))
}

fn has_ended(task: &Task) -> bool {
    matches!(task.status(), TaskStatus::Succeeded | TaskStatus::Failed | TaskStatus::Cancelled)
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

/// Ignores what an orchestrator in good order says of others: what it depends on is down, or it is about to end.
fn says_nothing_of_itself(code: Code, metadata: &HeaderMap) -> Option<Verdict> {
    let is_ending = metadata.get("ending").is_some_and(|ending| ending == "true");
    let is_anothers = is_ending || metadata.contains_key(FAILED_DEPENDENCY);
    (code == Code::Unavailable && is_anothers).then_some(Verdict::Ignore)
}

/// It did not answer, or will not: another one may. A status of our own making (with a source) is a connection that broke.
fn is_away(status: &Status) -> bool {
    let is_ours = std::error::Error::source(status).is_some();
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::FailedPrecondition)
        || (is_ours && matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled))
}

/// It does not have it, or cannot know, or not in time: another one may. For questions alone.
fn may_be_elsewhere(status: &Status) -> bool {
    is_away(status) || matches!(status.code(), Code::NotFound | Code::DeadlineExceeded)
}

/// What the caller is told if nobody had it. That there is none only if all say so, that it is elsewhere only if nobody is missing;
/// of the others, who says most of why.
fn worst(refusals: Vec<Status>) -> Status {
    let worst = refusals.into_iter().max_by_key(|status| match status.code() {
        Code::NotFound => 0,
        Code::FailedPrecondition => 1,
        Code::ResourceExhausted => 2,
        _ if status.metadata().contains_key(FAILED_DEPENDENCY) => 4,
        _ => 3,
    });
    worst.unwrap_or_else(|| Status::unavailable("no orchestrator"))
}
