//! A provider of a language model, over HTTP behind a breaker: OpenAI's chat completions, as a stream.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mainstay::breaker::{Breaker, BreakerError};
use mainstay::config::Secret;
use mainstay_http::HttpLayer;
use stack_openai::sse::{ChunkDecoder, Streamed};
use stack_openai::{ChatChunk, ChatRequest, FinishReason, Usage};
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::timeout::ResponseBodyTimeoutLayer;

use crate::settings;
use crate::trace::Trace;

/// The longest answer, in bytes. What comes behind it is not read.
const LONGEST_ANSWER: usize = 256 * 1024;

#[derive(Clone)]
pub(super) struct Provider {
    /// That of its breaker.
    pub(super) name: &'static str,
    /// The model that it certainly has.
    pub(super) model: String,
    pub(super) http: Guarded,
    url: String,
    key: Option<Secret>,
    within: Duration,
}

/// What it says, as far as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) text: String,
    /// Who says it.
    pub(super) model: String,
    pub(super) usage: Option<Usage>,
    pub(super) finish_reason: Option<FinishReason>,
}

/// Why a provider gave no whole answer.
pub(super) enum Fault {
    /// The caller's: it would say so again, and any other would.
    Refused(StatusCode),
    /// It does not have the model.
    NoModel,
    Down(String),
}

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// An HTTP client behind a breaker.
type Guarded = BoxCloneSyncService<
    Request<Full<Bytes>>,
    Response<UnsyncBoxBody<Bytes, BoxError>>,
    BreakerError<legacy::Error>,
>;

impl Provider {
    pub(super) fn new(
        name: &'static str,
        provider: settings::Provider,
        within: Duration,
        breaker: Breaker,
    ) -> Result<Self, BoxError> {
        let settings::Provider { url, key, model } = provider;
        let url = format!("{}/chat/completions", url.trim_end_matches('/'));
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(Duration::from_secs(2).min(within)));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = legacy::Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(tls);
        let http = ServiceBuilder::new()
            // Before the whole is given up: what nobody waits for any more counts as nobody's failing.
            .layer(HttpLayer::client(breaker).timeout(within / 10 * 9))
            // A stream that falls silent is a failure to the breaker; what we drop because it takes too long is not.
            .layer(ResponseBodyTimeoutLayer::new(Duration::from_secs(10).min(within / 2)))
            .service(client);
        let http = http.map_response(|response: Response<_>| {
            response.map(|body| UnsyncBoxBody::new(BodyExt::map_err(body, BoxError::from)))
        });
        Ok(Self { name, model, http: BoxCloneSyncService::new(http), url, key, within })
    }

    /// Asks the model of the request, or its own if it does not have that: some providers say so with 400, as if all were wrong. Adds to what is said, piece by piece.
    pub(super) async fn ask(
        &self,
        request: &ChatRequest,
        trace: Option<&Trace>,
        said: &mut Said,
        tell: &(impl Fn(&str) + Sync),
    ) -> Result<(), Fault> {
        let asked = async {
            let first = self.stream(request, trace, said, tell).await;
            let may_lack_model =
                matches!(first, Err(Fault::NoModel | Fault::Refused(StatusCode::BAD_REQUEST)));
            if !may_lack_model || request.model == self.model {
                return first;
            }
            let own = ChatRequest { model: self.model.clone(), ..request.clone() };
            self.stream(&own, trace, said, tell).await
        };
        timeout(self.within, asked).await.unwrap_or_else(|_| Err(down(&"it took too long")))
    }

    async fn stream(
        &self,
        request: &ChatRequest,
        trace: Option<&Trace>,
        said: &mut Said,
        tell: &(impl Fn(&str) + Sync),
    ) -> Result<(), Fault> {
        said.model.clone_from(&request.model);
        let mut post = Request::post(&self.url).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            post = post.header(AUTHORIZATION, format!("Bearer {}", key.expose()));
        }
        for (name, value) in trace.into_iter().flat_map(Trace::headers) {
            post = post.header(name, value);
        }
        let body = serde_json::to_vec(request).map_err(|_| down(&"the request cannot be sent"))?;
        let post = post.body(Full::from(body)).map_err(|_| down(&"the request cannot be sent"))?;
        let mut http = self.http.clone();
        let sent = async { http.ready().await?.call(post).await };
        let mut response = sent.await.map_err(|error| down(&in_words(&error)))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Fault::NoModel),
            status @ (StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY) => return Err(Fault::Refused(status)),
            status => return Err(down(&status)),
        }
        let mut decoder = ChunkDecoder::new();
        while let Some(frame) = response.frame().await {
            let frame = frame.map_err(|_| down(&"the answer broke off"))?;
            let Ok(bytes) = frame.into_data() else { continue };
            for streamed in decoder.push(&bytes).map_err(|error| down(&error))? {
                match streamed {
                    Streamed::Chunk(chunk) => said.add(&chunk, tell)?,
                    Streamed::Error(_) => return Err(down(&"it gave up in the middle")),
                    Streamed::Done => return Ok(()),
                }
            }
        }
        Err(down(&"the answer broke off"))
    }
}

impl Said {
    fn add(&mut self, chunk: &ChatChunk, tell: &(impl Fn(&str) + Sync)) -> Result<(), Fault> {
        self.usage = chunk.counted().or(self.usage);
        self.finish_reason = chunk.finish_reason().or(self.finish_reason);
        let Some(piece) = chunk.text().filter(|piece| !piece.is_empty()) else { return Ok(()) };
        if self.text.len() + piece.len() > LONGEST_ANSWER {
            return Err(down(&"the answer is too long"));
        }
        self.text.push_str(piece);
        tell(piece);
        Ok(())
    }
}

fn down(why: &dyn Display) -> Fault {
    Fault::Down(why.to_string())
}

/// Without the driver's words, in which the address is.
fn in_words(error: &BreakerError<legacy::Error>) -> String {
    match error {
        BreakerError::Inner(error) if error.is_connect() => "it cannot be reached".to_owned(),
        BreakerError::Inner(_) => "the call failed".to_owned(),
        other => other.to_string(),
    }
}
