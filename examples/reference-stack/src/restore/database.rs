//! A PostgreSQL that is dumped, lost with all its data, and made again at the same place. What is done to it an operator does with the same
//! programs: `pg_dump`, `initdb`, `pg_restore`, `psql`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use mainstay_testkit::PostgresServer;
use tokio::process::Command;
use tokio::task::block_in_place;
use tokio::time::timeout;

/// The database of the stack.
pub(crate) const NAME: &str = "stack";
/// Where it is restored before it gets its name: nobody shall find half of it.
const RESTORED: &str = "stack_restored";
/// How long one of PostgreSQL's programs may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The server, and the programs that belong to it.
#[derive(Debug)]
pub(crate) struct Database {
    server: PostgresServer,
    programs: PathBuf,
    /// Where its data is.
    data: PathBuf,
}

// === impl Database ===

impl Database {
    /// Starts a server with an empty database.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = block_in_place(PostgresServer::start)?;
        let programs = programs(server.pid());
        let mut database = Self { server, programs, data: PathBuf::new() };
        database.data = database.sql("postgres", "SHOW data_directory").await?.trim().into();
        database.sql("postgres", &format!("CREATE DATABASE {NAME}")).await?;
        Ok(database)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgres://postgres@{}/{name}", self.server.addr())
    }

    /// What `psql` prints, unadorned.
    pub(crate) async fn sql(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let mut command = self.program("psql");
        command.args(["-AtXq", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database), "-c", sql]);
        run(command).await
    }

    /// Dumps the stack's database, as it is at one moment, into a file.
    pub(crate) async fn dump(&self, to: &Path) -> anyhow::Result<()> {
        let mut command = self.program("pg_dump");
        command.args(["--format=custom", "--dbname", &self.url(NAME), "--file"]).arg(to);
        run(command).await.map(drop)
    }

    /// Kills it, and removes its data.
    pub(crate) fn destroy(&mut self) -> anyhow::Result<()> {
        block_in_place(|| {
            self.server.kill()?;
            std::fs::remove_dir_all(&self.data).context("removing the data of PostgreSQL")
        })
    }

    /// A new server at the same place, without any data.
    pub(crate) async fn replace(&mut self) -> anyhow::Result<()> {
        let home = self.data.parent().context("the data of PostgreSQL is in a directory")?;
        let owner = std::fs::metadata(home).context("the directory of PostgreSQL")?;
        let mut command = self.program("initdb");
        command.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ]);
        command.arg(&self.data).current_dir(home);
        if rustix::process::geteuid().is_root() {
            // As whom it runs.
            command.uid(owner.uid()).gid(owner.gid());
        }
        run(command).await?;
        block_in_place(|| self.server.restart())?;
        Ok(())
    }

    /// Restores the stack's database from a dump. It has its name when all of it is there, and not before.
    pub(crate) async fn restore(&self, from: &Path) -> anyhow::Result<()> {
        self.sql("postgres", &format!("CREATE DATABASE {RESTORED}")).await?;
        let mut command = self.program("pg_restore");
        command.args(["--exit-on-error", "--dbname", &self.url(RESTORED)]).arg(from);
        run(command).await?;
        self.sql("postgres", &format!("ALTER DATABASE {RESTORED} RENAME TO {NAME}")).await.map(drop)
    }

    /// One of PostgreSQL's programs. It is told nothing by which it might find another server: the drill removes the data of the one that
    /// answers.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C");
        command
    }
}

/// Where the programs of the running server are; nothing, where the system does not tell, and then those in `PATH` are taken.
fn programs(pid: u32) -> PathBuf {
    let server = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    server.and_then(|server| Some(server.parent()?.to_owned())).unwrap_or_default()
}

async fn run(mut command: Command) -> anyhow::Result<String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, output).await.with_context(|| format!("{name} takes too long"))?;
    let output = output.with_context(|| format!("starting {name}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}: {}", output.status, errors.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
