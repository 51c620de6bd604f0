//! The whole stack as one process, on embedded stores and on real servers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::{Program, secret};

struct Stack {
    program: Program,
    gateway: String,
    token: String,
}

/// On free ports.
fn variables() -> BTreeMap<String, String> {
    let services = ["AGENT_CORE", "LLM_SERVICE", "ORCHESTRATOR", "GATEWAY"];
    let names = services.iter().flat_map(|name| [format!("{name}_LISTEN"), format!("{name}_ADMIN_LISTEN")]);
    names.map(|name| (name, "127.0.0.1:0".to_owned())).collect()
}

impl Stack {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reference-stack"));
        command.arg("up").args(arguments).arg("--data-dir").arg(data);
        let mut program = Program::start(command, &variables());
        let (gateway, token) = (program.says("gateway listens on "), program.says("TOKEN="));
        Self { program, gateway, token }
    }

    fn ask(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        reqwest::Client::new().request(method, format!("{}{path}", self.gateway)).bearer_auth(&self.token)
    }

    async fn answers_and_ends(mut self) {
        let chat = json!({ "model": "reference", "messages": [{ "role": "user", "content": "Hello" }] });
        let answer =
            self.ask(reqwest::Method::POST, "/v1/chat/completions").json(&chat).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().get("degraded").is_none(), "{:?}", answer.headers());
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("Hello"));

        let task = json!({ "input": "Plan a trip", "mode": "complex" });
        let accepted = self.ask(reqwest::Method::POST, "/api/v1/tasks").json(&task).send().await.unwrap();
        assert_eq!(accepted.status(), 202);
        let place = accepted.headers()["location"].to_str().unwrap().to_owned();
        let events = self.ask(reqwest::Method::GET, &format!("{place}/stream")).send().await.unwrap();
        // Ends with the task.
        assert!(events.text().await.unwrap().contains("succeeded"));
        let task: Value = self.ask(reqwest::Method::GET, &place).send().await.unwrap().json().await.unwrap();
        assert_eq!(task["status"], "succeeded", "{task}");

        self.program.end();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_embedded_stores_it_answers_and_ends_when_it_is_told_to() {
    let data = tempfile::tempdir().unwrap();
    Stack::start(data.path(), &[]).answers_and_ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_redis_and_a_postgresql_of_its_own_too() {
    let data = tempfile::tempdir().unwrap();
    Stack::start(data.path(), &["--servers"]).answers_and_ends().await;
}

#[test]
fn what_is_wrong_with_the_settings_is_told_at_once_with_78() {
    let mut variables = variables();
    variables.insert("AGENT_CORE_ADMIN_LISTEN".to_owned(), "nowhere".to_owned());
    variables.insert("JWT_SECRET".to_owned(), secret("short-but-nobody's-business"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-stack"));
    command.arg("up");
    let mut program = Program::start(command, &variables);
    let status = program.ended();
    let said = program.said();
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains("AGENT_CORE_ADMIN_LISTEN") && said.contains("JWT_SECRET"), "{said}");
}

#[test]
fn a_variable_that_is_no_text_is_told_and_not_passed_over() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-stack"));
    command.arg("up").envs(&variables()).env("DATABASE_URL", OsStr::from_bytes(b"postgres://\xff"));
    // Nobody asks for this one.
    let ended = command.env("ELSEWHERE", OsStr::from_bytes(b"\xff")).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(said.contains("DATABASE_URL") && said.contains("not UTF-8"), "{said}");
    assert!(!said.contains("ELSEWHERE") && !said.contains("JWT_SECRET"), "{said}");
}
