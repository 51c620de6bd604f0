use std::convert::Infallible;
use std::pin::pin;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use mainstay_benches::pending::Once;
use mainstay_grpc::tonic::codegen::Bytes;
use mainstay_http::http::{Request, Response};
use mainstay_http::http_body::Body;
use mainstay_http::{HttpLayer, default_settings};
use mainstay_testkit::HttpServer;
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};

use crate::{Effort, Failure, Row, beside, breaker, typical};

pub(crate) fn row(runtime: &Runtime, effort: Effort) -> Result<Row, Failure> {
    let nothing = || {
        service_fn(async |_: Request<()>| {
            Once::default().await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"well"))))
        })
    };
    let guard = HttpLayer::client(breaker(default_settings())?);
    let (mut bare, mut guarded) = (nothing(), guard.layer(nothing()));
    let (bare, guarded) =
        beside(effort, |calls| time(runtime, &mut bare, calls), |calls| time(runtime, &mut guarded, calls));

    let server = HttpServer::start()?;
    let uri: mainstay_http::http::Uri = format!("{}/status/200", server.url()).parse()?;
    let real = runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        typical(effort, async || -> Result<(), Failure> {
            let response = client.get(uri.clone()).await?;
            response.into_body().collect().await?;
            Ok(())
        })
        .await
    })?;
    Ok(Row { client: "HTTP", call: "GET, hyper-util", bare, guarded, real, budget: None })
}

fn time<S, B>(runtime: &Runtime, service: &mut S, calls: u64) -> Duration
where
    S: Service<Request<()>, Response = Response<B>>,
    B: Body,
{
    runtime.block_on(async {
        let begin = Instant::now();
        for _ in 0..calls {
            if std::future::poll_fn(|cx| service.poll_ready(cx)).await.is_err() {
                continue;
            }
            let Ok(response) = service.call(Request::new(())).await else { continue };
            let mut body = pin!(response.into_body());
            while !body.is_end_stream()
                && std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_some()
            {}
        }
        begin.elapsed()
    })
}
