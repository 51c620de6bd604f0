//! A request that comes twice runs once: on one gateway, on two, and when the first one dies.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that panics fails, as it should"
)]

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use mainstay_testkit::RedisServer;
use reqwest::Response;
use serde_json::{Value, json};
use support::orchestrator::FakeOrchestrator;
use support::process::GatewayProcess;
use support::{TestGateway, client, gateway, header, json_of, question, token, until};

async fn post(gateway: &TestGateway, path: &str, key: &str, body: &Value) -> Response {
    gateway.post(path, body).header("idempotency-key", key).send().await.unwrap()
}

/// A hundred at once, by turns over the gateways; they all get the same task.
async fn a_hundred(gateways: &[&TestGateway], path: &str, body: &Value) -> Vec<Response> {
    let answers = join_all((0..100).map(|at| post(gateways[at % gateways.len()], path, "key-1", body))).await;
    let task = header(&answers[0], "x-task-id").to_owned();
    for answer in &answers {
        assert!(answer.status().is_success(), "{}", answer.status());
        assert_eq!(header(answer, "x-task-id"), task);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_with_one_key_run_once() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[("IDEMPOTENCY_WAIT", "60s")]).await;
    let answers = a_hundred(&[&gateway], "/api/v1/tasks", &json!({ "input": "hello" })).await;
    assert_eq!((orchestrator.world.submits(), orchestrator.world.ran()), (1, 1));
    let replayed = answers.iter().filter(|answer| header(answer, "idempotent-replayed") == "true").count();
    assert_eq!(replayed, 99);
    assert!(answers.iter().all(|answer| answer.status() == 202 && !header(answer, "location").is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_over_two_gateways_run_once() {
    let redis = RedisServer::start().unwrap();
    let orchestrator = FakeOrchestrator::start().await;
    let url = redis.url();
    let with = [("REDIS_URL", url.as_str()), ("IDEMPOTENCY_WAIT", "60s")];
    let (one, two) =
        (gateway(&[orchestrator.url()], &with).await, gateway(&[orchestrator.url()], &with).await);
    let answers = a_hundred(&[&one, &two], "/v1/chat/completions", &question("hello")).await;
    assert_eq!((orchestrator.world.submits(), orchestrator.world.ran()), (1, 1));
    let bodies = join_all(answers.into_iter().map(json_of)).await;
    assert!(bodies.iter().all(|body| *body == bodies[0]), "all have the same answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_first_gateway_is_killed_the_next_one_goes_on_with_the_same_task() {
    let redis = RedisServer::start().unwrap();
    let orchestrator = FakeOrchestrator::start().await;
    orchestrator.hold();
    let url = redis.url();
    let with = [("REDIS_URL", url.as_str()), ("IDEMPOTENCY_WAIT", "60s"), ("IDEMPOTENCY_LEASE", "10s")];
    let mut first = GatewayProcess::start(&[orchestrator.url()], &with);
    let second = gateway(&[orchestrator.url()], &with).await;
    let asked = client()
        .post(format!("{}/v1/chat/completions", first.url))
        .bearer_auth(token("ann"))
        .header("idempotency-key", "key-1")
        .json(&question("hello"));
    let lost = tokio::spawn(asked.send());
    until("the task runs", || async { orchestrator.world.ran() == 1 }).await;
    first.kill();
    assert!(lost.await.unwrap().is_err());
    let (answers, ()) = tokio::join!(
        async {
            let body = question("hello");
            let others = (0..100).map(|_| post(&second, "/v1/chat/completions", "key-1", &body));
            join_all(others).await
        },
        async {
            // The lock of the dead one expires, and one of the others takes it.
            until("it is handed in again", || async { orchestrator.world.submits() == 2 }).await;
            orchestrator.go_on();
        }
    );
    assert!(answers.iter().all(|answer| answer.status() == 200));
    assert_eq!((orchestrator.world.submits(), orchestrator.world.ran()), (2, 1), "the same task, once");
}

#[tokio::test]
async fn a_lock_is_renewed_for_as_long_as_its_request_runs() {
    let redis = RedisServer::start().unwrap();
    let orchestrator = FakeOrchestrator::start().await;
    orchestrator.hold();
    let url = redis.url();
    let with = [("REDIS_URL", url.as_str()), ("IDEMPOTENCY_WAIT", "14s"), ("IDEMPOTENCY_LEASE", "10s")];
    let gateway = gateway(&[orchestrator.url()], &with).await;
    let body = question("hello");
    let first = post(&gateway, "/v1/chat/completions", "key-1", &body);
    let second = async {
        until("the task runs", || async { orchestrator.world.ran() == 1 }).await;
        let answer = post(&gateway, "/v1/chat/completions", "key-1", &body).await;
        orchestrator.go_on();
        answer
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(
        (second.status().as_u16(), header(&second, "retry-after")),
        (409, "1"),
        "it waited for more than the lease"
    );
    assert_eq!(first.status(), 200);
    assert_eq!(orchestrator.world.submits(), 1);
    let third = post(&gateway, "/v1/chat/completions", "key-1", &body).await;
    assert_eq!((third.status().as_u16(), header(&third, "idempotent-replayed")), (200, "true"));
}

#[tokio::test]
async fn the_same_key_for_another_request_is_refused_and_users_have_keys_of_their_own() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    let first = post(&gateway, "/api/v1/tasks", "key-1", &json!({ "input": "one" })).await;
    let other = post(&gateway, "/api/v1/tasks", "key-1", &json!({ "input": "two" })).await;
    assert_eq!((first.status().as_u16(), other.status().as_u16()), (202, 422));
    let route = post(&gateway, "/v1/chat/completions", "key-1", &question("one")).await;
    assert_eq!(route.status(), 422, "another route");
    let bobs = client()
        .post(gateway.url("/api/v1/tasks"))
        .bearer_auth(token("bob"))
        .header("idempotency-key", "key-1");
    let bobs = bobs.json(&json!({ "input": "two" })).send().await.unwrap();
    assert_eq!(bobs.status(), 202);
    assert_ne!(header(&bobs, "x-task-id"), header(&first, "x-task-id"));
}

#[tokio::test]
async fn a_stream_is_replayed_as_the_events_of_the_same_task() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    let mut body = question("hello");
    body["stream"] = json!(true);
    let first = post(&gateway, "/v1/chat/completions", "key-1", &body).await;
    let task = header(&first, "x-task-id").to_owned();
    let first = first.text().await.unwrap();
    let second = post(&gateway, "/v1/chat/completions", "key-1", &body).await;
    assert_eq!(
        (header(&second, "x-task-id"), header(&second, "idempotent-replayed")),
        (task.as_str(), "true")
    );
    let second = second.text().await.unwrap();
    let pieces = |text: &str| text.matches("\"content\":").count();
    assert!(second.ends_with("data: [DONE]\n\n"), "{second}");
    assert_eq!(pieces(&first), pieces(&second));
    assert_eq!(orchestrator.world.ran(), 1);
}

#[tokio::test]
async fn what_failed_is_not_kept() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    orchestrator.refuse((tonic::Code::Unavailable, "away"));
    let failed = post(&gateway, "/api/v1/tasks", "key-1", &json!({ "input": "one" })).await;
    assert_eq!(failed.status(), 503);
    orchestrator.refuse(None);
    let answer = post(&gateway, "/api/v1/tasks", "key-1", &json!({ "input": "one" })).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "idempotent-replayed")), (202, ""));
}

#[tokio::test]
async fn a_key_whose_task_failed_may_run_again_as_another_task() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    for (key, stream) in [("whole", false), ("streamed", true)] {
        let mut body = question("hello");
        body["stream"] = json!(stream);
        orchestrator.world.fail_tasks();
        let first = post(&gateway, "/v1/chat/completions", key, &body).await;
        let task = header(&first, "x-task-id").to_owned();
        assert!(first.text().await.unwrap().contains("The task failed"));
        orchestrator.world.succeed_again();
        let second = post(&gateway, "/v1/chat/completions", key, &body).await;
        assert_eq!((second.status().as_u16(), header(&second, "idempotent-replayed")), (200, ""), "{key}");
        let again = header(&second, "x-task-id").to_owned();
        assert_ne!(again, task, "what failed stays as it is");
        assert!(second.text().await.unwrap().contains("hello"));
        let third = post(&gateway, "/v1/chat/completions", key, &body).await;
        assert_eq!(
            (header(&third, "x-task-id"), header(&third, "idempotent-replayed")),
            (again.as_str(), "true")
        );
    }
    assert_eq!(orchestrator.world.ran(), 4);
}

#[tokio::test]
async fn an_answer_that_is_given_again_is_as_degraded_as_it_was() {
    let orchestrator = FakeOrchestrator::start().await;
    orchestrator.world.degrade(stack_protocol::v1::Degradation {
        level: "moderate".to_owned(),
        reason: "dependency_failure".to_owned(),
        answered_from: "fallback_provider".to_owned(),
        completeness: 0.4,
        ..Default::default()
    });
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    let marks = async || {
        let answer = post(&gateway, "/v1/chat/completions", "key-1", &question("hello")).await;
        let marks = ["degraded", "degraded-reason", "degraded-answer", "degraded-completeness"];
        (
            marks.map(|name| header(&answer, name).to_owned()),
            header(&answer, "idempotent-replayed").to_owned(),
        )
    };
    let (first, second) = (marks().await, marks().await);
    assert_eq!(first.0, ["moderate", "dependency_failure", "fallback, partial", "0.40"]);
    assert_eq!(second, (first.0, "true".to_owned()));
}

#[tokio::test]
async fn while_redis_is_down_a_request_with_a_key_is_refused() {
    let mut redis = RedisServer::start().unwrap();
    let orchestrator = FakeOrchestrator::start().await;
    let url = redis.url();
    let gateway = gateway(&[orchestrator.url()], &[("REDIS_URL", &url), ("CB_REDIS_TIMEOUT", "1s")]).await;
    redis.kill().unwrap();
    let refused = post(&gateway, "/api/v1/tasks", "key-1", &json!({ "input": "one" })).await;
    assert_eq!(refused.status(), 503);
    assert_ne!(header(&refused, "retry-after"), "");
    assert_eq!(orchestrator.world.submits(), 0);
    let without = gateway.post("/api/v1/tasks", &json!({ "input": "one" })).send().await.unwrap();
    assert_eq!(without.status(), 202, "without a key it runs");

    redis.restart().unwrap();
    until("Redis is back", || async {
        post(&gateway, "/api/v1/tasks", "key-1", &json!({ "input": "one" })).await.status() == 202
    })
    .await;
}

#[tokio::test]
async fn while_redis_is_down_the_policy_may_let_it_run_as_the_same_task() {
    let mut redis = RedisServer::start().unwrap();
    let orchestrator = FakeOrchestrator::start().await;
    let url = redis.url();
    let with = [("REDIS_URL", url.as_str()), ("IDEMPOTENCY_WHEN_REDIS_IS_DOWN", "allow")];
    let gateway = gateway(&[orchestrator.url()], &with).await;
    redis.kill().unwrap();
    let first = post(&gateway, "/api/v1/tasks", "key-1", &json!({ "input": "one" })).await;
    let second = post(&gateway, "/api/v1/tasks", "key-1", &json!({ "input": "one" })).await;
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (202, 202));
    assert_eq!(header(&first, "x-task-id"), header(&second, "x-task-id"));
    let reasons: Vec<_> = first.headers().get_all("degraded-reason").iter().collect();
    assert!(reasons.iter().any(|reason| *reason == "idempotency_unguarded"), "{reasons:?}");
    assert_eq!(orchestrator.world.ran(), 1, "the orchestrator knows the id");
}

#[tokio::test]
async fn a_caller_who_hangs_up_holds_up_nobody() {
    let orchestrator = FakeOrchestrator::start().await;
    orchestrator.hold();
    let gateway =
        gateway(&[orchestrator.url()], &[("IDEMPOTENCY_LEASE", "1h"), ("IDEMPOTENCY_WAIT", "60s")]).await;
    let body = question("hello");
    let hung_up =
        tokio::time::timeout(Duration::from_secs(2), post(&gateway, "/v1/chat/completions", "key-1", &body));
    assert!(hung_up.await.is_err());
    orchestrator.go_on();
    let answer = post(&gateway, "/v1/chat/completions", "key-1", &body).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(orchestrator.world.ran(), 1);
}

/// A key whose first task has failed, and whose next one waits.
async fn failed_once(orchestrator: &FakeOrchestrator, gateway: &TestGateway) -> String {
    orchestrator.world.fail_tasks();
    let first = post(gateway, "/v1/chat/completions", "key-1", &question("hello")).await;
    assert_eq!(first.status(), 502);
    orchestrator.world.succeed_again();
    header(&first, "x-task-id").to_owned()
}

#[tokio::test]
async fn another_try_that_comes_to_nothing_does_not_make_the_next_one_the_first_again() {
    let redis = RedisServer::start().unwrap();
    for url in [String::new(), redis.url()] {
        let orchestrator = FakeOrchestrator::start().await;
        let with = [("REDIS_URL", url.as_str()), ("IDEMPOTENCY_LEASE", "1h"), ("IDEMPOTENCY_WAIT", "60s")];
        let gateway = gateway(&[orchestrator.url()], &with).await;
        let task = failed_once(&orchestrator, &gateway).await;
        let body = question("hello");

        orchestrator.refuse((tonic::Code::Unavailable, "away"));
        assert_eq!(post(&gateway, "/v1/chat/completions", "key-1", &body).await.status(), 503);
        orchestrator.refuse(None);

        orchestrator.hold();
        let hung_up = post(&gateway, "/v1/chat/completions", "key-1", &body);
        let until_it_runs = until("the second task runs", || async { orchestrator.world.ran() == 2 });
        tokio::select! {
            answer = hung_up => panic!("{}", answer.status()),
            () = until_it_runs => {}
        }
        orchestrator.go_on();
        let answer = post(&gateway, "/v1/chat/completions", "key-1", &body).await;
        assert_eq!(answer.status(), 200);
        assert_ne!(header(&answer, "x-task-id"), task);
        assert_eq!(orchestrator.world.ran(), 2, "the second try went on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_gateway_of_another_try_is_killed_that_try_goes_on() {
    let redis = RedisServer::start().unwrap();
    let orchestrator = FakeOrchestrator::start().await;
    let url = redis.url();
    let with = [("REDIS_URL", url.as_str()), ("IDEMPOTENCY_WAIT", "60s"), ("IDEMPOTENCY_LEASE", "10s")];
    let here = gateway(&[orchestrator.url()], &with).await;
    let task = failed_once(&orchestrator, &here).await;
    orchestrator.hold();
    let mut there = GatewayProcess::start(&[orchestrator.url()], &with);
    let asked = client()
        .post(format!("{}/v1/chat/completions", there.url))
        .bearer_auth(token("ann"))
        .header("idempotency-key", "key-1")
        .json(&question("hello"));
    let lost = tokio::spawn(asked.send());
    until("the second task runs", || async { orchestrator.world.ran() == 2 }).await;
    there.kill();
    assert!(lost.await.unwrap().is_err());
    orchestrator.go_on();
    let answer = post(&here, "/v1/chat/completions", "key-1", &question("hello")).await;
    assert_eq!(answer.status(), 200);
    assert_ne!(header(&answer, "x-task-id"), task);
    assert_eq!(orchestrator.world.ran(), 2);
}
