//! The upstream as a child process, which is killed, stopped, told to fail, and healed again.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::lab::counts::{Count, Counts};
use crate::lab::phase::Phase;
use crate::lab::upstream::LISTENING;

/// How long the upstream may take to start, and to answer the drill's own questions.
const PATIENCE: Duration = Duration::from_secs(10);

/// The upstream's process, and what is done to it. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    address: SocketAddr,
    child: Child,
    admin: Client<HttpConnector, Body>,
    /// What arrived at the processes that are no more.
    buried: Counts,
    /// Bound but not listening: it keeps the port ours while no upstream is there. Only Linux lets two sockets
    /// share a port so; elsewhere the drill relies on its luck.
    _port: Option<TcpSocket>,
}

// === impl Process ===

impl Process {
    /// Starts a healthy upstream on a free port.
    pub(crate) async fn prepare() -> anyhow::Result<Self> {
        let port = TcpSocket::new_v4()?;
        port.set_reuseaddr(true)?;
        port.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = port.local_addr()?;
        let port = cfg!(target_os = "linux").then_some(port);
        Ok(Self {
            address,
            child: start(address).await?,
            admin: Client::builder(TokioExecutor::new()).build_http(),
            buried: Counts::default(),
            _port: port,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does to the upstream what the phase asks for, and returns when it is done.
    pub(crate) async fn enter(&mut self, phase: Phase) -> anyhow::Result<()> {
        match phase {
            Phase::Healthy => Ok(()),
            Phase::Killed => self.kill().await,
            Phase::Restarted => self.restart().await,
            Phase::Hanging => self.signal(Signal::STOP),
            Phase::Resumed => self.signal(Signal::CONT),
            Phase::Erroring => self.ask(Method::POST, "/admin/mode/errors").await.map(drop),
            Phase::Repaired => self.ask(Method::POST, "/admin/mode/ok").await.map(drop),
        }
    }

    /// What arrived at the upstream, by its own count.
    pub(crate) async fn arrived(&self) -> anyhow::Result<Counts> {
        let answer = self.ask(Method::GET, "/admin/counts").await?;
        let rows: Vec<Count> = serde_json::from_slice(&answer).context("the upstream's counts")?;
        let arrived = Counts::default();
        for count in self.buried.rows().into_iter().chain(rows) {
            arrived.add(count);
        }
        Ok(arrived)
    }

    async fn kill(&mut self) -> anyhow::Result<()> {
        self.buried = self.arrived().await?;
        self.child.kill().await.context("killing the upstream")
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        self.child = start(self.address).await?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let pid = pid.context("the upstream has ended by itself")?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to the upstream"))
    }

    async fn ask(&self, method: Method, path: &str) -> anyhow::Result<Vec<u8>> {
        let uri = format!("http://{}{path}", self.address);
        let request = Request::builder().method(method).uri(&uri).body(Body::empty())?;
        let answer = async {
            let response = self.admin.request(request).await?;
            ensure!(response.status().is_success(), "answered {}", response.status());
            let body = Limited::new(response.into_body(), 1 << 20).collect().await;
            body.map(|body| body.to_bytes().to_vec()).map_err(|error| anyhow::anyhow!(error))
        };
        timeout(PATIENCE, answer).await.map_err(Into::into).flatten().with_context(|| format!("asking {uri}"))
    }
}

/// Starts this very program as the upstream, and returns when it listens.
async fn start(address: SocketAddr) -> anyhow::Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["lab", "upstream", "--until-stdin-closes", "--listen", &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the upstream")?;
    let stdout = child.stdout.take().context("the upstream has no standard output")?;
    let line = timeout(PATIENCE, BufReader::new(stdout).lines().next_line())
        .await
        .context("the upstream did not say that it listens")??;
    match line.as_deref().and_then(|line| line.strip_prefix(LISTENING)) {
        Some(announced) if announced == address.to_string() => Ok(child),
        _ => bail!("the upstream said {line:?} instead of where it listens"),
    }
}
