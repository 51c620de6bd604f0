//! The end of a real axum server, with a request under way.
#![allow(clippy::unwrap_used)]

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mainstay_health::{HealthManager, Phase, Shutdown};
use mainstay_health_axum::router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The status and body of the answer; nothing if nobody accepts.
async fn ask(addr: SocketAddr, path: &str) -> Option<(u16, String)> {
    let stream = TcpStream::connect(addr).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "orders").header("connection", "close");
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Some((status, String::from_utf8(body.to_vec()).unwrap()))
}

async fn reaches(health: &HealthManager, phase: Phase) {
    let mut changes = health.subscribe();
    let reached = async {
        while health.report().phase() != phase {
            changes.changed().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
}

#[tokio::test]
async fn while_it_drains_it_says_so_and_serves_and_then_it_finishes_what_is_under_way() {
    let health = HealthManager::builder("orders")
        .drain_delay(Duration::from_millis(300))
        .drain_limit(Duration::from_secs(30))
        .build()
        .unwrap();
    health.start().unwrap();
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let work = {
        let (entered, leave) = (entered.clone(), leave.clone());
        get(move || async move {
            entered.notify_one();
            leave.notified().await;
            "done"
        })
    };
    let app: Router = Router::new().route("/work", work).merge(router(&health));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let shutdown = Shutdown::new(&health);
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.stop_accepting()).into_future();
    let run = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.run(server).await }
    });
    assert_eq!(ask(addr, "/readyz").await.unwrap().0, 200);
    let under_way = tokio::spawn(ask(addr, "/work"));
    entered.notified().await;

    shutdown.trigger();
    reaches(&health, Phase::Draining).await;
    let (status, text) = ask(addr, "/readyz").await.unwrap();
    assert_eq!((status, text.contains("draining")), (503, true), "{text}");
    assert_eq!(ask(addr, "/livez").await.unwrap().0, 200, "and nobody shall kill it");

    reaches(&health, Phase::Closing).await;
    while ask(addr, "/livez").await.is_some() {
        tokio::task::yield_now().await;
    }
    assert!(!run.is_finished(), "a request is under way");
    leave.notify_one();
    assert_eq!(under_way.await.unwrap(), Some((200, "done".to_owned())));
    let ended = run.await.unwrap();
    assert!(ended.output.unwrap().is_ok());
    assert!(ended.took >= Duration::from_millis(300));
    assert_eq!(health.report().phase(), Phase::Stopped);
}
