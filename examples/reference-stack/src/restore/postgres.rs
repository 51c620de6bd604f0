//! PostgreSQL is dumped, destroyed, and restored from the dump, while tasks come in.

use std::collections::BTreeSet;

use tokio::time::{Instant, sleep, sleep_until};

use crate::restore::load::{Away, Became, Handed, Load, submit};
use crate::restore::report::{Diary, Postgres, Recovery};
use crate::restore::site::Site;
use crate::restore::{AWAY, Options};

pub(crate) async fn drill(site: &mut Site, options: &Options) -> anyhow::Result<Postgres> {
    let mut diary = Diary::new();
    let load = Load::start(&site.user, site.gateway.address, options.rate);
    sleep(options.before).await;
    let in_dump = ids(&site.stored().await?);
    let (dumping, dump) = (diary.note("the dump begins"), tempfile::NamedTempFile::new()?);
    site.database.dump(dump.path()).await?;
    diary.note("the dump is done");
    let known = in_dump.first().cloned().unwrap_or_default();
    sleep(options.after).await;

    let in_database = ids(&site.stored().await?);
    let destroyed = diary.note("PostgreSQL is killed, its data is removed");
    site.database.destroy()?;
    let gone = Instant::now();
    site.until("somebody notices", async || site.has_noticed().await).await?;
    sleep_until(gone + AWAY).await;
    let restoring = diary.note("the level says that something is wrong: restoring begins");
    site.database.replace().await?;
    diary.note("a new server at the same place, without data");
    site.database.restore(dump.path()).await?;
    diary.note("the dump is restored, the database has its name");

    let after = restored_task(site).await?;
    // Seen by psql, by the gateway, and by the levels.
    let works = site
        .until("reads and writes work", async || {
            site.tells(&known).await
                && site.stored().await.is_ok_and(|rows| rows.iter().any(|(id, _)| *id == after))
        })
        .await?;
    diary.note("a task of the dump is told, a new one is written");
    let well = site.until("the level is none", async || site.is_well().await).await?;
    diary.note("the level is none");
    let handed = load.end().await?;
    site.until("the spool is empty", async || site.backlog().await.is_ok_and(|left| left == 0)).await?;
    diary.note("the spool is empty");

    let rows = site.stored().await?;
    // Others were accepted a moment ago, and run still.
    let unfinished = unfinished(rows.iter().filter(|(id, _)| in_dump.contains(id)));
    site.stack.orchestrator.end().await?;
    site.stack.orchestrator.start_again().await?;
    site.stack.orchestrator.ready().await?;
    diary.note("the orchestrator is restarted: it runs what the dump has unfinished");
    let ended = site
        .until("no task is unfinished", async || {
            site.stored().await.is_ok_and(|rows| self::unfinished(rows.iter()) == 0)
        })
        .await;
    let rows_at_last = site.stored().await?;
    if ended.is_ok() {
        diary.note("no task is unfinished");
    }

    let stored = ids(&rows);
    let accepted: Vec<_> = handed.iter().filter_map(|one| Some((one.id()?, one.at, one.sent))).collect();
    let lost: Vec<_> = accepted.iter().filter(|(id, ..)| !stored.contains(*id)).collect();
    let oldest = lost.iter().map(|(_, at, _)| *at).filter(|at| *at < destroyed).min();
    let before = |to: Instant| accepted.iter().filter(|(_, at, _)| *at < to).count();
    let away = Away { from: gone, to: restoring };
    let count = |became: fn(&Became) -> bool| handed.iter().filter(|one| became(&one.became)).count();
    Ok(Postgres {
        recovery: Recovery::new(diary, destroyed, (works, well), oldest, &options.of_postgres()),
        dump_bytes: dump.path().metadata()?.len(),
        accepted: accepted.len(),
        accepted_before_dump: before(dumping),
        accepted_after_dump: before(destroyed) - before(dumping),
        accepted_after_destruction: accepted.len() - before(destroyed),
        accepted_while_away: away.accepted(handed.iter()),
        refused_while_away: away.refused(handed.iter()),
        refused: count(|became| *became == Became::Refused),
        failed: count(|became| matches!(became, Became::Failed(_))),
        in_dump: in_dump.len(),
        in_database: in_database.len(),
        lost: lost.len(),
        lost_of_dump: lost.iter().filter(|(id, ..)| in_dump.contains(*id)).count(),
        // One that was under way then may have been delivered, too.
        lost_after_destruction: lost.iter().filter(|(.., sent)| *sent >= gone).count(),
        lost_ids: lost.iter().take(20).map(|(id, ..)| (*id).to_owned()).collect(),
        from_spool: from_spool(&handed, destroyed, &stored, &in_dump),
        unfinished,
        unfinished_after_restart: self::unfinished(rows_at_last.iter()),
    })
}

/// Hands one more task in, now that the database is there.
async fn restored_task(site: &Site) -> anyhow::Result<String> {
    let mut accepted = None;
    site.until("a task is accepted", async || {
        if let Became::Accepted(id) = submit(&site.user, site.gateway.address, 0, false).await {
            accepted = Some(id);
        }
        accepted.is_some()
    })
    .await?;
    Ok(accepted.unwrap_or_default())
}

fn ids(rows: &[(String, String)]) -> BTreeSet<String> {
    rows.iter().map(|(id, _)| id.clone()).collect()
}

fn unfinished<'r>(rows: impl Iterator<Item = &'r (String, String)>) -> usize {
    rows.filter(|(_, status)| matches!(status.as_str(), "queued" | "running")).count()
}

/// Those that were accepted before the destruction, and are there although the dump does not have them.
fn from_spool(
    handed: &[Handed],
    destroyed: Instant,
    stored: &BTreeSet<String>,
    in_dump: &BTreeSet<String>,
) -> usize {
    let before = handed.iter().filter(|one| one.at < destroyed).filter_map(Handed::id);
    before.filter(|id| stored.contains(*id) && !in_dump.contains(*id)).count()
}
