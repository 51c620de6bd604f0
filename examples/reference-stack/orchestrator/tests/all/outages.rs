//! One dependency at a time goes: tasks are accepted, answers are less and say so, and nothing is lost.

use mainstay::breaker::State;
use mainstay::spool::{Item, Outcome, Sink, Spool, SpoolSettings};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stack_protocol::v1::{Degradation, ListTasksRequest, Mode, Task, TaskStatus};
use tonic::Code;
use uuid::Uuid;

use crate::fake;
use crate::stack::{
    Client, Stack, backlog, check, ended, events, failed_dependency, get, run, submit, succeeded, until,
};

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
async fn a_provider_without_a_health_endpoint_is_judged_by_its_answers() {
    let mut stack = Stack::embedded().await;
    stack.variables.remove("LLM_HEALTH_URL");
    stack.llm.switch.set(fake::Mode::Failing);
    let (running, client) = stack.start_ready().await;
    assert_eq!(check(&running, "llm_service").await, "healthy");
    until("its answers are", || async {
        run(&client, submit("the tides")).await;
        check(&running, "llm_service").await == "unhealthy"
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_hang_open_their_breaker() {
    let mut stack = Stack::embedded().await;
    stack.set("MAINSTAY__DEGRADATION__PARTIAL_RESULTS__TIMEOUT_OVERRIDE", "1s");
    stack.set("MAINSTAY__CIRCUIT_BREAKERS__GRPC__TIMEOUT", "1h");
    let (running, client) = stack.start_ready().await;
    stack.agents.switch.set(fake::Mode::Hanging);
    let breaker = running.mainstay().breaker("grpc").unwrap();
    until("it is open", || async {
        let mut request = submit("the tides");
        request.mode = Mode::Complex.into();
        assert!(succeeded(&run(&client, request).await));
        breaker.state() == State::Open
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_model_that_hangs_opens_its_breaker() {
    let mut stack = Stack::embedded().await;
    stack.variables.remove("LLM_HEALTH_URL");
    stack.set("LLM_TIMEOUT", "1s");
    stack.set("MAINSTAY__CIRCUIT_BREAKERS__LLM_SERVICE__TIMEOUT", "1h");
    let (running, client) = stack.start_ready().await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let breaker = running.mainstay().breaker("llm_service").unwrap();
    until("it is open", || async {
        run(&client, submit("the tides")).await;
        breaker.state() == State::Open
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_language_model_refuses_is_the_callers_fault_and_nobody_elses() {
    let mut stack = Stack::embedded().await;
    stack.set("LLM_FALLBACK_URL", &stack.second.url());
    let (running, client) = stack.start_ready().await;
    for _ in 0..10 {
        let task = run(&client, submit("too much")).await;
        assert!(!succeeded(&task));
        assert_eq!(task.error, "the language model refused the request: 400 Bad Request");
        assert_eq!((task.finish_reason.as_str(), task.degradation), ("invalid_request", None));
    }
    // Its breaker has counted nothing, and the second provider was not asked.
    let task = run(&client, submit("the tides")).await;
    assert_eq!((task.answer.as_str(), task.degradation), ("llm on the tides", None));
    assert!(stack.second.switch.asked().is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_the_provider_does_not_have_is_answered_by_its_own() {
    let mut stack = Stack::embedded().await;
    let (running, client) = stack.start_ready().await;
    for (asked, answers) in
        [("unheard-of", "fake"), ("unspeakable", "fake"), ("another", "another"), ("", "fake")]
    {
        let mut request = submit("the tides");
        request.model = asked.to_owned();
        let task = run(&client, request).await;
        assert_eq!((task.model.as_str(), task.degradation), (answers, None));
    }
    running.stop().await;

    // One that it is said to have is not the caller's fault.
    stack.set("LLM_MODEL", "unheard-of");
    let (running, client) = stack.start_ready().await;
    let task = run(&client, submit("the tides")).await;
    let less = less(&task);
    assert_eq!(
        (less.answered_from.as_str(), less.failed_dependencies),
        ("notice", vec!["llm_service".to_owned()])
    );
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
        assert_eq!(failed_dependency(&unknown), "database");
    }
    let list = ListTasksRequest { user: "ann".to_owned(), ..ListTasksRequest::default() };
    let refused = client.clone().list_tasks(list).await.unwrap_err();
    assert_eq!((refused.code(), failed_dependency(&refused)), (Code::Unavailable, "database"));

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
    let what: Vec<(String,)> = stack.rows("SELECT DISTINCT what FROM audit_log ORDER BY 1").await;
    assert_eq!(what, [("submitted".to_owned(),), ("succeeded".to_owned(),)]);
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
async fn what_the_database_has_not_taken_yet_is_in_the_lists_as_it_is() {
    let mut stack = Stack::real().await;
    stack.set("MAINSTAY__CIRCUIT_BREAKERS__DATABASE__MAX_FAILURES", "100");
    let (running, client) = stack.start_ready().await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let request = submit("early");
        ids.push(request.id.clone());
        client.clone().submit_task(request).await.unwrap();
    }
    until("the database has them as they run", || async {
        stack.rows::<(i64,)>("SELECT count(*) FROM tasks WHERE status = 'running'").await == [(3,)]
    })
    .await;
    // From here on it can be read, but takes nothing.
    let url = stack.postgres.as_ref().unwrap().url();
    let database = sqlx::PgPool::connect(&url).await.unwrap();
    let mut lock = database.begin().await.unwrap();
    sqlx::query("LOCK TABLE tasks IN EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    stack.llm.switch.set(fake::Mode::Well);
    for id in &ids {
        assert!(succeeded(&ended(&events(&client, id, 0).await)));
    }
    for _ in 0..4 {
        ids.push(run(&client, submit("late")).await.id);
    }
    ids.reverse();

    for (status, expected) in [
        (TaskStatus::Unspecified, ids.as_slice()),
        (TaskStatus::Succeeded, ids.as_slice()),
        (TaskStatus::Running, &[]),
    ] {
        for page_size in [1, 2, 3, 10] {
            let listed = list(&client, status, page_size).await;
            assert!(listed.iter().all(succeeded));
            let listed: Vec<_> = listed.into_iter().map(|task| task.id).collect();
            assert_eq!(listed, expected, "{status:?} by {page_size}");
        }
    }
    lock.rollback().await.unwrap();
    until("the database has them all", || async { count(&stack).await == 7 }).await;
    let listed: Vec<_> =
        list(&client, TaskStatus::Succeeded, 2).await.into_iter().map(|task| task.id).collect();
    assert_eq!(listed, ids);
    running.stop().await;
}

/// All pages.
pub(crate) async fn list(client: &Client, status: TaskStatus, page_size: u32) -> Vec<Task> {
    let (mut tasks, mut page_token) = (Vec::new(), String::new());
    loop {
        let user = "ann".to_owned();
        let request = ListTasksRequest { user, page_size, page_token, status: status.into() };
        let page = client.clone().list_tasks(request).await.unwrap().into_inner();
        assert!(page.tasks.len() <= page_size as usize);
        tasks.extend(page.tasks);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return tasks;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_has_ended_though_it_was_handed_in_again_while_nobody_could_know() {
    let mut stack = Stack::real().await;
    let (running, client) = stack.start_ready().await;
    let request = submit("the tides");
    let task = run(&client, request.clone()).await;
    until("the database has it", || async { count(&stack).await == 1 }).await;
    let mut postgres = stack.postgres.take().unwrap();
    postgres.kill().unwrap();
    stack.llm.switch.set(fake::Mode::Hanging);
    client.clone().submit_task(request).await.unwrap();
    until("it runs again", || async { stack.llm.switch.asked().len() == 2 }).await;
    postgres.restart().unwrap();
    stack.postgres = Some(postgres);
    until("the database is found well", || async { check(&running, "database").await == "healthy" }).await;
    until("it is told as it ended", || async { get(&client, &task.id).await.unwrap() == task }).await;
    stack.llm.switch.set(fake::Mode::Well);
    until("the spool is empty", || async { backlog(&running).await == 0 }).await;
    assert_eq!(get(&client, &task.id).await.unwrap(), task);
    running.stop().await;
}

/// As an earlier orchestrator left it.
async fn put_into_spool<T>(stack: &Stack, id: &str, record: T)
where
    T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    struct Nobody;
    impl<T: Send + Sync + 'static> Sink<T> for Nobody {
        async fn deliver(&self, batch: &[Item<T>]) -> Vec<Outcome> {
            vec![Outcome::Unavailable { after: None, error: "nobody is there".to_owned() }; batch.len()]
        }
    }
    let spool: Spool<T> =
        Spool::open(stack.data.path().join("spool"), SpoolSettings::new().name("tasks"), Nobody).unwrap();
    drop(spool.push_with(id, record).await.unwrap());
    spool.drain(std::time::Duration::ZERO).await;
}

/// What earlier ones wrote, which knew of no runs, sampling and usage.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EarlierRecord {
    Task {
        id: Uuid,
        user: String,
        session: String,
        version: i64,
        owner: String,
        mode: String,
        status: String,
        model: String,
        work: Option<Value>,
        answer: String,
        events: Value,
        created_ms: i64,
        updated_ms: i64,
    },
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_an_earlier_orchestrator_are_read() {
    let stack = Stack::embedded().await;
    let (waits, ended) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let record = |id: &str, status: &str, version| EarlierRecord::Task {
        id: id.parse().unwrap(),
        user: "ann".to_owned(),
        session: String::new(),
        version,
        owner: "orchestrator-1".to_owned(),
        mode: "simple".to_owned(),
        status: status.to_owned(),
        model: String::new(),
        work: Some(json!({ "messages": [{ "role": "user", "content": "the tides" }], "traceparent": null })),
        answer: "of old".to_owned(),
        events: json!([{ "started": "simple" }]),
        created_ms: 1,
        updated_ms: 2,
    };
    put_into_spool(&stack, &waits, record(&waits, "queued", 1)).await;
    put_into_spool(&stack, &ended, record(&ended, "succeeded", 3)).await;
    let (running, client) = stack.start().await;
    let seen = events(&client, &ended, 0).await;
    assert_eq!((seen.len(), seen[0].run), (2, 1));
    assert_eq!(get(&client, &ended).await.unwrap().answer, "of old");
    until("it has run", || async { succeeded(&get(&client, &waits).await.unwrap()) }).await;
    assert_eq!(get(&client, &waits).await.unwrap().answer, "llm on the tides");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_record_cannot_be_read_is_not_unknown() {
    let stack = Stack::embedded().await;
    let id = Uuid::new_v4().to_string();
    put_into_spool(&stack, &id, "of another time".to_owned()).await;

    let (running, client) = stack.start().await;
    for _ in 0..2 {
        let refused = get(&client, &id).await.unwrap_err();
        assert_eq!(
            (refused.code(), failed_dependency(&refused)),
            (Code::Unavailable, "spool"),
            "{refused:?}"
        );
        // First it waits; then it is a dead letter.
        until("it is given up", || async { check(&running, "spool").await == "degraded" }).await;
    }
    assert_eq!(get(&client, &Uuid::new_v4().to_string()).await.unwrap_err().code(), Code::NotFound);
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
