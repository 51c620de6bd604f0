mod account;
mod greeting;
mod installation;
mod template;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::TestkitError;
use crate::daemon::{Daemon, Plan, Site};
use crate::guardian::Farewell;
use crate::postgres::installation::Installation;
use crate::server::server_methods;

/// A PostgreSQL server with a database `postgres` and a superuser `postgres` that needs no password.
///
/// It hands every commit to the kernel before it acknowledges it, so that what it has acknowledged is there again
/// after [`kill`](Self::kill) and [`restart`](Self::restart), but never syncs to disk: a crash of the machine may
/// ruin the database.
///
/// PostgreSQL does not run as root: when we are root it runs as the user `postgres`, or else `nobody`.
///
/// ```no_run
/// use mainstay_testkit::PostgresServer;
///
/// let mut postgres = PostgresServer::start_with(&[("max_connections", "20")])?;
/// println!("{}", postgres.url());        // postgres://postgres@127.0.0.1:23456/postgres
/// postgres.stop()?;                      // connects are accepted, and nothing answers
/// postgres.resume()?;
/// # Ok::<(), mainstay_testkit::TestkitError>(())
/// ```
#[derive(Debug)]
pub struct PostgresServer {
    daemon: Daemon,
}

/// Says which PostgreSQL to start, and with which settings.
#[derive(Clone, Debug, Default)]
pub struct PostgresBuilder {
    binaries: Option<PathBuf>,
    settings: Vec<(String, String)>,
}

#[derive(Debug)]
struct Postgres {
    installation: Installation,
    settings: Vec<(String, String)>,
}

/// What a test's server needs, and no more. A setting of the test's comes after them and wins.
const SETTINGS: [(&str, &str); 14] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "8MB"),
    ("huge_pages", "off"),
    // Files in the data directory, so that nothing is left in /dev/shm by a killed server.
    ("dynamic_shared_memory_type", "mmap"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("autovacuum", "off"),
    ("jit", "off"),
    ("checkpoint_timeout", "1h"),
    ("log_checkpoints", "off"),
    ("log_line_prefix", "%m [%p] "),
];

server_methods!(PostgresServer);

// === impl PostgresServer ===

impl PostgresServer {
    /// Starts one, and returns when it answers queries.
    ///
    /// The first start of a PostgreSQL version by a user of this machine takes some seconds for `initdb`; its result
    /// is kept in `/tmp/mainstay-testkit-<uid>` and copied by later ones.
    ///
    /// # Errors
    ///
    /// [`MissingBinary`](TestkitError::MissingBinary) if PostgreSQL's server is not installed,
    /// [`NotReady`](TestkitError::NotReady) if it does not answer within 30 s.
    pub fn start() -> Result<Self, TestkitError> {
        Self::builder().start()
    }

    /// Starts one with settings of `postgresql.conf`: `&[("max_connections", "20")]`. The port, the address and the
    /// directories are the testkit's.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); a wrong setting is a [`NotReady`](TestkitError::NotReady) with the server's words.
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self, TestkitError> {
        settings.iter().fold(Self::builder(), |builder, (name, value)| builder.setting(*name, *value)).start()
    }

    /// To say which PostgreSQL.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    /// The URL by way of another address, such as a proxy's.
    pub fn url_at(&self, addr: SocketAddr) -> String {
        format!("postgres://postgres@{addr}/postgres")
    }
}

// === impl PostgresBuilder ===

impl PostgresBuilder {
    /// The directory with `initdb` and `postgres`. Default: the first that has both of: those in `PATH`, what
    /// `pg_config --bindir` says, and the usual places of Debian, Fedora, Arch, Alpine and Homebrew, the newest
    /// version first.
    #[must_use]
    pub fn binaries(mut self, directory: impl Into<PathBuf>) -> Self {
        self.binaries = Some(directory.into());
        self
    }

    /// One more setting of `postgresql.conf`. Default: none.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Starts it, and returns when it answers queries.
    ///
    /// # Errors
    ///
    /// As [`PostgresServer::start_with`].
    pub fn start(self) -> Result<PostgresServer, TestkitError> {
        let installation = match self.binaries {
            Some(directory) => Installation::at(directory)?,
            None => Installation::find()?,
        };
        let daemon = Daemon::start(Postgres { installation, settings: self.settings })?;
        Ok(PostgresServer { daemon })
    }
}

// === impl Postgres ===

impl Plan for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn prepare(&self, home: &Path) -> Result<(), TestkitError> {
        self.installation.account.give(home)?;
        template::copy(&self.installation, &home.join("data"))
    }

    fn command(&self, site: &Site) -> Command {
        let mut command = self.installation.command("postgres");
        command.arg("-D").arg(site.home.join("data"));
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in SETTINGS.into_iter().chain(settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.arg("-p").arg(site.addr.port().to_string());
        command
    }

    fn is_ready(&self, site: &Site, _pid: u32) -> bool {
        // The server's own word that it is this one, and an answer to a client.
        status(&site.home) == Some("ready".into()) && greeting::is_welcome(site.addr)
    }

    /// Frees the shared memory that a killed server left and would free when it is started again; and forgets its
    /// process id, which another process may have by then.
    fn clean_up(&self, home: &Path) {
        if let Some(segment) = line_of_pid_file(home, SHARED_MEMORY)
            && let Some(id) = segment.split_whitespace().nth(1)
        {
            let _ =
                Command::new("ipcrm").args(["-m", id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        let _ = fs::remove_file(pid_file(home));
    }

    fn farewell(&self) -> Farewell {
        Farewell::Quit
    }
}

// === postmaster.pid ===

/// Lines of the file, from 0: the key and the id of the shared memory, and the server's status.
const SHARED_MEMORY: usize = 6;
const STATUS: usize = 7;

fn pid_file(home: &Path) -> PathBuf {
    home.join("data").join("postmaster.pid")
}

fn line_of_pid_file(home: &Path, line: usize) -> Option<String> {
    let file = fs::read_to_string(pid_file(home)).ok()?;
    file.lines().nth(line).map(|line| line.trim().to_string())
}

fn status(home: &Path) -> Option<String> {
    line_of_pid_file(home, STATUS)
}
