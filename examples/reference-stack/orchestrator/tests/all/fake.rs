//! A language model and agents that fail on demand.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use stack_openai::{ChatRequest, FinishReason, Reply, Usage, sse};
use stack_protocol::v1::agent_core_server::{AgentCore, AgentCoreServer};
use stack_protocol::v1::{ExecuteReply, ExecuteRequest};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Well,
    Failing,
    /// Does not answer until it does something else.
    Hanging,
    /// Ends after the second piece, without the end.
    Breaking,
    /// Says two pieces, and the others when it is well.
    Pausing,
}

/// What is asked, and how it is answered.
#[derive(Clone)]
pub(crate) struct Switch {
    mode: Arc<watch::Sender<Mode>>,
    asked: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<Vec<ChatRequest>>>,
    traces: Arc<Mutex<Vec<String>>>,
}

impl Switch {
    fn new() -> Self {
        Self {
            mode: Arc::new(watch::Sender::new(Mode::Well)),
            asked: Arc::default(),
            requests: Arc::default(),
            traces: Arc::default(),
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// The texts that it was asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// What a language model was asked, as it came.
    pub(crate) fn requests(&self) -> Vec<ChatRequest> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn traces(&self) -> Vec<String> {
        self.traces.lock().unwrap().clone()
    }

    fn note(&self, asked: String, trace: Option<String>) {
        self.asked.lock().unwrap().push(asked);
        self.traces.lock().unwrap().extend(trace);
    }

    async fn while_it(&self, mode: Mode) {
        let _ = self.mode.subscribe().wait_for(|now| *now != mode).await;
    }

    fn mode(&self) -> Mode {
        *self.mode.borrow()
    }
}

/// A language model whose answers begin with a name.
pub(crate) struct FakeLlm {
    pub(crate) switch: Switch,
    pub(crate) address: SocketAddr,
}

impl FakeLlm {
    pub(crate) async fn start(name: &'static str) -> Self {
        let switch = Switch::new();
        let app = Router::new()
            .route(
                "/v1/chat/completions",
                post(move |switch, headers, body| complete(name, switch, headers, body)),
            )
            .route("/health", get(health))
            .with_state(switch.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { switch, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

/// `traceparent tracestate`
fn trace<'a>(header: impl Fn(&'static str) -> Option<&'a str>) -> Option<String> {
    let state = header("tracestate").unwrap_or_default();
    header("traceparent").map(|parent| format!("{parent} {state}"))
}

async fn health(State(switch): State<Switch>) -> StatusCode {
    match switch.mode() {
        Mode::Failing => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

async fn complete(
    name: &str,
    State(switch): State<Switch>,
    headers: HeaderMap,
    Json(request): Json<ChatRequest>,
) -> Response {
    let said: Vec<_> = request.messages.iter().map(|message| message.text().into_owned()).collect();
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap());
    switch.note(said.join(" | "), trace(header));
    switch.requests.lock().unwrap().push(request.clone());
    switch.while_it(Mode::Hanging).await;
    if switch.mode() == Mode::Failing {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let last = said.last().cloned().unwrap_or_default();
    if last == "too much" {
        return StatusCode::BAD_REQUEST.into_response();
    }
    // As some providers say it.
    if request.model == "unspeakable" {
        return StatusCode::BAD_REQUEST.into_response();
    }
    if request.model == "unheard-of" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let reply = Reply {
        id: "chatcmpl-1".to_owned(),
        created: 1,
        model: request.model.clone(),
        system_fingerprint: None,
        include_usage: request.includes_usage(),
    };
    let text = format!("{name} on {last}");
    let mut pieces: Vec<_> =
        text.split_inclusive(' ').map(|word| sse::encode(&reply.piece(word)).unwrap()).collect();
    let reason = if request.max_tokens.is_some() { FinishReason::Length } else { FinishReason::Stop };
    pieces.push(sse::encode(&reply.last(reason)).unwrap());
    pieces.extend(reply.usage(Usage::of(&request.messages, &text)).map(|chunk| sse::encode(&chunk).unwrap()));
    pieces.push(sse::DONE.to_owned());
    if switch.mode() == Mode::Breaking {
        pieces.truncate(2);
    }
    let pieces = stream::iter(pieces.into_iter().enumerate()).then(move |(at, piece)| {
        let switch = switch.clone();
        async move {
            if at == 2 {
                switch.while_it(Mode::Pausing).await;
            }
            Ok::<_, Infallible>(Bytes::from(piece))
        }
    });
    ([("content-type", "text/event-stream")], Body::from_stream(pieces)).into_response()
}

/// Agents.
pub(crate) struct FakeAgents {
    pub(crate) switch: Switch,
    pub(crate) address: SocketAddr,
}

impl FakeAgents {
    pub(crate) async fn start() -> Self {
        let switch = Switch::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = mainstay::health::HealthManager::builder("agents").build().unwrap();
        health.start().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(AgentCoreServer::new(Agents(switch.clone())))
            .add_service(mainstay_health_grpc::HealthGrpc::new(&health))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(async move {
            let _health = health;
            server.await
        });
        Self { switch, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

struct Agents(Switch);

#[tonic::async_trait]
impl AgentCore for Agents {
    async fn execute(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<tonic::Response<ExecuteReply>, Status> {
        let trace = trace(|name| request.metadata().get(name).map(|value| value.to_str().unwrap()));
        let ExecuteRequest { agent, input, .. } = request.into_inner();
        self.0.note(format!("{agent}: {input}"), trace);
        match self.0.mode() {
            Mode::Failing => return Err(Status::unavailable("down")),
            Mode::Hanging => self.0.while_it(Mode::Hanging).await,
            // Two of five fail, and one does not answer.
            Mode::Breaking if agent == "critic" || agent == "writer" => {
                return Err(Status::internal("broken"));
            }
            Mode::Breaking if agent == "reviewer" => tokio::time::sleep(Duration::from_secs(3600)).await,
            _ => {}
        }
        Ok(tonic::Response::new(ExecuteReply { output: format!("{agent} on {input}"), confidence: 0.5 }))
    }
}
