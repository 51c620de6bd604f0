//! The restore drill: PostgreSQL from a dump, Redis from its append-only file. How long it takes (RTO), and what is lost (RPO).

mod database;
mod load;
mod postgres;
mod redis;
mod report;
mod site;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::apart::Verdict;
use crate::restore::report::{Report, Targets, millis};
use crate::restore::site::{Site, TIMES};

/// At least so long PostgreSQL and Redis are away, so that there is something to say about it.
const AWAY: Duration = Duration::from_secs(2);
/// So soon before its end Redis must have acknowledged the last write, or else what is lost was not measured.
const FRESH: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Tasks handed in a second: 2 to 200
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=200))]
    rate: u32,
    /// How long PostgreSQL may be away, from its destruction until reads and writes work
    #[arg(long, default_value = "30s", value_parser = duration)]
    rto: Duration,
    /// How long it may take until the level is none, of either: what the traffic was like counts for 30 s
    #[arg(long, default_value = "60s", value_parser = duration)]
    well: Duration,
    /// How old the oldest accepted task may be that is lost with PostgreSQL: the age of the last dump, and what delivery takes
    #[arg(long, default_value = "30s", value_parser = duration)]
    rpo: Duration,
    /// The same as `--rto` for Redis
    #[arg(long, default_value = "15s", value_parser = duration)]
    redis_rto: Duration,
    /// How old the oldest acknowledged write may be that is lost with Redis
    #[arg(long, default_value = "1s", value_parser = duration)]
    redis_rpo: Duration,
    /// How long tasks come in before the dump, and before Redis is killed
    #[arg(long, default_value = "6s", value_parser = duration)]
    before: Duration,
    /// How long tasks come in between the dump and the destruction
    #[arg(long, default_value = "8s", value_parser = duration)]
    after: Duration,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// With a unit, such as 30s, of at most an hour.
fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= Duration::from_secs(3600) => Ok(duration),
        _ => Err("must be a duration with a unit, such as 30s, of at most 1h".to_owned()),
    }
}

/// Runs the drill and prints its report. Returns whether it passed.
pub(crate) async fn run(options: Options) -> anyhow::Result<bool> {
    eprintln!("the stack starts on a Redis and a PostgreSQL of its own");
    let mut site = Site::start().await?;
    eprintln!("[1/2] PostgreSQL: dump, destruction, restoration");
    let postgres = postgres::drill(&mut site, &options).await.context("the drill of PostgreSQL")?;
    site.until("the stack is well", async || site.is_well().await).await?;
    eprintln!("[2/2] Redis: kill, and start from its append-only file");
    let redis = redis::drill(&mut site, &options).await.context("the drill of Redis")?;

    let verdicts = judged(&postgres, &redis);
    let passed = verdicts.iter().all(|verdict| verdict.holds);
    let report = Report { passed, rate: options.rate, times: TIMES, postgres, redis, verdicts };
    print!("{report}");
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, json).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(passed)
}

impl Options {
    fn of_postgres(&self) -> Targets {
        Targets { rto: self.rto, well: self.well, rpo: self.rpo }
    }

    fn of_redis(&self) -> Targets {
        Targets { rto: self.redis_rto, well: self.well, rpo: self.redis_rpo }
    }
}

fn judged(postgres: &report::Postgres, redis: &report::Redis) -> Vec<Verdict> {
    let none = |name: &str, count: usize| Verdict::new(name, count == 0, format!("{count} (none)"));
    let accepts = |name: &str, accepted: usize, refused: usize, failed: usize| {
        let holds = accepted > 0 && refused == 0 && failed == 0;
        Verdict::new(name, holds, format!("{accepted}, {refused} refused, {failed} failed"))
    };
    let (name, away) = ("tasks are accepted while PostgreSQL is away", postgres.accepted_while_away);
    let of_postgres = [
        none("nothing is lost that the dump has", postgres.lost_of_dump),
        none("nothing is lost that was accepted after the destruction", postgres.lost_after_destruction),
        accepts(name, away, postgres.refused_while_away, postgres.failed),
        none("no task is unfinished after a restart of the orchestrator", postgres.unfinished_after_restart),
    ];
    let (name, away) = ("tasks without a key are accepted while Redis is away", redis.accepted_while_away);
    let of_redis = [
        Verdict::new(
            "writes were acknowledged until Redis ended, so that what is lost is known",
            redis.last_write_ms.is_some_and(|before| before <= millis(FRESH)),
            redis.last_write_ms.map_or("none".to_owned(), |before| format!("the last {before} ms before")),
        ),
        Verdict::new(
            "no key of the stack is lost",
            redis.keys > 0 && redis.keys_lost == 0,
            format!("{} of {} (none)", redis.keys_lost, redis.keys),
        ),
        accepts(name, away, redis.refused_while_away, redis.failed),
    ];
    let of_postgres = postgres.recovery.judged("PostgreSQL").into_iter().chain(of_postgres);
    of_postgres.chain(redis.recovery.judged("Redis")).chain(of_redis).collect()
}
