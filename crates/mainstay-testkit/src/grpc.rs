//! A gRPC server that does what the request says.

use std::net::SocketAddr;
use std::time::Duration;

use crate::TestkitError;
use crate::companion::Companion;
use crate::daemon::Daemon;
use crate::server::server_methods;

/// The messages of the service `mainstay.testkit.v1.Test` and its client, generated from `proto/test.proto`.
#[allow(missing_debug_implementations, unreachable_pub, clippy::all)]
pub mod pb {
    tonic::include_proto!("mainstay.testkit.v1");
}

/// A gRPC server with the service `mainstay.testkit.v1.Test`: its four methods, one of each kind, do what
/// [`Ask`](pb::Ask) says.
///
/// A status other than OK comes in trailers that follow the headers, also for calls with one answer (which tonic
/// itself would put into the headers); with [`headers`](pb::Ask::headers) it comes in the headers.
///
/// ```no_run
/// use mainstay_testkit::GrpcServer;
/// use mainstay_testkit::grpc::pb::Ask;
/// use mainstay_testkit::grpc::pb::test_client::TestClient;
///
/// # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
/// let server = GrpcServer::start()?;
/// let mut client = TestClient::connect(server.url()).await?;
/// let mut answers = client.server_stream(Ask { messages: 1000, code: 14, ..Ask::default() }).await?.into_inner();
/// for number in 1..=1000 {
///     assert_eq!(answers.message().await?.unwrap().number, number);
/// }
/// let status = answers.message().await.unwrap_err();
/// assert_eq!(status.code(), tonic::Code::Unavailable);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GrpcServer {
    daemon: Daemon,
}

server_methods!(GrpcServer);

// === impl GrpcServer ===

impl GrpcServer {
    /// Starts one, and returns when it listens.
    ///
    /// It is the binary `mainstay-testkit-server` of this crate, from cargo's target directory; it is built if it is
    /// missing or older than its sources. `MAINSTAY_TESTKIT_SERVER` may say where another is.
    ///
    /// # Errors
    ///
    /// [`Failed`](TestkitError::Failed) if the binary cannot be built, [`NotReady`](TestkitError::NotReady) if it
    /// does not listen within 30 s.
    pub fn start() -> Result<Self, TestkitError> {
        Ok(Self { daemon: Companion::start("grpc", Vec::new())? })
    }

    /// Starts one with a time-out of its own (tonic's `Server::timeout`): a call whose response's headers are not out
    /// by then is cancelled by the server. In whole milliseconds.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with_timeout(timeout: Duration) -> Result<Self, TestkitError> {
        Ok(Self { daemon: Companion::start("grpc", vec![timeout.as_millis().to_string()])? })
    }

    /// The URL by way of another address, such as a proxy's.
    pub fn url_at(&self, addr: SocketAddr) -> String {
        format!("http://{addr}")
    }
}
