//! A listener and its connections: how many, how large their heads, how slow, and how they end.

mod pace;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Duration, sleep};
use tower::{ServiceExt, service_fn};

use self::pace::{Handling, Paced};
use crate::settings::Times;

/// The largest head of a request: more is answered with 431.
const LARGEST_HEAD: usize = 32 * 1024;
/// The most headers of a request.
const MOST_HEADERS: usize = 64;

/// Serves until `stop`, then lets what is under way end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    times: Times,
    max_connections: usize,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
    // HTTP/1.1 alone: what finds out the version waits for the first bytes without a time-out.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(times.idle)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LARGEST_HEAD);
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            // Beyond the most, others wait in the queue of the system.
            let place = places.clone().acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, for example: others have to go first.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Only latency is lost without it.
        let _ = stream.set_nodelay(true);
        let handling = Handling::default();
        let stream = Paced::new(stream, times.head, handling.clone());
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (router, handled) = (router.clone(), handling.begin());
            async move {
                let response = router.oneshot(request).await;
                drop(handled);
                response
            }
        });
        let service = TowerToHyperService::new(service);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // How a client breaks off is its own affair.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    connections.shutdown().await;
}
