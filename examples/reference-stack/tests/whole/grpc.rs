//! A generated gRPC client: every call that the server's reflection tells of.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use futures_util::StreamExt;
use prost::Message as _;
use prost_types::FileDescriptorProto;
use stack_protocol::v1::agent_core_client::AgentCoreClient;
use stack_protocol::v1::orchestrator_client::OrchestratorClient;
use stack_protocol::v1::task_event::Event;
use stack_protocol::v1::{
    CancelTaskRequest, ExecuteRequest, GetTaskRequest, ListTasksRequest, Message, StreamTaskRequest,
    SubmitTaskRequest, TaskStatus,
};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::stack::{Stores, Up, faults};
use crate::support::until;

async fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

async fn reflect(channel: &Channel, question: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let asked = ServerReflectionClient::new(channel.clone())
        .server_reflection_info(futures_util::stream::iter([request]))
        .await;
    let answer = asked.unwrap().into_inner().next().await.unwrap().unwrap();
    answer.message_response.unwrap()
}

/// All methods of all services, as the server describes them.
async fn methods(channel: &Channel) -> BTreeSet<String> {
    let MessageResponse::ListServicesResponse(services) =
        reflect(channel, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list of services")
    };
    let listed: BTreeSet<_> = services.service.into_iter().map(|service| service.name).collect();
    let mut methods = BTreeSet::new();
    for service in &listed {
        let question = MessageRequest::FileContainingSymbol(service.clone());
        let MessageResponse::FileDescriptorResponse(files) = reflect(channel, question).await else {
            panic!("{service} is not described")
        };
        for file in files.file_descriptor_proto {
            let file = FileDescriptorProto::decode(file.as_slice()).unwrap();
            let package = file.package().to_owned();
            for described in file.service {
                let name = format!("{package}.{}", described.name());
                if listed.contains(&name) {
                    methods.extend(described.method.iter().map(|method| format!("{name}/{}", method.name())));
                }
            }
        }
    }
    methods
}

fn submit(text: &str) -> SubmitTaskRequest {
    SubmitTaskRequest {
        id: uuid::Uuid::new_v4().to_string(),
        user: "ann".to_owned(),
        messages: vec![Message { role: "user".to_owned(), content: text.to_owned() }],
        ..SubmitTaskRequest::default()
    }
}

async fn every_call(stack: &Up) {
    let (orchestrator, agents) = (channel(stack.orchestrator).await, channel(stack.agents).await);
    assert!(methods(&agents).await.contains("mainstay.reference.v1.AgentCore/Execute"));

    let mut client = OrchestratorClient::new(orchestrator.clone());
    let request = submit("How are the tides?");
    let (id, user) = (request.id.clone(), request.user.clone());
    let accepted = client.submit_task(request.clone()).await.unwrap().into_inner();
    assert_eq!(accepted.id, id);
    assert_eq!(
        client.submit_task(request).await.unwrap().into_inner().id,
        id,
        "the same again is the same task"
    );
    let stream = StreamTaskRequest { id: id.clone(), user: user.clone(), ..StreamTaskRequest::default() };
    let events: Vec<_> =
        client.stream_task(stream.clone()).await.unwrap().into_inner().map(Result::unwrap).collect().await;
    let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=events.len() as u64).collect::<Vec<_>>());
    let Some(Event::Ended(ended)) = events.last().unwrap().event.clone() else { panic!("{events:?}") };
    assert_eq!(ended.status(), TaskStatus::Succeeded);
    let resumed = StreamTaskRequest { after: 1, ..stream };
    let rest: Vec<_> =
        client.stream_task(resumed).await.unwrap().into_inner().map(Result::unwrap).collect().await;
    assert_eq!(rest, events[1..]);
    let get = GetTaskRequest { id: id.clone(), user: user.clone() };
    assert_eq!(client.get_task(get.clone()).await.unwrap().into_inner(), ended);
    let other = GetTaskRequest { user: "bob".to_owned(), ..get };
    assert_eq!(client.get_task(other).await.unwrap_err().code(), Code::NotFound);

    faults(stack.model_admin, &serde_json::json!({ "hang": true })).await;
    let hanging = submit("What of the moon?");
    client.submit_task(hanging.clone()).await.unwrap();
    let cancel = CancelTaskRequest { id: hanging.id.clone(), user: user.clone() };
    client.cancel_task(cancel).await.unwrap();
    let get = GetTaskRequest { id: hanging.id.clone(), user: user.clone() };
    until("it is cancelled", || async {
        let task = client.clone().get_task(get.clone()).await.unwrap().into_inner();
        task.status() == TaskStatus::Cancelled
    })
    .await;
    faults(stack.model_admin, &serde_json::json!({})).await;

    let list = ListTasksRequest { user, page_size: 1, ..ListTasksRequest::default() };
    let first = client.list_tasks(list.clone()).await.unwrap().into_inner();
    let list = ListTasksRequest { page_token: first.next_page_token, ..list };
    let second = client.list_tasks(list).await.unwrap().into_inner();
    let listed: Vec<_> = first.tasks.iter().chain(&second.tasks).map(|task| task.id.clone()).collect();
    assert_eq!(listed, [hanging.id, id], "newest first, a page each");

    let agent = ExecuteRequest {
        task_id: uuid::Uuid::new_v4().to_string(),
        agent: "planner".to_owned(),
        input: "the tides".to_owned(),
    };
    let reply = AgentCoreClient::new(agents).execute(agent).await.unwrap().into_inner();
    assert!(!reply.output.is_empty() && (0.0..=1.0).contains(&reply.confidence), "{reply:?}");

    // It tells of those that were called, and of no others.
    let calls = ["SubmitTask", "GetTask", "StreamTask", "CancelTask", "ListTasks"];
    let described = methods(&orchestrator).await;
    let ours: Vec<_> = described.iter().filter(|name| name.contains(".reference.v1.")).collect();
    let mut expected = calls.map(|call| format!("mainstay.reference.v1.Orchestrator/{call}"));
    expected.sort();
    assert_eq!(ours, expected.iter().collect::<Vec<_>>(), "of what it serves, and of nothing else");
    for name in ["grpc.health.v1.Health/Check", "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] {
        assert!(described.contains(name), "{name} is not among {described:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_client_makes_every_call_on_embedded_stores() {
    let mut stack = Up::start(Stores::Embedded, &[]);
    every_call(&stack).await;
    stack.program.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_client_makes_every_call_on_a_redis_and_a_postgresql() {
    let mut stack = Up::start(Stores::Servers, &[]);
    every_call(&stack).await;
    stack.program.end();
}
