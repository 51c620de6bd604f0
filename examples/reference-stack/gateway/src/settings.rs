//! What the gateway is told from outside: look at [`Settings::load`], which finds everything that is wrong before anything starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderValue;
use mainstay::config::{Environment, Field, Loaded, Loader, Secret, Section, SettingErrors};

use crate::auth::{StaticKey, is_known_secret};
use crate::cors::origin;
use crate::limit::Limits;

/// So many a semaphore has places for on every machine.
const MOST_BODY_MEMORY: usize = u32::MAX as usize >> 3;

/// The largest message that an orchestrator reads.
const MOST_BODY: usize = 2 * 1024 * 1024;

/// Everything that is set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `GATEWAY_LISTEN`: where clients come. Default: `0.0.0.0:8080`.
    pub listen: SocketAddr,
    /// `GATEWAY_ADMIN_LISTEN`: where operators come. Default: `127.0.0.1:8090`.
    pub admin_listen: SocketAddr,
    /// `ORCHESTRATORS`: their endpoints, with commas between. Default: `http://127.0.0.1:50052`.
    pub orchestrators: Vec<String>,
    /// `REDIS_URL`: limits and idempotency; `rediss://` is over TLS. Without it they are kept in memory.
    pub redis_url: Option<Secret>,
    /// `DATABASE_URL`: API keys, in PostgreSQL; with `?sslmode=verify-full` over TLS. Without it, a SQLite file.
    pub database_url: Option<Secret>,
    /// `DATA_DIR`: where that file is. Default: `data`.
    pub data_dir: PathBuf,
    /// Whose tokens are believed.
    pub jwt: JwtSettings,
    /// `API_KEYS`: `user:tier:sha256hex`, with commas between; known beside those of the table.
    pub api_keys: Vec<StaticKey>,
    /// `ADMIN_TOKEN`, of at least 16 bytes: who may begin and end maintenance. Without it nobody may.
    pub admin_token: Option<Secret>,
    /// `RATE_LIMITS`: `tier:minute:hour:day`, with commas between; tiers that are not named keep theirs.
    pub limits: Limits,
    /// `IDEMPOTENCY_WHEN_REDIS_IS_DOWN`: `refuse` (default) or `allow`.
    pub idempotency_when_redis_is_down: WhenRedisIsDown,
    /// `MODELS`: what `GET /v1/models` lists. Default: those of the stack's own `llm-service`.
    pub models: Vec<String>,
    /// How long things may take.
    pub times: Times,
    /// `BODY_LIMIT`: bytes of a request's body, at most 2 MiB: orchestrators read no more. Default: 1 MiB.
    pub body_limit: usize,
    /// `BODY_MEMORY`: bytes of all bodies whose requests have not been handed on; beyond that others wait. At most half of it is for those
    /// that wait for another with the same idempotency key. Default: 64 MiB.
    pub body_memory: usize,
    /// `CORS_ORIGINS`: whose pages may ask, as `https://app.example`, with commas between. Default: nobody's.
    pub cors_origins: Vec<HeaderValue>,
    /// `MAX_CONNECTIONS`: at once, on the port of the clients. Default: 10,000.
    pub max_connections: usize,
    /// The breakers, health and degradation, and how to load them again.
    pub mainstay: Family,
}

/// Whose tokens are believed.
#[derive(Debug, Clone)]
pub struct JwtSettings {
    /// `JWT_SECRET`: at least 32 bytes.
    pub secret: Secret,
    /// `JWT_ISSUER`: if it is set, tokens must be of this issuer.
    pub issuer: Option<String>,
    /// `JWT_AUDIENCE`: if it is set, tokens must be for this audience.
    pub audience: Option<String>,
}

/// What becomes of a request with an idempotency key while Redis cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenRedisIsDown {
    /// It is refused with 503: nothing runs that may have run already.
    Refuse,
    /// It runs. The orchestrator still knows the task by its id; what is lost is the stored response, and the wait.
    Allow,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// `HEADER_TIMEOUT`: until a request's head is there. Default: 10 s.
    pub head: Duration,
    /// `IDLE_TIMEOUT`: how long a connection that nobody uses is kept; balancers in front of it should be the first to give it up.
    /// Default: 75 s.
    pub idle: Duration,
    /// `BODY_TIMEOUT`: until its body is there. Default: 10 s.
    pub body: Duration,
    /// `REQUEST_TIMEOUT`: until the head of the answer is there. Default: 90 s.
    pub request: Duration,
    /// `IDEMPOTENCY_WAIT`: how long a second request waits for the first. Default: 10 s.
    pub idempotency_wait: Duration,
    /// `IDEMPOTENCY_LEASE`: how long a first one that died holds up the next. Default: 15 s.
    pub idempotency_lease: Duration,
    /// `STREAM_PATIENCE`: how long a stream looks for an orchestrator to begin or go on with. Default: 15 s.
    pub stream_patience: Duration,
    /// `STREAM_KEEP_ALIVE`: between comments on a silent stream, so that nobody in between takes it for dead. Default: 5 s.
    pub keep_alive: Duration,
}

/// The settings of the family, and where they come from.
#[derive(Debug, Clone)]
pub struct Family {
    /// Loads them again.
    pub loader: Loader,
    /// As they are now.
    pub loaded: Loaded,
}

impl Settings {
    /// Reads the environment, and the file that `MAINSTAY_CONFIG` names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn load(environment: &Environment) -> Result<Self, SettingErrors> {
        let mut variables = Section::of_environment(environment);
        let mut loader = Loader::new().text("built-in", include_str!("mainstay.yaml"));
        if let Some(file) = variables.text("MAINSTAY_CONFIG").optional() {
            loader = loader.file(file);
        }
        let loader = loader.environment(environment.clone());
        let read = Self::read(&mut variables);
        let (loaded, ()) = SettingErrors::both(loader.load(), variables.finish())?;
        Ok(read(Family { loader, loaded }))
    }

    fn read(variables: &mut Section) -> impl FnOnce(Family) -> Self + use<> {
        let listen = variables.address("GATEWAY_LISTEN").or(SocketAddr::from(([0, 0, 0, 0], 8080)));
        let admin_listen =
            variables.address("GATEWAY_ADMIN_LISTEN").or(SocketAddr::from(([127, 0, 0, 1], 8090)));
        let orchestrators = list_of(
            variables,
            "ORCHESTRATORS",
            "http://127.0.0.1:50052",
            "URIs that begin with http://, with commas between",
            |uri| is_endpoint(uri).then(|| uri.to_owned()),
        );
        let redis_url = url(variables, "REDIS_URL", &["redis", "rediss"]);
        let database_url = url(variables, "DATABASE_URL", &["postgres", "postgresql"]);
        let data_dir = PathBuf::from(variables.text("DATA_DIR").or("data".to_owned()));
        let jwt = jwt(variables);
        let api_keys =
            list_of(variables, "API_KEYS", "", "user:tier:sha256hex, with commas between", StaticKey::parse);
        let admin_token = variables.text("ADMIN_TOKEN").optional();
        let admin_token = admin_token.map(|_| variables.secret("ADMIN_TOKEN", 16).required());
        let rows =
            list_of(variables, "RATE_LIMITS", "", "tier:minute:hour:day, with commas between", Limits::row);
        let policy = match variables.text("IDEMPOTENCY_WHEN_REDIS_IS_DOWN").optional().as_deref() {
            None | Some("refuse") => WhenRedisIsDown::Refuse,
            Some("allow") => WhenRedisIsDown::Allow,
            Some(_) => {
                variables.refuse("IDEMPOTENCY_WHEN_REDIS_IS_DOWN", "refuse or allow");
                WhenRedisIsDown::Refuse
            }
        };
        let models =
            list_of(variables, "MODELS", "reference,reference-small", "names, with commas between", |name| {
                (name.len() <= 128).then(|| name.to_owned())
            });
        let times = Times {
            head: time(variables, "HEADER_TIMEOUT", 10),
            idle: time(variables, "IDLE_TIMEOUT", 75),
            body: time(variables, "BODY_TIMEOUT", 10),
            request: time(variables, "REQUEST_TIMEOUT", 90),
            idempotency_wait: time(variables, "IDEMPOTENCY_WAIT", 10),
            idempotency_lease: time(variables, "IDEMPOTENCY_LEASE", 15),
            stream_patience: time(variables, "STREAM_PATIENCE", 15),
            keep_alive: time(variables, "STREAM_KEEP_ALIVE", 5),
        };
        if times.idle < times.head {
            variables.refuse("IDLE_TIMEOUT", "at least as long as HEADER_TIMEOUT");
        }
        let body_limit = at_least_one(variables, "BODY_LIMIT", 1024 * 1024);
        let body_memory = at_least_one(variables, "BODY_MEMORY", 64 * 1024 * 1024);
        if body_memory > MOST_BODY_MEMORY {
            variables.refuse("BODY_MEMORY", "at most 536,870,911 bytes");
        }
        if body_limit > MOST_BODY {
            variables.refuse("BODY_LIMIT", "at most 2,097,152 bytes");
        }
        if body_limit > body_memory {
            variables.refuse("BODY_LIMIT", "at most as many bytes as BODY_MEMORY");
        }
        let cors_origins = list_of(
            variables,
            "CORS_ORIGINS",
            "",
            "origins as https://app.example, without a path, with commas between",
            origin,
        );
        let max_connections = at_least_one(variables, "MAX_CONNECTIONS", 10_000);
        move |mainstay| Self {
            listen,
            admin_listen,
            orchestrators,
            redis_url,
            database_url,
            data_dir,
            jwt,
            api_keys,
            admin_token,
            limits: Limits::default().with(rows),
            idempotency_when_redis_is_down: policy,
            models,
            times,
            body_limit,
            body_memory,
            cors_origins,
            max_connections,
            mainstay,
        }
    }
}

fn jwt(variables: &mut Section) -> JwtSettings {
    let secret = variables.secret("JWT_SECRET", 32).required();
    if is_known_secret(secret.expose()) {
        variables.refuse("JWT_SECRET", "a secret of your own, not one that stands in examples");
    }
    JwtSettings {
        secret,
        issuer: variables.text("JWT_ISSUER").optional(),
        audience: variables.text("JWT_AUDIENCE").optional(),
    }
}

/// A URL may hold a password, and so is a secret as a whole.
fn url(variables: &mut Section, key: &str, schemes: &[&str]) -> Option<Secret> {
    variables.text(key).optional()?;
    let _checked = variables.endpoint(key, schemes).required();
    Some(variables.secret(key, 1).required())
}

fn time(variables: &mut Section, key: &str, seconds: u64) -> Duration {
    let time = variables.duration(key).or(Duration::from_secs(seconds));
    if time < Duration::from_millis(1) || time > Duration::from_secs(24 * 60 * 60) {
        variables.refuse(key, "a duration from 1ms to 24h");
    }
    time
}

fn at_least_one(variables: &mut Section, key: &str, default: usize) -> usize {
    let number: Field<'_, usize> = variables.number(key);
    let number = number.or(default);
    if number == 0 {
        variables.refuse(key, "a number of at least 1");
    }
    number
}

fn list_of<T>(
    variables: &mut Section,
    key: &str,
    default: &str,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Vec<T> {
    let text = variables.text(key).or(default.to_owned());
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let list: Option<Vec<T>> = parts.map(parse).collect();
    match list {
        Some(list) if !list.is_empty() || default.is_empty() => list,
        _ => {
            variables.refuse(key, expected);
            Vec::new()
        }
    }
}

fn is_endpoint(text: &str) -> bool {
    let uri: Option<axum::http::Uri> = text.parse().ok();
    uri.is_some_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty()))
}
