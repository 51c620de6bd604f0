//! Every RPC, on embedded and on real stores.

use std::collections::BTreeSet;

use stack_protocol::v1::task_event::Event;
use stack_protocol::v1::{
    CancelTaskRequest, ListTasksRequest, Mode, Sampling, StreamTaskRequest, TaskStatus, Usage,
};
use tonic::Code;
use uuid::Uuid;

use crate::fake;
use crate::stack::{Client, Stack, backlog, ended, events, get, run, submit, succeeded, texts, until};

/// The same test on both kinds of stores.
macro_rules! on_all_stores {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(crate::stack::Stack::embedded().await).await; })*
        }
        mod real {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(crate::stack::Stack::real().await).await; })*
        }
    };
}

on_all_stores!(
    a_simple_task_is_answered_by_the_language_model,
    a_standard_task_has_one_agent_and_a_complex_one_five,
    a_stream_is_resumed_behind_the_last_event,
    a_cancelled_task_ends_at_once_with_its_streams,
    the_same_id_is_the_same_task_and_runs_once,
    lists_come_in_pages_newest_first,
    a_session_is_remembered,
    a_session_has_bounds_and_what_is_told_of_it_too,
    how_to_choose_goes_to_the_language_model_and_what_it_took_comes_back,
    a_task_is_known_after_a_restart,
    nobody_sees_anothers_tasks,
);

async fn a_simple_task_is_answered_by_the_language_model(stack: Stack) {
    let (running, client) = stack.start_ready().await;
    let request = submit("the tides");
    let id = request.id.clone();
    let accepted = client.clone().submit_task(request).await.unwrap().into_inner();
    assert_eq!(accepted.id, id);

    let events = events(&client, &id, 0).await;
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=events.len() as u64).collect::<Vec<_>>());
    assert_eq!(events[0].event, Some(Event::Started(Mode::Simple.into())));
    assert!(events.iter().all(|event| event.run == 1));
    assert_eq!(texts(&events), "llm on the tides");
    let task = ended(&events);
    assert!(succeeded(&task));
    assert_eq!((task.answer.as_str(), task.degradation.as_ref()), ("llm on the tides", None));
    assert_eq!((task.mode(), task.ran_as(), task.aggregate.as_str()), (Mode::Simple, Mode::Simple, ""));

    assert_eq!(get(&client, &id).await.unwrap(), task);
    let unknown = get(&client, &Uuid::new_v4().to_string()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    running.stop().await;
}

async fn a_standard_task_has_one_agent_and_a_complex_one_five(stack: Stack) {
    let (running, client) = stack.start_ready().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (mode, agents) in [(Mode::Standard, 1), (Mode::Complex, 5)] {
        let mut request = submit("the tides");
        (request.mode, request.traceparent) = (mode.into(), trace.to_owned());
        request.tracestate = "congo=t61rcWkgMzE".to_owned();
        let id = request.id.clone();
        let task = run(&client, request).await;
        assert!(succeeded(&task), "{task:?}");
        assert_eq!((task.ran_as(), &task.degradation), (mode, &None));

        let events = events(&client, &id, 0).await;
        let parts = events.iter().filter_map(|event| match &event.event {
            Some(Event::Part(part)) => Some((part.source.clone(), part.success)),
            _ => None,
        });
        let parts: BTreeSet<_> = parts.collect();
        assert_eq!(parts.len(), agents);
        assert!(parts.iter().all(|(_, success)| *success));
        let aggregate: serde_json::Value = serde_json::from_str(&task.aggregate).unwrap();
        assert_eq!(aggregate["success_count"], agents);
        assert_eq!(aggregate["partial_results"][0]["result"], "researcher on the tides");
        assert_eq!(aggregate["partial_results"][0]["confidence"], 0.5);
    }
    let asked = stack.llm.switch.asked();
    assert!(
        asked[1].contains("What the agents found") && asked[1].contains("reviewer on the tides"),
        "{asked:?}"
    );
    let traces = [stack.llm.switch.traces(), stack.agents.switch.traces()].concat();
    assert_eq!(traces.len(), 2 + 6);
    for child in &traces {
        let (parent, state) = child.split_once(' ').unwrap();
        assert!(parent.starts_with(&trace[..36]) && parent != trace, "{traces:?}");
        assert_eq!(state, "congo=t61rcWkgMzE");
    }
    running.stop().await;
}

async fn a_stream_is_resumed_behind_the_last_event(stack: Stack) {
    let (running, client) = stack.start_ready().await;
    let request = submit("one two three four five");
    let id = request.id.clone();
    stack.llm.switch.set(fake::Mode::Pausing);
    client.clone().submit_task(request).await.unwrap();

    // Cut off in the middle, while it runs.
    let request = StreamTaskRequest { id: id.clone(), user: "ann".to_owned(), after: 0, run: 0 };
    let mut cut = client.clone().stream_task(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(cut.message().await.unwrap().unwrap());
    }
    drop(cut);
    let reader = tokio::spawn({
        let (client, id) = (client.clone(), id.clone());
        async move { events(&client, &id, 2).await }
    });
    stack.llm.switch.set(fake::Mode::Well);
    seen.extend(reader.await.unwrap());

    // And once more when it has ended.
    let all = events(&client, &id, 0).await;
    assert_eq!(seen, all);
    assert_eq!(texts(&all), "llm on one two three four five");
    assert_eq!(events(&client, &id, 3).await, all[3..]);
    assert!(events(&client, &id, all.len() as u64).await.is_empty());
    running.stop().await;
}

async fn a_cancelled_task_ends_at_once_with_its_streams(stack: Stack) {
    let (running, client) = stack.start_ready().await;
    stack.llm.switch.set(fake::Mode::Hanging);
    let request = submit("the tides");
    let id = request.id.clone();
    client.clone().submit_task(request).await.unwrap();
    let reader = tokio::spawn({
        let (client, id) = (client.clone(), id.clone());
        async move { events(&client, &id, 0).await }
    });
    until("the language model is asked", || async { !stack.llm.switch.asked().is_empty() }).await;

    let cancel = CancelTaskRequest { id: id.clone(), user: "ann".to_owned() };
    let task = client.clone().cancel_task(cancel.clone()).await.unwrap().into_inner();
    assert_eq!(task.status(), TaskStatus::Cancelled);
    assert_eq!(ended(&reader.await.unwrap()), task);
    assert_eq!(get(&client, &id).await.unwrap(), task);
    // One that has ended stays as it is.
    assert_eq!(client.clone().cancel_task(cancel).await.unwrap().into_inner(), task);
    running.stop().await;
}

async fn the_same_id_is_the_same_task_and_runs_once(stack: Stack) {
    let (running, client) = stack.start_ready().await;
    let request = submit("the tides");
    let submits = (0..20).map(|_| {
        let (mut client, request) = (client.clone(), request.clone());
        tokio::spawn(async move { client.submit_task(request).await.unwrap().into_inner().id })
    });
    for submitted in submits.collect::<Vec<_>>() {
        assert_eq!(submitted.await.unwrap(), request.id);
    }
    let task = run(&client, request.clone()).await;
    // It has ended: it is not even asked again when it is in the database alone.
    until("the spool is empty", || async { backlog(&running).await == 0 }).await;
    assert_eq!(client.clone().submit_task(request.clone()).await.unwrap().into_inner(), task);
    assert_eq!(stack.llm.switch.asked().len(), 1);

    let mut others = request;
    others.user = "bob".to_owned();
    assert_eq!(client.clone().submit_task(others).await.unwrap_err().code(), Code::AlreadyExists);
    running.stop().await;
}

async fn lists_come_in_pages_newest_first(stack: Stack) {
    let (running, client) = stack.start_ready().await;
    let mut ids = Vec::new();
    for at in 0..7 {
        let request = submit(if at == 3 { "too much" } else { "the tides" });
        ids.push(request.id.clone());
        run(&client, request).await;
    }
    ids.reverse();
    let list = |size, token: String, status: TaskStatus| {
        let mut client = client.clone();
        let request = ListTasksRequest {
            user: "ann".to_owned(),
            page_size: size,
            page_token: token,
            status: status.into(),
        };
        async move { client.list_tasks(request).await.unwrap().into_inner() }
    };
    let all = |client: Client| async move {
        let request = ListTasksRequest { user: "ann".to_owned(), ..ListTasksRequest::default() };
        client.clone().list_tasks(request).await.unwrap().into_inner().tasks
    };
    until("the database has them", || async {
        let tasks = all(client.clone()).await;
        tasks.len() == 7 && tasks.iter().all(|task| task.status() != TaskStatus::Running)
    })
    .await;

    let (mut token, mut seen, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let page = list(3, token, TaskStatus::Unspecified).await;
        assert!(page.tasks.len() <= 3);
        seen.extend(page.tasks.into_iter().map(|task| task.id));
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((seen, pages), (ids.clone(), 3));
    let failed = list(10, String::new(), TaskStatus::Failed).await;
    assert_eq!(failed.tasks.iter().map(|task| &task.id).collect::<Vec<_>>(), [&ids[3]]);
    assert!(!failed.tasks[0].error.is_empty());
    running.stop().await;
}

async fn a_session_is_remembered(stack: Stack) {
    let (running, client) = stack.start_ready().await;
    for text in ["first", "second"] {
        let mut request = submit(text);
        request.session = "talk".to_owned();
        assert_eq!(run(&client, request).await.degradation, None);
    }
    assert_eq!(stack.llm.switch.asked(), ["first", "first | llm on first | second"]);
    let mut others = submit("third");
    (others.session, others.user) = ("talk".to_owned(), "bob".to_owned());
    client.clone().submit_task(others).await.unwrap();
    until("it is asked", || async { stack.llm.switch.asked().len() == 3 }).await;
    assert_eq!(stack.llm.switch.asked()[2], "third");
    running.stop().await;
}

async fn a_session_has_bounds_and_what_is_told_of_it_too(stack: Stack) {
    let (running, client) = stack.start_ready().await;
    for at in 0..8 {
        let mut request = submit(&format!("{at} {}", "x".repeat(20 * 1024)));
        request.session = "talk".to_owned();
        assert_eq!(run(&client, request).await.degradation, None);
    }
    let asked = stack.llm.switch.asked();
    let told = asked[7].len() - 20 * 1024;
    assert!((20 * 1024..=64 * 1024 + 64).contains(&told), "{told} bytes");
    // The newest are told.
    assert!(asked[7].contains("llm on 6 ") && !asked[7].contains("llm on 0 "));
    if let Some(redis) = &stack.redis {
        let redis = redis::Client::open(redis.url()).unwrap();
        let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
        let said: Vec<String> = redis::cmd("LRANGE")
            .arg("session:{3:ann:talk}")
            .arg(0)
            .arg(-1)
            .query_async(&mut redis)
            .await
            .unwrap();
        let bytes: usize = said.iter().map(String::len).sum();
        assert!((200 * 1024..=256 * 1024).contains(&bytes), "{bytes} bytes");
        assert!(said.last().unwrap().contains("llm on 7 "));
    }
    running.stop().await;
}

async fn how_to_choose_goes_to_the_language_model_and_what_it_took_comes_back(stack: Stack) {
    let (running, client) = stack.start_ready().await;
    let mut request = submit("the tides");
    let sampling = Sampling {
        max_tokens: Some(9),
        max_completion_tokens: Some(11),
        temperature: Some(0.5),
        top_p: Some(0.25),
        stop: vec!["END".to_owned(), "\n\n".to_owned()],
    };
    request.sampling = Some(sampling.clone());
    let task = run(&client, request.clone()).await;
    let asked = stack.llm.switch.requests().remove(0);
    // Each limit by the name that the caller used: there are providers that refuse the other one.
    assert_eq!((asked.max_tokens, asked.max_completion_tokens), (Some(9), Some(11)));
    assert_eq!((asked.temperature, asked.top_p), (Some(0.5), Some(0.25)));
    assert_eq!((asked.stops(), asked.includes_usage()), (sampling.stop.as_slice(), true));
    let usage = Usage { prompt_tokens: 6, completion_tokens: 4 };
    assert_eq!(
        (task.usage, task.finish_reason.as_str(), task.model.as_str()),
        (Some(usage), "length", "fake")
    );
    until("the spool is empty", || async { backlog(&running).await == 0 }).await;
    assert_eq!(get(&client, &task.id).await.unwrap(), task);

    // An earlier answer is one only to what was asked in the same way, and took what it took then.
    stack.llm.switch.set(fake::Mode::Failing);
    request.id = Uuid::new_v4().to_string();
    let earlier = run(&client, request).await;
    assert_eq!(earlier.degradation.unwrap().answered_from, "cache");
    assert_eq!((earlier.usage, earlier.finish_reason.as_str()), (Some(usage), "length"));
    let other = run(&client, submit("the tides")).await;
    assert_eq!(other.degradation.unwrap().answered_from, "notice");
    assert_eq!((other.usage, other.finish_reason.as_str()), (None, ""));
    running.stop().await;
}

async fn a_task_is_known_after_a_restart(stack: Stack) {
    let (running, client) = stack.start_ready().await;
    let request = submit("the tides");
    let id = request.id.clone();
    let task = run(&client, request).await;
    let before = events(&client, &id, 0).await;
    running.stop().await;

    let (running, client) = stack.start_ready().await;
    assert_eq!(get(&client, &id).await.unwrap(), task);
    assert_eq!(events(&client, &id, 0).await, before);
    assert_eq!(stack.llm.switch.asked().len(), 1);
    running.stop().await;
}

async fn nobody_sees_anothers_tasks(stack: Stack) {
    let (running, client) = stack.start_ready().await;
    let mut request = submit("the tides");
    request.user = "bob".to_owned();
    let id = request.id.clone();
    stack.llm.switch.set(fake::Mode::Hanging);
    client.clone().submit_task(request).await.unwrap();

    assert_eq!(get(&client, &id).await.unwrap_err().code(), Code::NotFound);
    let user = || "ann".to_owned();
    let stream = StreamTaskRequest { id: id.clone(), user: user(), after: 0, run: 0 };
    assert_eq!(client.clone().stream_task(stream).await.unwrap_err().code(), Code::NotFound);
    let cancel = CancelTaskRequest { id: id.clone(), user: user() };
    assert_eq!(client.clone().cancel_task(cancel).await.unwrap_err().code(), Code::NotFound);
    let list = ListTasksRequest { user: user(), ..ListTasksRequest::default() };
    assert!(client.clone().list_tasks(list).await.unwrap().into_inner().tasks.is_empty());
    let list = ListTasksRequest { user: "bob".to_owned(), ..ListTasksRequest::default() };
    assert_eq!(client.clone().list_tasks(list).await.unwrap().into_inner().tasks.len(), 1);
    let cancel = CancelTaskRequest { id, user: "bob".to_owned() };
    client.clone().cancel_task(cancel).await.unwrap();
    running.stop().await;
}
