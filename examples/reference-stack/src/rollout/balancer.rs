//! A small balancer between two versions of a gateway: the new one gets its share, and each is asked whether it is ready. It repeats no request,
//! so that what a version loses shows.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context as Wake, Poll, ready};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mainstay::Verdict;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::apart::{Asker, Process};
use crate::rollout::judge::{Case, Judge};

/// By whom a request was answered, in the answer's head.
pub(crate) const SERVED_BY: &str = "x-served-by";
/// How long an answer may take to begin; less than callers wait, so that they hear of it.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);
/// How often a version is asked whether it is ready, and how long it may take to answer.
const PROBE_EVERY: Duration = Duration::from_millis(100);
const PROBE_PATIENCE: Duration = Duration::from_millis(500);
/// One that says no is believed at once; so often in a row it may say nothing. Its drain delay is longer than it takes to ask it again.
const SILENCES: u32 = 3;
/// Shorter than the gateway keeps a connection: who reuses one must be the first to give it up.
const KEEP_IDLE: Duration = Duration::from_secs(30);

/// One of the versions. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) name: String,
    pub(crate) judge: Judge,
    authority: Authority,
    seen: Arc<Seen>,
    /// Ends the questions whether it is ready.
    _watching: Arc<Watching>,
}

#[derive(Debug, Default)]
struct Seen {
    ready: AtomicBool,
    sent: AtomicU64,
    under_way: AtomicUsize,
}

#[derive(Debug)]
struct Watching(JoinHandle<()>);

/// The balancer. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Balancer {
    table: Arc<RwLock<Table>>,
    turn: Arc<AtomicU64>,
    client: Client<HttpConnector, Body>,
}

/// Who gets what.
#[derive(Debug, Clone)]
struct Table {
    old: Version,
    /// With its share, from 0 to 1.
    new: Option<(Version, f64)>,
}

/// An answer's body, which is watched to its end.
struct Watched {
    body: Body,
    case: Option<Case>,
    verdict: Verdict,
    _under_way: UnderWay,
}

/// A request that is not answered to its end.
struct UnderWay(Arc<Seen>);

// === impl Balancer ===

impl Balancer {
    /// Serves on a free port, for as long as the program runs.
    pub(crate) async fn start(old: Version) -> anyhow::Result<(Self, SocketAddr)> {
        old.judge.admit_everything();
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_idle_timeout(KEEP_IDLE)
            .build_http();
        let table = Arc::new(RwLock::new(Table { old, new: None }));
        let balancer = Self { table, turn: Arc::default(), client };
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the balancer cannot listen")?;
        let address = listener.local_addr()?;
        let app = Router::new().fallback(forward).with_state(balancer.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok((balancer, address))
    }

    /// Gives a new version its share of the requests, from 0 to 1.
    pub(crate) fn share(&self, new: &Version, share: f64) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).new = Some((new.clone(), share));
    }

    /// The new version is the old one from now on.
    pub(crate) fn promote(&self, new: Version) {
        new.judge.admit_everything();
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Table { old: new, new: None };
    }

    /// Nothing goes to the new version any more.
    pub(crate) fn take_back(&self) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).new = None;
    }

    fn pick(&self) -> Option<(Version, Case)> {
        /// Of the golden ratio: any few turns in a row are spread evenly, and no pattern of the callers' falls together with ours, as it would
        /// with each twentieth.
        const STEP: f64 = 0.618_033_988_749_894_9;
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner).clone();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % (1 << 32);
        let spot = (turn as f64 * STEP).fract();
        // What the new one may not have is the old one's, and never the other way round: nothing stands behind the old one, so its breaker is
        // only looked at.
        let new = table.new.filter(|(_, share)| spot < *share).map(|(new, _)| new);
        let mut order = new.into_iter().chain([table.old]);
        order.find_map(|version| {
            let case = version.is_ready().then(|| version.judge.admit()).flatten()?;
            Some((version, case))
        })
    }
}

async fn forward(State(balancer): State<Balancer>, mut request: Request) -> Response {
    let Some((version, mut case)) = balancer.pick() else {
        let later = [(header::RETRY_AFTER, "1")];
        return (StatusCode::SERVICE_UNAVAILABLE, later, "no gateway is ready\n").into_response();
    };
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(version.authority.clone()).path_and_query(path);
    match uri.build() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
    // These belong to the connection that the request came by.
    for name in [header::HOST, header::CONNECTION, header::UPGRADE, header::TE] {
        request.headers_mut().remove(name);
    }
    version.seen.sent.fetch_add(1, Ordering::Relaxed);
    let under_way = UnderWay::new(&version.seen);
    let mut response: Response = match timeout(SILENCE, balancer.client.request(request)).await {
        Ok(Ok(response)) => {
            case.head();
            let verdict = verdict(&response);
            response.map(|body| {
                let body = Body::new(body);
                let mut watched = Watched { body, case: Some(case), verdict, _under_way: under_way };
                if watched.body.is_end_stream() {
                    watched.end(verdict);
                }
                Body::new(watched)
            })
        }
        Ok(Err(error)) => {
            case.close(Verdict::Failure);
            (StatusCode::BAD_GATEWAY, format!("{}: {error}\n", version.name)).into_response()
        }
        Err(_) => {
            case.close(Verdict::Failure);
            (StatusCode::GATEWAY_TIMEOUT, format!("{}: no answer\n", version.name)).into_response()
        }
    };
    if let Ok(name) = HeaderValue::from_str(&version.name) {
        response.headers_mut().insert(SERVED_BY, name);
    }
    response
}

/// What an answer's head says about who gave it. The caller's own mistakes are no version's, and who asks for patience does as he should.
fn verdict<B>(response: &Response<B>) -> Verdict {
    let status = response.status();
    if status == StatusCode::SERVICE_UNAVAILABLE && response.headers().contains_key(header::RETRY_AFTER) {
        Verdict::Ignore
    } else if status.is_server_error() {
        Verdict::Failure
    } else {
        Verdict::Success
    }
}

// === impl Version ===

impl Version {
    /// A gateway, and where it is asked for: that may be a proxy in front of it.
    pub(crate) fn new(name: &str, gateway: &Process, at: SocketAddr, judge: Judge) -> anyhow::Result<Self> {
        let seen = Arc::new(Seen::default());
        let readiness = format!("http://{}/readyz", gateway.admin);
        let watching = tokio::spawn(watch(readiness, Arc::clone(&seen)));
        Ok(Self {
            name: name.to_owned(),
            judge,
            authority: Authority::try_from(at.to_string())?,
            seen,
            _watching: Arc::new(Watching(watching)),
        })
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.seen.ready.load(Ordering::Relaxed)
    }

    /// How many requests it has got.
    pub(crate) fn sent(&self) -> u64 {
        self.seen.sent.load(Ordering::Relaxed)
    }

    /// Waits until it has answered all that it got.
    pub(crate) async fn is_idle(&self) {
        while self.seen.under_way.load(Ordering::Acquire) > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn watch(readiness: String, seen: Arc<Seen>) {
    let mut turns = interval(PROBE_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silences = 0;
    loop {
        turns.tick().await;
        // A client of its own for each question: a connection that was kept would say nothing about new ones.
        match Asker::new().ask(Method::GET, &readiness, &[], None, PROBE_PATIENCE).await {
            Ok(answer) => {
                silences = 0;
                seen.ready.store(answer.status.is_success(), Ordering::Relaxed);
            }
            Err(_) => {
                silences += 1;
                if silences >= SILENCES {
                    seen.ready.store(false, Ordering::Relaxed);
                }
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl UnderWay ===

impl UnderWay {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.under_way.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(seen))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

// === impl Watched ===

impl Watched {
    fn end(&mut self, verdict: Verdict) {
        if let Some(case) = self.case.take() {
            case.close(verdict);
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        wake: &mut Wake<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(wake));
        match &frame {
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Err(_)) => self.end(Verdict::Failure),
            Some(Ok(_)) | None => {
                let verdict = self.verdict;
                self.end(verdict);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
