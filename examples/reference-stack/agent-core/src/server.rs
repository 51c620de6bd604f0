use std::net::SocketAddr;

use axum::Router;
use mainstay::ConfigError;
use mainstay::health::{HealthManager, NoRuntime, Shutdown};
use mainstay_health_axum::{DetailsPolicy, Probes};
use mainstay_health_grpc::{HealthGrpc, Serves};
use stack_faults::Faults;
use stack_protocol::v1::agent_core_server::{AgentCoreServer, SERVICE_NAME};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::Settings;
use crate::service::{Agents, MAX_INPUT};

/// Why the agents did not start.
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
    /// The protocol's descriptors cannot be reflected.
    #[error(transparent)]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// The agents while they run.
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
    // Without checks: the agents need nobody.
    let health = HealthManager::builder("agent-core")
        .drain_delay(settings.drain_delay)
        .drain_limit(settings.drain_limit)
        .build()?;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(stack_protocol::DESCRIPTORS)
        .with_service_name(SERVICE_NAME)
        .build_v1()?;
    let agents = AgentCoreServer::new(Agents { faults: faults.clone() })
        // The input, and room for the fields beside it.
        .max_decoding_message_size(MAX_INPUT + 64 * 1024);
    let router = Server::builder()
        .add_service(HealthGrpc::new(&health).service(SERVICE_NAME, Serves::Readiness))
        .add_service(reflection)
        .add_service(agents);
    health.start()?;

    let shutdown = match settings.ends_at_signals {
        true => Shutdown::on_signals(&health).map_err(StartError::Signals)?,
        false => Shutdown::new(&health),
    };
    let server = router.serve_with_incoming_shutdown(TcpIncoming::from(listener), shutdown.stop_accepting());
    let server = tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            let ended = shutdown.run(server).await;
            if let Some(Err(error)) = &ended.output {
                tracing::error!(%error, "the server ended");
            }
            tracing::info!(took = ?ended.took, complete = ended.output.is_some(), "stopped");
        }
    });
    let probes = Probes::new(&health).details(DetailsPolicy::Always).router();
    let admin = tokio::spawn(serve_admin(admin_listener, probes.merge(faults.router())));
    Ok(Running { address, admin_address, faults, shutdown, server, admin })
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
    /// Where gRPC is served.
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

    /// Stops gracefully: not ready, then nothing new, then calls that are under way end. The admin port answers until then.
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
