//! Redis is killed and started again from its append-only file, while tasks come in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_redis::redis::aio::MultiplexedConnection;
use mainstay_redis::redis::{AsyncCommands, Client, cmd};
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::restore::load::{Away, Became, Handed, Load, submit};
use crate::restore::report::{Diary, Recovery, Redis, millis};
use crate::restore::site::Site;
use crate::restore::{AWAY, Options};

/// A key of the stack that lives shorter than this may be gone by itself.
const LASTING: i64 = 10 * 60;
/// Between two writes of the drill's own.
const EVERY: Duration = Duration::from_millis(2);

pub(crate) async fn drill(site: &mut Site, options: &Options) -> anyhow::Result<Redis> {
    let mut diary = Diary::new();
    let load = Load::start(&site.user, site.gateway.address, options.rate);
    let client = Client::open(site.redis.url())?;
    let enough = Arc::<AtomicBool>::default();
    let writing: JoinHandle<Vec<Written>> =
        tokio::spawn(write(client.get_multiplexed_async_connection().await?, Arc::clone(&enough)));
    sleep(options.before).await;

    let there = lasting_keys(&mut client.get_multiplexed_async_connection().await?).await?;
    let killed = diary.note("Redis is killed");
    block_in_place(|| site.redis.kill())?;
    let gone = Instant::now();
    enough.store(true, Ordering::Relaxed);
    let written = writing.await?;
    site.until("somebody notices", async || site.has_noticed().await).await?;
    sleep_until(gone + AWAY).await;
    let restarting = diary.note("the level says that something is wrong: it is started again");
    block_in_place(|| site.redis.restart())?;
    diary.note("it has read its file, and answers");
    let works = site
        .until("a task with a key is accepted", async || {
            matches!(submit(&site.user, site.gateway.address, 0, true).await, Became::Accepted(_))
        })
        .await?;
    diary.note("a task with an idempotency key is accepted");
    let well = site.until("the level is none", async || site.is_well().await).await?;
    diary.note("the level is none");
    let handed = load.end().await?;

    let mut redis = client.get_multiplexed_async_connection().await?;
    let mut lost = Vec::new();
    for Written { number, at } in &written {
        if !redis.exists::<_, bool>(name(*number)).await? {
            lost.push(*at);
        }
    }
    let here = lasting_keys(&mut redis).await?;
    let away = Away { from: gone, to: restarting };
    let of = |keyed: bool| handed.iter().filter(move |one: &&Handed| one.keyed == keyed);
    Ok(Redis {
        recovery: Recovery::new(
            diary,
            killed,
            (works, well),
            lost.iter().min().copied(),
            &options.of_redis(),
        ),
        writes: written.len(),
        writes_lost: lost.len(),
        last_write_ms: written.last().map(|last| millis(killed.saturating_duration_since(last.at))),
        keys: there.len(),
        keys_lost: there.difference(&here).count(),
        accepted_while_away: away.accepted(of(false)),
        refused_while_away: away.refused(of(false)),
        refused_with_key_while_away: away.refused(of(true)),
        failed: handed.iter().filter(|one| matches!(one.became, Became::Failed(_))).count(),
    })
}

/// A write of the drill's own that was acknowledged.
#[derive(Debug)]
struct Written {
    number: u64,
    at: Instant,
}

fn name(number: u64) -> String {
    format!("drill:{number}")
}

/// Writes one key after the other until it is enough, whether they are acknowledged or not: a moment's silence is not the end.
async fn write(mut redis: MultiplexedConnection, enough: Arc<AtomicBool>) -> Vec<Written> {
    let mut written = Vec::new();
    for number in 0.. {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        if redis.set::<_, _, ()>(name(number), "written").await.is_ok() {
            written.push(Written { number, at: Instant::now() });
        }
        sleep(EVERY).await;
    }
    written
}

/// The stack's keys that nobody forgets by himself soon.
async fn lasting_keys(redis: &mut MultiplexedConnection) -> anyhow::Result<BTreeSet<String>> {
    let names: Vec<String> = cmd("KEYS").arg("*").query_async(redis).await?;
    let mut lasting = BTreeSet::new();
    for name in names.into_iter().filter(|name| !name.starts_with("drill:")) {
        let left: i64 = redis.ttl(&name).await?;
        if left == -1 || left > LASTING {
            lasting.insert(name);
        }
    }
    Ok(lasting)
}
