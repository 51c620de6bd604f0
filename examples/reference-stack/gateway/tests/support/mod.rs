//! Gateways on free ports, tokens for them, and clients.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

pub mod orchestrator;
pub mod process;
mod world;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway::{Running, Settings};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mainstay::config::Environment;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const SECRET: &str = "kD83hf0qPzv7LmWc2XtR9sBnYa5eUj4i-for-tests";
pub const ADMIN: &str = "an-operators-token-9f27c1";

/// A gateway in the test's own process.
pub struct TestGateway {
    pub running: Option<Running>,
    pub addr: SocketAddr,
    pub admin_addr: SocketAddr,
    pub client: Client,
    _data: TempDir,
}

/// The variables of a gateway of these orchestrators, and more of them.
pub fn variables(orchestrators: &[String], more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> = [
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
        ("JWT_SECRET", SECRET),
        ("ADMIN_TOKEN", ADMIN),
        ("MODELS", "m"),
        ("MAINSTAY__HEALTH__DRAIN_DELAY", "10ms"),
        ("RATE_LIMITS", "free:100000:1000000:10000000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    variables.insert("ORCHESTRATORS".to_owned(), orchestrators.join(","));
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    variables
}

pub async fn gateway(orchestrators: &[String], more: &[(&str, &str)]) -> TestGateway {
    let data = tempfile::tempdir().unwrap();
    let mut variables = variables(orchestrators, more);
    variables.entry("DATA_DIR".to_owned()).or_insert(data.path().to_str().unwrap().to_owned());
    let settings = Settings::load(&Environment::from_iter(variables)).unwrap();
    let running = gateway::start(settings).await.unwrap();
    let (addr, admin_addr) = (running.addr, running.admin_addr);
    TestGateway { running: Some(running), addr, admin_addr, client: client(), _data: data }
}

pub fn client() -> Client {
    Client::builder().timeout(Duration::from_secs(120)).build().unwrap()
}

impl TestGateway {
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path)).bearer_auth(token("ann"))
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).bearer_auth(token("ann")).json(body)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin_addr)
    }

    /// Hands in a task, and gives back its id.
    pub async fn task(&self, input: &str) -> String {
        let response = self.post("/api/v1/tasks", &json!({ "input": input })).send().await.unwrap();
        assert_eq!(response.status(), 202);
        json_of(response).await["id"].as_str().unwrap().to_owned()
    }

    pub async fn stop(mut self) {
        self.running.take().unwrap().stop().await;
    }
}

pub fn question(text: &str) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })
}

/// A good token for an hour.
pub fn token(user: &str) -> String {
    token_of(&json!({ "sub": user, "exp": now() + 3600 }))
}

pub fn token_of(claims: &Value) -> String {
    signed(claims, Algorithm::HS256, SECRET)
}

pub fn signed(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub async fn json_of(response: Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Asks until it holds, for half a minute at most.
pub async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let asked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(45), asked).await;
    assert!(waited.is_ok(), "waited in vain until {what}");
}

pub fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}
