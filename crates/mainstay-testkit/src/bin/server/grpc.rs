use std::error::Error;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use mainstay_testkit::grpc::pb::test_server::{Test, TestServer};
use mainstay_testkit::grpc::pb::{Answer, Ask};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{Service, StdError, http};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming, async_trait};

/// The service itself. Every method is a stream: see [`Wire`].
#[derive(Clone, Copy, Debug)]
struct Answers;

/// What stands between the service and the wire, to do what tonic's handlers cannot.
///
/// It serves the methods with one answer by those with many, since tonic puts the status of the former into the
/// headers. And it breaks a stream whose status is marked for it.
#[derive(Clone, Debug)]
struct Wire<S> {
    inner: S,
}

/// A response's body that ends with an error instead of a marked status.
struct Breaking {
    inner: Body,
}

/// In a request's headers: the method has one answer.
const SINGLE: &str = "testkit-single";

/// In a response's trailers: break the stream.
const BREAK: &str = "testkit-break";

/// Long enough for answers to be written, which a reset would overtake.
const FLUSH: Duration = Duration::from_millis(50);

pub(super) async fn serve(listener: TcpListener, timeout: Option<Duration>) -> Result<(), Box<dyn Error>> {
    let mut server = Server::builder();
    if let Some(timeout) = timeout {
        server = server.timeout(timeout);
    }
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = Wire { inner: TestServer::new(Answers) };
    Ok(server.add_service(service).serve_with_incoming(incoming).await?)
}

// === impl Answers ===

type AnswerStream = ReceiverStream<Result<Answer, Status>>;

#[async_trait]
impl Test for Answers {
    type ServerStreamStream = AnswerStream;
    type BidiStreamStream = AnswerStream;

    async fn unary(&self, _: Request<Ask>) -> Result<Response<Answer>, Status> {
        Err(Status::internal("served as a stream"))
    }

    async fn client_stream(&self, _: Request<Streaming<Ask>>) -> Result<Response<Answer>, Status> {
        Err(Status::internal("served as a stream"))
    }

    async fn server_stream(&self, request: Request<Ask>) -> Result<Response<AnswerStream>, Status> {
        let is_single = is_single(request.metadata());
        let ask = request.into_inner();
        begin(&ask).await?;
        Ok(Response::new(answers(ask, is_single, Arc::new(AtomicU32::new(1)))))
    }

    async fn bidi_stream(&self, request: Request<Streaming<Ask>>) -> Result<Response<AnswerStream>, Status> {
        let is_single = is_single(request.metadata());
        let mut asks = request.into_inner();
        let ask =
            asks.message().await?.ok_or_else(|| Status::invalid_argument("the first message is missing"))?;
        let received = Arc::new(AtomicU32::new(1));
        let count = Arc::clone(&received);
        let all = async move {
            while asks.message().await?.is_some() {
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), Status>(())
        };
        if is_single && !ask.headers && !ask.hang {
            all.await?;
        } else {
            tokio::spawn(all);
        }
        begin(&ask).await?;
        Ok(Response::new(answers(ask, is_single, received)))
    }
}

fn is_single(metadata: &MetadataMap) -> bool {
    metadata.contains_key(SINGLE)
}

/// What comes before the response's headers, or in them.
async fn begin(ask: &Ask) -> Result<(), Status> {
    if ask.hang {
        pending::<()>().await;
    }
    if ask.delay_ms > 0 {
        // Not even for no time: a timer takes a millisecond, which would be the most of a call.
        sleep(Duration::from_millis(ask.delay_ms)).await;
    }
    if ask.headers { Err(status(ask)) } else { Ok(()) }
}

fn status(ask: &Ask) -> Status {
    Status::new(Code::from(ask.code.try_into().unwrap_or(i32::MAX)), ask.message.clone())
}

/// Starts a task that sends what was asked for.
fn answers(ask: Ask, is_single: bool, received: Arc<AtomicU32>) -> AnswerStream {
    let (send, answers) = mpsc::channel(16);
    tokio::spawn(async move {
        tokio::select! {
            () = send_all(&ask, is_single, &received, &send) => {}
            // Nobody reads any more.
            () = send.closed() => {}
        }
    });
    ReceiverStream::new(answers)
}

async fn send_all(
    ask: &Ask,
    is_single: bool,
    received: &AtomicU32,
    answers: &mpsc::Sender<Result<Answer, Status>>,
) {
    let messages = match is_single {
        true if ask.code == 0 => 1,
        true => 0,
        false => ask.messages,
    };
    let payload = vec![b'm'; ask.payload.try_into().unwrap_or(usize::MAX)];
    for number in 1..=messages {
        let answer = Answer { number, payload: payload.clone(), received: received.load(Ordering::Relaxed) };
        if answers.send(Ok(answer)).await.is_err() {
            return;
        }
        if number < messages && ask.gap_ms > 0 {
            sleep(Duration::from_millis(ask.gap_ms)).await;
        }
    }
    if ask.reset {
        sleep(FLUSH).await;
        let mut status = Status::unknown("to be broken");
        status.metadata_mut().insert(BREAK, tonic::metadata::MetadataValue::from_static("1"));
        let _ = answers.send(Err(status)).await;
    } else if ask.code != 0 {
        let _ = answers.send(Err(status(ask))).await;
    }
}

// === impl Wire ===

impl<S: NamedService> NamedService for Wire<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Wire<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let many = match request.uri().path().rsplit('/').next() {
            Some("Unary") => Some("/mainstay.testkit.v1.Test/ServerStream"),
            Some("ClientStream") => Some("/mainstay.testkit.v1.Test/BidiStream"),
            _ => None,
        };
        if let Some(path) = many {
            *request.uri_mut() = http::Uri::from_static(path);
            request.headers_mut().insert(SINGLE, http::HeaderValue::from_static("1"));
        }
        let response = self.inner.call(request);
        Box::pin(async move { Ok(response.await?.map(|inner| Body::new(Breaking { inner }))) })
    }
}

// === impl Breaking ===

impl http_body::Body for Breaking {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        Pin::new(&mut self.inner).poll_frame(context).map(|frame| match frame? {
            Ok(frame) if frame.trailers_ref().is_some_and(|trailers| trailers.contains_key(BREAK)) => {
                Some(Err("broken off, as asked".into()))
            }
            Ok(frame) => Some(Ok(frame)),
            Err(status) => Some(Err(status.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
