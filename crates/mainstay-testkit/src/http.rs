use std::net::SocketAddr;

use crate::TestkitError;
use crate::companion::Companion;
use crate::daemon::Daemon;
use crate::server::server_methods;

/// An HTTP/1.1 server that does what the path says. Every route takes every method.
///
/// | path | answer |
/// | --- | --- |
/// | `/status/{code}` | that status (200 to 599); with `?retry_after=VALUE` a `Retry-After` header of that value |
/// | `/delay/{ms}` | 200, after so many milliseconds |
/// | `/hang` | none, ever |
/// | `/bytes/{n}` | 200 and so many bytes, with `Content-Length` |
/// | `/stream?chunks=N&gap_ms=M&size=S` | 200 and N chunks (1) of S bytes (1), M ms (0) apart, chunked |
/// | `/broken?after=N` | 200 with a `Content-Length` of N + 1000, and breaks off after N bytes (0) |
/// | `/broken-chunked?after=N` | 200, chunked, and breaks off after N bytes (0) |
/// | `/echo` | 200 and the request's body, as it comes, with its `Content-Type` |
/// | `/redirect/{n}` | 302 to `/redirect/{n-1}`; 200 at 0 |
/// | `/count` | 200 and the number of requests since the server was started, those to `/count` left out |
///
/// ```no_run
/// use mainstay_testkit::HttpServer;
///
/// let server = HttpServer::start()?;
/// println!("{}/status/503?retry_after=7", server.url());
/// # Ok::<(), mainstay_testkit::TestkitError>(())
/// ```
#[derive(Debug)]
pub struct HttpServer {
    daemon: Daemon,
}

server_methods!(HttpServer);

// === impl HttpServer ===

impl HttpServer {
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
        Ok(Self { daemon: Companion::start("http", Vec::new())? })
    }

    /// The URL, without a slash at its end, by way of another address, such as a proxy's.
    pub fn url_at(&self, addr: SocketAddr) -> String {
        format!("http://{addr}")
    }
}
