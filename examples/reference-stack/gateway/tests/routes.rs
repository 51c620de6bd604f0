//! What each route does when all is well, and when an orchestrator is not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that panics fails, as it should"
)]

mod support;

use gateway::view::{Status, Task};
use serde_json::{Value, json};
use stack_openai::sse::{ChunkDecoder, Streamed};
use stack_protocol::v1::Degradation;
use support::orchestrator::{FakeOrchestrator, World};
use support::{TestGateway, client, gateway, header, json_of, question, token, until};
use tonic::Code;
use uuid::Uuid;

async fn one() -> (FakeOrchestrator, TestGateway) {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    (orchestrator, gateway)
}

#[tokio::test]
async fn a_chat_is_answered_in_openais_shape() {
    let (orchestrator, gateway) = one().await;
    let asked = gateway.post("/v1/chat/completions", &question("hello"));
    let response =
        asked.header("x-session-id", "s1").header("x-execution-mode", "complex").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let task = header(&response, "x-task-id").to_owned();
    let answer = json_of(response).await;
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][0]["message"]["content"], "You said: hello");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["total_tokens"], 8);
    let request = orchestrator.world.last_request();
    assert_eq!((request.id, request.user, request.session), (task, "ann".to_owned(), "s1".to_owned()));
    assert_eq!(request.mode, 3);
}

#[tokio::test]
async fn a_chat_comes_in_chunks() {
    let (_orchestrator, gateway) = one().await;
    let mut body = question("hello");
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    let response = gateway.post("/v1/chat/completions", &body).send().await.unwrap();
    assert_eq!(header(&response, "content-type"), "text/event-stream");
    assert!(Uuid::parse_str(header(&response, "x-task-id")).is_ok());
    let mut decoder = ChunkDecoder::new();
    let told = decoder.push(&response.bytes().await.unwrap()).unwrap();
    let text: String = told
        .iter()
        .filter_map(|told| if let Streamed::Chunk(chunk) = told { chunk.text() } else { None })
        .collect();
    assert_eq!(text, "You said: hello");
    assert!(decoder.is_done());
}

#[tokio::test]
async fn how_the_model_is_to_choose_is_passed_on() {
    let (orchestrator, gateway) = one().await;
    let mut body = question("hello");
    assert_eq!(gateway.post("/v1/chat/completions", &body).send().await.unwrap().status(), 200);
    let request = orchestrator.world.last_request();
    assert_eq!((request.model.as_str(), request.sampling), ("m", None), "nothing was said");
    let said = json!({ "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "stop": "." });
    body.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    assert_eq!(gateway.post("/v1/chat/completions", &body).send().await.unwrap().status(), 200);
    let sampling = orchestrator.world.last_request().sampling.unwrap();
    assert_eq!((sampling.max_tokens, sampling.temperature, sampling.top_p), (Some(9), Some(0.5), Some(0.9)));
    assert_eq!((sampling.max_completion_tokens, sampling.stop.as_slice()), (None, &[".".to_owned()][..]));
    body["max_completion_tokens"] = json!(7);
    assert_eq!(gateway.post("/v1/chat/completions", &body).send().await.unwrap().status(), 200);
    let sampling = orchestrator.world.last_request().sampling.unwrap();
    assert_eq!((sampling.max_tokens, sampling.max_completion_tokens), (None, Some(7)), "by its newer name");
}

#[tokio::test]
async fn why_an_answer_ends_and_what_it_took_is_what_the_model_says() {
    let (orchestrator, gateway) = one().await;
    orchestrator.world.finish_with("length");
    let ask = async |stream: bool| {
        let mut body = question("hello");
        if stream {
            body["stream"] = json!(true);
            body["stream_options"] = json!({ "include_usage": true });
        }
        gateway.post("/v1/chat/completions", &body).send().await.unwrap().text().await.unwrap()
    };
    let (whole, streamed) = (ask(false).await, ask(true).await);
    for answer in [whole, streamed] {
        assert!(answer.contains(r#""finish_reason":"length""#), "{answer}");
        assert!(answer.contains(r#""prompt_tokens":5,"completion_tokens":3,"total_tokens":8"#), "{answer}");
    }
    orchestrator.world.say_nothing_of_tokens();
    let (whole, streamed) = (ask(false).await, ask(true).await);
    for answer in [whole, streamed] {
        assert!(!answer.contains(r#""finish_reason":""#) && !answer.contains("tokens"), "{answer}");
    }
}

#[tokio::test]
async fn a_request_that_the_model_refuses_is_the_callers_mistake() {
    let (orchestrator, gateway) = one().await;
    orchestrator.world.fail_tasks();
    orchestrator.world.finish_with("invalid_request");
    let response = gateway.post("/v1/chat/completions", &question("hello")).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(json_of(response).await["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn a_task_is_handed_in_asked_for_and_listed() {
    let (_orchestrator, gateway) = one().await;
    let response =
        gateway.post("/api/v1/tasks", &json!({ "input": "hello", "mode": "simple" })).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let place = header(&response, "location").to_owned();
    let task: Task = response.json().await.unwrap();
    assert_eq!(place, format!("/api/v1/tasks/{}", task.id));
    let task: Task = gateway.get(&place).send().await.unwrap().json().await.unwrap();
    assert_eq!((task.status, task.answer.as_deref()), (Status::Succeeded, Some("You said: hello")));

    gateway.task("again").await;
    let page = json_of(gateway.get("/api/v1/tasks?page_size=1").send().await.unwrap()).await;
    assert_eq!(page["tasks"][0]["answer"], "You said: again");
    let next = format!("/api/v1/tasks?page_size=1&page_token={}", page["next_page_token"].as_str().unwrap());
    let page = json_of(gateway.get(&next).send().await.unwrap()).await;
    assert_eq!((&page["tasks"][0]["id"], &page["next_page_token"]), (&json!(task.id), &Value::Null));
}

#[tokio::test]
async fn tasks_of_others_are_not_found() {
    let (_orchestrator, gateway) = one().await;
    let id = gateway.task("hello").await;
    let asked = client().get(gateway.url(&format!("/api/v1/tasks/{id}"))).bearer_auth(token("eve"));
    let response = asked.send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    assert_eq!(json_of(response).await["detail"], "There is no such task.");
}

#[tokio::test]
async fn a_task_is_cancelled() {
    let (orchestrator, gateway) = one().await;
    orchestrator.hold();
    let path = format!("/api/v1/tasks/{}", gateway.task("hello").await);
    let response = gateway.client.delete(gateway.url(&path)).bearer_auth(token("ann")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(json_of(response).await["status"], "cancelled");
    orchestrator.go_on();
    assert_eq!(json_of(gateway.get(&path).send().await.unwrap()).await["status"], "cancelled");
}

#[tokio::test]
async fn events_have_ids_and_go_on_after_the_last_one() {
    let (_orchestrator, gateway) = one().await;
    let path = format!("/api/v1/tasks/{}/stream", gateway.task("hello").await);
    let all = gateway.get(&path).send().await.unwrap().text().await.unwrap();
    let ids: Vec<_> = all.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["1.1", "1.2", "1.3", "1.4"], "{all}");
    assert!(all.contains("event: ended"));

    let rest = gateway.get(&path).header("last-event-id", "1.3").send().await.unwrap().text().await.unwrap();
    assert!(rest.contains("id: 1.4") && !rest.contains("id: 1.3"), "{rest}");
    let by_query =
        gateway.client.get(gateway.url(&format!("{path}?last_event_id=3&access_token={}", token("ann"))));
    assert_eq!(by_query.send().await.unwrap().text().await.unwrap(), rest);
    for last in ["1.4", "4"] {
        let nothing = gateway.get(&path).header("last-event-id", last).send().await.unwrap();
        assert_eq!(nothing.status(), 204, "a browser shall not come back");
    }
    for wrong in ["four", "1.four", "1.2.3", ".", "-1", "9999999999.1", "9999999999999999999"] {
        let wrong = gateway.get(&path).header("last-event-id", wrong).send().await.unwrap();
        assert_eq!(wrong.status(), 400);
    }
}

#[tokio::test]
async fn a_silent_stream_has_comments() {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[("STREAM_KEEP_ALIVE", "50ms")]).await;
    orchestrator.hold();
    let path = format!("/api/v1/tasks/{}/stream", gateway.task("hello").await);
    let mut response = gateway.get(&path).send().await.unwrap();
    let mut seen = String::new();
    while !seen.contains("\n:\n") && !seen.contains("\n: \n") && !seen.contains("\n\n:") {
        seen.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    orchestrator.go_on();
}

#[tokio::test]
async fn models_description_and_health_are_there() {
    let (_orchestrator, gateway) = one().await;
    let models = json_of(gateway.get("/v1/models").send().await.unwrap()).await;
    assert_eq!(models["data"][0]["object"], "model");
    let description = json_of(client().get(gateway.url("/openapi.json")).send().await.unwrap()).await;
    for path in [
        "/v1/chat/completions",
        "/v1/models",
        "/api/v1/tasks",
        "/api/v1/tasks/{id}",
        "/api/v1/tasks/{id}/stream",
    ] {
        assert!(description["paths"][path].is_object(), "{path}");
    }
    until("it is ready", || async {
        client().get(gateway.url("/readiness")).send().await.unwrap().status() == 200
    })
    .await;
    assert_eq!(client().get(gateway.url("/health")).send().await.unwrap().status(), 200);
    assert_eq!(
        client().get(gateway.url("/health/detailed")).send().await.unwrap().status(),
        404,
        "only for operators"
    );
}

#[tokio::test]
async fn what_there_is_not_is_a_problem() {
    let (_orchestrator, gateway) = one().await;
    let response = gateway.get("/nowhere").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), header(&response, "content-type")),
        (404, "application/problem+json")
    );
    let response =
        gateway.client.put(gateway.url("/api/v1/tasks")).bearer_auth(token("ann")).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, "GET,HEAD,POST"));
    assert_eq!(json_of(response).await["status"], 405);
    let response = gateway.get("/v1/nowhere").send().await.unwrap();
    assert!(json_of(response).await["error"]["message"].is_string(), "OpenAI's shape below /v1");
}

#[tokio::test]
async fn the_trace_goes_on_to_the_orchestrator_and_back() {
    let (orchestrator, gateway) = one().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let asked = gateway.post("/api/v1/tasks", &json!({ "input": "hello" })).header("traceparent", parent);
    let response = asked.send().await.unwrap();
    let told = header(&response, "traceparent");
    assert!(told.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && told != parent);
    assert_eq!(orchestrator.world.last_request().traceparent, told);
    assert_eq!(orchestrator.world.last_request().tracestate, "");
}

#[tokio::test]
async fn what_others_say_of_the_trace_goes_on_with_it_and_not_without() {
    let (orchestrator, gateway) = one().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (parent, told) in [(parent, "congo=t61rcWkgMzE,rojo=1"), ("nonsense", "")] {
        let asked = gateway.post("/api/v1/tasks", &json!({ "input": "hello" })).header("traceparent", parent);
        let asked = asked.header("tracestate", "congo=t61rcWkgMzE").header("tracestate", "rojo=1");
        assert_eq!(asked.send().await.unwrap().status(), 202);
        assert_eq!(orchestrator.world.last_request().tracestate, told, "{parent}");
    }
    let asked = gateway.post("/api/v1/tasks", &json!({ "input": "hello" })).header("traceparent", parent);
    let long = asked.header("tracestate", format!("congo={}", "x".repeat(1000)));
    assert_eq!(long.send().await.unwrap().status(), 202);
    assert_eq!(orchestrator.world.last_request().tracestate, "", "too long");
}

#[tokio::test]
async fn a_degraded_answer_says_so() {
    let (orchestrator, gateway) = one().await;
    orchestrator.world.degrade(Degradation {
        level: "moderate".to_owned(),
        reason: "dependency_failure".to_owned(),
        failed_dependencies: vec!["agent_core".to_owned()],
        answered_from: "fallback_provider".to_owned(),
        completeness: 0.4,
        ..Degradation::default()
    });
    let response = gateway.post("/v1/chat/completions", &question("hello")).send().await.unwrap();
    assert_eq!(header(&response, "degraded"), "moderate");
    assert_eq!(header(&response, "degraded-reason"), "dependency_failure");
    assert_eq!(header(&response, "degraded-answer"), "fallback, partial");
    assert_eq!(header(&response, "degraded-completeness"), "0.40");
}

#[tokio::test]
async fn a_failed_task_is_openais_error() {
    let (orchestrator, gateway) = one().await;
    orchestrator.world.fail_tasks();
    let response = gateway.post("/v1/chat/completions", &question("hello")).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (502, "5"));
    let error = json_of(response).await;
    assert_eq!(error["error"]["type"], "server_error");
    assert_eq!(error["error"]["message"], "The task failed: the model said no");
    orchestrator.refuse((Code::Internal, "it fails"));
    let response = gateway.post("/api/v1/tasks", &json!({ "input": "hello" })).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (502, "1"));
}

#[tokio::test]
async fn when_one_orchestrator_is_gone_the_other_is_asked() {
    let world = World::default();
    let mut gone = FakeOrchestrator::in_world(world.clone()).await;
    let here = FakeOrchestrator::in_world(world.clone()).await;
    let gateway = gateway(&[gone.url(), here.url()], &[]).await;
    gone.kill();
    for _ in 0..6 {
        let response = gateway.post("/v1/chat/completions", &question("hello")).send().await.unwrap();
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    }
    assert_eq!(world.ran(), 6);
}

#[tokio::test]
async fn a_stream_goes_on_with_another_orchestrator() {
    let world = World::default();
    let mut first = FakeOrchestrator::in_world(world.clone()).await;
    let second = FakeOrchestrator::in_world(world).await;
    // The first one alone knows the task at first.
    second.refuse((Code::Unavailable, "starting"));
    let gateway = gateway(&[first.url(), second.url()], &[]).await;
    first.hold();
    let path = format!("/api/v1/tasks/{}/stream", gateway.task("hello").await);
    let mut response = gateway.get(&path).send().await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("id: 1.2") {
        seen.extend(response.chunk().await.unwrap().unwrap());
    }
    second.refuse(None);
    first.kill();
    while let Some(chunk) = response.chunk().await.unwrap() {
        seen.extend(chunk);
    }
    let seen = String::from_utf8(seen).unwrap();
    let ids: Vec<_> = seen.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["1.1", "1.2", "1.3", "1.4"], "{seen}");
}

#[tokio::test]
async fn a_task_is_missing_only_if_all_say_so() {
    let world = World::default();
    let (here, other) =
        (FakeOrchestrator::in_world(world.clone()).await, FakeOrchestrator::in_world(world).await);
    let gateway = gateway(&[here.url(), other.url()], &[]).await;
    let path = format!("/api/v1/tasks/{}", gateway.task("hello").await);
    here.forget();
    for _ in 0..4 {
        assert_eq!(gateway.get(&path).send().await.unwrap().status(), 200, "one of them knows it");
    }
    other.forget();
    assert_eq!(gateway.get(&path).send().await.unwrap().status(), 404);
    other.refuse((Code::Unavailable, "the database cannot be asked"));
    let response = gateway.get(&path).send().await.unwrap();
    assert_eq!(response.status(), 503, "it may be known to the one that cannot be asked");
    assert_ne!(header(&response, "retry-after"), "");
    assert!(
        !response.text().await.unwrap().contains("database"),
        "what it says of itself stays in the house"
    );
}

#[tokio::test]
async fn what_the_orchestrator_says_of_the_request_reaches_the_caller() {
    let (orchestrator, gateway) = one().await;
    orchestrator.refuse((Code::InvalidArgument, "messages: at most 1000"));
    let response = gateway.post("/api/v1/tasks", &json!({ "input": "hello" })).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(json_of(response).await["detail"], "messages: at most 1000");
    orchestrator.refuse((Code::ResourceExhausted, "256 tasks"));
    let response = gateway.post("/api/v1/tasks", &json!({ "input": "hello" })).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "1"));
}
