//! curl: every route, as the README has it.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::stack::{ADMIN_TOKEN, API_KEY, Stores, Up};
use crate::support::{no_secret_in, token};

/// All there is, because it must not tell a secret.
const LOG: [(&str, &str); 1] = [("RUST_LOG", "trace")];

struct Curl {
    gateway: SocketAddr,
    admin: SocketAddr,
    token: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Curl {
    fn run(&self, arguments: &[&str], url: &str) -> Answer {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--include", "--no-buffer", "--max-time", "60"])
            .args(arguments)
            .arg(url)
            .output()
            .expect("curl is installed");
        assert!(output.status.success(), "{url}: {output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        no_secret_in(url, &said);
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn ask(&self, arguments: &[&str], path: &str) -> Answer {
        let bearer = format!("authorization: Bearer {}", self.token);
        self.run(&[&["-H", &bearer], arguments].concat(), &format!("http://{}{path}", self.gateway))
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(&["-H", "content-type: application/json", "-d", body], path)
    }

    fn operate(&self, arguments: &[&str], path: &str) -> Answer {
        self.run(arguments, &format!("http://{}{path}", self.admin))
    }
}

impl Answer {
    #[track_caller]
    fn of(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n\n{}", self.head, self.body);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    #[track_caller]
    fn has(self, text: &str) -> Self {
        assert!(self.head.contains(text) || self.body.contains(text), "{}\n\n{}", self.head, self.body);
        self
    }
}

fn every_route(stack: &Up) {
    let curl = Curl { gateway: stack.gateway, admin: stack.gateway_admin, token: token("ann", "max") };
    // === OpenAI's ===
    curl.ask(&[], "/v1/models").of(200).has("reference-small");
    let chat = r#"{"model": "reference", "messages": [{"role": "user", "content": "Hello"}]}"#;
    curl.post("/v1/chat/completions", chat).of(200).has("x-task-id: ").has("Hello");
    let chat = chat.replacen('{', r#"{"stream": true, "#, 1);
    curl.post("/v1/chat/completions", &chat).of(200).has("text/event-stream").has("data: [DONE]");
    curl.post("/v1/chat/completions", "{").of(400).has("invalid_request_error");

    // === tasks ===
    let task = curl.post("/api/v1/tasks", r#"{"input": "Plan a trip", "mode": "complex"}"#).of(202);
    let id = task.json()["id"].as_str().unwrap().to_owned();
    let task = task.has(&format!("location: /api/v1/tasks/{id}"));
    assert!(["queued", "running"].contains(&task.json()["status"].as_str().unwrap()), "{}", task.body);
    let events = curl.ask(&[], &format!("/api/v1/tasks/{id}/stream")).of(200);
    let last = events.body.rsplit("id: ").next().unwrap().lines().next().unwrap().to_owned();
    let first = events.has("event: started").has("event: part").has("event: ended");
    let first = first.body.split("id: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let rest = curl.ask(&["-H", &format!("last-event-id: {first}")], &format!("/api/v1/tasks/{id}/stream"));
    assert!(!rest.of(200).has("event: ended").body.contains("event: started"));
    curl.ask(&["-H", &format!("last-event-id: {last}")], &format!("/api/v1/tasks/{id}/stream")).of(204);
    curl.ask(&[], &format!("/api/v1/tasks/{id}")).of(200).has(r#""status":"succeeded""#);
    curl.ask(&[], "/api/v1/tasks?page_size=1").of(200).has(&id).has("next_page_token");
    curl.ask(&["-X", "DELETE"], &format!("/api/v1/tasks/{id}")).of(200).has("succeeded");
    cancel_while_it_runs(&curl, stack.model_admin);
    curl.ask(&[], "/api/v1/tasks/00000000-0000-4000-8000-000000000000")
        .of(404)
        .has("application/problem+json");
    // Of somebody else it is not there.
    let other = Curl { token: token("bob", "max"), ..curl };
    other.ask(&[], &format!("/api/v1/tasks/{id}")).of(404);
    let curl = Curl { token: token("ann", "max"), ..other };

    // === who asks ===
    let models = format!("http://{}/v1/models", curl.gateway);
    curl.run(&["-H", &format!("x-api-key: {API_KEY}")], &models).of(200);
    curl.run(&["-H", "x-api-key: of-nobody"], &models).of(401);
    curl.run(&[], &models).of(401).has("www-authenticate: bearer");

    // === what it says about itself ===
    curl.ask(&[], "/openapi.json").of(200).has("/api/v1/tasks/{id}/stream");
    for path in ["/health", "/readiness", "/readyz", "/livez"] {
        curl.ask(&[], path).of(200);
        curl.operate(&[], path).of(200);
    }
    curl.ask(&[], "/health/detailed").of(404);
    curl.operate(&[], "/health/detailed").of(200).has("orchestrator");
    curl.operate(&[], "/metrics").of(200).has("# TYPE");
    curl.run(&[], &format!("http://{}/health/detailed", stack.orchestrator_admin)).of(200).has("agent_core");

    // === maintenance ===
    let reason = ["-H", "content-type: application/json", "-d", r#"{"reason": "a test"}"#];
    let bearer = format!("authorization: Bearer {ADMIN_TOKEN}");
    curl.operate(&reason, "/admin/maintenance").of(401);
    curl.operate(&[&["-H", &bearer][..], &reason].concat(), "/admin/maintenance").of(202);
    curl.operate(&[], "/readyz").of(503);
    curl.operate(&["-H", &bearer], "/admin/maintenance").of(200).has(r#""reason":"a test""#);
    curl.operate(&["-H", &bearer, "-X", "DELETE"], "/admin/maintenance").of(200);
    curl.operate(&[], "/readyz").of(200);
    curl.run(&[], &format!("http://{}/metrics", stack.orchestrator_admin)).of(200).has("# TYPE");
}

fn cancel_while_it_runs(curl: &Curl, model: SocketAddr) {
    let faults = format!("http://{model}/faults");
    let json = ["-H", "content-type: application/json"];
    curl.run(&[&json[..], &["-X", "PUT", "-d", r#"{"hang": true}"#]].concat(), &faults).of(200);
    let task = curl.post("/api/v1/tasks", r#"{"input": "What of the moon?", "mode": "simple"}"#).of(202);
    let place = format!("/api/v1/tasks/{}", task.json()["id"].as_str().unwrap());
    curl.ask(&["-X", "DELETE"], &place).of(200);
    curl.ask(&[], &format!("{place}/stream")).of(200).has("event: ended").has(r#""status":"cancelled""#);
    curl.ask(&[], &place).of(200).has(r#""status":"cancelled""#);
    curl.run(&["-X", "DELETE"], &faults).of(200);
}

#[test]
fn curl_reaches_every_route_on_embedded_stores() {
    let mut stack = Up::start(Stores::Embedded, &LOG);
    every_route(&stack);
    stack.program.end();
}

#[test]
fn curl_reaches_every_route_on_a_redis_and_a_postgresql() {
    let mut stack = Up::start(Stores::Servers, &LOG);
    every_route(&stack);
    stack.program.end();
}
