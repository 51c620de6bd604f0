//! Starting and stopping: everything is wired before the first call comes, and what is under way ends before the last store is closed.

use std::error::Error;
use std::fmt;
use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mainstay::health::Shutdown;
use mainstay::{Following, Mainstay};
use mainstay_health_grpc::{HealthGrpc, Serves};
use stack_protocol::v1::orchestrator_server::{OrchestratorServer, SERVICE_NAME};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tracing::{info, warn};

use crate::admin::{self, Admin};
use crate::identity;
use crate::live::Live;
use crate::runner::Runner;
use crate::service::Service;
use crate::settings::Settings;
use crate::wiring::{Wiring, wire};

/// The largest request, in bytes.
const LARGEST_REQUEST: usize = 2 * 1024 * 1024;
/// The longest time of a call, until its answer begins.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long the spool has to deliver what it can, at the end. The rest stays on disk.
const DRAIN_SPOOL: Duration = Duration::from_secs(5);

/// An orchestrator that runs.
pub struct Running {
    address: SocketAddr,
    admin_address: SocketAddr,
    mainstay: Mainstay,
    shutdown: Shutdown,
    runner: Runner,
    limit: Duration,
    server: JoinHandle<()>,
    admin: JoinHandle<io::Result<()>>,
    _following: Following,
}

/// Why an orchestrator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The directory of its data cannot be used.
    #[error("DATA_DIR cannot be used: {0}")]
    Data(#[source] io::Error),
    /// An address cannot be listened on.
    #[error("{0} cannot be listened on")]
    Listen(SocketAddr, #[source] io::Error),
    /// The signals that shall end it cannot be heard.
    #[error("the signals cannot be heard: {0}")]
    Signals(#[source] io::Error),
    /// What it is made of does not fit together.
    #[error("the orchestrator cannot be wired: {0}")]
    Wiring(Box<dyn Error + Send + Sync>),
}

/// Starts an orchestrator. Nothing of what it depends on need be up but the directory of its data.
///
/// # Errors
///
/// What it cannot do without.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    // Some driver may bring another one, and then rustls does not choose.
    let _ = rustls::crypto::ring::default_provider().install_default();
    std::fs::create_dir_all(&settings.data_dir).map_err(StartError::Data)?;
    let id = settings.id.clone().map_or_else(|| identity::of_directory(&settings.data_dir), Ok);
    let id = id.map_err(StartError::Data)?;
    // Whoever cannot be asked leaves what it accepted for a start that can.
    let (socket, admin_socket) = (bind(settings.listen)?, bind(settings.admin_listen)?);
    let settings = Arc::new(settings);
    let wiring = |error| StartError::Wiring(error);
    let Wiring { mainstay, reloader, executor, store, spool, waiting } = wire(&settings).map_err(wiring)?;
    mainstay.start().map_err(|error| wiring(error.into()))?;
    let following = reloader.follow().map_err(|error| wiring(error.into()))?;

    let runner = Runner {
        id: id.clone(),
        live: Live::default(),
        spool: spool.clone(),
        waiting,
        store,
        executor,
        slots: Arc::new(Semaphore::new(settings.most_running)),
        tasks: TaskTracker::new(),
        closed: CancellationToken::new(),
        halted: CancellationToken::new(),
    };
    // Before anybody may ask for them.
    runner.resume().await.map_err(|fault| wiring(fault.into()))?;
    let (listener, address) = listen(socket, settings.listen)?;
    let (admin_listener, admin_address) = listen(admin_socket, settings.admin_listen)?;
    let admin = Admin { mainstay: mainstay.clone(), reloader, spool, metrics: settings.metrics.clone() };
    // To the very end: one that drains must be able to say so.
    let admin = tokio::spawn(axum::serve(admin_listener, admin::router(admin)).into_future());

    let health = mainstay.health();
    let service =
        Service { runner: runner.clone(), readers: Arc::new(Semaphore::new(settings.most_readers)) };
    let probes = HealthGrpc::new(health).service(SERVICE_NAME, Serves::Readiness).check_names(false);
    // It tells what is served here: the descriptors know the agents, too.
    let reflection = |own_name| {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(stack_protocol::DESCRIPTORS)
            .register_encoded_file_descriptor_set(mainstay_health_grpc::pb::FILE_DESCRIPTOR_SET);
        let names = [SERVICE_NAME, "grpc.health.v1.Health", own_name];
        names.into_iter().fold(builder, |builder, name| builder.with_service_name(name))
    };
    let shutdown = match settings.ends_at_signals {
        true => Shutdown::on_signals(health).map_err(StartError::Signals)?,
        false => Shutdown::new(health),
    };
    // Until balancers have noticed, what comes is done.
    tokio::spawn({
        let (closing, closed) = (shutdown.stop_accepting(), runner.closed.clone());
        async move {
            closing.await;
            closed.cancel();
        }
    });
    let server = Server::builder()
        // For the answer's head: streams are as long as their tasks.
        .timeout(ANSWER_WITHIN)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .http2_max_header_list_size(16 * 1024)
        .add_service(OrchestratorServer::new(service).max_decoding_message_size(LARGEST_REQUEST))
        .add_service(probes)
        .add_service(
            reflection("grpc.reflection.v1.ServerReflection")
                .build_v1()
                .map_err(|error| wiring(error.into()))?,
        )
        .add_service(
            reflection("grpc.reflection.v1alpha.ServerReflection")
                .build_v1alpha()
                .map_err(|error| wiring(error.into()))?,
        )
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.stop_accepting());
    let ending = shutdown.clone();
    let server = tokio::spawn(async move {
        let ended = ending.run(server).await;
        if let Some(Err(error)) = ended.output {
            warn!(%error, "the server broke down");
        }
    });
    info!(%address, %admin_address, id, "started");
    let said = &settings.loaded.settings().health;
    let limit = said.drain_limit;
    Ok(Running {
        address,
        admin_address,
        mainstay,
        shutdown,
        runner,
        limit,
        server,
        admin,
        _following: following,
    })
}

/// The address is taken, but whoever connects is refused still.
fn bind(address: SocketAddr) -> Result<TcpSocket, StartError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(|error| StartError::Listen(address, error))
}

fn listen(socket: TcpSocket, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let error = |error| StartError::Listen(address, error);
    let listener = socket.listen(1024).map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    Ok((listener, bound))
}

// === impl Running ===

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Running {
    /// Where its gRPC is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its health and metrics are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Its breakers, health and degradation: for who looks after it in the same process.
    pub fn mainstay(&self) -> &Mainstay {
        &self.mainstay
    }

    /// Ends it, and returns when it [has ended](Self::ended).
    pub async fn stop(self) {
        self.shutdown.trigger();
        self.ended().await;
    }

    /// Waits until it was asked to end, and has: it is not ready any more, refuses new tasks, finishes those that run, delivers what the
    /// spool has, and closes its stores. That takes as long as the health settings say (`drain_delay`, `drain_limit`) and some seconds
    /// for the spool; what has not ended then goes on after the next start.
    pub async fn ended(self) {
        let Self { runner, limit, mut server, admin, .. } = self;
        let late = async {
            runner.closed.cancelled().await;
            // Readers of what does not end in time are told so while there is time.
            sleep(limit.saturating_sub(Duration::from_secs(1))).await;
            runner.halt().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = &mut server => {}
            () = late => {}
        }
        runner.closed.cancel();
        runner.halt().await;
        let drained = runner.spool.drain(DRAIN_SPOOL).await;
        runner.store.close().await;
        admin.abort();
        info!(left_in_spool = drained.left, "ended");
    }
}
