//! The program as a process: killed in the middle, and asked to end.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use stack_protocol::v1::{StreamTaskRequest, TaskStatus};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tonic::Code;

use crate::fake;
use crate::stack::{Client, PATIENCE, Stack, connect, ended, events, get, submit, succeeded, texts, until};

pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) client: Client,
    pub(crate) admin: String,
}

impl Process {
    pub(crate) async fn start(stack: &Stack) -> Self {
        Self::start_in(stack, stack.data.path()).await
    }

    pub(crate) async fn start_in(stack: &Stack, dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_orchestrator"))
            .env_clear()
            .current_dir(dir)
            .envs(&stack.variables)
            .stdout(Stdio::piped())
            .stderr(File::create(dir.join("log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let url = line.strip_prefix("orchestrator listens on ").unwrap().to_owned();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let admin = line.strip_prefix("orchestrator admin on ").unwrap().to_owned();
        Self { child, client: connect(url).await, admin }
    }

    pub(crate) fn ask_to_end(&self) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }
}

async fn tasks_survive_a_kill(stack: Stack) {
    let mut process = Process::start(&stack).await;
    let mut ids = Vec::new();
    for at in 0..10 {
        let request = submit(&format!("ended {at}"));
        ids.push(request.id.clone());
        process.client.submit_task(request).await.unwrap();
    }
    for id in &ids {
        events(&process.client, id, 0).await;
    }
    stack.llm.switch.set(fake::Mode::Hanging);
    for at in 0..10 {
        let request = submit(&format!("under way {at}"));
        ids.push(request.id.clone());
        process.client.submit_task(request).await.unwrap();
    }
    until("all are under way", || async { stack.llm.switch.asked().len() == 20 }).await;
    process.child.kill().await.unwrap();

    stack.llm.switch.set(fake::Mode::Well);
    let process = Process::start(&stack).await;
    for id in &ids {
        until("it ends", || async {
            get(&process.client, id).await.is_ok_and(|task| task.status() != TaskStatus::Running)
        })
        .await;
        let task = get(&process.client, id).await.unwrap();
        assert!(succeeded(&task), "{task:?}");
        assert_eq!(ended(&events(&process.client, id, 0).await), task);
    }
    // Those that had ended were not run again.
    let asked = stack.llm.switch.asked();
    assert_eq!(asked.iter().filter(|asked| asked.starts_with("ended")).count(), 10, "{asked:?}");
    if stack.postgres.is_some() {
        until("the database has each once", || async {
            let rows: Vec<(i64, i64)> =
                stack.rows("SELECT count(*), count(*) FILTER (WHERE status = 'succeeded') FROM tasks").await;
            rows == [(20, 20)]
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_accepted_tasks_end_after_a_kill() {
    tasks_survive_a_kill(Stack::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_accepted_tasks_end_after_a_kill_on_real_stores() {
    tasks_survive_a_kill(Stack::real().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_ends_before_the_process_does() {
    let stack = Stack::embedded().await;
    let mut process = Process::start(&stack).await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let request = submit("the tides");
    let id = request.id.clone();
    process.client.submit_task(request).await.unwrap();
    let reader = tokio::spawn({
        let (client, id) = (process.client.clone(), id.clone());
        async move { events(&client, &id, 0).await }
    });
    until("the language model is asked", || async { !stack.llm.switch.asked().is_empty() }).await;

    process.ask_to_end();
    // New tasks are for others.
    until("it refuses", || async {
        let refused = process.client.clone().submit_task(submit("late")).await;
        refused.is_err_and(|refused| refused.code() == Code::Unavailable)
    })
    .await;
    stack.llm.switch.set(fake::Mode::Well);
    let task = ended(&reader.await.unwrap());
    assert!(succeeded(&task), "{task:?}");
    let status = timeout(PATIENCE, process.child.wait()).await.unwrap().unwrap();
    assert!(status.success());

    let process = Process::start(&stack).await;
    assert_eq!(get(&process.client, &id).await.unwrap(), task);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_goes_on_after_the_next_start() {
    let mut stack = Stack::embedded().await;
    stack.set("MAINSTAY__HEALTH__DRAIN_LIMIT", "2s");
    let mut process = Process::start(&stack).await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let request = submit("the tides");
    let id = request.id.clone();
    process.client.submit_task(request).await.unwrap();
    let stream = StreamTaskRequest { id: id.clone(), user: "ann".to_owned(), after: 1, run: 0 };
    let mut stream = process.client.stream_task(stream).await.unwrap().into_inner();
    process.ask_to_end();
    let cut = timeout(PATIENCE, stream.message()).await.unwrap().unwrap_err();
    assert_eq!(cut.code(), Code::Unavailable);
    assert!(cut.message().contains("goes on"), "{cut:?}");
    assert_eq!(cut.metadata().get("ending").unwrap(), "true");
    assert!(timeout(PATIENCE, process.child.wait()).await.unwrap().unwrap().success());

    stack.llm.switch.set(fake::Mode::Well);
    let process = Process::start(&stack).await;
    until("it has ended", || async { get(&process.client, &id).await.is_ok_and(|task| succeeded(&task)) })
        .await;
    assert!(succeeded(&ended(&events(&process.client, &id, 0).await)));
}

async fn what_runs_again_has_events_of_another_run(stack: Stack) {
    let mut process = Process::start(&stack).await;
    stack.llm.switch.set(fake::Mode::Pausing);
    let request = submit("one two three");
    let id = request.id.clone();
    process.client.submit_task(request).await.unwrap();
    let stream = |after, run| StreamTaskRequest { id: id.clone(), user: "ann".to_owned(), after, run };
    let mut cut = process.client.stream_task(stream(0, 0)).await.unwrap().into_inner();
    for sequence in 1..=3 {
        let event = cut.message().await.unwrap().unwrap();
        assert_eq!((event.sequence, event.run), (sequence, 1));
    }
    process.child.kill().await.unwrap();

    let mut process = Process::start(&stack).await;
    until("it runs again", || async { stack.llm.switch.asked().len() == 2 }).await;
    let mut again = process.client.stream_task(stream(3, 1)).await.unwrap().into_inner();
    let mut seen = vec![again.message().await.unwrap().unwrap()];
    stack.llm.switch.set(fake::Mode::Well);
    while let Some(event) = timeout(PATIENCE, again.message()).await.unwrap().unwrap() {
        seen.push(event);
    }
    assert!(seen.iter().all(|event| event.run == 2));
    assert_eq!(seen, events(&process.client, &id, 0).await);
    assert_eq!(texts(&seen), "llm on one two three");

    // Also when it has ended.
    for (after, run, first) in [(3, 1, 0), (3, 2, 3), (3, 0, 3)] {
        let mut stream = process.client.stream_task(stream(after, run)).await.unwrap().into_inner();
        assert_eq!(stream.message().await.unwrap().unwrap(), seen[first]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_again_after_a_kill_tells_its_run() {
    what_runs_again_has_events_of_another_run(Stack::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_again_after_a_kill_tells_its_run_on_real_stores() {
    what_runs_again_has_events_of_another_run(Stack::real().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_twice_does_not_wait() {
    let mut stack = Stack::embedded().await;
    stack.set("MAINSTAY__HEALTH__DRAIN_LIMIT", "1h");
    let mut process = Process::start(&stack).await;
    stack.llm.switch.set(fake::Mode::Hanging);
    process.client.submit_task(submit("the tides")).await.unwrap();
    process.ask_to_end();
    until("it does not accept", || async {
        process.client.clone().submit_task(submit("late")).await.is_err()
    })
    .await;
    process.ask_to_end();
    assert!(timeout(PATIENCE, process.child.wait()).await.unwrap().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_cannot_be_recorded_is_told_once_and_does_not_hold_up_the_end() {
    let mut stack = Stack::embedded().await;
    stack.set("DATABASE_URL", "postgres://ann@127.0.0.1:1/tasks");
    stack.set("SPOOL_BYTES", "1048576");
    stack.set("MAINSTAY__HEALTH__DRAIN_LIMIT", "5s");
    let mut process = Process::start(&stack).await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let mut ids = Vec::new();
    let refused = loop {
        let request = submit(&"x".repeat(64 * 1024));
        let id = request.id.clone();
        match process.client.submit_task(request).await {
            Ok(_) => ids.push(id),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    stack.llm.switch.set(fake::Mode::Well);
    let log = stack.data.path().join("log");
    let told = || {
        let log = std::fs::read_to_string(&log).unwrap();
        let lines = log.lines().filter(|line| line.contains("that a task has ended is not recorded yet"));
        lines.map(|line| line.split_once("\"fields\"").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    until("an end does not fit", || async { !told().is_empty() }).await;
    process.ask_to_end();
    assert!(timeout(PATIENCE, process.child.wait()).await.unwrap().unwrap().success());
    let told = told();
    assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), told.len(), "{told:?}");

    // With room they run again, and end.
    stack.variables.remove("SPOOL_BYTES");
    let process = Process::start(&stack).await;
    for id in &ids {
        until("it has ended", || async { get(&process.client, id).await.is_ok_and(|task| succeeded(&task)) })
            .await;
    }
}
