use std::net::SocketAddr;

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Router, middleware};
use mainstay::ConfigError;
use mainstay::health::http::Endpoint;
use mainstay::health::{HealthManager, NoRuntime, Shutdown};
use mainstay_health_axum::{DetailsPolicy, Probes};
use stack_faults::Faults;
use stack_openai::ApiError;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::chat::{self, Llm, MAX_BODY};
use crate::key::{self, Key};
use crate::{Settings, models};

/// Why the language model did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The port.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The signals that shall end it cannot be heard.
    #[error("the signals cannot be heard: {0}")]
    Signals(#[source] std::io::Error),
    /// A setting breaks its rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no runtime here.
    #[error(transparent)]
    Runtime(#[from] NoRuntime),
}

/// The language model while it runs.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    admin_address: SocketAddr,
    faults: Faults,
    shutdown: Shutdown,
    server: JoinHandle<()>,
    admin: JoinHandle<()>,
}

/// Binds both ports and serves.
///
/// # Errors
///
/// [`StartError`]; then nothing runs.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    let (listener, address) = listen(settings.listen).await?;
    let (admin_listener, admin_address) = listen(settings.admin_listen).await?;
    let faults = Faults::new();
    // Without checks: the language model needs nobody.
    let health = HealthManager::builder("llm-service")
        .drain_delay(settings.drain_delay)
        .drain_limit(settings.drain_limit)
        .build()?;
    health.start()?;

    let llm = Llm::new(faults.clone(), settings.models);
    let probes = Probes::new(&health).only([Endpoint::Health, Endpoint::Readyz, Endpoint::Livez]).router();
    let app = api(llm, Key::new(settings.key.as_ref()))
        .merge(probes)
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so);
    let shutdown = match settings.ends_at_signals {
        true => Shutdown::on_signals(&health).map_err(StartError::Signals)?,
        false => Shutdown::new(&health),
    };
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.stop_accepting());
    let server = tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            let ended = shutdown.run(server).await;
            tracing::info!(took = ?ended.took, complete = ended.output.is_some(), "stopped");
        }
    });
    let probes = Probes::new(&health).details(DetailsPolicy::Always).router();
    let admin = tokio::spawn(serve_admin(admin_listener, probes.merge(faults.router())));
    Ok(Running { address, admin_address, faults, shutdown, server, admin })
}

/// What is OpenAI's. The switches act on the completions alone: health tells about the service, not about a drill.
fn api(llm: Llm, key: Key) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{model}", get(models::show))
        .route_layer(middleware::from_fn_with_state(key, key::check))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(llm)
}

async fn nowhere(method: Method, uri: Uri) -> ApiError {
    let message = format!("Invalid URL ({method} {})", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
}

async fn not_so(method: Method, uri: Uri) -> ApiError {
    let message = format!("Not allowed to {method} on {}.", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", message)
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn serve_admin(listener: TcpListener, router: Router) {
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the admin port ended");
    }
}

impl Running {
    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health and the fault switches are served.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The fault switches.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Stops gracefully: not ready, then nothing new, then answers that are under way end. The admin port answers until then.
    pub async fn stop(self) {
        self.shutdown.trigger();
        self.ended().await;
    }

    /// Waits until it was asked to end, and has.
    pub async fn ended(self) {
        // Fails only if it panicked, and then it has ended as well.
        let _ = self.server.await;
        self.admin.abort();
    }
}
