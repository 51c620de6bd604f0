//! The stack, as one process and as several.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use mainstay_testkit::{PostgresServer, RedisServer};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{JWT_SECRET, PATIENCE, Program, secret, token, until};
use crate::tools;

type Variables = BTreeMap<String, String>;

/// Who may begin maintenance.
pub const ADMIN_TOKEN: &str = "operators-token-5c1e77d0";
const LLM_API_KEY: &str = "sk-of-the-model-93ab10";
const REDIS_PASSWORD: &str = "redis-password-71f0c2";
const DATABASE_PASSWORD: &str = "database-password-3d9e48";
/// An API key; the stack knows only its SHA-256.
pub const API_KEY: &str = "key-of-kim-c0ffee42";
const API_KEY_SHA256: &str = "0bc4e8ee81ee3c99e2d3e9281c0821be1ca5edc8d1bd3fa1e96dd1f7f314a781";

/// A service: a process that can be ended, killed, and started again at the same place.
pub struct Service {
    name: &'static str,
    variables: Variables,
    pub program: Program,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

/// The stack as one process.
pub struct Up {
    pub program: Program,
    pub gateway: SocketAddr,
    pub gateway_admin: SocketAddr,
    pub orchestrator: SocketAddr,
    pub orchestrator_admin: SocketAddr,
    pub agents: SocketAddr,
    pub model_admin: SocketAddr,
    _data: TempDir,
}

/// The stack as many processes.
pub struct Apart {
    pub gateways: Vec<Service>,
    pub orchestrators: Vec<Service>,
    pub agents: Service,
    pub model: Service,
    /// If it is not on embedded stores.
    pub redis: Option<RedisServer>,
    _postgres: Option<PostgresServer>,
    pub data: TempDir,
}

/// Where the stores are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stores {
    Embedded,
    Servers,
}

/// What all are given; `more` goes on top.
fn variables(more: &[(&str, &str)]) -> Variables {
    let api_keys = format!("kim:max:{API_KEY_SHA256}");
    let all = [
        ("RUST_LOG", "info"),
        ("JWT_SECRET", JWT_SECRET),
        ("ADMIN_TOKEN", ADMIN_TOKEN),
        ("API_KEYS", api_keys.as_str()),
        ("LLM_API_KEY", LLM_API_KEY),
        ("RATE_LIMITS", "max:1000000:10000000:100000000"),
        ("AGENT_CORE_DRAIN_DELAY", "0s"),
        ("LLM_SERVICE_DRAIN_DELAY", "0s"),
    ];
    for secret_text in [JWT_SECRET, ADMIN_TOKEN, LLM_API_KEY, REDIS_PASSWORD, DATABASE_PASSWORD, API_KEY] {
        secret(secret_text);
    }
    let all = all.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut all: Variables = all.collect();
    for service in ["AGENT_CORE", "LLM_SERVICE", "ORCHESTRATOR", "GATEWAY"] {
        all.insert(format!("{service}_LISTEN"), "127.0.0.1:0".to_owned());
        all.insert(format!("{service}_ADMIN_LISTEN"), "127.0.0.1:0".to_owned());
    }
    all
}

// === impl Up ===

impl Up {
    pub fn start(stores: Stores, more: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_reference-stack"));
        command.arg("up").arg("--data-dir").arg(data.path());
        if stores == Stores::Servers {
            command.arg("--servers");
        }
        let mut program = Program::start(command, &variables(more));
        let mut place = |line: &str| address(&program.says(line));
        let agents = place("agent-core listens on ");
        let model_admin = place("llm-service admin on ");
        let (orchestrator, orchestrator_admin) =
            (place("orchestrator listens on "), place("orchestrator admin on "));
        let (gateway, gateway_admin) = (place("gateway listens on "), place("gateway admin on "));
        Self {
            program,
            gateway,
            gateway_admin,
            orchestrator,
            orchestrator_admin,
            agents,
            model_admin,
            _data: data,
        }
    }
}

// === impl Apart ===

impl Apart {
    /// On a real Redis and a real PostgreSQL.
    pub async fn start(gateways: usize, orchestrators: usize, more: &[(&str, &str)]) -> Self {
        Self::start_on(Stores::Servers, gateways, orchestrators, more).await
    }

    pub async fn start_on(
        stores: Stores,
        gateways: usize,
        orchestrators: usize,
        more: &[(&str, &str)],
    ) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut all = variables(more);
        let (mut redis, mut postgres) = (None, None);
        if stores == Stores::Servers {
            let (one, other) =
                (RedisServer::start_with(&["--requirepass", REDIS_PASSWORD]), PostgresServer::start());
            let (one, other) = (redis.insert(one.unwrap()), postgres.insert(other.unwrap()));
            all.insert("REDIS_URL".to_owned(), format!("redis://:{REDIS_PASSWORD}@{}/", one.addr()));
            all.insert(
                "DATABASE_URL".to_owned(),
                format!("postgres://postgres:{DATABASE_PASSWORD}@{}/postgres", other.addr()),
            );
        }
        let agents = Service::start("agent-core", all.clone());
        let model = Service::start("llm-service", all.clone());
        all.insert("AGENT_CORE_URL".to_owned(), format!("http://{}", agents.address));
        all.insert("LLM_URL".to_owned(), format!("http://{}/v1", model.address));
        let of = |name: &'static str, at: usize| {
            let mut own = all.clone();
            let place = data.path().join(format!("{name}-{at}"));
            std::fs::create_dir(&place).unwrap();
            own.insert("DATA_DIR".to_owned(), place.display().to_string());
            own.insert("ORCHESTRATOR_ID".to_owned(), format!("orchestrator-{at}"));
            own
        };
        let orchestrators: Vec<_> =
            (0..orchestrators).map(|at| Service::start("orchestrator", of("orchestrator", at))).collect();
        for orchestrator in &orchestrators {
            orchestrator.ready().await;
        }
        let places: Vec<_> = orchestrators.iter().map(|it| format!("http://{}", it.address)).collect();
        let gateways: Vec<_> = (0..gateways)
            .map(|at| {
                let mut own = of("gateway", at);
                own.insert("ORCHESTRATORS".to_owned(), places.join(","));
                Service::start("gateway", own)
            })
            .collect();
        for gateway in &gateways {
            gateway.ready().await;
        }
        Self { gateways, orchestrators, agents, model, redis, _postgres: postgres, data }
    }

    /// How many calls have come to the language model.
    pub async fn model_calls(&self) -> u64 {
        counts(self.model.admin).await["arrived"].as_u64().unwrap()
    }
}

// === impl Service ===

impl Service {
    fn start(name: &'static str, variables: Variables) -> Self {
        let (program, address, admin) = run(name, &variables);
        Self { name, variables, program, address, admin }
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) {
        for (what, address) in [("LISTEN", self.address), ("ADMIN_LISTEN", self.admin)] {
            let name = self.name.replace('-', "_").to_uppercase();
            self.variables.insert(format!("{name}_{what}"), address.to_string());
        }
        let (program, ..) = run(self.name, &self.variables);
        self.program = program;
    }

    pub async fn ready(&self) {
        let url = format!("http://{}/readyz", self.admin);
        until("it is ready", || async { is_ok(&url).await }).await;
    }
}

fn run(name: &str, variables: &Variables) -> (Program, SocketAddr, SocketAddr) {
    let mut program = Program::start(Command::new(tools::service(name)), variables);
    let place = address(&program.says(&format!("{name} listens on ")));
    let admin = address(&program.says(&format!("{name} admin on ")));
    (program, place, admin)
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

// === asking ===

pub async fn is_ok(url: &str) -> bool {
    client().get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}

/// A client with connections of its own.
pub fn client() -> Client {
    Client::builder().timeout(PATIENCE).build().unwrap()
}

/// A request of a user with plenty of room.
pub fn ask(method: Method, gateway: SocketAddr, path: &str) -> RequestBuilder {
    client().request(method, format!("http://{gateway}{path}")).bearer_auth(token("ann", "max"))
}

pub fn question(text: &str) -> Value {
    json!({ "model": "reference", "messages": [{ "role": "user", "content": text }] })
}

/// Turns the fault switches of a service.
pub async fn faults(admin: SocketAddr, switches: &Value) {
    let turned = client().put(format!("http://{admin}/faults")).json(switches).send().await.unwrap();
    assert!(turned.status().is_success(), "{turned:?}");
}

/// What has happened at a service with fault switches.
pub async fn counts(admin: SocketAddr) -> Value {
    client().get(format!("http://{admin}/counts")).send().await.unwrap().json().await.unwrap()
}

/// The files below a directory, and their bytes.
pub fn files(place: &Path) -> (usize, u64) {
    let Ok(entries) = place.read_dir() else { return (0, 0) };
    entries.filter_map(Result::ok).fold((0, 0), |(count, bytes), entry| {
        let (inner, more) = match entry.metadata() {
            Ok(metadata) if metadata.is_file() => (1, metadata.len()),
            _ => files(&entry.path()),
        };
        (count + inner, bytes + more)
    })
}
