use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fmt, io};

use rustix::process::Pid;
use tempfile::TempDir;

use crate::error::During;
use crate::family::Family;
use crate::guardian::{Farewell, Guardian};
use crate::port::Port;
use crate::{TestkitError, place};

/// A server in a process of its own: its port and its directory are kept while it is down.
#[derive(Debug)]
pub(crate) struct Daemon {
    plan: Box<dyn Plan>,
    process: Option<Process>,
    pid: u32,
    port: Port,
    home: TempDir,
    /// The last to go: when there is nothing left to guard.
    guardian: Guardian,
}

/// How a kind of server is run.
pub(crate) trait Plan: fmt::Debug + Send + Sync {
    /// What it is called in errors and in the name of its directory.
    fn name(&self) -> &'static str;

    /// Fills the directory before the first start.
    fn prepare(&self, _home: &Path) -> Result<(), TestkitError> {
        Ok(())
    }

    /// What starts it.
    fn command(&self, site: &Site) -> Command;

    /// Whether it answers. Asked again and again.
    fn is_ready(&self, site: &Site, pid: u32) -> bool;

    /// Cleans up after it was killed with all its descendants, and before its directory is removed.
    fn clean_up(&self, _home: &Path) {}

    /// How to end it if we are gone.
    fn farewell(&self) -> Farewell {
        Farewell::Kill
    }
}

/// Where a server runs.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) home: PathBuf,
    pub(crate) addr: SocketAddr,
    pub(crate) log: PathBuf,
}

#[derive(Debug)]
struct Process {
    child: Child,
}

/// A server that is not ready by then never will be.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long the port, or what a killed process held, may take to become free before a restart fails.
const RESTART_LIMIT: Duration = Duration::from_secs(5);

/// How many ports are tried that somebody takes between our look and the server's.
const PORTS_TRIED: u32 = 5;

/// How much of a log goes into an error.
const LOG_TAIL: usize = 4096;

// === impl Daemon ===

impl Daemon {
    /// Starts a server on a free port.
    pub(crate) fn start(plan: impl Plan + 'static) -> Result<Self, TestkitError> {
        let home = place::home(plan.name())?;
        let guardian = Guardian::watch(home.path(), plan.farewell())?;
        plan.prepare(home.path())?;
        let port = Port::reserve()?;
        let mut daemon = Self { plan: Box::new(plan), process: None, pid: 0, port, home, guardian };
        let mut tried = 1;
        loop {
            match daemon.launch() {
                Err(error) if error.is_for_want_of_room() && tried < PORTS_TRIED => {
                    tried += 1;
                    daemon.port = Port::reserve()?;
                }
                started => return started.map(|()| daemon),
            }
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn log(&self) -> String {
        tail(&self.site().log)
    }

    pub(crate) fn kill(&mut self) -> Result<(), TestkitError> {
        match self.process.take() {
            Some(mut process) => {
                let was_running = process.running().is_some();
                let ended =
                    process.kill(&mut self.guardian).during(|| format!("killing {}", self.plan.name()));
                // Of a server that ended by itself some descendants may still run: the next one looks after that
                // itself.
                if was_running {
                    self.plan.clean_up(self.home.path());
                }
                ended
            }
            None => Ok(()),
        }
    }

    pub(crate) fn stop(&mut self) -> Result<(), TestkitError> {
        let head = self.running()?;
        Family::stop(head);
        Ok(())
    }

    pub(crate) fn resume(&mut self) -> Result<(), TestkitError> {
        let head = self.running()?;
        Family::resume(head);
        Ok(())
    }

    pub(crate) fn restart(&mut self) -> Result<(), TestkitError> {
        self.kill()?;
        let deadline = Instant::now() + RESTART_LIMIT;
        loop {
            match self.launch() {
                Err(error) if error.is_for_want_of_room() && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                started => return started,
            }
        }
    }

    /// The head of the process's family, if it runs.
    fn running(&mut self) -> Result<Pid, TestkitError> {
        if let Some(ended) = self.process.take_if(|process| process.running().is_none()) {
            let _ = ended.kill(&mut self.guardian);
        }
        let process = self.process.as_mut();
        process
            .and_then(Process::running)
            .ok_or_else(|| TestkitError::NotRunning { what: self.plan.name().into() })
    }

    fn site(&self) -> Site {
        Site { home: self.home.path().into(), addr: self.port.addr(), log: self.home.path().join("log") }
    }

    /// Starts the process and waits until it is ready. Nothing is left of it if it fails.
    fn launch(&mut self) -> Result<(), TestkitError> {
        let site = self.site();
        let mut process = Process::spawn(self.plan.as_ref(), &site)?;
        self.pid = process.child.id();
        self.guardian.guard(self.pid);
        match wait_until_ready(self.plan.as_ref(), &site, &mut process.child) {
            Ok(()) => {
                self.process = Some(process);
                Ok(())
            }
            Err(error) => {
                let _ = process.kill(&mut self.guardian);
                self.plan.clean_up(self.home.path());
                Err(error)
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
        self.plan.clean_up(self.home.path());
    }
}

// === impl Process ===

impl Process {
    fn spawn(plan: &dyn Plan, site: &Site) -> Result<Self, TestkitError> {
        let log = File::create(&site.log).during(|| format!("making {}", site.log.display()))?;
        let errors = log.try_clone().during(|| "sharing a log".into())?;
        let mut command = plan.command(site);
        let child = command
            .current_dir(&site.home)
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            // Out of reach of the terminal's Ctrl-C: the guardian sees to its end.
            .process_group(0)
            .spawn()
            .during(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    fn head(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id().try_into().ok()?)
    }

    /// The head, if it has not ended.
    fn running(&mut self) -> Option<Pid> {
        matches!(self.child.try_wait(), Ok(None)).then(|| self.head()).flatten()
    }

    /// Kills it and all its descendants, and returns when they are gone.
    fn kill(mut self, guardian: &mut Guardian) -> io::Result<()> {
        // Until it is waited for nobody else can get its id.
        let family = self.running().map(Family::stop);
        if let Some(family) = &family {
            family.kill();
        }
        guardian.forget();
        // Does nothing if it has been waited for already.
        self.child.kill()?;
        self.child.wait()?;
        if let Some(family) = &family {
            family.gone();
        }
        Ok(())
    }
}

// === readiness ===

fn wait_until_ready(plan: &dyn Plan, site: &Site, child: &mut Child) -> Result<(), TestkitError> {
    let deadline = Instant::now() + START_LIMIT;
    let mut pause = Duration::from_millis(1);
    loop {
        let is_ready = plan.is_ready(site, child.id());
        // Asked after the answer, which is somebody else's if ours has ended.
        let ended = child.try_wait().during(|| format!("waiting for {}", plan.name()))?;
        let what = match ended {
            Some(status) => format!("{} ended before it was ready: {status}", plan.name()),
            None if is_ready => return Ok(()),
            None if Instant::now() > deadline => {
                format!("{} was not ready after {} s", plan.name(), START_LIMIT.as_secs())
            }
            None => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
                continue;
            }
        };
        return Err(TestkitError::NotReady { what, log: tail(&site.log) });
    }
}

impl TestkitError {
    /// Whether a server did not start because somebody else has its port, or what its killed predecessor had.
    fn is_for_want_of_room(&self) -> bool {
        matches!(self, Self::NotReady { log, .. } if log.contains("in use"))
    }
}

// === logs ===

/// The end of a log, in whole lines.
pub(crate) fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let start = bytes.len().saturating_sub(LOG_TAIL);
    let text = String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned();
    match text.split_once('\n') {
        Some((_, whole)) if start > 0 => whole.into(),
        _ => text,
    }
}
