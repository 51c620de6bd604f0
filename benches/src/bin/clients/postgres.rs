use std::time::{Duration, Instant};

use mainstay_postgres::sqlx::postgres::PgPoolOptions;
use mainstay_postgres::sqlx::{self, Executor, Postgres};
use mainstay_postgres::{GuardedPool, default_settings};
use mainstay_testkit::PostgresServer;
use tokio::runtime::Runtime;

use crate::{Effort, Failure, Row, beside, breaker, typical};

/// The pool takes no connection that does nothing, so the two ways are compared on real ones. The difference is small beside a
/// call's own spread: it is the median of many rounds, and none of the budgets.
pub(crate) fn row(runtime: &Runtime, effort: Effort) -> Result<Row, Failure> {
    let server = PostgresServer::start()?;
    // Without the ping that goes before each call, to see the guard beside one round trip and not two.
    let options = PgPoolOptions::new().test_before_acquire(false).max_connections(2);
    let pool = runtime.block_on(options.connect(&server.url()))?;
    let guarded_pool = GuardedPool::new(pool.clone(), breaker(default_settings())?);
    let effort = Effort { round: effort.round * 10, calls: effort.calls / 4, ..effort };
    let (bare, guarded) =
        beside(effort, |calls| time(runtime, &pool, calls), |calls| time(runtime, &guarded_pool, calls));
    let real =
        runtime.block_on(typical(effort, async || sqlx::query("SELECT 1").execute(&pool).await.map(drop)))?;
    runtime.block_on(pool.close());
    Ok(Row { client: "PostgreSQL", call: "SELECT 1", bare, guarded, real, budget: None })
}

fn time<'e, E>(runtime: &Runtime, executor: E, calls: u64) -> Duration
where
    E: Executor<'e, Database = Postgres> + Copy,
{
    runtime.block_on(async {
        let begin = Instant::now();
        for _ in 0..calls {
            let _ = sqlx::query("SELECT 1").execute(executor).await;
        }
        begin.elapsed()
    })
}
