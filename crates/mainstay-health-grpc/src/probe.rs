use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use mainstay_health::{ErrorClass, ProbeExit, ProbeReply};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tower::service_fn;

use crate::pb::HealthCheckRequest;
use crate::pb::health_check_response::ServingStatus;
use crate::pb::health_client::HealthClient;

/// How long [`probe`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeTimeouts {
    /// For a connection: name resolution, TCP, and the server's first word. More than zero. Default: 1 s.
    pub connect: Duration,
    /// For the answer after that. More than zero. Default: 1 s.
    pub call: Duration,
}

/// Whether the other side has said its first word as HTTP/2 demands: nothing before it said anything.
type Greeting = watch::Sender<Option<bool>>;

/// A connection that tells when the server greets.
struct Greeted {
    stream: TcpStream,
    /// How many bytes of the head of the first frame were read.
    read: usize,
    greeting: Arc<Greeting>,
}

/// In the head of a frame of HTTP/2: where its type is, and the type of the first one that a server sends.
const TYPE_AT: usize = 3;
const SETTINGS: u8 = 4;
/// The longest time that the server is told: the protocol has no words for much longer ones.
const LONGEST_TOLD: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Asks a server from outside whether a service of its serves, as `grpc_health_probe` does, with its exit codes.
///
/// `url` is `http://host:port`, or `host:port`; `service` may be empty. No TLS.
///
/// | exit | when |
/// | --- | --- |
/// | 0 | it answered `SERVING` |
/// | 1 | the URL cannot be asked, or a time-out is zero |
/// | 2 | no connection, or the server did not greet (as one that is stopped does not) |
/// | 3 | the call failed, or had no answer in time: also a name that the server does not know (`NOT_FOUND`), and a server without the health service (`UNIMPLEMENTED`) |
/// | 4 | it answered anything but `SERVING` |
///
/// The reply's text holds the kind of an error, and neither the URL nor a text from outside.
///
/// It needs a tokio runtime with I/O and time. Outside of any, and in one that has not both, the connection failed; that a
/// runtime lacks them is only known by a panic of tokio's, which is caught, and ends the process where panics abort.
///
/// ```
/// use mainstay_health::ProbeExit;
/// use mainstay_health_grpc::{ProbeTimeouts, probe};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let reply = probe("http://127.0.0.1:1", "orders.v1.Orders", ProbeTimeouts::default()).await;
/// assert_eq!(reply.exit, ProbeExit::ConnectionFailed);
/// assert_eq!(reply.exit.code(), 2);
/// # }
/// ```
pub async fn probe(url: &str, service: &str, timeouts: ProbeTimeouts) -> ProbeReply {
    let mut asking = pin!(ask(url, service, timeouts));
    let asked = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| asking.as_mut().poll(cx))) {
        Ok(asked) => asked,
        Err(_) => Poll::Ready(Err(no_connection("the tokio runtime here lacks I/O or time"))),
    });
    asked.await.unwrap_or_else(|reply| reply)
}

async fn ask(url: &str, service: &str, timeouts: ProbeTimeouts) -> Result<ProbeReply, ProbeReply> {
    let (endpoint, address) =
        target(url).map_err(|text| ProbeReply::new(ProbeExit::InvalidArguments, text))?;
    if timeouts.connect.is_zero() || timeouts.call.is_zero() {
        return Err(ProbeReply::new(ProbeExit::InvalidArguments, "a time-out must be more than zero"));
    }
    if Handle::try_current().is_err() {
        return Err(no_connection("there is no tokio runtime here"));
    }
    let channel = match timeout(timeouts.connect, connect(endpoint, address)).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(class)) => return Err(no_connection(class)),
        Err(_) => {
            let text = format_args!("no connection within {:?}", timeouts.connect);
            return Err(ProbeReply::new(ProbeExit::ConnectionFailed, text));
        }
    };
    let mut request = Request::new(HealthCheckRequest { service: service.to_owned() });
    request.set_timeout(timeouts.call.min(LONGEST_TOLD));
    let mut client = HealthClient::new(channel);
    let answer = match timeout(timeouts.call, client.check(request)).await {
        Ok(Ok(answer)) => answer.into_inner(),
        Ok(Err(status)) => return Err(failed(&status, timeouts)),
        Err(_) => return Err(failed(&Status::deadline_exceeded(""), timeouts)),
    };
    Ok(match answer.status() {
        ServingStatus::Serving => ProbeReply::new(ProbeExit::Healthy, "status: SERVING"),
        status => ProbeReply::new(ProbeExit::Unhealthy, format_args!("status: {}", status.as_str_name())),
    })
}

/// What to connect to.
fn target(url: &str) -> Result<(Endpoint, String), &'static str> {
    const FORM: &str = "the URL must be http://host:port";
    let uri: Uri = match url.contains("://") {
        true => url.parse().map_err(|_| FORM)?,
        false => format!("http://{url}").parse().map_err(|_| FORM)?,
    };
    if uri.scheme_str() != Some("http") {
        return Err("the URL must begin with http://: nothing else can be asked");
    }
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else { return Err(FORM) };
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if host.is_empty() || has_user || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(FORM);
    }
    let address = format!("{host}:{port}");
    Ok((Endpoint::from(uri), address))
}

/// Connects, and waits until the server has greeted: the kernel accepts connections for one that is stopped.
async fn connect(endpoint: Endpoint, address: String) -> Result<Channel, ErrorClass> {
    let (greeting, mut greeted) = watch::channel(None);
    let greeting = Arc::new(greeting);
    let connector = service_fn(move |_: Uri| {
        let (address, greeting) = (address.clone(), greeting.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>(TokioIo::new(Greeted { stream, read: 0, greeting }))
        }
    });
    let channel = endpoint.connect_with_connector(connector).await.map_err(|error| ErrorClass::of(&error))?;
    match greeted.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(true)) => Ok(channel),
        Ok(_) => Err(ErrorClass::BadAnswer),
        Err(_) => Err(ErrorClass::ConnectionLost),
    }
}

fn no_connection(why: impl Display) -> ProbeReply {
    ProbeReply::new(ProbeExit::ConnectionFailed, format_args!("no connection: {why}"))
}

fn failed(status: &Status, timeouts: ProbeTimeouts) -> ProbeReply {
    let exit = ProbeExit::CallFailed;
    match status.code() {
        Code::Unimplemented => ProbeReply::new(exit, "the server does not implement grpc.health.v1"),
        // CANCELLED is what a server of tonic's says when the time that the call was given is over.
        Code::DeadlineExceeded | Code::Cancelled => {
            ProbeReply::new(exit, format_args!("no answer within {:?}", timeouts.call))
        }
        code => ProbeReply::new(exit, format_args!("the call failed: {code:?}")),
    }
}

impl Default for ProbeTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), call: Duration::from_secs(1) }
    }
}

// === impl Greeted ===

impl Greeted {
    /// Looks at what was read.
    fn hear(&mut self, bytes: &[u8]) {
        if self.read <= TYPE_AT {
            let kind = bytes.get(TYPE_AT - self.read);
            self.read += bytes.len();
            if let Some(kind) = kind {
                self.greeting.send_replace(Some(*kind == SETTINGS));
            }
        }
    }
}

impl Drop for Greeted {
    fn drop(&mut self) {
        // It ended before the server said enough.
        if self.read <= TYPE_AT {
            self.greeting.send_replace(Some(false));
        }
    }
}

impl AsyncRead for Greeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.hear(buffer.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
