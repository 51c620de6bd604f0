//! The driver's API, as it is, through a guard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::real::*;
use mainstay_breaker::{Breaker, State};
use mainstay_redis::Guarded;
use mainstay_redis::redis::aio::ConnectionLike;
use mainstay_redis::redis::streams::{StreamReadOptions, StreamReadReply};
use mainstay_redis::redis::{
    self, AsyncCommands, ExistenceCheck, RedisResult, Script, SetExpiry, SetOptions, Value,
};
use mainstay_testkit::RedisServer;

/// All that was asked went well.
fn assert_only_successes(breaker: &Breaker) {
    let snapshot = breaker.snapshot();
    let totals = snapshot.totals;
    assert_eq!(snapshot.state, State::Closed);
    assert!(totals.success > 0);
    assert_eq!((totals.failure, totals.ignored, totals.rejected), (0, 0, 0));
}

async fn use_commands<C: ConnectionLike + Send + Sync + Clone>(mut redis: Guarded<C>) {
    redis.set::<_, _, ()>("string", "value").await.unwrap();
    assert_eq!(redis.get::<_, String>("string").await.unwrap(), "value");
    assert_eq!(redis.get::<_, Option<String>>("nobody").await.unwrap(), None);
    redis.append::<_, _, ()>("string", "!").await.unwrap();
    assert_eq!(redis.strlen::<_, u64>("string").await.unwrap(), 6);
    assert_eq!(redis.incr::<_, _, i64>("counter", 41).await.unwrap(), 41);
    assert_eq!(redis.decr::<_, _, i64>("counter", 1).await.unwrap(), 40);
    redis.mset::<_, _, ()>(&[("a", 1), ("b", 2)]).await.unwrap();
    assert_eq!(
        redis.mget::<_, Vec<Option<i64>>>(&["a", "nobody", "b"]).await.unwrap(),
        [Some(1), None, Some(2)]
    );
    let options =
        SetOptions::default().conditional_set(ExistenceCheck::NX).with_expiration(SetExpiry::PX(60_000));
    assert!(redis.set_options::<_, _, bool>("fresh", 1, options.clone()).await.unwrap());
    assert_eq!(redis.set_options::<_, _, Option<String>>("fresh", 2, options).await.unwrap(), None);
    assert!(redis.pttl::<_, i64>("fresh").await.unwrap() > 0);
    let big = vec![7u8; 1 << 20];
    redis.set::<_, _, ()>("big", &big).await.unwrap();
    assert_eq!(redis.get::<_, Vec<u8>>("big").await.unwrap(), big);
    assert_eq!(redis.del::<_, u64>(&["big", "a", "nobody"]).await.unwrap(), 2);
    assert!(redis.exists::<_, bool>("b").await.unwrap());

    redis.hset_multiple::<_, _, _, ()>("hash", &[("one", 1), ("two", 2)]).await.unwrap();
    assert_eq!(redis.hget::<_, _, Option<i64>>("hash", "three").await.unwrap(), None);
    let hash: BTreeMap<String, i64> = redis.hgetall("hash").await.unwrap();
    assert_eq!(hash, BTreeMap::from([("one".into(), 1), ("two".into(), 2)]));

    redis.rpush::<_, _, ()>("list", &["x", "y", "z"]).await.unwrap();
    assert_eq!(redis.lrange::<_, Vec<String>>("list", 0, -1).await.unwrap(), ["x", "y", "z"]);
    assert_eq!(redis.lpop::<_, Option<String>>("list", None).await.unwrap().as_deref(), Some("x"));
    assert_eq!(redis.blpop::<_, Option<(String, String)>>("list", 1.0).await.unwrap().unwrap().1, "y");

    redis.sadd::<_, _, ()>("set", &[1, 2, 3]).await.unwrap();
    assert_eq!(redis.smembers::<_, BTreeSet<i64>>("set").await.unwrap(), BTreeSet::from([1, 2, 3]));
    redis.zadd_multiple::<_, _, _, ()>("zset", &[(2.0, "b"), (1.0, "a")]).await.unwrap();
    let ranks: Vec<(String, f64)> = redis.zrange_withscores("zset", 0, -1).await.unwrap();
    assert_eq!(ranks, [("a".into(), 1.0), ("b".into(), 2.0)]);

    let id: String = redis.xadd("stream", "*", &[("field", "entry")]).await.unwrap();
    redis.xgroup_create::<_, _, _, ()>("stream", "group", "0").await.unwrap();
    let options = StreamReadOptions::default().group("group", "me").count(10);
    let reply: Option<StreamReadReply> = redis.xread_options(&["stream"], &[">"], &options).await.unwrap();
    assert_eq!(reply.unwrap().keys[0].ids[0].id, id);
    assert_eq!(redis.xack::<_, _, _, u64>("stream", "group", &[&id]).await.unwrap(), 1);

    assert_eq!(redis.ping::<String>().await.unwrap(), "PONG");
    assert_eq!(redis::cmd("ECHO").arg("hello").query_async::<String>(&mut redis).await.unwrap(), "hello");
}

async fn use_pipelines<C: ConnectionLike + Send + Sync + Clone>(mut redis: Guarded<C>) {
    let (old, new): (Option<i64>, i64) = redis::pipe()
        .get("piped")
        .cmd("SET")
        .arg("piped")
        .arg(1)
        .ignore()
        .incr("piped", 1)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!((old, new), (None, 2));

    let (one, two): (i64, i64) =
        redis::pipe().atomic().incr("piped", 1).incr("piped", 1).query_async(&mut redis).await.unwrap();
    assert_eq!((one, two), (3, 4));
    redis::pipe().atomic().del("piped").exec_async(&mut redis).await.unwrap();

    let results: Vec<RedisResult<Value>> = redis::pipe()
        .set("piped", "text")
        .hget("piped", "field")
        .get("piped")
        .ignore_errors()
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(results[1].as_ref().unwrap_err().code(), Some("WRONGTYPE"));
    assert_eq!(results[2], Ok(Value::BulkString(b"text".to_vec())));
    let error =
        redis::pipe().get("piped").incr("piped", 1).query_async::<Value>(&mut redis).await.unwrap_err();
    assert!(error.to_string().contains("Index 1"), "{error}");

    let many: Vec<i64> = {
        let mut pipe = redis::pipe();
        (0..1000).for_each(|number| {
            pipe.cmd("ECHO").arg(number);
        });
        pipe.query_async(&mut redis).await.unwrap()
    };
    assert_eq!(many, (0..1000).collect::<Vec<_>>());
}

async fn use_transactions<C: ConnectionLike + Send + Sync + Clone>(redis: Guarded<C>) {
    let key = "watched";
    let new: (i64,) =
        redis::aio::transaction_async(redis.clone(), &[key], |mut redis, mut pipe| async move {
            let old: Option<i64> = redis.get(key).await?;
            pipe.incr(key, old.unwrap_or(0) + 1).query_async(&mut redis).await
        })
        .await
        .unwrap();
    assert_eq!(new, (1,));

    // Somebody else writes in between, once: the driver tries again.
    let mut tries = 0;
    let new: (i64,) = redis::aio::transaction_async(redis, &[key], |mut redis, mut pipe| {
        tries += 1;
        let first = tries == 1;
        async move {
            if first {
                redis.incr::<_, _, ()>(key, 100).await?;
            }
            pipe.incr(key, 1).query_async(&mut redis).await
        }
    })
    .await
    .unwrap();
    assert_eq!((new, tries), ((102,), 2));
}

async fn use_scripts<C: ConnectionLike + Send + Sync + Clone>(mut redis: Guarded<C>) {
    // The first time it is not there: NOSCRIPT, and the driver loads it.
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    assert_eq!(script.key("scripted").arg(5).invoke_async::<i64>(&mut redis).await.unwrap(), 5);
    assert_eq!(script.key("scripted").arg(5).invoke_async::<i64>(&mut redis).await.unwrap(), 10);
    let nested: Vec<Value> =
        Script::new("return {1, {'two', {3}}, false}").invoke_async(&mut redis).await.unwrap();
    assert_eq!(nested.len(), 3);
    let error =
        Script::new("return redis.error_reply('MYOWN mistake')").invoke_async::<_, ()>(&mut redis).await;
    assert_eq!(error.unwrap_err().code(), Some("MYOWN"));
    Script::new("error('oops')").invoke_async::<_, ()>(&mut redis).await.unwrap_err();
}

async fn use_scans<C: ConnectionLike + Send + Sync + Clone>(mut redis: Guarded<C>) {
    let names: Vec<_> = (0..500).map(|number| format!("scan:{number}")).collect();
    let pairs: Vec<_> = names.iter().map(|name| (name, 1)).collect();
    redis.mset::<_, _, ()>(&pairs).await.unwrap();
    let mut found = BTreeSet::new();
    let mut scan = redis.scan_match::<_, String>("scan:*").await.unwrap();
    while let Some(name) = scan.next_item().await {
        found.insert(name.unwrap());
    }
    drop(scan);
    assert_eq!(found, names.into_iter().collect());

    let fields: Vec<_> = (0..600).map(|number| (format!("field:{number}"), number)).collect();
    redis.hset_multiple::<_, _, _, ()>("scanned", &fields).await.unwrap();
    let mut found = HashMap::new();
    let mut scan = redis.hscan::<_, (String, i64)>("scanned").await.unwrap();
    while let Some(field) = scan.next_item().await {
        let (name, number) = field.unwrap();
        found.insert(name, number);
    }
    drop(scan);
    assert_eq!(found, fields.into_iter().collect());
}

async fn use_everything<C: ConnectionLike + Send + Sync + Clone>(redis: Guarded<C>) {
    use_commands(redis.clone()).await;
    use_pipelines(redis.clone()).await;
    use_transactions(redis.clone()).await;
    use_scripts(redis.clone()).await;
    use_scans(redis).await;
}

#[tokio::test]
async fn everything_works_on_a_multiplexed_connection() {
    let server = RedisServer::start().unwrap();
    let breaker = touchy();
    use_everything(guarded(&server, breaker.clone()).await).await;
    assert_only_successes(&breaker);
}

#[tokio::test]
async fn everything_works_with_the_newer_protocol() {
    let server = RedisServer::start().unwrap();
    let breaker = touchy();
    let connection = multiplexed(&format!("{}?protocol=resp3", server.url())).await;
    use_everything(Guarded::new(connection, breaker.clone()).deadline(LIMIT)).await;
    assert_only_successes(&breaker);
}

#[tokio::test]
async fn everything_works_on_a_connection_manager() {
    let server = RedisServer::start().unwrap();
    let breaker = touchy();
    use_everything(Guarded::new(manager(&server.url()).await, breaker.clone()).deadline(LIMIT)).await;
    assert_only_successes(&breaker);
}

#[tokio::test]
async fn many_tasks_share_one_connection_and_get_their_own_answers() {
    let server = RedisServer::start().unwrap();
    let breaker = touchy();
    let redis = guarded(&server, breaker.clone()).await;
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let mut redis = redis.clone();
            tokio::spawn(async move {
                for round in 0..50 {
                    let sent = format!("{task}:{round}");
                    assert_eq!(
                        redis::cmd("ECHO").arg(&sent).query_async::<String>(&mut redis).await.unwrap(),
                        sent
                    );
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(breaker.snapshot().totals.success, 32 * 50);
    assert_only_successes(&breaker);
}

#[tokio::test]
async fn a_command_that_blocks_on_purpose_needs_a_longer_deadline() {
    let server = RedisServer::start().unwrap();
    let breaker = breaker(5, LIMIT);
    let mut redis = guarded(&server, breaker.clone()).await.deadline(Duration::from_millis(50));
    let error = redis.blpop::<_, Value>("jobs", 0.5).await.unwrap_err();
    assert!(mainstay_redis::timed_out(&error).is_some());
    assert_eq!(breaker.snapshot().totals.failure, 1);

    let nothing: Option<(String, String)> = redis.with_deadline(LIMIT).blpop("jobs", 0.2).await.unwrap();
    assert_eq!(nothing, None);
    assert_eq!(breaker.snapshot().totals.failure, 1);
}

#[tokio::test]
async fn a_call_cut_off_does_not_bring_the_answers_out_of_step() {
    let mut server = RedisServer::start().unwrap();
    let breaker = breaker(1000, LIMIT);
    let mut redis = guarded(&server, breaker.clone()).await;
    server.stop().unwrap();
    for number in 0..20 {
        let mut impatient = redis.with_deadline(Duration::from_millis(5));
        let echo =
            redis::cmd("ECHO").arg(format!("late {number}")).query_async::<String>(&mut impatient).await;
        assert!(mainstay_redis::timed_out(&echo.unwrap_err()).is_some());
    }
    server.resume().unwrap();
    for number in 0..200 {
        let sent = format!("in time {number}");
        assert_eq!(redis::cmd("ECHO").arg(&sent).query_async::<String>(&mut redis).await.unwrap(), sent);
    }
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.failure, totals.success), (20, 200));
}

#[tokio::test]
async fn a_guard_costs_next_to_nothing() {
    let server = RedisServer::start().unwrap();
    let mut bare = multiplexed(&server.url()).await;
    let mut guarded = Guarded::new(bare.clone(), touchy());
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..301 {
        let start = Instant::now();
        bare.get::<_, Option<String>>("key").await.unwrap();
        without.push(start.elapsed());
        let start = Instant::now();
        guarded.get::<_, Option<String>>("key").await.unwrap();
        with.push(start.elapsed());
    }
    with.sort();
    without.sort();
    // Generous: this is no benchmark.
    let (with, without) = (with[150], without[150]);
    assert!(with < without * 2 + Duration::from_micros(200), "{with:?} with, {without:?} without");
}
