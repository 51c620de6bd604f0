//! What one that starts goes on with, and what it does not.

use std::collections::BTreeSet;
use std::net::TcpListener;

use orchestrator::{StartError, start};
use sqlx::PgPool;
use stack_protocol::v1::TaskStatus;

use crate::crash::Process;
use crate::fake;
use crate::outages::list;
use crate::stack::{Stack, backlog, get, run, submit, succeeded, until};

/// A task that the database has as running under the name of one that is gone, with its disk; or some of them.
async fn left_running(stack: &Stack, count: usize) -> Vec<String> {
    let mut process = Process::start(stack).await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let mut ids = Vec::new();
    for _ in 0..count {
        let request = submit("the tides");
        ids.push(request.id.clone());
        process.client.submit_task(request).await.unwrap();
    }
    until("the database has them", || async {
        let rows: Vec<(i64,)> = stack.rows("SELECT count(*) FROM tasks WHERE status = 'running'").await;
        usize::try_from(rows[0].0).unwrap() == count
    })
    .await;
    process.child.kill().await.unwrap();
    std::fs::remove_dir_all(stack.data.path().join("spool")).unwrap();
    stack.llm.switch.set(fake::Mode::Well);
    ids
}

async fn database(stack: &Stack) -> PgPool {
    PgPool::connect(&stack.postgres.as_ref().unwrap().url()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_elsewhere_does_not_run_again() {
    let mut stack = Stack::real().await;
    let mut process = Process::start(&stack).await;
    let mut postgres = stack.postgres.take().unwrap();
    postgres.kill().unwrap();
    stack.llm.switch.set(fake::Mode::Hanging);
    let request = submit("the tides");
    process.client.submit_task(request.clone()).await.unwrap();
    until("it runs", || async { stack.llm.switch.asked().len() == 1 }).await;
    process.child.kill().await.unwrap();
    postgres.restart().unwrap();
    stack.postgres = Some(postgres);

    // Whoever handed it in is not sure, and asks another one.
    let (own, others) = (stack.variables["DATA_DIR"].clone(), stack.data.path().join("other"));
    stack.llm.switch.set(fake::Mode::Well);
    stack.set("DATA_DIR", others.to_str().unwrap());
    stack.set("ORCHESTRATOR_ID", "orchestrator-2");
    let (other, client) = stack.start_ready().await;
    let task = run(&client, request).await;
    until("the database has it", || async { backlog(&other).await == 0 }).await;
    other.stop().await;

    stack.set("DATA_DIR", &own);
    stack.set("ORCHESTRATOR_ID", "orchestrator-1");
    let (running, client) = stack.start_ready().await;
    assert_eq!(get(&client, &task.id).await.unwrap(), task);
    let ended = list(&client, TaskStatus::Succeeded, 10).await;
    assert_eq!(ended.iter().map(|task| &task.id).collect::<Vec<_>>(), [&task.id]);
    assert!(list(&client, TaskStatus::Running, 10).await.is_empty());
    until("the spool is empty", || async { backlog(&running).await == 0 }).await;
    assert_eq!(get(&client, &task.id).await.unwrap(), task);
    assert_eq!(stack.llm.switch.asked().len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_does_not_hold_up_the_others() {
    let stack = Stack::real().await;
    let ids = left_running(&stack, 3).await;
    let spoil = sqlx::query("UPDATE tasks SET record = '{}' WHERE id = $1::uuid").bind(&ids[1]);
    spoil.execute(&database(&stack).await).await.unwrap();

    let process = Process::start(&stack).await;
    let readable = BTreeSet::from([ids[0].clone(), ids[2].clone()]);
    for id in &readable {
        until("it has ended", || async { get(&process.client, id).await.is_ok_and(|task| succeeded(&task)) })
            .await;
    }
    for page_size in [1, 2, 10] {
        let listed = list(&process.client, TaskStatus::Unspecified, page_size).await;
        let listed: BTreeSet<_> = listed.into_iter().map(|task| task.id).collect();
        assert_eq!(listed, readable, "by {page_size}");
    }
    // It is there, whatever it is.
    assert_eq!(get(&process.client, &ids[1]).await.unwrap_err().code(), tonic::Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_cannot_tell_of_a_task_at_first_it_is_asked_again() {
    let mut stack = Stack::real().await;
    stack.set("MAINSTAY__CIRCUIT_BREAKERS__DATABASE__MAX_FAILURES", "100000");
    let id = left_running(&stack, 1).await.remove(0);
    let database = database(&stack).await;
    // Which tasks there are can be asked still, but not how they are.
    sqlx::query("ALTER TABLE tasks RENAME COLUMN events TO gone").execute(&database).await.unwrap();
    let process = Process::start(&stack).await;
    let log = stack.data.path().join("log");
    until("it was asked", || async {
        std::fs::read_to_string(&log).unwrap().contains("the database cannot be asked")
    })
    .await;
    sqlx::query("ALTER TABLE tasks RENAME COLUMN gone TO events").execute(&database).await.unwrap();
    until("it has ended", || async { get(&process.client, &id).await.is_ok_and(|task| succeeded(&task)) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_listen_goes_on_with_nothing() {
    let mut stack = Stack::embedded().await;
    let mut process = Process::start(&stack).await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let request = submit("the tides");
    let id = request.id.clone();
    process.client.submit_task(request).await.unwrap();
    until("it runs", || async { stack.llm.switch.asked().len() == 1 }).await;
    process.child.kill().await.unwrap();
    stack.llm.switch.set(fake::Mode::Well);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    for variable in ["ORCHESTRATOR_LISTEN", "ORCHESTRATOR_ADMIN_LISTEN"] {
        stack.set(variable, &taken.local_addr().unwrap().to_string());
        let refused = start(stack.settings()).await.unwrap_err();
        assert!(matches!(refused, StartError::Listen(..)), "{refused:?}");
        stack.set(variable, "127.0.0.1:0");
    }
    let (running, client) = stack.start_ready().await;
    until("it has ended", || async { get(&client, &id).await.is_ok_and(|task| succeeded(&task)) }).await;
    assert_eq!(stack.llm.switch.asked().len(), 2);
    running.stop().await;
}
