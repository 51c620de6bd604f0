//! What became of what was accepted: each task must be in the database, ended, and its end must be told once by the audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::drill::load::{Accepted, Load};
use crate::drill::report::model::Tasks;

/// How long the spools have to be emptied.
const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many ids are told.
const MOST: usize = 20;

/// Waits until the database has everything, or the time is over, and compares.
pub(crate) async fn compare(database: &str, accepted: &[Accepted]) -> anyhow::Result<Tasks> {
    let accepted: BTreeSet<Uuid> = accepted.iter().map(|task| task.id).collect();
    let deadline = Instant::now() + WITHIN;
    loop {
        let looked = look(database, &accepted).await;
        match looked {
            Ok(tasks) if tasks.lost.is_empty() || Instant::now() > deadline => return Ok(tasks),
            Err(error) if Instant::now() > deadline => return Err(error),
            _ => sleep(LOOK_EVERY).await,
        }
    }
}

async fn look(database: &str, accepted: &BTreeSet<Uuid>) -> anyhow::Result<Tasks> {
    let mut connection = PgConnection::connect(database).await?;
    let ids: Vec<Uuid> = accepted.iter().copied().collect();
    let ended: Vec<(Uuid,)> = sqlx::query_as(
        "SELECT id FROM tasks WHERE id = ANY($1) AND status IN ('succeeded', 'failed', 'cancelled')",
    )
    .bind(&ids)
    .fetch_all(&mut connection)
    .await?;
    let told: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT task_id, count(*) FROM audit_log
         WHERE task_id = ANY($1) AND what IN ('succeeded', 'failed', 'cancelled') GROUP BY task_id",
    )
    .bind(&ids)
    .fetch_all(&mut connection)
    .await?;
    let _ = connection.close().await;
    let ended: BTreeSet<Uuid> = ended.into_iter().map(|(id,)| id).collect();
    let told: BTreeMap<Uuid, i64> = told.into_iter().collect();
    let is_there = |id: &&Uuid| ended.contains(id) && told.contains_key(id);
    Ok(tasks(accepted, is_there, |id| told.get(id).is_some_and(|times| *times > 1)))
}

/// Where there is no database to look into: asks for each task.
pub(crate) async fn ask(load: &Load, accepted: &[Accepted]) -> Tasks {
    let deadline = Instant::now() + WITHIN;
    let all: BTreeMap<Uuid, Accepted> = accepted.iter().map(|task| (task.id, *task)).collect();
    let mut left: Vec<Accepted> = all.values().copied().collect();
    while !left.is_empty() && Instant::now() < deadline {
        let mut still = Vec::new();
        for task in left {
            if !load.has_ended(task).await {
                still.push(task);
            }
        }
        left = still;
        if !left.is_empty() {
            sleep(LOOK_EVERY).await;
        }
    }
    let left: BTreeSet<Uuid> = left.into_iter().map(|task| task.id).collect();
    let accepted: BTreeSet<Uuid> = all.into_keys().collect();
    tasks(&accepted, |id| !left.contains(id), |_| false)
}

fn tasks(
    accepted: &BTreeSet<Uuid>,
    is_there: impl Fn(&&Uuid) -> bool,
    is_twice: impl Fn(&Uuid) -> bool,
) -> Tasks {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let stored = accepted.iter().filter(|id| is_there(id) && !is_twice(id)).count();
    let lost = accepted.iter().filter(|id| !is_there(id)).take(MOST).map(Uuid::to_string).collect();
    let twice = accepted.iter().filter(|id| is_twice(id)).take(MOST).map(Uuid::to_string).collect();
    Tasks { accepted: count(accepted.len()), stored: count(stored), lost, twice }
}
