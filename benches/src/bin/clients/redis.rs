use std::time::Instant;

use mainstay_benches::calls::guards::Nil;
use mainstay_redis::redis::aio::ConnectionLike;
use mainstay_redis::redis::{AsyncCommands, Client, Cmd};
use mainstay_redis::{Guarded, default_settings};
use mainstay_testkit::RedisServer;
use tokio::runtime::Runtime;

use crate::{Effort, Failure, Row, beside, breaker, typical};

pub(crate) fn row(runtime: &Runtime, effort: Effort) -> Result<Row, Failure> {
    let get = mainstay_redis::redis::cmd("GET").arg("key").take();
    let mut bare = Nil;
    let mut guarded = Guarded::new(Nil, breaker(default_settings())?);
    let (bare, guarded) = beside(
        effort,
        |calls| time(runtime, &mut bare, &get, calls),
        |calls| time(runtime, &mut guarded, &get, calls),
    );

    let server = RedisServer::start()?;
    let real = runtime.block_on(async {
        let mut redis = Client::open(server.url())?.get_multiplexed_async_connection().await?;
        redis.set::<_, _, ()>("key", "value").await?;
        typical(effort, async || redis.get::<_, String>("key").await).await
    })?;
    Ok(Row { client: "redis", call: "GET", bare, guarded, real, budget: Some(0.02) })
}

fn time(
    runtime: &Runtime,
    connection: &mut impl ConnectionLike,
    get: &Cmd,
    calls: u64,
) -> std::time::Duration {
    runtime.block_on(async {
        let begin = Instant::now();
        for _ in 0..calls {
            let _ = connection.req_packed_command(get).await;
        }
        begin.elapsed()
    })
}
