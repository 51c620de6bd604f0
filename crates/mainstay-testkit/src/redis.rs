use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::TestkitError;
use crate::daemon::{Daemon, Plan, Site};
use crate::package::{Package, in_path, is_program};
use crate::server::server_methods;

/// A Redis server (`redis-server`, or `valkey-server` where that is what there is).
///
/// It writes every command to its append-only file before it answers, so that what it has acknowledged is there again
/// after [`kill`](Self::kill) and [`restart`](Self::restart).
///
/// ```no_run
/// use mainstay_testkit::RedisServer;
///
/// let mut redis = RedisServer::start()?;
/// println!("{}", redis.url());           // redis://127.0.0.1:23456/
/// redis.kill()?;                         // connects are refused from now on
/// redis.restart()?;                      // and here it is again, on the same port, with the same data
/// # Ok::<(), mainstay_testkit::TestkitError>(())
/// ```
#[derive(Debug)]
pub struct RedisServer {
    daemon: Daemon,
}

/// Says which binary to start, and with which arguments.
#[derive(Clone, Debug, Default)]
pub struct RedisBuilder {
    binary: Option<PathBuf>,
    arguments: Vec<String>,
}

#[derive(Debug)]
struct Redis {
    binary: PathBuf,
    arguments: Vec<String>,
}

const PACKAGE: Package =
    Package { apt: "redis-server", dnf: "redis", pacman: "valkey", apk: "redis", brew: "redis" };

/// Longer than a ready server takes.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

server_methods!(RedisServer);

// === impl RedisServer ===

impl RedisServer {
    /// Starts one, and returns when it answers.
    ///
    /// # Errors
    ///
    /// [`MissingBinary`](TestkitError::MissingBinary) if there is no `redis-server`,
    /// [`NotReady`](TestkitError::NotReady) if it does not answer within 30 s.
    pub fn start() -> Result<Self, TestkitError> {
        Self::builder().start()
    }

    /// Starts one with extra arguments of `redis-server`: `&["--maxmemory", "2mb"]`. They win over the testkit's,
    /// except for the port and the directory.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); a wrong argument is a [`NotReady`](TestkitError::NotReady) with the server's words.
    pub fn start_with(arguments: &[&str]) -> Result<Self, TestkitError> {
        arguments.iter().fold(Self::builder(), |builder, argument| builder.argument(*argument)).start()
    }

    /// To say which binary.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// The URL by way of another address, such as a proxy's.
    pub fn url_at(&self, addr: SocketAddr) -> String {
        format!("redis://{addr}/")
    }
}

// === impl RedisBuilder ===

impl RedisBuilder {
    /// The binary. Default: `redis-server` or else `valkey-server`, from `PATH`.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// One more argument. Default: none.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Starts it, and returns when it answers.
    ///
    /// # Errors
    ///
    /// As [`RedisServer::start_with`].
    pub fn start(self) -> Result<RedisServer, TestkitError> {
        let binary = match self.binary {
            Some(path) if is_program(&path) => path,
            Some(path) => return Err(PACKAGE.missing(path)),
            None => in_path("redis-server")
                .or_else(|| in_path("valkey-server"))
                .ok_or_else(|| PACKAGE.missing("redis-server"))?,
        };
        let daemon = Daemon::start(Redis { binary, arguments: self.arguments })?;
        Ok(RedisServer { daemon })
    }
}

// === impl Redis ===

impl Plan for Redis {
    fn name(&self) -> &'static str {
        "redis-server"
    }

    fn command(&self, site: &Site) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(["--bind", "127.0.0.1", "--daemonize", "no", "--save", "", "--appendonly", "yes"])
            // The kernel has it before the answer goes out, which is enough for a killed process. No rewriting: it
            // forks.
            .args(["--appendfsync", "no", "--auto-aof-rewrite-percentage", "0"])
            .args(&self.arguments)
            .arg("--dir")
            .arg(&site.home)
            .args(["--port", &site.addr.port().to_string()]);
        command
    }

    fn is_ready(&self, site: &Site, pid: u32) -> bool {
        answers(site.addr, pid).unwrap_or(false)
    }
}

/// Whether the process with this id answers.
fn answers(addr: SocketAddr, pid: u32) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&addr, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(b"PING\r\nINFO server\r\n")?;
    let mut answers = BufReader::new(stream);
    let mut line = String::new();
    answers.read_line(&mut line)?;
    // With a password it answers too, but not who it is.
    if line.starts_with('-') {
        return Ok(!line.starts_with("-LOADING"));
    }
    line.clear();
    answers.read_line(&mut line)?;
    let length: u64 = line.trim_start_matches('$').trim_end().parse().unwrap_or(0);
    let mut information = String::new();
    answers.take(length).read_to_string(&mut information)?;
    Ok(information.lines().any(|line| line == format!("process_id:{pid}")))
}
