//! The processes: the gateway, and what it forwards to. Each says where it listens; the gateway also what it took so far, when asked.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mainstay_benches::call::Failure;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use tower::Service;
use tower::make::Shared;

use crate::app::{family, recorder, router};
use crate::variant::Variant;

/// Two threads work, as on a machine with two cores.
fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A gateway, until its standard input ends.
pub(crate) fn serve(variant: &str, upstream: &str) -> Result<(), Failure> {
    let variant = Variant::parse(variant)?;
    let uri: Uri = format!("http://{upstream}/answer").parse()?;
    let runtime = runtime()?;
    let entered = runtime.enter();
    let mainstay = family()?;
    if variant.degrades() {
        mainstay.start()?;
    }
    if variant.is_metered() {
        let recorder = recorder()?;
        let mainstay = mainstay.clone();
        runtime.spawn(async move {
            let mut every = tokio::time::interval(Duration::from_secs(1));
            loop {
                every.tick().await;
                if variant == Variant::All {
                    mainstay.publish();
                }
                std::hint::black_box(recorder.render());
            }
        });
    }
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let router = router(variant, &mainstay, client, uri)?;
    drop(entered);
    listen(&runtime, router)?;
    for line in std::io::stdin().lines() {
        _ = line?;
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        println!("{} {}", cpu.tv_sec, cpu.tv_nsec);
    }
    runtime.shutdown_background();
    Ok(())
}

/// What answers at once, until its standard input ends.
pub(crate) fn upstream() -> Result<(), Failure> {
    let runtime = runtime()?;
    listen(
        &runtime,
        Router::new().route("/answer", get(async || "a short answer, as JSON would be: {\"ok\": true}")),
    )?;
    std::io::stdin().lines().for_each(drop);
    runtime.shutdown_background();
    Ok(())
}

fn listen<S>(runtime: &Runtime, router: S) -> Result<(), Failure>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    use axum::serve::ListenerExt;

    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    println!("{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    runtime.spawn(async move { axum::serve(listener, Shared::new(router)).await });
    Ok(())
}

/// A process of this program. It ends with its standard input, and so with this one.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    addr: SocketAddr,
}

/// The gateway, from outside.
pub(crate) struct Gateway(Process);

/// What it forwards to, from outside.
pub(crate) struct Upstream(Process);

impl Process {
    fn start(arguments: &[&str]) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().ok_or("the process has no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let addr = line.trim().parse()?;
        Ok(Self { child, input, output, addr })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        _ = self.child.wait();
    }
}

impl Gateway {
    pub(crate) fn start(variant: Variant, upstream: &Upstream) -> Result<Self, Failure> {
        Process::start(&["serve", variant.as_str(), &upstream.0.addr.to_string()]).map(Self)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// What all of its threads took so far, in user space and in the kernel.
    pub(crate) fn cpu(&mut self) -> Result<Duration, Failure> {
        let input = self.0.input.as_mut().ok_or("the gateway has no input")?;
        writeln!(input)?;
        input.flush()?;
        let mut line = String::new();
        self.0.output.read_line(&mut line)?;
        let (seconds, nanos) = line.trim().split_once(' ').ok_or("the gateway does not say what it took")?;
        Ok(Duration::new(seconds.parse()?, nanos.parse()?))
    }
}

impl Upstream {
    pub(crate) fn start() -> Result<Self, Failure> {
        Process::start(&["upstream"]).map(Self)
    }
}
