//! What became of what was accepted: each task must be in the database, ended, and its end must be told once by the audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use crate::drill::load::{Accepted, Load};
use crate::drill::report::model::{Ids, Tasks};

/// How long the spools have to be emptied.
const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a look may take.
const LOOK: Duration = Duration::from_secs(10);
/// How long is looked on once everything is there: what ends twice may do so later.
const SETTLED: Duration = Duration::from_secs(3);
/// How many ids are told.
const MOST: usize = 20;
/// How many tasks are asked for at a time.
const AT_A_TIME: usize = 16;

/// Whether a database can be asked, before there is anything to ask it for.
pub(crate) async fn reach(database: &str) -> anyhow::Result<()> {
    by_now(database, &BTreeSet::new()).await.map(drop)
}

/// Waits until the database has had everything for a while, or the time is over, and compares.
pub(crate) async fn compare(database: &str, accepted: &[Accepted]) -> anyhow::Result<Tasks> {
    let accepted: BTreeSet<Uuid> = accepted.iter().map(|task| task.id).collect();
    let deadline = Instant::now() + WITHIN;
    let mut complete: Option<Instant> = None;
    loop {
        match by_now(database, &accepted).await {
            Ok(tasks) if tasks.lost.number == 0 => {
                if complete.get_or_insert_with(Instant::now).elapsed() >= SETTLED {
                    return Ok(tasks);
                }
            }
            Ok(tasks) if Instant::now() > deadline => return Ok(tasks),
            Err(error) if Instant::now() > deadline + SETTLED => return Err(error),
            Ok(_) => complete = None,
            Err(_) => {}
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What has become of some tasks by now.
pub(crate) async fn by_now(database: &str, accepted: &BTreeSet<Uuid>) -> anyhow::Result<Tasks> {
    timeout(LOOK, look(database, accepted)).await.context("no answer in time")?
}

/// Of all tasks that the database has, accepted or not: how many have not ended, and which have ended more than once.
pub(crate) async fn odd_ones(database: &str) -> anyhow::Result<(u64, Ids)> {
    let looked = async {
        let mut connection = PgConnection::connect(database).await?;
        let (left,): (i64,) =
            sqlx::query_as("SELECT count(*) FROM tasks WHERE status IN ('queued', 'running')")
                .fetch_one(&mut connection)
                .await?;
        let twice: Vec<(Uuid,)> = sqlx::query_as(
            "SELECT task_id FROM audit_log WHERE what IN ('succeeded', 'failed', 'cancelled')
             GROUP BY task_id HAVING count(*) > 1",
        )
        .fetch_all(&mut connection)
        .await?;
        let _ = connection.close().await;
        let twice: BTreeSet<Uuid> = twice.into_iter().map(|(id,)| id).collect();
        anyhow::Ok((u64::try_from(left).unwrap_or(0), ids(&twice)))
    };
    timeout(LOOK, looked).await.context("no answer in time")?
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
    let is_there = |id: &Uuid| ended.contains(id) && told.contains_key(id);
    let twice = accepted.iter().filter(|id| told.get(id).is_some_and(|times| *times > 1)).copied().collect();
    Ok(tasks(accepted, is_there, Some(twice)))
}

/// Where there is no database to look into: asks for each task. Whether one has ended twice cannot be seen so.
pub(crate) async fn ask(load: &Load, accepted: &[Accepted]) -> Tasks {
    let deadline = Instant::now() + WITHIN;
    let all: BTreeMap<Uuid, Accepted> = accepted.iter().map(|task| (task.id, *task)).collect();
    let mut left: BTreeSet<Uuid> = all.keys().copied().collect();
    while !left.is_empty() && Instant::now() < deadline {
        let tasks: Vec<Accepted> = left.iter().filter_map(|id| all.get(id)).copied().collect();
        for some in tasks.chunks(AT_A_TIME) {
            let mut asked = JoinSet::new();
            for task in some.iter().copied() {
                let load = load.clone();
                asked.spawn(async move { load.has_ended(task).await.then_some(task.id) });
            }
            while let Ok(Some(answer)) = timeout_at(deadline, asked.join_next()).await {
                if let Ok(Some(id)) = answer {
                    left.remove(&id);
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        if !left.is_empty() {
            sleep(LOOK_EVERY).await;
        }
    }
    let accepted: BTreeSet<Uuid> = all.into_keys().collect();
    tasks(&accepted, |id| !left.contains(id), None)
}

fn tasks(
    accepted: &BTreeSet<Uuid>,
    is_there: impl Fn(&Uuid) -> bool,
    twice: Option<BTreeSet<Uuid>>,
) -> Tasks {
    let is_twice = |id: &Uuid| twice.as_ref().is_some_and(|twice| twice.contains(id));
    let lost: BTreeSet<Uuid> = accepted.iter().filter(|id| !is_there(id)).copied().collect();
    let stored = accepted.iter().filter(|id| is_there(id) && !is_twice(id)).count();
    let twice = twice.as_ref().map(ids);
    Tasks { accepted: number(accepted.len()), stored: number(stored), lost: ids(&lost), twice }
}

fn ids(all: &BTreeSet<Uuid>) -> Ids {
    Ids { number: number(all.len()), first: all.iter().take(MOST).map(Uuid::to_string).collect() }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_are_lost_or_ended_twice_are_counted_and_the_first_are_told() {
        let all: BTreeSet<Uuid> = (0..100).map(Uuid::from_u128).collect();
        let twice = (50..80).map(Uuid::from_u128).collect();
        let found = tasks(&all, |id| id.as_u128() >= 40, Some(twice));
        assert_eq!((found.accepted, found.stored, found.lost.number), (100, 30, 40));
        let twice = found.twice.unwrap();
        assert_eq!((twice.number, twice.first.len(), found.lost.first.len()), (30, MOST, MOST));
    }
}
