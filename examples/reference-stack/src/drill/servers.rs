use std::net::SocketAddr;

use anyhow::Context;
use mainstay_testkit::{Fault, FaultProxy, PostgresServer, RedisServer, TestkitError};
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::block_in_place;

use crate::drill::plan::{self, Plan, Server};

/// More than two stacks' pools.
const CONNECTIONS: &str = "200";

/// The servers of the drill, as far as they are installed here. They end with it.
#[derive(Debug)]
pub(crate) struct Servers {
    redis: Option<(RedisServer, Option<FaultProxy>)>,
    postgres: Option<(PostgresServer, Option<FaultProxy>)>,
}

// === impl Servers ===

impl Servers {
    /// Starts those that are installed, with a proxy before each that the plan meddles with.
    pub(crate) fn start(plan: &Plan) -> anyhow::Result<Self> {
        block_in_place(|| {
            let redis = if_installed(RedisServer::start())?;
            let postgres = if_installed(PostgresServer::start_with(&[("max_connections", CONNECTIONS)]))?;
            let proxy = |server, addr: SocketAddr| {
                plan.meddles_with(server).then(|| FaultProxy::start(addr)).transpose()
            };
            let redis = redis.map(|redis| anyhow::Ok((proxy(Server::Redis, redis.addr())?, redis)));
            let postgres = postgres.map(|it| anyhow::Ok((proxy(Server::Postgres, it.addr())?, it)));
            let turned = |(proxy, server)| (server, proxy);
            let redis = redis.transpose()?.map(turned);
            let postgres = postgres.transpose()?.map(|(proxy, server)| (server, proxy));
            Ok(Self { redis, postgres })
        })
    }

    pub(crate) fn has(&self, server: Server) -> bool {
        match server {
            Server::Redis => self.redis.is_some(),
            Server::Postgres => self.postgres.is_some(),
        }
    }

    /// Where stacks find Redis: each has a database of its own there.
    pub(crate) fn redis_url(&self, stack: usize) -> Option<String> {
        let (redis, proxy) = self.redis.as_ref()?;
        let addr = proxy.as_ref().map_or(redis.addr(), FaultProxy::addr);
        Some(format!("{}{stack}", redis.url_at(addr)))
    }

    /// Where stacks find PostgreSQL: each has a database of its own there.
    pub(crate) fn postgres_url(&self, stack: usize) -> Option<String> {
        let (postgres, proxy) = self.postgres.as_ref()?;
        let addr = proxy.as_ref().map_or(postgres.addr(), FaultProxy::addr);
        Some(database(&postgres.url_at(addr), stack))
    }

    /// The same, for the drill itself: past the proxy.
    pub(crate) fn postgres_directly(&self, stack: usize) -> Option<String> {
        self.postgres.as_ref().map(|(postgres, _)| database(&postgres.url(), stack))
    }

    /// Makes the databases of so many stacks.
    pub(crate) async fn prepare(&self, stacks: usize) -> anyhow::Result<()> {
        let Some((postgres, _)) = &self.postgres else { return Ok(()) };
        let mut connection = PgConnection::connect(&postgres.url()).await.context("asking PostgreSQL")?;
        for stack in 0..stacks {
            let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE stack_{stack}"));
            connection.execute(create).await.context("making a database")?;
        }
        Ok(())
    }

    /// Breaks one of them.
    pub(crate) fn begin(&mut self, fault: &plan::Fault) -> anyhow::Result<()> {
        block_in_place(|| match fault {
            plan::Fault::KillServer(Server::Redis) => self.redis()?.0.kill().map_err(Into::into),
            plan::Fault::KillServer(Server::Postgres) => self.postgres()?.0.kill().map_err(Into::into),
            plan::Fault::StopServer(Server::Redis) => self.redis()?.0.stop().map_err(Into::into),
            plan::Fault::StopServer(Server::Postgres) => self.postgres()?.0.stop().map_err(Into::into),
            plan::Fault::CutServer(server) => self.pass(*server, Fault::Reset),
            plan::Fault::SlowServer(server, by) => self.pass(*server, Fault::Delay(*by)),
            _ => Ok(()),
        })
    }

    /// Restores it.
    pub(crate) fn end(&mut self, fault: &plan::Fault) -> anyhow::Result<()> {
        block_in_place(|| match fault {
            plan::Fault::KillServer(Server::Redis) => self.redis()?.0.restart().map_err(Into::into),
            plan::Fault::KillServer(Server::Postgres) => self.postgres()?.0.restart().map_err(Into::into),
            plan::Fault::StopServer(Server::Redis) => self.redis()?.0.resume().map_err(Into::into),
            plan::Fault::StopServer(Server::Postgres) => self.postgres()?.0.resume().map_err(Into::into),
            plan::Fault::CutServer(server) | plan::Fault::SlowServer(server, _) => {
                self.pass(*server, Fault::None)
            }
            _ => Ok(()),
        })
    }

    fn pass(&self, server: Server, fault: Fault) -> anyhow::Result<()> {
        let proxy = match server {
            Server::Redis => self.redis.as_ref().and_then(|(_, proxy)| proxy.as_ref()),
            Server::Postgres => self.postgres.as_ref().and_then(|(_, proxy)| proxy.as_ref()),
        };
        proxy.context("a proxy before the server")?.set(fault);
        Ok(())
    }

    fn redis(&mut self) -> anyhow::Result<&mut (RedisServer, Option<FaultProxy>)> {
        self.redis.as_mut().context("a Redis of the drill's own")
    }

    fn postgres(&mut self) -> anyhow::Result<&mut (PostgresServer, Option<FaultProxy>)> {
        self.postgres.as_mut().context("a PostgreSQL of the drill's own")
    }
}

/// None where it is not, which is said.
fn if_installed<S>(started: Result<S, TestkitError>) -> Result<Option<S>, TestkitError> {
    match started {
        Ok(server) => Ok(Some(server)),
        Err(missing @ TestkitError::MissingBinary { .. }) => {
            eprintln!("the drill goes without a server: {missing}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn database(url: &str, stack: usize) -> String {
    let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
    format!("{server}/stack_{stack}")
}
