//! A small orchestrator in the test's own process: it echoes, counts, waits when told to, and can go away.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::Stream;
use mainstay_health_grpc::pb::health_server::{Health, HealthServer};
use mainstay_health_grpc::pb::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response::ServingStatus,
};
use stack_protocol::v1::orchestrator_server::{Orchestrator, OrchestratorServer};
use stack_protocol::v1::task_event::Event;
use stack_protocol::v1::*;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

pub use super::world::World;

type Events = Pin<Box<dyn Stream<Item = Result<TaskEvent, Status>> + Send>>;

#[derive(Clone)]
struct Fake {
    world: World,
    /// Tasks end while this is true.
    going: watch::Receiver<bool>,
    refusal: Arc<Mutex<Option<Status>>>,
    /// How often it refused.
    refused: Arc<AtomicU32>,
    knows: Arc<Mutex<bool>>,
    mood: Arc<Mood>,
    /// How often its tasks have run.
    run: Arc<AtomicU32>,
}

/// What else one of them does.
#[derive(Default)]
struct Mood {
    /// It answers nothing.
    hangs: AtomicBool,
    /// How many wait for an answer.
    hanging: AtomicU32,
    /// It takes no task, though it answers questions.
    is_full: AtomicBool,
    /// How often it was to take a task.
    offered: AtomicU32,
}

/// An orchestrator that runs until it is dropped.
pub struct FakeOrchestrator {
    pub addr: SocketAddr,
    pub world: World,
    going: watch::Sender<bool>,
    refusal: Arc<Mutex<Option<Status>>>,
    /// How often it refused.
    refused: Arc<AtomicU32>,
    knows: Arc<Mutex<bool>>,
    mood: Arc<Mood>,
    /// How often its tasks have run.
    run: Arc<AtomicU32>,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl FakeOrchestrator {
    pub async fn start() -> Self {
        Self::in_world(World::default()).await
    }

    /// On a runtime of its own, so that it can be killed with all its connections.
    pub async fn in_world(world: World) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (going, receiver) = watch::channel(true);
        let (refusal, refused) = (Arc::default(), Arc::default());
        let mood = Arc::<Mood>::default();
        let (knows, run) = (Arc::new(Mutex::new(true)), Arc::new(AtomicU32::new(1)));
        let fake = Fake {
            world: world.clone(),
            going: receiver,
            refusal: Arc::clone(&refusal),
            refused: Arc::clone(&refused),
            knows: knows.clone(),
            mood: mood.clone(),
            run: run.clone(),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let served = tonic::transport::Server::builder()
                .add_service(OrchestratorServer::new(fake))
                .add_service(HealthServer::new(Well))
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                    let _ = stopped.await;
                });
            served.await.unwrap();
        });
        let (stop, runtime) = (Some(stop), Some(runtime));
        Self { addr, world, going, refusal, refused, knows, mood, run, stop, runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Tasks get as far as their first piece of text, and wait.
    pub fn hold(&self) {
        self.going.send_replace(false);
    }

    pub fn go_on(&self) {
        self.going.send_replace(true);
    }

    /// Answers everything with this status, or again by itself.
    pub fn refuse(&self, refusal: impl Into<Option<(Code, &'static str)>>) {
        *self.refusal.lock().unwrap() = refusal.into().map(|(code, message)| Status::new(code, message));
    }

    /// Answers everything with this code and metadata.
    pub fn refuse_saying(&self, code: Code, metadata: &[(&'static str, &'static str)]) {
        let mut status = Status::new(code, "");
        for (name, value) in metadata {
            status.metadata_mut().insert(*name, value.parse().unwrap());
        }
        *self.refusal.lock().unwrap() = Some(status);
    }

    /// How often it refused.
    pub fn refused(&self) -> u32 {
        self.refused.load(Ordering::SeqCst)
    }

    /// Takes calls, and answers none.
    pub fn hang(&self) {
        self.mood.hangs.store(true, Ordering::SeqCst);
    }

    /// How many wait for an answer of one that hangs.
    pub fn hanging(&self) -> u32 {
        self.mood.hanging.load(Ordering::SeqCst)
    }

    /// Takes no more tasks, also none that it has.
    pub fn fill(&self) {
        self.mood.is_full.store(true, Ordering::SeqCst);
    }

    /// How often it was to take a task.
    pub fn offered(&self) -> u32 {
        self.mood.offered.load(Ordering::SeqCst)
    }

    /// Its tasks run again, as after a crash.
    pub fn run_again(&self) {
        self.run.fetch_add(1, Ordering::SeqCst);
    }

    /// Knows no task, though the others may.
    pub fn forget(&self) {
        *self.knows.lock().unwrap() = false;
    }

    /// Goes away at once, with all its connections.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for FakeOrchestrator {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.kill();
    }
}

/// One that waits for an answer.
struct Waits<'m>(&'m Mood);

impl<'m> Waits<'m> {
    fn begin(mood: &'m Mood) -> Self {
        mood.hanging.fetch_add(1, Ordering::SeqCst);
        Self(mood)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.hanging.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fake {
    async fn check(&self) -> Result<(), Status> {
        if self.mood.hangs.load(Ordering::SeqCst) {
            let _waits = Waits::begin(&self.mood);
            std::future::pending::<()>().await;
        }
        match &*self.refusal.lock().unwrap() {
            Some(status) => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                Err(status.clone())
            }
            None => Ok(()),
        }
    }

    async fn find(&self, id: &str, user: &str) -> Result<Task, Status> {
        self.check().await?;
        let knows = *self.knows.lock().unwrap();
        self.world.find(id, user).filter(|_| knows).ok_or_else(|| Status::not_found("no such task"))
    }

    fn ended(world: &World, id: &str) -> Task {
        world.change(id, |task| {
            if task.status() != TaskStatus::Cancelled {
                let status = if task.error.is_empty() { TaskStatus::Succeeded } else { TaskStatus::Failed };
                task.status = status.into();
            }
        })
    }
}

#[tonic::async_trait]
impl Orchestrator for Fake {
    type StreamTaskStream = Events;

    async fn submit_task(&self, request: Request<SubmitTaskRequest>) -> Result<Response<Task>, Status> {
        self.mood.offered.fetch_add(1, Ordering::SeqCst);
        self.check().await?;
        if self.mood.is_full.load(Ordering::SeqCst) {
            return Err(Status::resource_exhausted("full"));
        }
        let is_stalled = || self.world.0.lock().unwrap().is_stalled;
        self.world.0.lock().unwrap().stalling += u32::from(is_stalled());
        while is_stalled() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Response::new(self.world.submit(request.into_inner())))
    }

    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<Task>, Status> {
        let request = request.into_inner();
        let task = self.find(&request.id, &request.user).await?;
        let goes = *self.going.borrow();
        Ok(Response::new(if goes { Self::ended(&self.world, &task.id) } else { task }))
    }

    async fn stream_task(&self, request: Request<StreamTaskRequest>) -> Result<Response<Events>, Status> {
        let request = request.into_inner();
        let task = self.find(&request.id, &request.user).await?;
        let (world, going) = (self.world.clone(), self.going.clone());
        let (half, rest) = task.answer.split_at(4);
        let (half, rest) = (half.to_owned(), rest.to_owned());
        let run = self.run.load(Ordering::SeqCst);
        let after = if request.run == 0 || request.run == run { request.after } else { 0 };
        let events = events_from(run, after, move |sequence| {
            let (world, mut going) = (world.clone(), going.clone());
            let (half, rest, id, mode) = (half.clone(), rest.clone(), task.id.clone(), task.mode);
            async move {
                match sequence {
                    1 => Some(Event::Started(mode)),
                    2 => Some(Event::Text(half)),
                    3 | 4 => {
                        let cancelled =
                            || world.0.lock().unwrap().tasks[&id].status() == TaskStatus::Cancelled;
                        while !*going.borrow() && !cancelled() {
                            let _ = tokio::time::timeout(Duration::from_millis(20), going.changed()).await;
                        }
                        if sequence == 3 {
                            Some(Event::Text(rest))
                        } else {
                            Some(Event::Ended(Fake::ended(&world, &id)))
                        }
                    }
                    _ => None,
                }
            }
        });
        Ok(Response::new(Box::pin(events)))
    }

    async fn cancel_task(&self, request: Request<CancelTaskRequest>) -> Result<Response<Task>, Status> {
        let request = request.into_inner();
        self.find(&request.id, &request.user).await?;
        Ok(Response::new(self.world.change(&request.id, |task| task.status = TaskStatus::Cancelled.into())))
    }

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksReply>, Status> {
        self.check().await?;
        let request = request.into_inner();
        let known = self.world.0.lock().unwrap();
        let from: usize = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(|_| Status::invalid_argument("page_token: not one of ours"))?,
        };
        let size = if request.page_size == 0 { 20 } else { request.page_size as usize };
        let all: Vec<_> = known.order.iter().rev().map(|id| known.tasks[id].clone()).collect();
        let all: Vec<_> = all.into_iter().filter(|task| task.user == request.user).collect();
        let tasks: Vec<_> = all.iter().skip(from).take(size).cloned().collect();
        let next = from + tasks.len();
        let next_page_token = if next < all.len() { next.to_string() } else { String::new() };
        Ok(Response::new(ListTasksReply { tasks, next_page_token }))
    }
}

fn events_from<F>(
    run: u32,
    after: u64,
    tell: impl Fn(u64) -> F + Send + 'static,
) -> impl Stream<Item = Result<TaskEvent, Status>> + Send
where
    F: Future<Output = Option<Event>> + Send,
{
    futures_util::stream::unfold((after + 1, tell), move |(sequence, tell)| async move {
        let event = tell(sequence).await?;
        Some((Ok(TaskEvent { sequence, event: Some(event), run }), (sequence + 1, tell)))
    })
}

/// It serves.
struct Well;

#[tonic::async_trait]
impl Health for Well {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented(""))
    }
}
