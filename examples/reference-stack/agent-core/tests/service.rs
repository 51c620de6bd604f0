//! The agents, as a generated client sees them; health; reflection.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use agent_core::{AGENTS, MAX_INPUT, MAX_TASK_ID};
use mainstay_health_grpc::{ProbeTimeouts, probe};
use support::{request, started};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

#[tokio::test]
async fn each_agent_answers_the_same_to_the_same_from_words_of_the_input() {
    let agents = started(&[]).await;
    let mut outputs = Vec::new();
    for agent in AGENTS {
        let reply = agents.ask(agent.name, "bridges sway in wind").await.expect("a reply");
        assert_eq!(reply, agents.ask(agent.name, "bridges sway in wind").await.expect("a reply"));
        assert!((0.5..=1.0).contains(&reply.confidence));
        assert!(
            ["bridges", "sway", "in", "wind"].iter().any(|word| reply.output.contains(word)),
            "{}",
            reply.output
        );
        assert_ne!(reply, agents.ask(agent.name, "towers lean in wind").await.expect("a reply"));
        outputs.push(reply.output);
    }
    outputs.dedup();
    assert_eq!(outputs.len(), AGENTS.len());
    assert!(agents.ask("writer", "").await.expect("a reply").output.contains("nothing"));
    let long = agents.ask("writer", &"x".repeat(MAX_INPUT)).await.expect("a reply");
    assert!(long.output.len() < 500);
}

#[tokio::test]
async fn what_breaks_a_rule_is_an_invalid_argument_that_names_the_field() {
    let agents = started(&[]).await;
    let mut long_id = request("writer", "hi");
    long_id.task_id = "x".repeat(MAX_TASK_ID + 1);
    let mut no_id = request("writer", "hi");
    no_id.task_id.clear();
    let long_input = request("writer", &"x".repeat(MAX_INPUT + 1));
    let unknown = request(&"dreamer".repeat(1000), "hi");
    for (request, field) in
        [(long_id, "task_id"), (no_id, "task_id"), (long_input, "input"), (unknown, "agent")]
    {
        let status = agents.execute(request).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(field) && status.message().len() < 200, "{}", status.message());
    }
    let huge = agents.execute(request("writer", &"x".repeat(4 * MAX_INPUT))).await.expect_err("refused");
    assert_eq!(huge.code(), Code::OutOfRange);
}

#[tokio::test]
async fn health_is_told_over_grpc_and_http() {
    let agents = started(&[]).await;
    for service in ["", "readiness", "liveness", "mainstay.reference.v1.AgentCore"] {
        let reply = probe(&agents.url(), service, ProbeTimeouts::default()).await;
        assert_eq!(reply.exit.code(), 0, "{service}: {reply}");
    }
    for path in ["/health", "/health/ready", "/health/live", "/health/detailed"] {
        let status = agents.http.get(agents.admin(path)).send().await.expect("sent").status();
        assert!(status.is_success(), "{path}: {status}");
    }
}

#[tokio::test]
async fn the_service_is_found_by_reflection() {
    let agents = started(&[]).await;
    let mut client = ServerReflectionClient::new(support::channel(&agents.running).await);
    let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let requests = tokio_stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("mainstay.reference.v1.AgentCore".to_owned())),
    ]);
    let mut answers = client.server_reflection_info(requests).await.expect("answered").into_inner();
    let mut next =
        async || answers.next().await.expect("an answer").expect("an answer").message_response.expect("one");
    let MessageResponse::ListServicesResponse(list) = next().await else { panic!("no list") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["mainstay.reference.v1.AgentCore"]);
    let MessageResponse::FileDescriptorResponse(files) = next().await else { panic!("no file") };
    assert_eq!(files.file_descriptor_proto.len(), 1);
}
