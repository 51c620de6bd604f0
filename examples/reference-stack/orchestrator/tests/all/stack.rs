//! An orchestrator with what it depends on.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use mainstay::config::Environment;
use mainstay_testkit::{PostgresServer, RedisServer};
use orchestrator::{Running, Settings, start};
use stack_protocol::v1::orchestrator_client::OrchestratorClient;
use stack_protocol::v1::task_event::Event;
use stack_protocol::v1::{
    GetTaskRequest, Message, Mode, StreamTaskRequest, SubmitTaskRequest, Task, TaskEvent, TaskStatus,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::fake::{FakeAgents, FakeLlm};

/// The machine is slow, and shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What an orchestrator depends on, and what it is told.
pub(crate) struct Stack {
    pub(crate) llm: FakeLlm,
    pub(crate) second: FakeLlm,
    pub(crate) agents: FakeAgents,
    pub(crate) redis: Option<RedisServer>,
    pub(crate) postgres: Option<PostgresServer>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) data: TempDir,
}

pub(crate) type Client = OrchestratorClient<Channel>;

impl Stack {
    pub(crate) async fn embedded() -> Self {
        let (llm, second, agents) =
            (FakeLlm::start("llm").await, FakeLlm::start("second").await, FakeAgents::start().await);
        let data = tempfile::tempdir().unwrap();
        let mut variables = BTreeMap::new();
        let mut set = |key: &str, value: &str| variables.insert(key.to_owned(), value.to_owned());
        set("ORCHESTRATOR_LISTEN", "127.0.0.1:0");
        set("ORCHESTRATOR_ADMIN_LISTEN", "127.0.0.1:0");
        set("ORCHESTRATOR_ID", "orchestrator-1");
        set("DATA_DIR", data.path().to_str().unwrap());
        set("AGENT_CORE_URL", &agents.url());
        set("LLM_URL", &llm.url());
        set("LLM_HEALTH_URL", &format!("http://{}/health", llm.address));
        set("LLM_MODEL", "fake");
        set("MAINSTAY__HEALTH__DRAIN_DELAY", "10ms");
        set("MAINSTAY__DEGRADATION__RELAX_AFTER", "1s");
        // So that a test sees both an outage and the end of it.
        for breaker in ["REDIS", "DATABASE", "GRPC", "LLM_SERVICE", "LLM_FALLBACK"] {
            set(&format!("MAINSTAY__CIRCUIT_BREAKERS__{breaker}__TIMEOUT"), "300ms");
        }
        for check in ["REDIS", "DATABASE", "AGENT_CORE", "LLM_SERVICE", "SPOOL"] {
            set(&format!("MAINSTAY__HEALTH__CHECKS__{check}__INTERVAL"), "500ms");
            set(&format!("MAINSTAY__HEALTH__CHECKS__{check}__TIMEOUT"), "450ms");
        }
        Self { llm, second, agents, redis: None, postgres: None, variables, data }
    }

    pub(crate) async fn real() -> Self {
        let (redis, postgres) = (RedisServer::start().unwrap(), PostgresServer::start().unwrap());
        let mut stack = Self::embedded().await;
        stack.set("REDIS_URL", &redis.url());
        stack.set("DATABASE_URL", &postgres.url());
        (stack.redis, stack.postgres) = (Some(redis), Some(postgres));
        stack
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.variables.insert(key.to_owned(), value.to_owned());
    }

    pub(crate) fn settings(&self) -> Settings {
        let variables = self.variables.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Settings::load(&Environment::from_iter(variables)).unwrap()
    }

    pub(crate) async fn start(&self) -> (Running, Client) {
        let running = start(self.settings()).await.unwrap();
        let client = connect(format!("http://{}", running.address())).await;
        (running, client)
    }

    /// With its stores up, and found so.
    pub(crate) async fn start_ready(&self) -> (Running, Client) {
        let (running, client) = self.start().await;
        until("it is healthy", || async { level(&running).await == "healthy" }).await;
        (running, client)
    }

    /// What the database has.
    pub(crate) async fn rows<T>(&self, query: &'static str) -> Vec<T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let pool = sqlx::PgPool::connect(&self.postgres.as_ref().unwrap().url()).await.unwrap();
        let rows = sqlx::query_as(query).fetch_all(&pool).await.unwrap();
        pool.close().await;
        rows
    }
}

pub(crate) async fn connect(url: String) -> Client {
    Client::new(Channel::from_shared(url).unwrap().connect().await.unwrap())
}

/// The status of its health.
pub(crate) async fn level(running: &Running) -> String {
    let health = reqwest::get(format!("http://{}/health", running.admin_address())).await.unwrap();
    let health: serde_json::Value = health.json().await.unwrap();
    health["status"].as_str().unwrap().to_owned()
}

/// The status of one of its checks.
pub(crate) async fn check(running: &Running, name: &str) -> String {
    let health = reqwest::get(format!("http://{}/health/detailed", running.admin_address())).await.unwrap();
    let health: serde_json::Value = health.json().await.unwrap();
    health["components"][name]["status"].as_str().unwrap_or_default().to_owned()
}

/// How much waits for the database, as the last check of the spool found it.
pub(crate) async fn backlog(running: &Running) -> u64 {
    let health = reqwest::get(format!("http://{}/health/detailed", running.admin_address())).await.unwrap();
    let health: serde_json::Value = health.json().await.unwrap();
    health["components"]["spool"]["details"]["backlog"].as_u64().unwrap_or(u64::MAX)
}

pub(crate) fn submit(text: &str) -> SubmitTaskRequest {
    SubmitTaskRequest {
        id: Uuid::new_v4().to_string(),
        user: "ann".to_owned(),
        session: String::new(),
        mode: Mode::Simple.into(),
        model: String::new(),
        messages: vec![Message { role: "user".to_owned(), content: text.to_owned() }],
        traceparent: String::new(),
        tracestate: String::new(),
        sampling: None,
    }
}

pub(crate) async fn get(client: &Client, id: &str) -> Result<Task, Status> {
    let request = GetTaskRequest { id: id.to_owned(), user: "ann".to_owned() };
    client.clone().get_task(request).await.map(tonic::Response::into_inner)
}

/// All events behind one, until the end.
pub(crate) async fn events(client: &Client, id: &str, after: u64) -> Vec<TaskEvent> {
    let request = StreamTaskRequest { id: id.to_owned(), user: "ann".to_owned(), after, run: 0 };
    let reading = async {
        let mut stream = client.clone().stream_task(request).await.unwrap().into_inner();
        let mut events = Vec::new();
        while let Some(event) = stream.message().await.unwrap() {
            events.push(event);
        }
        events
    };
    timeout(PATIENCE, reading).await.expect("the stream ends")
}

/// Submits a task, and returns it as it ended.
pub(crate) async fn run(client: &Client, request: SubmitTaskRequest) -> Task {
    let id = request.id.clone();
    client.clone().submit_task(request).await.unwrap();
    ended(&events(client, &id, 0).await)
}

pub(crate) fn ended(events: &[TaskEvent]) -> Task {
    match events.last().and_then(|event| event.event.clone()) {
        Some(Event::Ended(task)) => task,
        other => panic!("the last event is {other:?}"),
    }
}

/// The dependency that a refusal says is down.
pub(crate) fn failed_dependency(refused: &Status) -> &str {
    refused.metadata().get("failed-dependency").map_or("", |name| name.to_str().unwrap())
}

pub(crate) fn texts(events: &[TaskEvent]) -> String {
    let text = |event: &TaskEvent| match &event.event {
        Some(Event::Text(text)) => text.clone(),
        _ => String::new(),
    };
    events.iter().map(text).collect()
}

pub(crate) fn succeeded(task: &Task) -> bool {
    task.status() == TaskStatus::Succeeded
}

/// Polls until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let polling = async {
        while !is_so().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, polling).await.unwrap_or_else(|_| panic!("not so in time: {what}"));
}
