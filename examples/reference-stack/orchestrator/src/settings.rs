//! What the orchestrator is told when it starts: variables of the environment, and the file that its breakers, checks and levels are in.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use mainstay::config::{Environment, Loaded, Loader, Secret, Section, SettingErrors};
use mainstay_redis::redis;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::postgres::PgConnectOptions;

use crate::identity;

/// The breakers, checks and levels that an orchestrator begins with.
const BUILT_IN: &str = include_str!("../settings/mainstay.yaml");

/// The stack's own language model, where it is by default.
const OWN_LLM: &str = "http://127.0.0.1:8000";

/// Everything an orchestrator is told.
pub struct Settings {
    /// Where its gRPC is served: `ORCHESTRATOR_LISTEN`, `0.0.0.0:50052` by default.
    pub listen: SocketAddr,
    /// Where health, metrics and the like are served: `ORCHESTRATOR_ADMIN_LISTEN`, `127.0.0.1:8081` by default.
    pub admin_listen: SocketAddr,
    /// Under which name it has tasks in the database: `ORCHESTRATOR_ID`. By default one that is made at the first start, and kept in
    /// `orchestrator-id` of the data directory: each replica needs its own, and the same after a restart.
    pub id: Option<String>,
    /// Where its spool is, and its tasks if there is no PostgreSQL: `DATA_DIR`, `data/orchestrator` by default.
    pub data_dir: PathBuf,
    /// PostgreSQL: `DATABASE_URL`; with `?sslmode=verify-full` over TLS. Without it tasks are in an SQLite file.
    pub database: Option<PgConnectOptions>,
    /// Redis: `REDIS_URL`; `rediss://` is over TLS. Without it sessions are in memory.
    pub redis: Option<redis::Client>,
    /// The agents' gRPC: `AGENT_CORE_URL`, `http://127.0.0.1:50051` by default.
    pub agents: String,
    /// The longest time of a call of an agent: `AGENT_TIMEOUT`, 5 s by default. It is given up somewhat before
    /// `degradation.partial_results.timeout_override` at the latest, so that the breaker counts it.
    pub agent_timeout: Duration,
    /// The language model: `LLM_URL`, `LLM_API_KEY`, `LLM_MODEL`.
    pub llm: Provider,
    /// The one that answers when that is down: `LLM_FALLBACK_URL`, `LLM_FALLBACK_API_KEY`, `LLM_FALLBACK_MODEL`.
    pub llm_fallback: Option<Provider>,
    /// Where the language model is asked whether it is well: `LLM_HEALTH_URL`. By default that of the stack's own, if `LLM_URL` says
    /// nothing else; other providers are judged by their breaker.
    pub llm_health: Option<String>,
    /// The longest time of a call of a language model, its whole answer included: `LLM_TIMEOUT`, 30 s by default.
    pub llm_timeout: Duration,
    /// The most tasks that run at once: `MAX_RUNNING_TASKS`, 256 by default.
    pub most_running: usize,
    /// The most bytes that wait on disk for the database: `SPOOL_BYTES`, 4 GiB by default. No task is accepted beyond that.
    pub spool_bytes: u64,
    /// The most readers of events at once: `MAX_READERS`, 1,024 by default.
    pub most_readers: usize,
    /// What `/metrics` shows, if the program has installed a recorder.
    pub metrics: Option<PrometheusHandle>,
    /// Whether SIGTERM and SIGINT end it, a second one at once: what a program of its own wants.
    pub ends_at_signals: bool,
    pub(crate) loader: Loader,
    pub(crate) loaded: Loaded,
}

/// A language model's provider, who speaks OpenAI's API.
#[derive(Clone)]
pub struct Provider {
    /// With its version: `http://127.0.0.1:8000/v1`; `https://` trusts whom the system trusts.
    pub url: String,
    /// Sent as a bearer token.
    pub key: Option<Secret>,
    /// The model that is asked for where a task does not say.
    pub model: String,
}

impl Settings {
    /// Reads the variables, and the file that `MAINSTAY_CONFIG` names, which goes on top of the built-in settings.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn load(environment: &Environment) -> Result<Self, SettingErrors> {
        let mut variables = Section::of_environment(environment);
        let said = &mut variables;
        let mut loader = Loader::new().text("built-in settings", BUILT_IN);
        if let Some(file) = said.text("MAINSTAY_CONFIG").optional() {
            loader = loader.file(file);
        }
        let loader = loader.environment(environment.clone());
        let listen = said.address("ORCHESTRATOR_LISTEN").or(SocketAddr::from(([0, 0, 0, 0], 50052)));
        let admin_listen =
            said.address("ORCHESTRATOR_ADMIN_LISTEN").or(SocketAddr::from(([127, 0, 0, 1], 8081)));
        let id = said.text("ORCHESTRATOR_ID").optional();
        if id.as_deref().is_some_and(|id| !identity::is_one(id)) {
            said.refuse("ORCHESTRATOR_ID", "a name of at most 64 letters, digits, '-', '_' and '.'");
        }
        let data_dir = said.text("DATA_DIR").or("data/orchestrator".to_owned()).into();
        let database = url(said, "DATABASE_URL", "a URL such as postgres://user@host/database", |url| {
            url.starts_with("postgres").then(|| PgConnectOptions::from_str(url).ok()).flatten()
        });
        let redis =
            url(said, "REDIS_URL", "a URL such as redis://host:6379", |url| redis::Client::open(url).ok());
        let agents = said.endpoint("AGENT_CORE_URL", &["http"]).or("http://127.0.0.1:50051".to_owned());
        let agent_timeout = time(said, "AGENT_TIMEOUT", Duration::from_secs(5));
        let llm_url = said.endpoint("LLM_URL", &["http", "https"]).optional();
        // Another provider need not have one.
        let own_health = llm_url.is_none().then(|| format!("{OWN_LLM}/health"));
        let llm = Provider {
            url: llm_url.unwrap_or_else(|| format!("{OWN_LLM}/v1")),
            key: said.secret("LLM_API_KEY", 8).optional(),
            model: said.text("LLM_MODEL").or("reference".to_owned()),
        };
        let (key, model) =
            (said.secret("LLM_FALLBACK_API_KEY", 8).optional(), said.text("LLM_FALLBACK_MODEL").optional());
        let llm_fallback = said.endpoint("LLM_FALLBACK_URL", &["http", "https"]).optional();
        let llm_fallback =
            llm_fallback.map(|url| Provider { url, key, model: model.unwrap_or_else(|| llm.model.clone()) });
        let llm_health = said.endpoint("LLM_HEALTH_URL", &["http"]).optional().or(own_health);
        let llm_timeout = time(said, "LLM_TIMEOUT", Duration::from_secs(30));
        let most_running = count(said, "MAX_RUNNING_TASKS", 256);
        let spool_bytes = said.number("SPOOL_BYTES").or(4 << 30);
        if !(1 << 20..=1 << 40).contains(&spool_bytes) {
            said.refuse("SPOOL_BYTES", "a number of bytes from 1048576 (1 MiB) to 1 TiB");
        }
        let most_readers = count(said, "MAX_READERS", 1024);
        let (loaded, ()) = SettingErrors::both(loader.load(), variables.finish())?;
        Ok(Self {
            listen,
            admin_listen,
            id,
            data_dir,
            database,
            redis,
            agents,
            agent_timeout,
            llm,
            llm_fallback,
            llm_health,
            llm_timeout,
            most_running,
            spool_bytes,
            most_readers,
            metrics: None,
            ends_at_signals: false,
            loader,
            loaded,
        })
    }

    /// Shows these metrics at `/metrics`.
    #[must_use]
    pub fn with_metrics(mut self, metrics: PrometheusHandle) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Ends at SIGTERM and SIGINT.
    #[must_use]
    pub fn with_signals(mut self) -> Self {
        self.ends_at_signals = true;
        self
    }
}

/// A URL of a store, which may hold a password.
fn url<T>(said: &mut Section, key: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    let url = said.secret(key, 8).optional()?;
    let read = read(url.expose());
    if read.is_none() {
        said.refuse(key, expected);
    }
    read
}

/// A time of a second or so: more than none, at most an hour.
fn time(said: &mut Section, key: &str, default: Duration) -> Duration {
    let time = said.duration(key).or(default);
    if time.is_zero() || time > Duration::from_secs(3600) {
        said.refuse(key, "a duration of more than 0s and at most 1h");
    }
    time
}

fn count(said: &mut Section, key: &str, default: usize) -> usize {
    let count = said.number::<usize>(key).or(default);
    if !(1..=100_000).contains(&count) {
        said.refuse(key, "a number from 1 to 100000");
    }
    count
}

/// Without what may hold secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("id", &self.id)
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("database", &self.database.is_some())
            .field("redis", &self.redis.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("model", &self.model).finish_non_exhaustive()
    }
}
