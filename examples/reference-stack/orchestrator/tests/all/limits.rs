//! What is too much, too large or wrong is refused, and says what and why.

use mainstay_health_grpc::pb::health_client::HealthClient;
use mainstay_health_grpc::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use stack_protocol::v1::{
    GetTaskRequest, ListTasksRequest, Message, Sampling, StreamTaskRequest, SubmitTaskRequest,
};
use tonic::Code;
use tonic::transport::Channel;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::fake;
use crate::stack::{Stack, backlog, failed_dependency, run, submit, succeeded, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_with_the_field_and_the_rule() {
    let stack = Stack::embedded().await;
    let (running, client) = stack.start().await;
    type Spoil = fn(&mut SubmitTaskRequest);
    let spoilt: [(&str, Spoil); 16] = [
        ("id: must be a UUID", |request| request.id = "7".to_owned()),
        ("id: must be a UUID", |request| request.id = "x".repeat(10_000)),
        ("user: must not be empty", |request| request.user.clear()),
        ("user: must be at most", |request| request.user = "x".repeat(257)),
        ("session: must be at most", |request| request.session = "a\nb".to_owned()),
        ("model: must be at most", |request| request.model = "x".repeat(257)),
        ("mode: must be one", |request| request.mode = 77),
        ("messages: must be 1 to 256", |request| request.messages.clear()),
        ("messages: must be 1 to 256", |request| {
            request.messages = vec![Message { role: "user".to_owned(), content: String::new() }; 257];
        }),
        ("messages[0].role: must be", |request| request.messages[0].role = "tool".to_owned()),
        ("sampling.max_tokens: must be", |request| {
            request.sampling = Some(Sampling { max_tokens: Some(0), ..Sampling::default() });
        }),
        ("sampling.max_completion_tokens: must be", |request| {
            request.sampling = Some(Sampling { max_completion_tokens: Some(0), ..Sampling::default() });
        }),
        ("sampling.temperature: must be", |request| {
            request.sampling = Some(Sampling { temperature: Some(f64::NAN), ..Sampling::default() });
        }),
        ("sampling.top_p: must be", |request| {
            request.sampling = Some(Sampling { top_p: Some(1.5), ..Sampling::default() });
        }),
        ("sampling.stop: must be", |request| {
            request.sampling = Some(Sampling { stop: vec![String::new()], ..Sampling::default() });
        }),
        ("messages: must be at most 1 MiB", |request| {
            request.messages[0].content = "x".repeat(1024 * 1024 + 1);
        }),
    ];
    for (says, spoil) in spoilt {
        let mut request = submit("the tides");
        spoil(&mut request);
        let refused = client.clone().submit_task(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().starts_with(says), "{refused:?}");
    }
    let get = GetTaskRequest { id: "7".to_owned(), user: "ann".to_owned() };
    assert_eq!(client.clone().get_task(get).await.unwrap_err().code(), Code::InvalidArgument);
    for (page_size, page_token) in [(101, ""), (0, "x"), (0, "1.x"), (0, "99999999999999999999.0")] {
        let list = ListTasksRequest {
            user: "ann".to_owned(),
            page_size,
            page_token: page_token.to_owned(),
            ..ListTasksRequest::default()
        };
        assert_eq!(client.clone().list_tasks(list).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let mut large = submit("");
    large.messages = vec![Message { role: "user".to_owned(), content: "x".repeat(3 * 1024 * 1024) }];
    let refused = client.clone().submit_task(large).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    assert!(stack.llm.switch.asked().is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_hold_any_text() {
    let stack = Stack::embedded().await;
    let (running, client) = stack.start().await;
    let task = run(&client, submit("nul \0, 語, \u{10ffff}")).await;
    assert!(succeeded(&task));
    assert_eq!(task.answer, "llm on nul \0, 語, \u{10ffff}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_tasks_run_than_may_and_no_more_read_than_may() {
    let mut stack = Stack::embedded().await;
    stack.set("MAX_RUNNING_TASKS", "3");
    stack.set("MAX_READERS", "2");
    let (running, client) = stack.start().await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let request = submit("the tides");
        ids.push(request.id.clone());
        client.clone().submit_task(request).await.unwrap();
    }
    let refused = client.clone().submit_task(submit("the tides")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));
    assert_eq!(failed_dependency(&refused), "");

    let read = || {
        let (mut client, id) = (client.clone(), ids[0].clone());
        async move { client.stream_task(StreamTaskRequest { id, user: "ann".to_owned(), after: 0, run: 0 }).await }
    };
    let (one, _other) = (read().await.unwrap(), read().await.unwrap());
    assert_eq!(read().await.unwrap_err().code(), Code::ResourceExhausted);
    drop(one);
    until("a place is free again", || async { read().await.is_ok() }).await;

    stack.llm.switch.set(fake::Mode::Well);
    until("there is room again", || async { client.clone().submit_task(submit("the tides")).await.is_ok() })
        .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_it_serves_and_whether_it_is_ready() {
    let stack = Stack::embedded().await;
    let (running, _) = stack.start_ready().await;
    let channel =
        Channel::from_shared(format!("http://{}", running.address())).unwrap().connect().await.unwrap();
    for service in ["", "mainstay.reference.v1.Orchestrator"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let reply = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner();
        assert_eq!(reply.status(), ServingStatus::Serving);
    }
    let list = MessageRequest::ListServices(String::new());
    let ask = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let asked = futures_util::stream::iter([ask]);
    let mut replies =
        ServerReflectionClient::new(channel).server_reflection_info(asked).await.unwrap().into_inner();
    let reply = replies.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = reply.message_response else {
        panic!("{reply:?}");
    };
    assert!(services.service.iter().any(|service| service.name == "mainstay.reference.v1.Orchestrator"));
    let ready = reqwest::get(format!("http://{}/readyz", running.admin_address())).await.unwrap();
    assert_eq!(ready.status(), 200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_tasks_leaves_nothing_behind() {
    let mut stack = Stack::real().await;
    stack.set("MAX_RUNNING_TASKS", "64");
    stack.set("MAX_READERS", "16");
    let (running, client) = stack.start_ready().await;
    let callers = (0..16).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            for _ in 0..25 {
                assert!(succeeded(&run(&client, submit("the tides")).await));
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    until("the database has all", || async {
        stack.rows::<(i64,)>("SELECT count(*) FROM tasks WHERE status = 'succeeded'").await == [(400,)]
    })
    .await;
    until("the spool is empty", || async { backlog(&running).await == 0 }).await;
    // All slots and places are free again.
    for _ in 0..16 {
        assert!(succeeded(&run(&client, submit("the tides")).await));
    }
    running.stop().await;
}
