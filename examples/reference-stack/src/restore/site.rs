//! The stack on real servers, and the drill's questions to it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::http::{Method, StatusCode};
use mainstay_testkit::RedisServer;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use crate::apart::{Asker, Process, Stack, figure};
use crate::restore::database::{Database, NAME};

/// How often the stack is asked how it is.
const EVERY: Duration = Duration::from_millis(100);
/// How long the drill waits for what should come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A drill is short, and so are its times: open, between two checks, and until a level is given up.
pub(crate) const TIMES: &str = "breakers open for 1s, checks each 1s, relax_after 2s";

pub(crate) struct Site {
    pub(crate) stack: Stack,
    pub(crate) gateway: Process,
    pub(crate) database: Database,
    pub(crate) redis: RedisServer,
    /// A user of the gateway.
    pub(crate) user: Asker,
    admin: Asker,
}

// === impl Site ===

impl Site {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        // What is acknowledged is with the kernel, and on disk within a second.
        let redis = block_in_place(|| {
            RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"])
        })?;
        let database = Database::start().await?;
        let mut more = vec![
            ("REDIS_URL", redis.url()),
            ("DATABASE_URL", database.url(NAME)),
            ("MAINSTAY__DEGRADATION__RELAX_AFTER", "2s".to_owned()),
        ];
        for (name, value) in [
            ("MAINSTAY__CIRCUIT_BREAKERS__REDIS__TIMEOUT", "1s"),
            ("MAINSTAY__CIRCUIT_BREAKERS__DATABASE__TIMEOUT", "1s"),
            ("MAINSTAY__CIRCUIT_BREAKERS__GRPC__TIMEOUT", "1s"),
            ("MAINSTAY__HEALTH__CHECKS__REDIS__INTERVAL", "1s"),
            ("MAINSTAY__HEALTH__CHECKS__REDIS__TIMEOUT", "900ms"),
            ("MAINSTAY__HEALTH__CHECKS__DATABASE__INTERVAL", "1s"),
            ("MAINSTAY__HEALTH__CHECKS__DATABASE__TIMEOUT", "900ms"),
        ] {
            more.push((name, value.to_owned()));
        }
        let mut stack = Stack::start(&more, &[]).await?;
        let gateway = stack.gateway(&[("MAINSTAY__HEALTH__DRAIN_DELAY", "0s".to_owned())]).await?;
        gateway.ready().await?;
        let user = Asker::with_token(&stack.token("restore")?)?;
        let site = Self { stack, gateway, database, redis, user, admin: Asker::new() };
        site.until("the stack is well", async || site.is_well().await).await?;
        Ok(site)
    }

    /// Waits until it holds. Returns when it did.
    pub(crate) async fn until(
        &self,
        what: &str,
        mut holds: impl AsyncFnMut() -> bool,
    ) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            if Instant::now() > deadline {
                bail!("waited in vain until {what}");
            }
            sleep(EVERY).await;
        }
        Ok(Instant::now())
    }

    /// Whether the level of gateway and orchestrator is none, and both are ready.
    pub(crate) async fn is_well(&self) -> bool {
        self.levels().await.is_some_and(|levels| levels == [0, 0])
    }

    /// Whether one of them has noticed that something is wrong.
    pub(crate) async fn has_noticed(&self) -> bool {
        self.levels().await.is_some_and(|levels| levels != [0, 0])
    }

    async fn levels(&self) -> Option<[i64; 2]> {
        let level = async |at: &Process| self.figure(at, "mainstay_degrade_level").await.ok();
        Some([level(&self.gateway).await?, level(&self.stack.orchestrator).await?])
    }

    /// A whole figure without labels, or the sum of those with labels, of a service's `/metrics`.
    async fn figure(&self, at: &Process, name: &str) -> anyhow::Result<i64> {
        let metrics =
            self.admin.text(&format!("http://{}/metrics", at.admin), Duration::from_secs(5)).await?;
        let figure = figure(&metrics, name).with_context(|| format!("there is no {name}"))?;
        #[expect(clippy::cast_possible_truncation, reason = "levels and backlogs")]
        Ok(figure as i64)
    }

    /// How many records wait in the orchestrator's spool.
    pub(crate) async fn backlog(&self) -> anyhow::Result<i64> {
        self.figure(&self.stack.orchestrator, "mainstay_spool_backlog_items").await
    }

    /// Whether a task is told in full.
    pub(crate) async fn tells(&self, id: &str) -> bool {
        let url = format!("http://{}/api/v1/tasks/{id}", self.gateway.address);
        let answer = self.user.ask(Method::GET, &url, &[], None, Duration::from_secs(5)).await;
        answer.is_ok_and(|answer| answer.status == StatusCode::OK && answer.cut.is_none())
    }

    /// The tasks that the database has: their ids and states.
    pub(crate) async fn stored(&self) -> anyhow::Result<Vec<(String, String)>> {
        let rows = self.database.sql(NAME, "SELECT id || ' ' || status FROM tasks").await?;
        let rows: Vec<_> = rows
            .lines()
            .filter_map(|row| row.split_once(' '))
            .map(|(id, status)| (id.to_owned(), status.to_owned()))
            .collect();
        ensure!(!rows.is_empty(), "the database has no task");
        Ok(rows)
    }
}
