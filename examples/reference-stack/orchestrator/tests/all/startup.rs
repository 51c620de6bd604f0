//! An orchestrator that is told wrong things says all of them, and nothing that is secret.

use std::process::{Command, Output};

use tokio::time::timeout;

use crate::crash::Process;
use crate::fake;
use crate::stack::{PATIENCE, Stack, run, submit, succeeded};

fn program(variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orchestrator"))
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let ended = program(&[
        ("ORCHESTRATOR_LISTEN", "nowhere"),
        ("ORCHESTRATOR_ID", "a b"),
        ("DATABASE_URL", "mysql://ann:hunter22@db/tasks"),
        ("REDIS_URL", "http://:hunter22@redis"),
        ("AGENT_CORE_URL", "agents"),
        ("LLM_TIMEOUT", "30"),
        ("LLM_API_KEY", "hunter2"),
        ("MAX_RUNNING_TASKS", "0"),
        ("SPOOL_BYTES", "4096"),
        ("CB_REDIS_TIMEOUT", "soon"),
    ]);
    assert_eq!(ended.status.code(), Some(78));
    let report = String::from_utf8(ended.stderr).unwrap();
    for told in [
        "ORCHESTRATOR_LISTEN",
        "ORCHESTRATOR_ID",
        "DATABASE_URL",
        "REDIS_URL",
        "AGENT_CORE_URL",
        "LLM_TIMEOUT",
        "LLM_API_KEY",
        "MAX_RUNNING_TASKS",
        "SPOOL_BYTES",
        "CB_REDIS_TIMEOUT",
    ] {
        assert!(report.contains(told), "{told} is missing in {report}");
    }
    assert!(!report.contains("hunter2"), "{report}");
    assert!(ended.stdout.is_empty());
}

#[test]
fn a_file_of_settings_is_read_as_strictly() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mainstay.yaml");
    let built_in = include_str!("../../settings/mainstay.yaml");
    std::fs::write(&file, built_in.replace("max_failures: 3", "max_failure: 3")).unwrap();
    let ended = program(&[("MAINSTAY_CONFIG", file.to_str().unwrap()), ("LLM_TIMEOUT", "0s")]);
    assert_eq!(ended.status.code(), Some(78));
    let report = String::from_utf8(ended.stderr).unwrap();
    assert!(report.contains("did you mean `max_failures`") && report.contains("LLM_TIMEOUT"), "{report}");
}

#[tokio::test]
async fn a_file_of_settings_goes_on_top_of_the_built_in_ones() {
    let mut stack = Stack::embedded().await;
    let file = stack.data.path().join("own.yaml");
    std::fs::write(&file, "health: { drain_limit: 7s }\n").unwrap();
    stack.set("MAINSTAY_CONFIG", file.to_str().unwrap());
    let (running, client) = stack.start_ready().await;
    assert!(succeeded(&run(&client, submit("the tides")).await));
    running.stop().await;
    let ended = program(&[("MAINSTAY_CONFIG", "/nowhere.yaml")]);
    assert_eq!(ended.status.code(), Some(78));
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_may_be_behind_tls() {
    let mut stack = Stack::embedded().await;
    stack.set("REDIS_URL", "rediss://127.0.0.1:1");
    stack.set("DATABASE_URL", "postgres://ann@127.0.0.1:1/tasks?sslmode=verify-full");
    let (running, client) = stack.start().await;
    let mut request = submit("the tides");
    request.session = "talk".to_owned();
    assert!(succeeded(&run(&client, request).await));
    running.stop().await;
}

#[test]
fn a_directory_that_cannot_be_used_is_told() {
    let ended = program(&[("DATA_DIR", "/proc/nothing"), ("ORCHESTRATOR_LISTEN", "127.0.0.1:0")]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("DATA_DIR"));
}

#[tokio::test]
async fn settings_do_not_show_their_secrets() {
    let mut stack = Stack::embedded().await;
    stack.set("DATABASE_URL", "postgres://ann:hunter22@127.0.0.1:1/tasks");
    stack.set("REDIS_URL", "redis://:hunter22@127.0.0.1:1");
    stack.set("LLM_API_KEY", "hunter22hunter22");
    let settings = stack.settings();
    assert!(!format!("{settings:?}{:?}", settings.llm).contains("hunter22"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_log_and_what_it_did_is_in_its_metrics() {
    let mut stack = Stack::embedded().await;
    stack.set("DATABASE_URL", "postgres://ann:hunter22@127.0.0.1:1/tasks");
    stack.set("REDIS_URL", "redis://:hunter22@127.0.0.1:1");
    stack.set("LLM_API_KEY", "hunter22hunter22");
    stack.set("RUST_LOG", "debug");
    let mut process = Process::start(&stack).await;
    for mode in [fake::Mode::Well, fake::Mode::Failing] {
        stack.llm.switch.set(mode);
        let mut request = submit("a private matter");
        request.session = "talk".to_owned();
        run(&process.client, request).await;
    }
    let metrics = reqwest::get(format!("{}/metrics", process.admin)).await.unwrap().text().await.unwrap();
    for told in [
        "orchestrator_tasks_accepted_total{mode=\"simple\"} 2",
        "orchestrator_tasks_ended_total{mode=\"simple\",status=\"succeeded\"} 2",
        "orchestrator_tasks_running 0",
        "mainstay_config_valid 1",
        "mainstay_spool_",
        "mainstay_degrade_",
    ] {
        assert!(metrics.contains(told), "{told} is missing in {metrics}");
    }
    let health =
        reqwest::get(format!("{}/health/detailed", process.admin)).await.unwrap().text().await.unwrap();
    process.ask_to_end();
    assert!(timeout(PATIENCE, process.child.wait()).await.unwrap().unwrap().success());
    let log = std::fs::read_to_string(stack.data.path().join("log")).unwrap();
    assert!(log.lines().all(|line| line.starts_with('{')), "not JSON: {log}");
    for text in [&log, &metrics, &health] {
        assert!(!text.contains("hunter22") && !text.contains("private matter"), "{text}");
    }
}
