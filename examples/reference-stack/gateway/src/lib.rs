//! The reference stack's gateway: who asks, how much he may, once or again; then OpenAI's chat completions and the tasks API over the
//! orchestrators.
//!
//! Read it top-down: [`settings`] says what it is told, [`wiring`] makes breakers, health and degradation of that and puts them around Redis,
//! PostgreSQL and the orchestrators, [`routes`] is the way of a request. [`start`] does it all.
#![forbid(unsafe_code)]

pub mod admin;
pub mod auth;
pub mod body;
pub mod chat;
mod cors;
pub mod degraded;
pub mod events;
pub mod idempotency;
pub mod limit;
pub mod openapi;
pub mod orchestrators;
pub mod problem;
pub mod routes;
mod serve;
pub mod settings;
pub mod tasks;
pub mod trace;
pub mod view;
pub mod wiring;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstay::config::Environment;
use mainstay::health::{HealthManager, Phase, Shutdown};
use mainstay::{ConfigError, Mainstay, NoRuntime, Reloader};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub use admin::record_metrics;
pub use settings::Settings;

use crate::auth::{Auth, KeyTable};
use crate::idempotency::Idempotency;
use crate::limit::Limiter;
use crate::orchestrators::Orchestrators;
use crate::wiring::Wired;

/// What handlers share.
pub type App = Arc<Gateway>;

/// What the gateway is made of.
#[derive(Debug)]
pub struct Gateway {
    settings: Settings,
    mainstay: Mainstay,
    reloader: Reloader,
    auth: Auth,
    limiter: Limiter,
    idempotency: Idempotency,
    orchestrators: Orchestrators,
    /// What bodies take of the memory.
    bodies: Arc<Semaphore>,
    /// Seconds since the Unix epoch.
    started: u64,
    /// Whether streams shall end because the process does.
    closing: watch::Sender<bool>,
    maintenance: Mutex<Option<String>>,
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    /// Where clients come.
    pub addr: SocketAddr,
    /// Where operators come.
    pub admin_addr: SocketAddr,
    app: App,
    shutdown: Shutdown,
    served: JoinHandle<()>,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The system does not deliver signals.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
    /// The settings do not fit the program.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// There is no runtime.
    #[error(transparent)]
    Runtime(#[from] NoRuntime),
    /// The settings leave out a breaker that is needed.
    #[error("the settings name no breaker `{0}`")]
    NoBreaker(String),
    /// The client does not take a URL, which may hold a password.
    #[error("{0} is not a URL that the client understands")]
    Url(&'static str),
    /// An orchestrator's URI.
    #[error("ORCHESTRATORS: {0}")]
    Orchestrator(#[from] tonic::transport::Error),
}

/// Binds, wires, serves, until [`Running::stop`].
///
/// # Errors
///
/// [`StartError`]. That something it depends on is down is none.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    start_until(settings, |health| Ok(Shutdown::new(health))).await
}

/// The same, with an end of another kind: `Shutdown::on_signals` is that of a process.
///
/// # Errors
///
/// As for [`start`].
pub async fn start_until(
    settings: Settings,
    end: impl FnOnce(&HealthManager) -> std::io::Result<Shutdown>,
) -> Result<Running, StartError> {
    record_metrics();
    let listener = listen(settings.listen).await?;
    let admin_listener = listen(settings.admin_listen).await?;
    let Wired { mainstay, reloader, following, auth, limiter, idempotency, orchestrators, keys } =
        wiring::wire(&settings)?;
    let addr = listener.local_addr().map_err(|error| StartError::Listen(settings.listen, error))?;
    let admin_addr =
        admin_listener.local_addr().map_err(|error| StartError::Listen(settings.admin_listen, error))?;
    let shutdown = end(mainstay.health()).map_err(StartError::Signals)?;
    let bodies = Arc::new(Semaphore::new(settings.body_memory));
    let app = Arc::new(Gateway {
        settings,
        mainstay,
        reloader,
        auth,
        limiter,
        idempotency,
        orchestrators,
        bodies,
        started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        closing: watch::Sender::default(),
        maintenance: Mutex::default(),
    });
    let (times, most) = (app.settings.times, app.settings.max_connections);
    let (serving, ending) = (app.clone(), shutdown.clone());
    let served = tokio::spawn(async move {
        let preparing = tokio::spawn(prepare(keys)).abort_handle();
        let tidying = tokio::spawn(admin::tidy_metrics()).abort_handle();
        let admin =
            serve::serve(admin_listener, admin::router(serving.clone()), times, 100, std::future::pending());
        let admin = tokio::spawn(admin).abort_handle();
        let closing = ending.stop_accepting();
        let stop = {
            let app = serving.clone();
            async move {
                closing.await;
                app.closing.send_replace(true);
            }
        };
        let server = serve::serve(listener, routes::router(serving), times, most, stop);
        let ended = ending.run(server).await;
        tracing::info!(left = ended.left, seconds = ended.took.as_secs_f64(), "the gateway has ended");
        admin.abort();
        preparing.abort();
        tidying.abort();
        drop(following);
    });
    Ok(Running { addr, admin_addr, app, shutdown, served })
}

/// Reads the settings of the process.
///
/// # Errors
///
/// Everything that is wrong, at once.
pub fn settings_of_process() -> Result<Settings, mainstay::config::SettingErrors> {
    Settings::load(&Environment::from_process())
}

impl Running {
    /// Ends it without losing a request: not ready, a short while later nothing new, then what is under way ends.
    pub async fn stop(self) {
        self.shutdown.trigger();
        self.ended().await;
    }

    /// Waits for its end.
    pub async fn ended(mut self) {
        // Only a panic could fail it, and then it has ended.
        let _ = (&mut self.served).await;
    }

    /// Its breakers, health and degradation: for who looks after it in the same process.
    pub fn mainstay(&self) -> &Mainstay {
        &self.app.mainstay
    }
}

impl Drop for Running {
    /// What is not stopped ends without grace.
    fn drop(&mut self) {
        self.shutdown.trigger();
        self.shutdown.trigger();
    }
}

impl Gateway {
    /// Ends when streams shall end because the process does.
    fn leaving(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closing = self.closing.subscribe();
        async move {
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }

    /// Whether connections shall go elsewhere.
    fn is_leaving(&self) -> bool {
        self.mainstay.health().report().phase() != Phase::Running || self.maintenance().is_some()
    }

    fn maintenance(&self) -> Option<String> {
        self.maintenance.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_maintenance(&self, reason: Option<String>) {
        *self.maintenance.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(addr).await.map_err(|error| StartError::Listen(addr, error))
}

/// Makes the table of API keys as soon as there is a database.
async fn prepare(keys: KeyTable) {
    let mut pause = Duration::from_secs(1);
    while keys.prepare().await.is_err() {
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5 * 60));
    }
}
