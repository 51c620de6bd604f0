use std::net::SocketAddr;

use mainstay_health::{ErrorClass, Probe, Reason, Status, checks};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::ask::{ask, asking, class, find};

async fn listener(addr: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(addr).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Where nobody listens any more.
async fn dead() -> SocketAddr {
    listener("127.0.0.1:0").await.1
}

#[tokio::test]
async fn it_connects_and_closes() {
    let (listener, addr) = listener("127.0.0.1:0").await;
    let run = find(checks::tcp(addr.to_string())).await;
    assert_eq!((run.status, run.reason), (Status::Healthy, Reason::Passed));
    assert!(run.latency.is_some());
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn addresses_of_version_6_and_names_will_do() {
    let (_listener, addr) = listener("127.0.0.1:0").await;
    let run = find(checks::tcp(format!("localhost:{}", addr.port()))).await;
    assert_eq!(run.status, Status::Healthy);
    // Where there is a version 6.
    if let Ok(listener) = TcpListener::bind("[::1]:0").await {
        let run = find(checks::tcp(listener.local_addr().unwrap().to_string())).await;
        assert_eq!(run.status, Status::Healthy);
    }
}

async fn fails(probe: Probe, expected: ErrorClass) {
    let run = find(probe).await;
    let text = run.error.as_ref().map(|error| error.text().to_owned());
    assert_eq!((run.status, class(&run)), (Status::Unhealthy, Some(expected)), "{text:?}");
}

#[tokio::test]
async fn errors_have_their_class() {
    let addr = dead().await;
    fails(checks::tcp(addr.to_string()), ErrorClass::ConnectionRefused).await;
    // Reserved: it never resolves.
    fails(checks::tcp("nowhere.invalid:80"), ErrorClass::NameNotResolved).await;
    fails(checks::tcp("no-port"), ErrorClass::Other).await;
    fails(checks::tcp(""), ErrorClass::Other).await;
}

#[tokio::test]
async fn the_text_says_which_address() {
    let addr = dead().await;
    let run = find(checks::tcp(addr.to_string())).await;
    assert!(run.error.unwrap().text().starts_with(&addr.to_string()));
}

#[tokio::test]
async fn it_looks_again_at_each_run() {
    let addr = dead().await;
    let health = asking(checks::tcp(format!("localhost:{}", addr.port())));
    assert_eq!(ask(&health).await.status, Status::Unhealthy);
    let _listener = TcpListener::bind(addr).await.unwrap();
    assert_eq!(ask(&health).await.status, Status::Healthy);
}
