//! The whole stack as one process: the agents, the language model, the orchestrator and the gateway, each as it is when it runs alone.
//! Every variable that they read is read here too; what is not set is chosen so that they find each other.

use std::collections::BTreeMap;
use std::env::VarError;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use jsonwebtoken::{EncodingKey, Header};
use mainstay::config::{EX_CONFIG, Environment, Origin, SettingError, SettingErrors};
use mainstay_testkit::{PostgresServer, RedisServer};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// How long the token is valid that is printed for trying things out.
const TOKEN: Duration = Duration::from_hours(12);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Start a local Redis and a local PostgreSQL, which end with the stack
    #[arg(long)]
    servers: bool,
    /// Where the spool and the embedded stores are [default: `DATA_DIR`, else `data`; with `--servers` a directory that ends with them]
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// Runs the stack until a signal ends it. Returns the exit status.
pub(crate) async fn run(options: Options) -> anyhow::Result<u8> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(filter).init();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);

    let no_texts = no_texts();
    if !no_texts.is_empty() {
        no_texts.iter().for_each(|error| eprintln!("{error}"));
        return Ok(EX_CONFIG);
    }
    let mut variables = Variables::of_process();
    let data = options.data_dir.or_else(|| variables.0.get("DATA_DIR").map(PathBuf::from));
    // What was accepted is not thrown away, but with the servers in which it ended.
    let scratch = (data.is_none() && options.servers).then(tempfile::tempdir).transpose()?;
    let data = data.or_else(|| scratch.as_ref().map(|dir| dir.path().to_owned()));
    let data = data.unwrap_or_else(|| PathBuf::from("data"));
    let servers = if options.servers { Some(start_servers(&mut variables).await?) } else { None };
    let own_secret = (!variables.0.contains_key("JWT_SECRET")).then(random_secret);
    if let Some(secret) = &own_secret {
        variables.default("JWT_SECRET", secret);
    }

    let ended = tokio::select! {
        ended = serve(&mut variables, &data, own_secret.as_deref()) => ended,
        _ = terminate.recv() => return Ok(0),
        _ = interrupt.recv() => return Ok(0),
    };
    let running = match ended {
        Ok(running) => running,
        Err(error) => match error.downcast::<SettingErrors>() {
            Ok(errors) => {
                eprintln!("{errors}");
                return Ok(EX_CONFIG);
            }
            Err(error) => return Err(error),
        },
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::select! {
        () = running.stop() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop((servers, scratch));
    Ok(0)
}

/// The services that run, in the order in which they end.
struct Running {
    gateway: gateway::Running,
    orchestrator: orchestrator::Running,
    agents: agent_core::Running,
    model: llm_service::Running,
}

impl Running {
    /// From the front to the back, so that nobody asks one that is gone.
    async fn stop(self) {
        self.gateway.stop().await;
        self.orchestrator.stop().await;
        tokio::join!(self.agents.stop(), self.model.stop());
    }
}

async fn serve(variables: &mut Variables, data: &Path, own_secret: Option<&str>) -> anyhow::Result<Running> {
    // Whoever stops one process does not wait for balancers.
    for delay in ["AGENT_CORE_DRAIN_DELAY", "LLM_SERVICE_DRAIN_DELAY", "MAINSTAY__HEALTH__DRAIN_DELAY"] {
        variables.default(delay, "0s");
    }
    for (listen, port) in
        [("AGENT_CORE", 50051), ("LLM_SERVICE", 8000), ("ORCHESTRATOR", 50052), ("GATEWAY", 8080)]
    {
        variables.default(&format!("{listen}_LISTEN"), &format!("127.0.0.1:{port}"));
    }
    for (listen, port) in
        [("AGENT_CORE", 8082), ("LLM_SERVICE", 8083), ("ORCHESTRATOR", 8081), ("GATEWAY", 8090)]
    {
        variables.default(&format!("{listen}_ADMIN_LISTEN"), &format!("127.0.0.1:{port}"));
    }

    // All that is wrong, before anything begins.
    check(&variables.environment())?;

    let agents = agent_core::start(agent_core::Settings::load(&variables.environment())?).await?;
    say("agent-core", agents.address(), agents.admin_address());
    variables.default("AGENT_CORE_URL", &format!("http://{}", agents.address()));

    let model = llm_service::start(llm_service::Settings::load(&variables.environment())?).await?;
    say("llm-service", model.address(), model.admin_address());
    if !variables.0.contains_key("LLM_URL") {
        variables.default("LLM_URL", &format!("http://{}/v1", model.address()));
        variables.default("LLM_HEALTH_URL", &format!("http://{}/health", model.address()));
    }

    let own = variables.with("DATA_DIR", &data.join("orchestrator").to_string_lossy());
    let mut settings = orchestrator::Settings::load(&own)?;
    // One process, one recorder.
    if let Some(metrics) = gateway::record_metrics() {
        settings = settings.with_metrics(metrics);
    }
    let orchestrator = orchestrator::start(settings).await?;
    // Or the gateway would find it down at first, and say so for a while.
    let mut changes = orchestrator.mainstay().health().subscribe();
    let ready = async {
        while !orchestrator.mainstay().health().is_ready() {
            changes.changed().await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(10), ready).await;
    say("orchestrator", orchestrator.address(), orchestrator.admin_address());
    variables.default("ORCHESTRATORS", &format!("http://{}", orchestrator.address()));

    let own = variables.with("DATA_DIR", &data.join("gateway").to_string_lossy());
    std::fs::create_dir_all(data.join("gateway"))?;
    let gateway = gateway::start(gateway::Settings::load(&own)?).await?;
    say("gateway", gateway.addr, gateway.admin_addr);

    let stores = |name, url| if variables.0.contains_key(url) { name } else { "embedded" };
    println!("stores: {}, {}", stores("Redis", "REDIS_URL"), stores("PostgreSQL", "DATABASE_URL"));
    // A secret of somebody's own is not for trying things out.
    if let Some(secret) = own_secret {
        let (token, hours) = (token(secret)?, TOKEN.as_secs() / 3600);
        println!("\nA token for trying it, valid for {hours} hours:\n\nTOKEN={token}\n");
        println!(
            "curl -sN http://{}/v1/chat/completions -H \"authorization: Bearer $TOKEN\" -H 'content-type: application/json' \\\n  \
             -d '{{\"model\": \"reference\", \"stream\": true, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'",
            gateway.addr
        );
    }
    Ok(Running { gateway, orchestrator, agents, model })
}

/// Everything that is wrong with what the services are told.
fn check(said: &Environment) -> Result<(), SettingErrors> {
    let services = SettingErrors::both(
        SettingErrors::both(agent_core::Settings::load(said), llm_service::Settings::load(said)),
        SettingErrors::both(orchestrator::Settings::load(said), gateway::Settings::load(said)),
    );
    services.map(drop)
}

/// What the services say of variables that are no text, which [`Variables`] leaves out.
fn no_texts() -> Vec<SettingError> {
    let Err(errors) = check(&Environment::from_process()) else { return Vec::new() };
    let is_no_text = |error: &&SettingError| match &error.origin {
        Origin::Variable(name) => matches!(std::env::var(&**name), Err(VarError::NotUnicode(_))),
        _ => false,
    };
    errors.iter().filter(is_no_text).cloned().collect()
}

fn say(service: &str, address: std::net::SocketAddr, admin: std::net::SocketAddr) {
    println!("{service} listens on http://{address}");
    println!("{service} admin on http://{admin}");
}

/// The variables of the process that are texts, and what is chosen where they say nothing.
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    fn default(&mut self, name: &str, value: &str) -> String {
        self.0.entry(name.to_owned()).or_insert_with(|| value.to_owned()).clone()
    }

    fn environment(&self) -> Environment {
        self.0.clone().into_iter().collect()
    }

    fn with(&self, name: &str, value: &str) -> Environment {
        let mut variables = self.0.clone();
        variables.insert(name.to_owned(), value.to_owned());
        variables.into_iter().collect()
    }
}

async fn start_servers(variables: &mut Variables) -> anyhow::Result<(RedisServer, PostgresServer)> {
    let started =
        tokio::task::spawn_blocking(|| anyhow::Ok((RedisServer::start()?, PostgresServer::start()?)));
    let (redis, postgres) = started.await.context("starting the servers")??;
    variables.0.insert("REDIS_URL".to_owned(), redis.url_at(redis.addr()));
    variables.0.insert("DATABASE_URL".to_owned(), postgres.url_at(postgres.addr()));
    Ok((redis, postgres))
}

fn random_secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

fn token(secret: &str) -> anyhow::Result<String> {
    let expires = SystemTime::now().duration_since(UNIX_EPOCH)? + TOKEN;
    let claims = json!({ "sub": "you", "tier": "max", "exp": expires.as_secs() });
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))?)
}
