//! One dependency at a time goes: tasks are accepted, answers are less and say so, and nothing is lost.

use stack_protocol::v1::{Degradation, ListTasksRequest, Mode, Task};
use tonic::Code;
use uuid::Uuid;

use crate::fake;
use crate::stack::{Client, Stack, backlog, check, events, get, run, submit, succeeded, until};

/// Runs tasks until one is as it should be, because breakers and checks find out in their own time.
async fn runs_until(client: &Client, mode: Mode, is_so: impl Fn(&Task) -> bool) -> Task {
    let last = std::sync::Mutex::new(None);
    until("a task ends as it should", || async {
        let mut request = submit("the tides");
        (request.mode, request.session) = (mode.into(), "talk".to_owned());
        let task = run(client, request).await;
        assert!(succeeded(&task), "{task:?}");
        let so = is_so(&task);
        *last.lock().unwrap() = Some(task);
        so
    })
    .await;
    last.into_inner().unwrap().unwrap()
}

fn less(task: &Task) -> Degradation {
    task.degradation.clone().unwrap_or_else(|| panic!("nothing is said: {task:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_language_model_is_down_the_second_provider_answers() {
    let mut stack = Stack::embedded().await;
    stack.set("LLM_FALLBACK_URL", &stack.second.url());
    let (running, client) = stack.start_ready().await;
    stack.llm.switch.set(fake::Mode::Failing);
    for _ in 0..5 {
        let task = run(&client, submit("the tides")).await;
        assert_eq!(task.answer, "second on the tides");
        let less = less(&task);
        assert_eq!((less.answered_from.as_str(), less.completeness), ("fallback_provider", 1.0));
        assert_eq!(less.failed_dependencies, ["llm_service"]);
    }
    // Its breaker and its check know by now: nobody waits for it any more.
    stack.llm.switch.set(fake::Mode::Well);
    let task = runs_until(&client, Mode::Simple, |task| task.degradation.is_none()).await;
    assert_eq!(task.answer, "llm on the tides");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_second_provider_an_earlier_answer_is_given_or_a_notice() {
    let stack = Stack::embedded().await;
    let (running, client) = stack.start_ready().await;
    let own = run(&client, submit("the tides")).await;
    stack.llm.switch.set(fake::Mode::Failing);
    for _ in 0..5 {
        let task = run(&client, submit("the tides")).await;
        assert!(succeeded(&task));
        assert_eq!(
            (task.answer.as_str(), less(&task).answered_from.as_str()),
            (own.answer.as_str(), "cache")
        );
        let task = run(&client, submit("something else")).await;
        assert!(succeeded(&task));
        let less = less(&task);
        assert_eq!((less.answered_from.as_str(), less.completeness), ("notice", 0.0));
        assert!(!task.answer.is_empty());
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_kept_as_far_as_it_came() {
    let stack = Stack::embedded().await;
    let (running, client) = stack.start_ready().await;
    stack.llm.switch.set(fake::Mode::Breaking);
    let task = run(&client, submit("the tides")).await;
    assert!(succeeded(&task));
    assert_eq!(task.answer, "llm on ");
    let less = less(&task);
    assert_eq!((less.completeness, less.failed_dependencies), (0.0, vec!["llm_service".to_owned()]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_model_that_hangs_is_given_up_and_the_next_one_asked() {
    let mut stack = Stack::embedded().await;
    stack.set("LLM_FALLBACK_URL", &stack.second.url());
    stack.set("LLM_TIMEOUT", "1s");
    let (running, client) = stack.start_ready().await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let task = run(&client, submit("the tides")).await;
    assert_eq!(task.answer, "second on the tides");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_the_language_model_refuses_fail_the_task() {
    let stack = Stack::embedded().await;
    let (running, client) = stack.start_ready().await;
    let task = run(&client, submit("too much")).await;
    assert!(!succeeded(&task));
    assert_eq!(task.error, "the language model refused the request: 400 Bad Request");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_agents_are_down_the_language_model_answers_alone() {
    let stack = Stack::embedded().await;
    let (running, client) = stack.start_ready().await;
    stack.agents.switch.set(fake::Mode::Failing);
    for mode in [Mode::Standard, Mode::Complex] {
        let mut request = submit("the tides");
        request.mode = mode.into();
        let task = run(&client, request).await;
        assert!(succeeded(&task));
        assert_eq!(task.answer, "llm on the tides");
        let less = less(&task);
        assert_eq!(less.failed_dependencies, ["agent_core"]);
        assert!(less.completeness < 1.0, "{less:?}");
    }
    stack.agents.switch.set(fake::Mode::Well);
    runs_until(&client, Mode::Complex, |task| task.degradation.is_none()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_agents_are_enough_and_the_answer_says_who_is_missing() {
    let mut stack = Stack::embedded().await;
    stack.set("MAINSTAY__DEGRADATION__PARTIAL_RESULTS__TIMEOUT_OVERRIDE", "1s");
    let (running, client) = stack.start_ready().await;
    stack.agents.switch.set(fake::Mode::Breaking);
    let mut request = submit("the tides");
    request.mode = Mode::Complex.into();
    let id = request.id.clone();
    let task = run(&client, request).await;
    assert!(succeeded(&task));
    assert_eq!(less(&task).completeness, 3.0 / 6.0);
    let aggregate: serde_json::Value = serde_json::from_str(&task.aggregate).unwrap();
    assert_eq!((&aggregate["success"], &aggregate["success_count"]), (&true.into(), &2.into()));
    assert_eq!(aggregate["failure_count"], 3);
    let asked = stack.llm.switch.asked().concat();
    assert!(asked.contains("planner on the tides") && !asked.contains("critic on"), "{asked}");
    let parts = events(&client, &id, 0).await;
    assert_eq!(parts.iter().filter(|event| format!("{event:?}").contains("Part(")).count(), 5);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_down_there_is_no_history_and_the_answer_says_so() {
    let mut stack = Stack::real().await;
    let (running, client) = stack.start_ready().await;
    runs_until(&client, Mode::Simple, |task| task.degradation.is_none()).await;
    let mut redis = stack.redis.take().unwrap();
    redis.kill().unwrap();
    let task = runs_until(&client, Mode::Simple, |task| task.degradation.is_some()).await;
    assert_eq!(less(&task).failed_dependencies, ["redis"]);
    // A standard task runs as a simple one as soon as the check has found out.
    let task = runs_until(&client, Mode::Standard, |task| task.ran_as() == Mode::Simple).await;
    assert_eq!(less(&task).downgraded_from(), Mode::Standard);

    redis.restart().unwrap();
    until("redis is found well", || async { check(&running, "redis").await == "healthy" }).await;
    runs_until(&client, Mode::Standard, |task| task.degradation.is_none()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_down_tasks_go_on_and_all_are_there_once_when_it_is_back() {
    let mut stack = Stack::real().await;
    let (running, client) = stack.start_ready().await;
    let before = run(&client, submit("before")).await;
    until("the database has it", || async { count(&stack).await == 1 }).await;
    let mut postgres = stack.postgres.take().unwrap();
    postgres.kill().unwrap();

    let mut tasks = Vec::new();
    for at in 0..20 {
        tasks.push(run(&client, submit(&format!("during {at}"))).await);
    }
    assert!(tasks.iter().all(succeeded));
    // From the spool, though nothing is in memory any more.
    for task in &tasks {
        assert_eq!(&get(&client, &task.id).await.unwrap(), task);
        assert_eq!(events(&client, &task.id, 0).await.len(), 6);
    }
    until("the answers say so", || async {
        let task = run(&client, submit("during")).await;
        task.degradation.is_some_and(|less| less.failed_dependencies == ["database"])
    })
    .await;
    // What only the database may know, nobody knows now.
    for id in [before.id.as_str(), &Uuid::new_v4().to_string()] {
        let unknown = get(&client, id).await.unwrap_err();
        assert_eq!(unknown.code(), Code::Unavailable);
        assert!(unknown.metadata().contains_key("grpc-retry-pushback-ms"));
    }
    let list = ListTasksRequest { user: "ann".to_owned(), ..ListTasksRequest::default() };
    assert_eq!(client.clone().list_tasks(list).await.unwrap_err().code(), Code::Unavailable);

    // A restart does not change that.
    running.stop().await;
    let (running, client) = stack.start().await;
    for task in &tasks {
        assert_eq!(&get(&client, &task.id).await.unwrap(), task);
    }
    let unknown = get(&client, &before.id).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable);
    let after = run(&client, submit("after")).await;
    assert!(succeeded(&after));

    postgres.restart().unwrap();
    stack.postgres = Some(postgres);
    until("the unknown is known to be unknown", || async {
        get(&client, &Uuid::new_v4().to_string()).await.unwrap_err().code() == Code::NotFound
    })
    .await;
    assert_eq!(get(&client, &before.id).await.unwrap(), before);
    until("the database has them all", || async { count(&stack).await >= 22 }).await;
    until("the spool is empty", || async { backlog(&running).await == 0 }).await;
    for task in tasks.iter().chain([&before, &after]) {
        assert_eq!(&get(&client, &task.id).await.unwrap(), task);
    }
    let audits: Vec<(i64,)> = stack.rows("SELECT count(*) FROM audit_log").await;
    let twice: Vec<(i64,)> =
        stack.rows("SELECT count(*) FROM audit_log GROUP BY task_id, what HAVING count(*) > 1").await;
    assert!(audits[0].0 >= 44 && twice.is_empty(), "{audits:?} {twice:?}");
    running.stop().await;
}

async fn count(stack: &Stack) -> i64 {
    let rows: Vec<(i64,)> = stack.rows("SELECT count(*) FROM tasks WHERE status = 'succeeded'").await;
    rows[0].0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_holds_up_nobody_for_long() {
    let mut stack = Stack::real().await;
    let (running, client) = stack.start_ready().await;
    let mut postgres = stack.postgres.take().unwrap();
    postgres.stop().unwrap();
    for _ in 0..5 {
        assert!(succeeded(&run(&client, submit("the tides")).await));
    }
    let unknown = get(&client, &Uuid::new_v4().to_string()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable, "{unknown:?}");
    postgres.resume().unwrap();
    stack.postgres = Some(postgres);
    until("the database has them all", || async { count(&stack).await == 5 }).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_while_everything_is_down() {
    let mut stack = Stack::real().await;
    let (mut redis, mut postgres) = (stack.redis.take().unwrap(), stack.postgres.take().unwrap());
    redis.kill().unwrap();
    postgres.kill().unwrap();
    stack.llm.switch.set(fake::Mode::Failing);
    stack.agents.switch.set(fake::Mode::Failing);
    let (running, client) = stack.start().await;
    let mut request = submit("the tides");
    (request.mode, request.session) = (Mode::Complex.into(), "talk".to_owned());
    let task = run(&client, request).await;
    assert!(succeeded(&task));
    assert_eq!(less(&task).answered_from, "notice");

    stack.llm.switch.set(fake::Mode::Well);
    stack.agents.switch.set(fake::Mode::Well);
    redis.restart().unwrap();
    postgres.restart().unwrap();
    (stack.redis, stack.postgres) = (Some(redis), Some(postgres));
    runs_until(&client, Mode::Complex, |task| task.degradation.is_none()).await;
    until("the database has tables and tasks", || async {
        get(&client, &Uuid::new_v4().to_string()).await.unwrap_err().code() == Code::NotFound
            && stack.rows::<(String,)>("SELECT id::text FROM tasks").await.iter().any(|(id,)| *id == task.id)
    })
    .await;
    running.stop().await;
}
