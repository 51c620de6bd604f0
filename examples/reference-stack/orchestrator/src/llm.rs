//! The language model, and what answers in its place: the second provider, else an earlier answer to the same messages, else a notice.
//!
//! Look at [`Llm::answer`], which is that sentence.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
use mainstay::degrade::Behavior;
use mainstay::health::{IntoProbe, Probe, source};
use mainstay_http::{HttpLayer, health};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use stack_openai::sse::{ChunkDecoder, Streamed};
use stack_openai::{ChatMessage, ChatRequest};
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::timeout::ResponseBodyTimeoutLayer;
use tracing::warn;

use crate::settings::{Provider, Settings};
use crate::task::Task;

/// The longest answer, in bytes. What comes behind it is not read.
pub(crate) const LONGEST_ANSWER: usize = 256 * 1024;
/// What earlier answers may take of the memory, in bytes.
const EARLIER: u64 = 64 * 1024 * 1024;
/// How long an answer may stand in for a new one.
const GOOD_FOR: Duration = Duration::from_secs(3600);
/// The answer when there is none.
const NOTICE: &str =
    "The language model cannot be reached at the moment. The task is recorded; please ask again later.";

#[derive(Clone)]
pub(crate) struct Llm {
    model: Client,
    fallback: Option<Client>,
    earlier: Arc<Cache<[u8; 32], Earlier, ByBytes>>,
    check: Probe,
}

/// An answer, and whose it is.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) from: From,
    /// Not if it broke off.
    pub(crate) whole: bool,
    /// The providers that did not answer, by the names of their breakers.
    pub(crate) failed: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Model,
    Fallback,
    Cache,
    Notice,
}

/// The request is not for this language model (too long, or for a model that it does not have): it would say so again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused(pub(crate) StatusCode);

#[derive(Clone)]
struct Client {
    http: Guarded,
    provider: Provider,
    within: Duration,
}

/// Why a provider gave no whole answer.
enum Fault {
    Refused(StatusCode),
    Down(String),
}

type BoxError = Box<dyn Error + Send + Sync>;

/// An HTTP client behind a breaker.
type Guarded = BoxCloneSyncService<
    Request<Full<Bytes>>,
    Response<UnsyncBoxBody<Bytes, BoxError>>,
    BreakerError<legacy::Error>,
>;

/// What was answered, and when.
#[derive(Clone)]
struct Earlier {
    text: Arc<str>,
    at: Instant,
}

#[derive(Clone)]
struct ByBytes;

impl Llm {
    pub(crate) fn new(settings: &Settings, breaker: Breaker, fallback: Breaker) -> Result<Self, BoxError> {
        let client =
            |provider: &Provider, breaker| Client::new(provider.clone(), settings.llm_timeout, breaker);
        let second = settings.llm_fallback.as_ref().map(|provider| client(provider, fallback)).transpose()?;
        let model = client(&settings.llm, breaker.clone())?;
        let check = match &settings.llm_health {
            Some(url) => health::check_with(model.http.clone(), url)?,
            None => source(breaker).into_probe(),
        };
        let earlier = Arc::new(Cache::with_weighter(1000, EARLIER, ByBytes));
        Ok(Self { model, fallback: second, earlier, check })
    }

    /// Asks the provider whether it is well, where it has somebody to ask; else watches the breaker.
    pub(crate) fn check(&self) -> Probe {
        self.check.clone()
    }

    /// Answers, and tells the text as it comes. `findings` are put before the messages; an earlier answer to the same messages of the same
    /// user is one whatever was found then. `behavior` is what the level says of calls of the language model.
    pub(crate) async fn answer(
        &self,
        task: &Task,
        findings: Option<ChatMessage>,
        messages: Vec<ChatMessage>,
        behavior: Behavior,
        trace: Option<&str>,
        tell: &(impl Fn(&str) + Sync),
    ) -> Result<Answer, Refused> {
        let model = if task.model.is_empty() { &self.model.provider.model } else { &task.model };
        let key = key(&task.user, model, &messages);
        let request = ChatRequest::new(model, findings.into_iter().chain(messages).collect()).streamed();
        let mut answer = Answer { text: String::new(), from: From::Model, whole: true, failed: Vec::new() };

        // While it is known to be down nobody waits for it; its breaker and its check find out when it is back.
        let asked = match behavior {
            Behavior::Proceed | Behavior::Degrade => {
                self.model.ask(&request, trace, &mut answer.text, tell).await
            }
            _ => Err(Fault::Down("it is known to be down".to_owned())),
        };
        match asked {
            Ok(()) => {
                self.earlier.insert(key, Earlier { text: answer.text.as_str().into(), at: Instant::now() });
                return Ok(answer);
            }
            Err(Fault::Refused(status)) => return Err(Refused(status)),
            Err(Fault::Down(why)) => {
                warn!(why, "no answer of the language model");
                answer.failed.push("llm_service");
            }
        }
        if !answer.text.is_empty() {
            answer.whole = false;
            return Ok(answer);
        }

        if let Some(fallback) = &self.fallback {
            let request = ChatRequest { model: fallback.provider.model.clone(), ..request };
            answer.from = From::Fallback;
            match fallback.ask(&request, trace, &mut answer.text, tell).await {
                Ok(()) => return Ok(answer),
                Err(Fault::Refused(status)) => return Err(Refused(status)),
                Err(Fault::Down(why)) => {
                    warn!(why, "no answer of the second provider");
                    answer.failed.push("llm_fallback");
                }
            }
            if !answer.text.is_empty() {
                answer.whole = false;
                return Ok(answer);
            }
        }

        let (text, from) = match self.earlier.get(&key).filter(|earlier| earlier.at.elapsed() < GOOD_FOR) {
            Some(earlier) => (earlier.text.to_string(), From::Cache),
            None => (NOTICE.to_owned(), From::Notice),
        };
        tell(&text);
        Ok(Answer { text, from, ..answer })
    }
}

impl From {
    /// As it is said in the answer.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Fallback => "fallback_provider",
            Self::Cache => "cache",
            Self::Notice => "notice",
        }
    }
}

impl Client {
    fn new(provider: Provider, within: Duration, breaker: Breaker) -> Result<Self, BoxError> {
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
            .layer(HttpLayer::client(breaker).timeout(within))
            // A stream that falls silent is a failure to the breaker; what we drop because it takes too long is not.
            .layer(ResponseBodyTimeoutLayer::new(Duration::from_secs(10).min(within / 2)))
            .service(client);
        let http = http.map_response(|response: Response<_>| {
            response.map(|body| UnsyncBoxBody::new(BodyExt::map_err(body, BoxError::from)))
        });
        Ok(Self { http: BoxCloneSyncService::new(http), provider, within })
    }

    /// Adds the answer to `text`, piece by piece.
    async fn ask(
        &self,
        request: &ChatRequest,
        trace: Option<&str>,
        text: &mut String,
        tell: &(impl Fn(&str) + Sync),
    ) -> Result<(), Fault> {
        let asked = self.stream(request, trace, text, tell);
        timeout(self.within, asked).await.unwrap_or_else(|_| Err(Fault::Down("it took too long".to_owned())))
    }

    async fn stream(
        &self,
        request: &ChatRequest,
        trace: Option<&str>,
        text: &mut String,
        tell: &(impl Fn(&str) + Sync),
    ) -> Result<(), Fault> {
        let url = format!("{}/chat/completions", self.provider.url.trim_end_matches('/'));
        let mut post = Request::post(url).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.provider.key {
            post = post.header(AUTHORIZATION, format!("Bearer {}", key.expose()));
        }
        if let Some(trace) = trace {
            post = post.header("traceparent", trace);
        }
        let down = |why: &dyn std::fmt::Display| Fault::Down(why.to_string());
        let unfit = |_| down(&"the request cannot be sent");
        let body = serde_json::to_vec(request).map_err(|_| down(&"the request cannot be sent"))?;
        let post = post.body(Full::from(body)).map_err(unfit)?;
        let mut http = self.http.clone();
        let sent = async { http.ready().await?.call(post).await };
        let mut response = sent.await.map_err(|error| down(&said(&error)))?;
        match response.status() {
            StatusCode::OK => {}
            status @ (StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
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
                    Streamed::Chunk(chunk) => {
                        let Some(piece) = chunk.text().filter(|piece| !piece.is_empty()) else { continue };
                        if text.len() + piece.len() > LONGEST_ANSWER {
                            return Err(down(&"the answer is too long"));
                        }
                        text.push_str(piece);
                        tell(piece);
                    }
                    Streamed::Error(_) => return Err(down(&"it gave up in the middle")),
                    Streamed::Done => return Ok(()),
                }
            }
        }
        Err(down(&"the answer broke off"))
    }
}

impl Weighter<[u8; 32], Earlier> for ByBytes {
    fn weight(&self, _: &[u8; 32], answer: &Earlier) -> u64 {
        answer.text.len() as u64 + 64
    }
}

fn key(user: &str, model: &str, messages: &[ChatMessage]) -> [u8; 32] {
    // It is made of texts, which JSON has words for.
    Sha256::digest(serde_json::to_vec(&(user, model, messages)).unwrap_or_default()).into()
}

/// Without the driver's words, in which the address is.
fn said(error: &BreakerError<legacy::Error>) -> String {
    match error {
        BreakerError::Inner(error) if error.is_connect() => "it cannot be reached".to_owned(),
        BreakerError::Inner(_) => "the call failed".to_owned(),
        other => other.to_string(),
    }
}
