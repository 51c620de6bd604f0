//! The whole stack as one process, on embedded stores and on real servers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

struct Stack {
    child: Child,
    gateway: String,
    token: String,
}

impl Stack {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reference-stack"));
        command
            .arg("up")
            .args(arguments)
            .arg("--data-dir")
            .arg(data)
            .stdout(Stdio::piped())
            .stdin(Stdio::null());
        for service in ["AGENT_CORE", "LLM_SERVICE", "ORCHESTRATOR", "GATEWAY"] {
            command.env(format!("{service}_LISTEN"), "127.0.0.1:0");
            command.env(format!("{service}_ADMIN_LISTEN"), "127.0.0.1:0");
        }
        let mut stack =
            Self { child: command.spawn().unwrap(), gateway: String::new(), token: String::new() };
        for line in BufReader::new(stack.child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(address) = line.strip_prefix("gateway listens on ") {
                stack.gateway = address.to_owned();
            }
            if let Some(token) = line.strip_prefix("TOKEN=") {
                stack.token = token.to_owned();
                return stack;
            }
        }
        panic!("it did not start");
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

        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = self.child.kill();
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
    let output = Command::new(env!("CARGO_BIN_EXE_reference-stack"))
        .arg("up")
        .env("LLM_SERVICE_LISTEN", "127.0.0.1:0")
        .env("LLM_SERVICE_ADMIN_LISTEN", "127.0.0.1:0")
        .env("AGENT_CORE_LISTEN", "127.0.0.1:0")
        .env("AGENT_CORE_ADMIN_LISTEN", "nowhere")
        .env("JWT_SECRET", "short")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("AGENT_CORE_ADMIN_LISTEN") && said.contains("JWT_SECRET"), "{said}");
}
