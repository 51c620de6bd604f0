//! Two orchestrators that know different tasks: whom the gateway asks, and what it makes of what they say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that panics fails, as it should"
)]

mod support;

use futures_util::future::join_all;
use mainstay::breaker::State;
use serde_json::json;
use stack_openai::sse::{ChunkDecoder, Streamed};
use support::orchestrator::{FakeOrchestrator, World};
use support::{TestGateway, gateway, header, json_of, question, token, until};
use tonic::Code;

/// In good order, but for a reason that is not its own.
const NOT_NOW: [(Code, &[(&str, &str)]); 4] = [
    (Code::FailedPrecondition, &[]),
    (Code::ResourceExhausted, &[]),
    (Code::Unavailable, &[("failed-dependency", "database")]),
    (Code::Unavailable, &[("ending", "true")]),
];

async fn two() -> (FakeOrchestrator, FakeOrchestrator, TestGateway) {
    let (one, two) = (FakeOrchestrator::start().await, FakeOrchestrator::start().await);
    let gateway = gateway(&[one.url(), two.url()], &[]).await;
    (one, two, gateway)
}

fn breaker_of_the_first(gateway: &TestGateway) -> State {
    gateway.running.as_ref().unwrap().mainstay().breaker("grpc").unwrap().state()
}

#[tokio::test]
async fn what_is_not_an_orchestrators_failing_does_not_open_its_breaker() {
    let (one, two, gateway) = two().await;
    for (code, metadata) in NOT_NOW {
        one.refuse_saying(code, metadata);
        let before = one.refused();
        while one.refused() < before + 5 {
            gateway.task("hello").await;
            assert_eq!(gateway.get("/api/v1/tasks").send().await.unwrap().status(), 200);
        }
        assert_eq!(breaker_of_the_first(&gateway), State::Closed, "{code:?} {metadata:?}");
    }
    assert_eq!(one.world.ran(), 0);
    assert!(two.world.ran() > 0);

    one.refuse((Code::Unavailable, "it fails itself"));
    let opens = || async {
        assert_eq!(gateway.get("/api/v1/tasks").send().await.unwrap().status(), 200);
        breaker_of_the_first(&gateway) == State::Open
    };
    until("what is its own failing does", opens).await;
}

#[tokio::test]
async fn who_is_refused_because_of_a_dependency_is_told_which() {
    let (one, two, gateway) = two().await;
    let said = [("failed-dependency", "database"), ("grpc-retry-pushback-ms", "7000")];
    one.refuse_saying(Code::Unavailable, &said);
    two.refuse_saying(Code::ResourceExhausted, &[]);
    let path = format!("/api/v1/tasks/{}", uuid::Uuid::new_v4());
    let response = gateway.get(&path).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "7"));
    assert_eq!(json_of(response).await["failed_dependency"], "database");

    one.refuse_saying(Code::Unavailable, &[("failed-dependency", "a secret: 10.0.0.1")]);
    let told = gateway.get(&path).send().await.unwrap().text().await.unwrap();
    assert!(!told.contains("10.0.0.1"), "{told}");
}

#[tokio::test]
async fn nobody_is_told_that_a_task_is_missing_while_it_may_run_elsewhere() {
    let (one, two, gateway) = two().await;
    let path = format!("/api/v1/tasks/{}", uuid::Uuid::new_v4());
    assert_eq!(gateway.get(&path).send().await.unwrap().status(), 404);
    one.refuse_saying(Code::FailedPrecondition, &[]);
    two.forget();
    let response = gateway.get(&path).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_handed_in_a_hundred_times_at_once_runs_once() {
    let (one, two) = (FakeOrchestrator::start().await, FakeOrchestrator::start().await);
    // Nobody keeps the requests apart: there is no Redis.
    let with = [("REDIS_URL", "redis://127.0.0.1:1/"), ("IDEMPOTENCY_WHEN_REDIS_IS_DOWN", "allow")];
    let here = gateway(&[one.url(), two.url()], &with).await;
    let there = gateway(&[two.url(), one.url()], &with).await;
    let body = json!({ "input": "hello" });
    for key in ["key-1", "key-2", "key-3", "key-4"] {
        let before = one.world.ran() + two.world.ran();
        let asked = (0..100).map(|at| {
            let gateway = if at % 2 == 0 { &here } else { &there };
            gateway.post("/api/v1/tasks", &body).header("idempotency-key", key).send()
        });
        for answer in join_all(asked).await {
            assert_eq!(answer.unwrap().status(), 202);
        }
        assert_eq!(one.world.ran() + two.world.ran(), before + 1);
    }
    assert_eq!(one.world.submits() + two.world.submits(), 400);
}

#[tokio::test]
async fn tasks_are_spread_over_the_orchestrators_and_found_again() {
    let (one, two, gateway) = two().await;
    for _ in 0..40 {
        let id = gateway.task("hello").await;
        let response = gateway.get(&format!("/api/v1/tasks/{id}")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let stream = gateway.get(&format!("/api/v1/tasks/{id}/stream")).send().await.unwrap();
        assert!(stream.text().await.unwrap().contains("event: ended"));
    }
    assert!(one.world.ran() > 5 && two.world.ran() > 5, "{} {}", one.world.ran(), two.world.ran());
}

#[tokio::test]
async fn a_stream_waits_for_whoever_has_the_task() {
    let (one, two, gateway) = two().await;
    let path = format!("/api/v1/tasks/{}/stream", gateway.task("hello").await);
    for orchestrator in [&one, &two] {
        orchestrator.refuse_saying(Code::Unavailable, &[("ending", "true")]);
    }
    let stream = tokio::spawn(gateway.get(&path).send());
    until("both were asked twice", || async { one.refused() > 1 && two.refused() > 1 }).await;
    for orchestrator in [&one, &two] {
        orchestrator.refuse(None);
    }
    let stream = stream.await.unwrap().unwrap();
    assert_eq!(stream.status(), 200);
    assert!(stream.text().await.unwrap().contains("event: ended"));
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_passed_over_where_that_is_harmless() {
    let (one, two, gateway) = two().await;
    let (mut here, mut there) = (Vec::new(), Vec::new());
    while here.is_empty() || there.is_empty() {
        let before = two.world.ran();
        let id = gateway.task("hello").await;
        if two.world.ran() > before { there.push(id) } else { here.push(id) }
    }
    one.refuse((Code::DeadlineExceeded, "no answer in time"));
    let path = format!("/api/v1/tasks/{}", there[0]);
    assert_eq!(gateway.get(&path).send().await.unwrap().status(), 200, "a question");
    until("the other one was asked too", || async { one.refused() > 0 }).await;
    let before = (one.refused(), two.world.submits());
    let mut accepted = 0;
    while one.refused() == before.0 {
        let response = gateway.post("/api/v1/tasks", &json!({ "input": "x" })).send().await.unwrap();
        match response.status().as_u16() {
            202 => accepted += 1,
            status => assert_eq!(status, 504, "it may have taken it"),
        }
    }
    assert_eq!(two.world.submits(), before.1 + accepted, "no task was handed in to both");
}

#[tokio::test]
async fn the_newest_of_what_they_know_is_told() {
    let (one, two, gateway) = two().await;
    let id = gateway.task("hello").await;
    let (has_it, other) = if one.world.ran() == 1 { (&one, &two) } else { (&two, &one) };
    // The other one has it from the database, as it was.
    other.world.submit(has_it.world.last_request());
    for (goes, status) in [(false, "queued"), (true, "succeeded")] {
        other.hold();
        if goes {
            has_it.go_on()
        } else {
            has_it.hold()
        }
        for _ in 0..5 {
            let task = json_of(gateway.get(&format!("/api/v1/tasks/{id}")).send().await.unwrap()).await;
            assert_eq!(task["status"], status);
        }
    }
}

#[tokio::test]
async fn one_that_hangs_holds_up_nobody_who_has_an_answer() {
    let (one, two, gateway) = two().await;
    two.hold();
    let mut id = String::new();
    while two.world.ran() == 0 {
        id = gateway.task("hello").await;
    }
    let path = format!("/api/v1/tasks/{id}");
    let found = gateway.get(&path).send().await.unwrap();
    assert_eq!((found.status().as_u16(), header(&found, "degraded-reason")), (200, ""));
    one.hang();
    let found = gateway.get(&path).send().await.unwrap();
    assert_eq!(found.status(), 200);
    assert!(one.hanging() > 0, "it was not waited for");
    assert_eq!((header(&found, "degraded"), header(&found, "degraded-reason")), ("minor", "may_be_older"));
    assert_eq!(json_of(found).await["status"], "queued");

    let cancelled = gateway.client.delete(gateway.url(&path)).bearer_auth(token("ann")).send().await.unwrap();
    assert_eq!(cancelled.status(), 200);
    assert!(one.hanging() > 1, "neither it nor the question was waited for");
    assert_eq!(json_of(cancelled).await["status"], "cancelled");
    let ended = gateway.get(&path).send().await.unwrap();
    assert_eq!(header(&ended, "degraded-reason"), "", "an end is final");

    let opens = || async { breaker_of_the_first(&gateway) != State::Closed };
    until("its breaker learns of it", || async {
        gateway.get(&path).send().await.unwrap();
        opens().await
    })
    .await;
}

#[tokio::test]
async fn one_that_may_be_back_gets_no_tasks_before_it_is_known_to_be() {
    let (one, two) = (FakeOrchestrator::start().await, FakeOrchestrator::start().await);
    let seldom = [("MAINSTAY__HEALTH__CHECKS__ORCHESTRATOR__INTERVAL", "1h")];
    let gateway = gateway(&[one.url(), two.url()], &seldom).await;
    one.refuse((Code::Unavailable, "it fails itself"));
    let tries = || async {
        assert_eq!(gateway.get("/api/v1/tasks").send().await.unwrap().status(), 200);
        breaker_of_the_first(&gateway) == State::Open
    };
    until("its breaker opens", tries).await;
    // Nothing that tells whether it is back.
    one.refuse_saying(Code::ResourceExhausted, &[]);
    let half_opens = || async {
        let path = format!("/api/v1/tasks/{}", uuid::Uuid::nil());
        assert_eq!(gateway.get(&path).send().await.unwrap().status(), 503);
        breaker_of_the_first(&gateway) == State::HalfOpen
    };
    until("it is half open", half_opens).await;
    let before = one.offered();
    for _ in 0..20 {
        gateway.task("hello").await;
    }
    assert_eq!(breaker_of_the_first(&gateway), State::HalfOpen);
    assert_eq!(one.offered(), before);
}

#[tokio::test]
async fn a_task_that_one_has_already_is_handed_in_to_no_other() {
    let (one, two) = (FakeOrchestrator::start().await, FakeOrchestrator::start().await);
    // Nobody remembers the keys: there is no Redis.
    let with = [("REDIS_URL", "redis://127.0.0.1:1/"), ("IDEMPOTENCY_WHEN_REDIS_IS_DOWN", "allow")];
    let gateway = gateway(&[one.url(), two.url()], &with).await;
    let submit = async |key: usize| {
        let asked = gateway.post("/api/v1/tasks", &json!({ "input": "x" }));
        let answer = asked.header("idempotency-key", format!("key-{key}")).send().await.unwrap();
        (answer.status().as_u16(), header(&answer, "x-task-id").to_owned())
    };
    let (mut key, mut task) = (0, (0, String::new()));
    while one.world.ran() == 0 {
        key += 1;
        task = submit(key).await;
    }
    one.fill();
    let ran = two.world.ran();
    assert_eq!(submit(key).await, (202, task.1));
    assert_eq!(two.world.ran(), ran, "it runs once");
}

#[tokio::test]
async fn a_task_that_ran_again_tells_the_events_of_its_newer_run() {
    let (one, two, gateway) = two().await;
    let path = format!("/api/v1/tasks/{}/stream", gateway.task("hello").await);
    for orchestrator in [&one, &two] {
        orchestrator.run_again();
    }
    let all = gateway.get(&path).header("last-event-id", "1.3").send().await.unwrap().text().await.unwrap();
    let ids: Vec<_> = all.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["2.1", "2.2", "2.3", "2.4"], "{all}");
    let rest = gateway.get(&path).header("last-event-id", "2.3").send().await.unwrap().text().await.unwrap();
    assert!(rest.contains("id: 2.4") && !rest.contains("id: 2.3"), "{rest}");
}

#[tokio::test]
async fn a_chat_whose_task_runs_again_tells_nothing_twice() {
    let world = World::default();
    let mut first = FakeOrchestrator::in_world(world.clone()).await;
    let second = FakeOrchestrator::in_world(world).await;
    second.run_again();
    second.refuse_saying(Code::Unavailable, &[("ending", "true")]);
    let gateway = gateway(&[first.url(), second.url()], &[]).await;
    first.hold();
    let mut body = question("hello");
    body["stream"] = json!(true);
    let mut response = gateway.post("/v1/chat/completions", &body).send().await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(r#"{"content":"You "}"#) {
        seen.extend(response.chunk().await.unwrap().unwrap());
    }
    second.refuse(None);
    first.kill();
    while let Some(chunk) = response.chunk().await.unwrap() {
        seen.extend(chunk);
    }
    let mut decoder = ChunkDecoder::new();
    let told = decoder.push(&seen).unwrap();
    let text =
        told.iter().filter_map(|told| if let Streamed::Chunk(chunk) = told { chunk.text() } else { None });
    assert_eq!(text.collect::<String>(), "You said: hello");
    assert!(decoder.is_done());
}
