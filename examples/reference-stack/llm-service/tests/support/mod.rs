//! A language model on free ports, and how it is asked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use llm_service::{Running, Settings};
use mainstay::config::Environment;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use stack_openai::ChatChunk;
use stack_openai::sse::{ChunkDecoder, Streamed};

pub(crate) fn settings(variables: &[(&str, &str)]) -> Settings {
    let free = [
        ("LLM_SERVICE_LISTEN", "127.0.0.1:0"),
        ("LLM_SERVICE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("LLM_SERVICE_DRAIN_DELAY", "0s"),
    ];
    let variables = free.iter().chain(variables).map(|(name, value)| (name.to_string(), value.to_string()));
    Settings::load(&Environment::from_iter(variables)).expect("settings")
}

pub(crate) async fn started() -> Llm {
    Llm::over(llm_service::start(settings(&[])).await.expect("it starts"))
}

pub(crate) struct Llm {
    pub(crate) running: Running,
    pub(crate) client: Client,
}

impl Llm {
    pub(crate) fn over(running: Running) -> Self {
        Self { running, client: Client::new() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        at(self.running.address(), path)
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        at(self.running.admin_address(), path)
    }

    /// Turns the switches over the admin port.
    pub(crate) async fn switch(&self, switches: Value) {
        let put = self.client.put(self.admin("/faults")).json(&switches).send().await.expect("sent");
        assert!(put.status().is_success(), "{}", put.text().await.expect("text"));
    }

    pub(crate) async fn ask(&self, body: &Value) -> reqwest::Result<Response> {
        self.client.post(self.url("/v1/chat/completions")).json(body).send().await
    }
}

pub(crate) fn at(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

pub(crate) fn question(text: &str) -> Value {
    json!({"model": "reference", "messages": [{"role": "user", "content": text}]})
}

pub(crate) fn streamed(mut question: Value) -> Value {
    question["stream"] = json!(true);
    question
}

/// What came of an answer in chunks, and whether it came to its end.
pub(crate) async fn read(mut response: Response) -> (Vec<ChatChunk>, bool) {
    let (mut decoder, mut chunks) = (ChunkDecoder::new(), Vec::new());
    while let Ok(Some(bytes)) = response.chunk().await {
        for item in decoder.push(&bytes).expect("an answer") {
            match item {
                Streamed::Chunk(chunk) => chunks.push(chunk),
                Streamed::Done => {}
                Streamed::Error(error) => panic!("{error:?}"),
            }
        }
    }
    (chunks, decoder.is_done())
}

pub(crate) fn text(chunks: &[ChatChunk]) -> String {
    chunks.iter().filter_map(ChatChunk::text).collect()
}

pub(crate) async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 60 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
