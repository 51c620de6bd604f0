use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mainstay_benches::pending::Once;
use mainstay_grpc::tonic::Status;
use mainstay_grpc::tonic::body::Body;
use mainstay_grpc::tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use mainstay_grpc::tonic::codegen::{Body as HttpBody, Bytes};
use mainstay_grpc::tonic::transport::Endpoint;
use mainstay_testkit::GrpcServer;
use mainstay_testkit::grpc::pb::test_client::TestClient;
use mainstay_testkit::grpc::pb::{Answer, Ask};
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};

use crate::{Effort, Failure, Row, beside, breaker, typical};

/// An empty message and a good status, as they come from the network: in a data frame and in trailers.
#[derive(Default)]
struct Good(u8);

impl HttpBody for Good {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        self.0 += 1;
        Poll::Ready(match self.0 {
            1 => Some(Ok(http_body::Frame::data(Bytes::from_static(&[0; 5])))),
            2 => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Some(Ok(http_body::Frame::trailers(trailers)))
            }
            _ => None,
        })
    }
}

pub(crate) fn row(runtime: &Runtime, effort: Effort) -> Result<Row, Failure> {
    let nothing = || {
        service_fn(async |_: Request<Body>| {
            Once::default().await;
            let mut response = Response::new(Body::new(Good::default()));
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            Ok::<_, Infallible>(response)
        })
    };
    let guard = mainstay_grpc::GrpcLayer::client(breaker(mainstay_grpc::default_settings())?);
    let (mut bare, mut guarded) = (nothing(), guard.layer(nothing()));
    let (bare, guarded) =
        beside(effort, |calls| time(runtime, &mut bare, calls), |calls| time(runtime, &mut guarded, calls));

    let server = GrpcServer::start()?;
    let real = runtime.block_on(async {
        let channel = Endpoint::new(server.url())?.connect().await?;
        let mut client = TestClient::new(channel);
        typical(effort, async || client.unary(Ask { messages: 1, ..Ask::default() }).await)
            .await
            .map_err(Failure::from)
    })?;
    Ok(Row { client: "gRPC", call: "unary", bare, guarded, real, budget: Some(0.02) })
}

/// Calls as a generated client makes them.
fn time<S, B>(runtime: &Runtime, service: &mut S, calls: u64) -> Duration
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<Failure>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let _ = Answer::default();
    runtime.block_on(async {
        let begin = Instant::now();
        for _ in 0..calls {
            if std::future::poll_fn(|cx| service.poll_ready(cx)).await.is_err() {
                continue;
            }
            let Ok(response) = service.call(Request::new(Body::empty())).await else { continue };
            let mut body = std::pin::pin!(response.into_body());
            while std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_some() {}
        }
        begin.elapsed()
    })
}
