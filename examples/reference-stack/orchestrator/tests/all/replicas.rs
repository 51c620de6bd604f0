//! Two orchestrators with one database, and one that has lost its disk.

use stack_protocol::v1::{CancelTaskRequest, StreamTaskRequest};
use tonic::Code;

use crate::crash::Process;
use crate::fake;
use crate::stack::{Stack, ended, events, get, run, submit, succeeded, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_has_ended_any_other_tells() {
    let mut stack = Stack::real().await;
    let (one, one_client) = stack.start_ready().await;
    let other_data = stack.data.path().join("other");
    stack.set("ORCHESTRATOR_ID", "orchestrator-2");
    stack.set("DATA_DIR", other_data.to_str().unwrap());
    let (other, other_client) = stack.start_ready().await;

    let task = run(&one_client, submit("the tides")).await;
    until("the other one knows it", || async {
        get(&other_client, &task.id).await.is_ok_and(|known| known == task)
    })
    .await;
    assert_eq!(events(&other_client, &task.id, 2).await, events(&one_client, &task.id, 2).await);

    // One that runs is told by whoever runs it; others say that they cannot.
    stack.llm.switch.set(fake::Mode::Hanging);
    let request = submit("the moon");
    let id = request.id.clone();
    one_client.clone().submit_task(request.clone()).await.unwrap();
    until("the database has it", || async { get(&other_client, &id).await.is_ok() }).await;
    let stream = StreamTaskRequest { id: id.clone(), user: "ann".to_owned(), after: 0, run: 0 };
    let refused = other_client.clone().stream_task(stream).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let cancel = CancelTaskRequest { id: id.clone(), user: "ann".to_owned() };
    let refused = other_client.clone().cancel_task(cancel).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    // And nobody runs it again.
    assert_eq!(other_client.clone().submit_task(request).await.unwrap().into_inner().id, id);
    stack.llm.switch.set(fake::Mode::Well);
    assert!(succeeded(&ended(&events(&one_client, &id, 0).await)));
    assert_eq!(stack.llm.switch.asked().len(), 2);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_has_under_its_name_goes_on_though_the_disk_is_lost() {
    let stack = Stack::real().await;
    let mut process = Process::start(&stack).await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let request = submit("the tides");
    let id = request.id.clone();
    process.client.submit_task(request).await.unwrap();
    until("the database has it", || async {
        stack.rows::<(String,)>("SELECT status FROM tasks").await == [("running".to_owned(),)]
    })
    .await;
    process.child.kill().await.unwrap();
    std::fs::remove_dir_all(stack.data.path().join("spool")).unwrap();

    stack.llm.switch.set(fake::Mode::Well);
    let process = Process::start(&stack).await;
    until("it has ended", || async { get(&process.client, &id).await.is_ok_and(|task| succeeded(&task)) })
        .await;
    until("the database has it once", || async {
        stack.rows::<(String,)>("SELECT status FROM tasks").await == [("succeeded".to_owned(),)]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_are_told_no_name_do_not_take_each_others_tasks() {
    let mut stack = Stack::real().await;
    stack.variables.remove("ORCHESTRATOR_ID");
    stack.variables.remove("DATA_DIR");
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut process = Process::start_in(&stack, one.path()).await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let request = submit("the tides");
    let id = request.id.clone();
    process.client.submit_task(request).await.unwrap();
    until("the database has it", || async {
        stack.rows::<(String,)>("SELECT status FROM tasks").await == [("running".to_owned(),)]
    })
    .await;
    process.child.kill().await.unwrap();

    let other = Process::start_in(&stack, other.path()).await;
    let stream = StreamTaskRequest { id: id.clone(), user: "ann".to_owned(), after: 0, run: 0 };
    let refused = other.client.clone().stream_task(stream).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(stack.llm.switch.asked().len(), 1);

    // The first one has its name still, though its spool is lost.
    let data = one.path().join("data/orchestrator");
    assert!(data.join("orchestrator-id").exists());
    std::fs::remove_dir_all(data.join("spool")).unwrap();
    stack.llm.switch.set(fake::Mode::Well);
    let process = Process::start_in(&stack, one.path()).await;
    until("it has ended", || async { get(&process.client, &id).await.is_ok_and(|task| succeeded(&task)) })
        .await;
}
