//! With the stack's own agents and language model in place of fakes.

use std::time::Duration;

use mainstay::config::Environment;
use stack_faults::Switches;
use stack_protocol::v1::{Mode, Sampling};

use crate::stack::{Stack, events, run, submit, succeeded, texts, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_complex_task_goes_through_all_services_and_survives_their_faults() {
    let environment = Environment::from_iter([
        ("AGENT_CORE_LISTEN", "127.0.0.1:0"),
        ("AGENT_CORE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("AGENT_CORE_DRAIN_DELAY", "10ms"),
        ("LLM_SERVICE_LISTEN", "127.0.0.1:0"),
        ("LLM_SERVICE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("LLM_SERVICE_DRAIN_DELAY", "10ms"),
    ]);
    let agents = agent_core::start(agent_core::Settings::load(&environment).unwrap()).await.unwrap();
    let llm = llm_service::start(llm_service::Settings::load(&environment).unwrap()).await.unwrap();
    let mut stack = Stack::embedded().await;
    stack.set("AGENT_CORE_URL", &format!("http://{}", agents.address()));
    stack.set("LLM_URL", &format!("http://{}/v1", llm.address()));
    stack.set("LLM_HEALTH_URL", &format!("http://{}/health", llm.address()));
    stack.set("LLM_MODEL", "reference");
    stack.set("LLM_TIMEOUT", "2s");
    let (running, client) = stack.start_ready().await;

    let complex = || {
        let mut request = submit("why the tides come twice a day");
        request.mode = Mode::Complex.into();
        request
    };
    let request = complex();
    let id = request.id.clone();
    let task = run(&client, request).await;
    assert!(succeeded(&task), "{task:?}");
    assert_eq!(task.degradation, None);
    assert_eq!(texts(&events(&client, &id, 0).await), task.answer);
    let aggregate: serde_json::Value = serde_json::from_str(&task.aggregate).unwrap();
    assert_eq!(aggregate["success_count"], 5);

    let mut request = submit("why the tides come twice a day");
    request.sampling = Some(Sampling { max_tokens: Some(3), ..Sampling::default() });
    let task = run(&client, request).await;
    assert_eq!((task.finish_reason.as_str(), task.usage.unwrap().completion_tokens), ("length", 3));

    // Each second call of an agent fails: what is left is enough.
    agents.faults().set(Switches { error_rate: 0.5, ..Switches::default() });
    let task = run(&client, complex()).await;
    assert!(succeeded(&task) && task.degradation.is_some(), "{task:?}");
    agents.faults().set(Switches::default());

    for switches in [
        Switches { error_rate: 1.0, ..Switches::default() },
        Switches { hang: true, ..Switches::default() },
        Switches { break_after: Some(2), ..Switches::default() },
    ] {
        llm.faults().set(switches);
        let task = run(&client, submit("something new")).await;
        assert!(succeeded(&task) && task.degradation.is_some(), "{switches:?} {task:?}");
    }
    llm.faults().set(Switches { pace: Duration::from_millis(1), ..Switches::default() });
    until("all is well again", || async { run(&client, complex()).await.degradation.is_none() }).await;
    running.stop().await;
    agents.stop().await;
    llm.stop().await;
}
