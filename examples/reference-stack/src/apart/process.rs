use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use crate::apart::{Asker, PATIENCE};
use crate::service::Service;

/// What a service is told.
pub(crate) type Variables = BTreeMap<String, String>;

/// A service of the stack in a process of its own, from this very program. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    service: Service,
    variables: Variables,
    child: Child,
    log: PathBuf,
    /// Its number with the system; clones go on with the process that is started in its place.
    number: Arc<AtomicU32>,
    /// Kept open: it ends when its input does, and when it cannot say anything.
    _open: (Option<ChildStdin>, Lines<BufReader<ChildStdout>>),
    /// Where it serves.
    pub(crate) address: SocketAddr,
    /// Where operators come.
    pub(crate) admin: SocketAddr,
}

// === impl Process ===

impl Process {
    /// Starts it with these variables and none of ours but those by which programs are found; what it logs goes to a file.
    pub(crate) async fn start(service: Service, log: &Path, variables: Variables) -> anyhow::Result<Self> {
        let name = service.name();
        let errors = File::options().create(true).append(true).open(log).context("a service's log")?;
        let ours = ["PATH", "HOME", "TMPDIR", "RUST_LOG"];
        let ours = ours.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut child = Command::new(std::env::current_exe()?)
            .args(["service", name, "--until-stdin-closes"])
            .env_clear()
            .envs(ours)
            .envs(&variables)
            // Closes when we are gone, however that comes.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let mut said = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let places = async {
            let mut place = async |what: &str| {
                let line = said.next_line().await?;
                let url =
                    line.as_deref().and_then(|line| line.strip_prefix(&format!("{name} {what} http://")));
                match url.map(str::parse) {
                    Some(Ok(address)) => Ok(address),
                    _ => bail!("{name} said {line:?} instead of where it is:\n{}", tail(log)),
                }
            };
            anyhow::Ok((place("listens on").await?, place("admin on").await?))
        };
        let places = timeout(PATIENCE, places).await;
        let (address, admin) = places.with_context(|| format!("{name} does not start"))??;
        Ok(Self {
            service,
            variables,
            log: log.to_owned(),
            number: Arc::new(AtomicU32::new(child.id().unwrap_or_default())),
            _open: (child.stdin.take(), said),
            child,
            address,
            admin,
        })
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        let (asker, url) = (Asker::new(), format!("http://{}/readyz", self.admin));
        let deadline = Instant::now() + PATIENCE;
        while asker.text(&url, Duration::from_secs(2)).await.is_err() {
            if Instant::now() > deadline {
                bail!("{} is not ready:\n{}", self.service.name(), tail(&self.log));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Ends it as a platform does, with SIGTERM. Returns how it ended.
    pub(crate) async fn end(&mut self) -> anyhow::Result<ExitStatus> {
        self.tell_to_end()?;
        self.ended().await
    }

    /// SIGTERM; it may take its time.
    pub(crate) fn tell_to_end(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// How it ended, once it has.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        Ok(ended.with_context(|| format!("{} does not end", self.service.name()))??)
    }

    /// It does nothing from now on, with SIGSTOP.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// After that, with SIGCONT.
    pub(crate) fn go_on(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Its number with the system, also once it is started again.
    pub(crate) fn number(&self) -> Arc<AtomicU32> {
        self.number.clone()
    }

    pub(crate) fn service(&self) -> Service {
        self.service
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let Some(pid) = pid else { return Ok(()) };
        kill_process(pid, signal).with_context(|| format!("a signal to {}", self.service.name()))
    }

    /// Ends it as a crash does, with SIGKILL.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("killing {}", self.service.name()))
    }

    /// All it has logged, also before it was started again.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Starts it again where it was, once it has ended.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        let prefix = self.service.name().replace('-', "_").to_uppercase();
        let mut variables = self.variables.clone();
        variables.insert(format!("{prefix}_LISTEN"), self.address.to_string());
        variables.insert(format!("{prefix}_ADMIN_LISTEN"), self.admin.to_string());
        let number = self.number.clone();
        *self = Self::start(self.service, &self.log, variables).await?;
        number.store(self.number.load(Ordering::Relaxed), Ordering::Relaxed);
        self.number = number;
        Ok(())
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
}
