//! The wiring, all of it: settings make the breakers, the breakers guard the clients, the checks look through the clients, and the degradation
//! manager watches both. Look at `wire`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mainstay::breaker::Breaker;
use mainstay::health::{Check, CheckOutcome};
use mainstay::{Following, Mainstay, Reloader};
use mainstay_postgres::GuardedPool;
use mainstay_postgres::sqlx::postgres::PgPoolOptions;
use mainstay_redis::Guarded;
use mainstay_redis::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use mainstay_redis::redis::{self, Client};

use crate::StartError;
use crate::auth::{ApiKeys, Auth, KeyTable, Tokens};
use crate::idempotency::{Idempotency, MemoryStore, RedisStore, Store};
use crate::limit::{Limiter, RedisLimiter};
use crate::orchestrators::Orchestrators;
use crate::settings::Settings;

/// Redis, behind the breaker `redis`.
pub type Redis = Guarded<ConnectionManager>;

/// How long Redis may take for an answer.
const REDIS_DEADLINE: Duration = Duration::from_millis(500);

/// What the gateway is made of.
pub(crate) struct Wired {
    pub(crate) mainstay: Mainstay,
    pub(crate) reloader: Reloader,
    pub(crate) following: Following,
    pub(crate) auth: Auth,
    pub(crate) limiter: Limiter,
    pub(crate) idempotency: Idempotency,
    pub(crate) orchestrators: Orchestrators,
    pub(crate) keys: KeyTable,
}

/// What the checks look through: it is there as soon as the breakers are.
#[derive(Default)]
struct Looks {
    redis: OnceLock<Redis>,
    keys: OnceLock<KeyTable>,
    orchestrators: OnceLock<Orchestrators>,
}

/// Makes everything. Nothing is asked over the network yet, so that the gateway starts whatever is down.
pub(crate) fn wire(settings: &Settings) -> Result<Wired, StartError> {
    // One for all that speaks TLS. Whoever starts more than one service in a process has it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let looks = Arc::new(Looks::default());
    let mainstay = family(settings, &looks)?;

    let (redis_breaker, clock) = (breaker(&mainstay, "redis")?, mainstay.clock().clone());
    let redis = settings.redis_url.as_ref().map(|url| connect(url.expose(), &redis_breaker)).transpose()?;
    let store = match &redis {
        Some(redis) => Store::Redis(RedisStore::new(redis.clone(), redis_breaker)),
        None => Store::Memory(MemoryStore::new(redis_breaker, clock.clone())),
    };
    let limiter = Limiter::new(settings.limits.clone(), redis.clone().map(RedisLimiter::new));
    let policy = settings.idempotency_when_redis_is_down;
    let idempotency = Idempotency::new(store, policy, &settings.times, settings.body_memory);

    let keys = key_table(settings, breaker(&mainstay, "database")?)?;
    let api_keys = ApiKeys::new(settings.api_keys.clone(), keys.clone(), clock);
    let auth = Auth::new(Tokens::new(&settings.jwt), api_keys);

    let endpoints = settings.orchestrators.iter().enumerate().map(|(at, uri)| {
        let breaker = breaker(&mainstay, &orchestrator_breaker(at))?;
        Ok((uri.clone(), breaker))
    });
    let endpoints = endpoints.collect::<Result<Vec<_>, StartError>>()?;
    let orchestrators = Orchestrators::new(endpoints, settings.times.stream_patience)?;

    if let Some(redis) = redis {
        _ = looks.redis.set(redis);
    }
    _ = looks.keys.set(keys.clone());
    _ = looks.orchestrators.set(orchestrators.clone());
    mainstay.start()?;
    let family = &settings.mainstay;
    let reloader = Reloader::new(&mainstay, family.loader.clone(), family.loaded.clone())?;
    let following = reloader.follow()?;
    Ok(Wired { mainstay, reloader, following, auth, limiter, idempotency, orchestrators, keys })
}

/// Breakers, health and degradation, as the settings say.
fn family(settings: &Settings, looks: &Arc<Looks>) -> Result<Mainstay, StartError> {
    let loaded = &settings.mainstay.loaded;
    let mut builder = Mainstay::from_settings("gateway", loaded.settings());
    // `grpc` is the first one's; the others have its settings too.
    for at in 1..settings.orchestrators.len() {
        let like_the_first = loaded.settings().breaker("grpc").settings.clone();
        builder = builder.breaker(orchestrator_breaker(at), |breaker| breaker.settings(like_the_first));
    }
    let (redis, keys, orchestrators) = (looks.clone(), looks.clone(), looks.clone());
    let mainstay = builder
        .check(Check::shared("redis", move || look_at_redis(redis.clone())))
        .check(Check::shared("database", move || look_at_keys(keys.clone())))
        .check(Check::shared("orchestrator", move || look_at_orchestrators(orchestrators.clone())))
        .build()?;
    Ok(mainstay)
}

/// `grpc`, `grpc-2`, `grpc-3`, ...
fn orchestrator_breaker(at: usize) -> String {
    match at {
        0 => "grpc".to_owned(),
        at => format!("grpc-{}", at + 1),
    }
}

fn breaker(mainstay: &Mainstay, name: &str) -> Result<Breaker, StartError> {
    mainstay.breaker(name).ok_or_else(|| StartError::NoBreaker(name.to_owned()))
}

/// Connects with the first command, and again when the connection is lost.
fn connect(url: &str, breaker: &Breaker) -> Result<Redis, StartError> {
    let client = Client::open(url).map_err(|_| StartError::Url("REDIS_URL"))?;
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(REDIS_DEADLINE))
        .set_response_timeout(Some(REDIS_DEADLINE))
        .set_number_of_retries(1);
    let manager = ConnectionManager::new_lazy_with_config(client, config);
    let manager = manager.map_err(|_| StartError::Url("REDIS_URL"))?;
    Ok(Guarded::new(manager, breaker.clone()).deadline(REDIS_DEADLINE))
}

fn key_table(settings: &Settings, breaker: Breaker) -> Result<KeyTable, StartError> {
    let Some(url) = &settings.database_url else {
        let path = settings.data_dir.join("gateway.sqlite");
        return Ok(KeyTable::File { path, breaker, open: Arc::default() });
    };
    let pool = PgPoolOptions::new()
        .max_connections(5)
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy(url.expose())
        .map_err(|_| StartError::Url("DATABASE_URL"))?;
    Ok(KeyTable::Postgres(
        GuardedPool::new(pool, breaker)
            .acquire_deadline(Duration::from_secs(2))
            .statement_deadline(Duration::from_secs(2)),
    ))
}

async fn look_at_redis(looks: Arc<Looks>) -> CheckOutcome {
    // Embedded stores have nothing to ask.
    let Some(mut redis) = looks.redis.get().cloned() else { return CheckOutcome::healthy() };
    match redis::cmd("PING").query_async::<String>(&mut redis).await {
        Ok(_) => CheckOutcome::healthy(),
        Err(_) => CheckOutcome::unhealthy("Redis does not answer"),
    }
}

async fn look_at_keys(looks: Arc<Looks>) -> CheckOutcome {
    let Some(keys) = looks.keys.get().cloned() else { return CheckOutcome::unknown() };
    match keys.ping().await {
        Ok(()) => CheckOutcome::healthy(),
        Err(_) => CheckOutcome::unhealthy("the table of API keys does not answer"),
    }
}

async fn look_at_orchestrators(looks: Arc<Looks>) -> CheckOutcome {
    match looks.orchestrators.get() {
        Some(orchestrators) => orchestrators.look().await,
        None => CheckOutcome::unknown(),
    }
}
