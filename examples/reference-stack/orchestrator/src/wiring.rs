//! Breakers, health and degradation of the orchestrator, in one place: five breakers by the settings' names, a check for each
//! dependency, and the level that both make.

use std::error::Error;
use std::future::ready;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mainstay::breaker::{Breaker, OpenFor};
use mainstay::health::{Check, CheckOutcome, HealthManagerBuilder};
use mainstay::spool::{FsyncPolicy, Spool, SpoolSettings};
use mainstay::{ConfigError, Mainstay, Registry, Reloader};

use crate::agents::Agents;
use crate::execute::Executor;
use crate::llm::Llm;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::store::{Record, Store};
use crate::waiting::{Told, Waiting};

/// Everything that a task needs, guarded.
pub(crate) struct Wiring {
    pub(crate) mainstay: Mainstay,
    pub(crate) reloader: Reloader,
    pub(crate) executor: Executor,
    pub(crate) store: Store,
    pub(crate) spool: Spool<Record>,
    pub(crate) waiting: Waiting,
}

/// What is asked, each behind its breaker, and what is accepted.
struct Clients {
    agents: Agents,
    llm: Llm,
    sessions: Sessions,
    store: Store,
    spool: Spool<Record>,
    spool_bytes: u64,
    waiting: Waiting,
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Wires it. Nothing of what it depends on need be up but the directory of its data.
pub(crate) fn wire(settings: &Arc<Settings>) -> Result<Wiring, BoxError> {
    // Breakers, thresholds and rules are the settings'. What they name is built first; the clients take their breakers from the
    // registry, and the checks ask through the clients.
    let registry = Registry::new();
    let (connected, clients) = mpsc::channel();
    let (told, breakers) = (settings.clone(), registry.clone());
    let mainstay = Mainstay::from_settings("orchestrator", settings.loaded.settings())
        .registry(&registry)
        .health(move |health| {
            let clients = connect(&told, &breakers);
            let health = clients.iter().fold(health, check);
            let _ = connected.send(clients);
            health
        })
        .build();
    let Clients { agents, llm, sessions, store, spool, waiting, .. } = clients.recv()??;
    let mainstay = mainstay?;
    let reloader = Reloader::new(&mainstay, settings.loader.clone(), settings.loaded.clone())?;
    let executor = Executor { mainstay: mainstay.clone(), agents, llm, sessions };
    Ok(Wiring { mainstay, reloader, executor, store, spool, waiting })
}

fn connect(settings: &Settings, breakers: &Registry) -> Result<Clients, BoxError> {
    let breaker = |name: &str| {
        let missing = || ConfigError::new("circuit_breakers", name, "must be among the settings' breakers");
        Breaker::all(breakers).into_iter().find(|breaker| breaker.name().as_str() == name).ok_or_else(missing)
    };
    let store = Store::open(settings, breaker("database")?)?;
    let waiting = Waiting::default();
    // On disk until the database has it. The store's own breaker is enough: the spool waits as long as that says.
    let spool = Spool::open(
        settings.data_dir.join("spool"),
        SpoolSettings::new()
            .name("tasks")
            .fsync(FsyncPolicy::EachBatch)
            .batch(100)
            .linger(Duration::from_secs(1))
            .backoff(OpenFor::exponential(Duration::from_secs(1), Duration::from_secs(10)))
            .bound(settings.spool_bytes),
        Told { store: store.clone(), waiting: waiting.clone() },
    )?;
    // Before the part of the task that it is ends: what nobody waits for any more counts as nobody's failing.
    let part = settings.loaded.settings().degradation.timeout_override;
    let agent_timeout = settings.agent_timeout.min(part / 10 * 9);
    Ok(Clients {
        agents: Agents::connect(settings.agents.clone(), agent_timeout, breaker("grpc")?)?,
        llm: Llm::new(settings, breaker("llm_service")?, breaker("llm_fallback")?)?,
        sessions: Sessions::open(settings, breaker("redis")?)?,
        store,
        spool,
        spool_bytes: settings.spool_bytes,
        waiting,
    })
}

/// One check for each dependency. What all replicas share never takes all of them out of service at once; the settings say which are
/// critical, and how often they are asked.
fn check(health: HealthManagerBuilder, clients: &Clients) -> HealthManagerBuilder {
    let (spool, most) = (clients.spool.clone(), clients.spool_bytes);
    health
        .check(Check::shared("redis", clients.sessions.check()))
        .check(Check::shared("database", clients.store.check()))
        .check(Check::shared("agent_core", clients.agents.check()))
        .check(Check::shared("llm_service", clients.llm.check()))
        .check(Check::internal("spool", move || ready(room(&spool, most))))
}

/// Whether there is room for more, and nothing was given up.
fn room(spool: &Spool<Record>, most: u64) -> CheckOutcome {
    let stats = spool.stats();
    let outcome = if stats.used_bytes > most / 10 * 9 {
        CheckOutcome::unhealthy("the spool is nearly full")
    } else if stats.dead_letters > 0 {
        CheckOutcome::degraded("the database refused some records for good")
    } else {
        CheckOutcome::healthy()
    };
    outcome.detail("backlog", stats.backlog).detail("used_bytes", stats.used_bytes)
}
