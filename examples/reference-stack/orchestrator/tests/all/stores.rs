//! What the stores hold, and how: sessions with bounds, tasks in batches, a pool of connections.

use stack_protocol::v1::Message;
use tonic::Code;
use uuid::Uuid;

use crate::fake;
use crate::stack::{Stack, backlog, check, get, run, submit, succeeded, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_two_keys_of_bounded_size_that_end_after_thirty_days() {
    let stack = Stack::real().await;
    let (running, client) = stack.start_ready().await;
    let mut last = submit("x");
    for at in 0..110 {
        let mut request = submit(&format!("x {at}"));
        request.session = "talk".to_owned();
        if at < 5 {
            request.messages = vec![Message { role: "user".to_owned(), content: format!("x {at}") }; 199];
        }
        last = request.clone();
        assert_eq!(run(&client, request).await.degradation, None);
    }
    let redis = redis::Client::open(stack.redis.as_ref().unwrap().url()).unwrap();
    let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
    let mut keys: Vec<String> = redis::cmd("KEYS").arg("session:*").query_async(&mut redis).await.unwrap();
    keys.sort();
    assert_eq!(keys, ["session:{3:ann:talk}", "session:{3:ann:talk}:tasks"]);
    let messages: usize = redis::cmd("LLEN").arg(&keys[0]).query_async(&mut redis).await.unwrap();
    let tasks: Vec<String> =
        redis::cmd("ZRANGE").arg(&keys[1]).arg(0).arg(-1).query_async(&mut redis).await.unwrap();
    assert_eq!((messages, tasks.len()), (1000, 100));
    assert!(tasks.contains(&last.id));
    for key in &keys {
        let seconds: u64 = redis::cmd("TTL").arg(key).query_async(&mut redis).await.unwrap();
        let days = seconds.div_ceil(24 * 3600);
        assert_eq!(days, 30, "{key}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_database_goes_there_in_batches_of_a_hundred() {
    let mut stack = Stack::real().await;
    stack.set("MAINSTAY__CIRCUIT_BREAKERS__DATABASE__MAX_FAILURES", "100000");
    let (running, client) = stack.start_ready().await;
    let url = stack.postgres.as_ref().unwrap().url();
    let database = sqlx::PgPool::connect(&url).await.unwrap();
    let mut lock = database.begin().await.unwrap();
    sqlx::query("LOCK TABLE tasks IN EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    for _ in 0..150 {
        assert!(succeeded(&run(&client, submit("the tides")).await));
    }
    lock.rollback().await.unwrap();
    until("the spool is empty", || async { backlog(&running).await == 0 }).await;
    // Two of a task's three records are in the audit log; those of a batch are of one transaction.
    let batches: Vec<(i64,)> = stack.rows("SELECT count(*) FROM audit_log GROUP BY xmin::text").await;
    let (all, largest) =
        batches.iter().fold((0, 0), |(all, most), (size,)| (all + size, size.max(&most).to_owned()));
    assert_eq!(all, 300);
    assert!((50..=100).contains(&largest), "{batches:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_twenty_five_connections_go_to_the_database() {
    let stack = Stack::real().await;
    let (running, client) = stack.start_ready().await;
    let connections = || async {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'orchestrator'";
        stack.rows::<(i64,)>(count).await[0].0
    };
    until("all are there", || async {
        let asked = (0..200).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { get(&client, &Uuid::new_v4().to_string()).await })
        });
        for asked in asked.collect::<Vec<_>>() {
            assert_eq!(asked.await.unwrap().unwrap_err().code(), Code::NotFound);
        }
        let connections = connections().await;
        assert!(connections <= 25, "{connections}");
        connections == 25
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_for_good_is_known_all_the_same() {
    let stack = Stack::real().await;
    let (running, client) = stack.start_ready().await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let request = submit("the tides");
    let id = request.id.clone();
    client.clone().submit_task(request).await.unwrap();
    until("the database has it as it runs", || async {
        stack.rows::<(String,)>("SELECT status FROM tasks").await == [("running".to_owned(),)]
    })
    .await;
    let database = sqlx::PgPool::connect(&stack.postgres.as_ref().unwrap().url()).await.unwrap();
    let refuse = "ALTER TABLE tasks ADD CHECK (status <> 'succeeded')";
    sqlx::query(refuse).execute(&database).await.unwrap();
    stack.llm.switch.set(fake::Mode::Well);
    until("its end is given up", || async { check(&running, "spool").await == "degraded" }).await;
    let task = get(&client, &id).await.unwrap();
    assert!(succeeded(&task), "{task:?}");
    running.stop().await;
}
