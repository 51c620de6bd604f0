//! The probe for containers, against a real server.
#![cfg(feature = "health")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use crate::says::says;
use mainstay_health::ProbeExit;
use mainstay_http::health::{ProbeTimeouts, probe};
use mainstay_testkit::{Fault, FaultProxy, HttpServer};

async fn exit(url: &str) -> ProbeExit {
    let timeouts = ProbeTimeouts { connect: Duration::from_secs(20), call: Duration::from_secs(20) };
    probe(url, timeouts).await.exit
}

#[tokio::test]
async fn the_probe_exits_by_what_comes_back() {
    let mut server = HttpServer::start().unwrap();
    let url = server.url();
    for path in ["/status/200", "/status/204", "/bytes/1000", "/echo?x=y"] {
        assert_eq!(exit(&format!("{url}{path}")).await, ProbeExit::Healthy, "{path}");
    }
    for path in ["/status/301", "/status/404", "/status/500", "/status/503", "/nothing"] {
        assert_eq!(exit(&format!("{url}{path}")).await, ProbeExit::Unhealthy, "{path}");
    }
    assert_eq!(exit(&format!("{url}/broken?after=1")).await, ProbeExit::CallFailed);
    assert_eq!(exit(&says(b"nonsense\r\n\r\n")).await, ProbeExit::CallFailed);
    for url in ["", "x", "https://127.0.0.1/", "http://a:b@127.0.0.1/"] {
        assert_eq!(exit(url).await, ProbeExit::InvalidArguments, "{url}");
    }
    let reply = probe(&format!("{url}/status/503"), ProbeTimeouts::default()).await;
    assert_eq!(reply.text, "503 Service Unavailable");
    server.kill().unwrap();
    assert_eq!(exit(&format!("{url}/status/200")).await, ProbeExit::ConnectionFailed);
}

#[tokio::test]
async fn the_probe_has_a_deadline_for_the_connection_and_one_for_the_answer() {
    assert_eq!(ProbeTimeouts::default().connect, Duration::from_secs(1));
    assert_eq!(ProbeTimeouts::default().call, Duration::from_secs(1));
    let mut server = HttpServer::start().unwrap();
    let url = format!("{}/status/200", server.url());
    let soon = ProbeTimeouts { call: Duration::from_millis(50), ..ProbeTimeouts::default() };

    let proxy = FaultProxy::start(server.addr()).unwrap();
    proxy.set(Fault::BlackHole);
    let reply = probe(&format!("{}/status/200", server.url_at(proxy.addr())), soon).await;
    assert_eq!((reply.exit, reply.text.as_str()), (ProbeExit::CallFailed, "no answer within 50ms"));

    server.stop().unwrap();
    let reply = probe(&url, soon).await;
    assert_eq!((reply.exit, reply.text.as_str()), (ProbeExit::CallFailed, "no answer within 50ms"));

    let (_listener, _crowd, url) = crowded();
    let soon = ProbeTimeouts { connect: Duration::from_millis(50), ..ProbeTimeouts::default() };
    let reply = probe(&url, soon).await;
    assert_eq!(reply.exit, ProbeExit::ConnectionFailed, "{reply}");
    assert_eq!(reply.text, "no connection within 50ms");
}

/// A listener whose queue is full, so that no connection comes about.
fn crowded() -> (tokio::net::TcpListener, Vec<std::net::TcpStream>, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let connect = || std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(100)).ok();
    let crowd: Vec<_> = std::iter::from_fn(connect).take(100).collect();
    (listener, crowd, format!("http://{addr}/"))
}

#[test]
fn outside_of_a_runtime_the_probe_says_so() {
    let mut probe = std::pin::pin!(probe("http://127.0.0.1:1/", ProbeTimeouts::default()));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(reply) = probe.as_mut().poll(&mut cx) else { panic!("it waits") };
    assert_eq!(reply.exit, ProbeExit::ConnectionFailed);
    assert!(reply.text.contains("no tokio runtime"), "{reply}");
}

#[test]
fn in_a_runtime_that_lacks_time_or_io_the_probe_has_no_connection() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let bare = builder.build().unwrap();
    let without_io = builder.enable_time().build().unwrap();
    for runtime in [bare, without_io] {
        let reply = runtime.block_on(probe("http://127.0.0.1:1/", ProbeTimeouts::default()));
        assert_eq!(reply.exit, ProbeExit::ConnectionFailed);
        assert_eq!(reply.text, "no connection: the tokio runtime here lacks I/O or time");
    }
}

#[tokio::test]
async fn a_time_out_of_zero_is_no_argument_of_the_probe() {
    let default = ProbeTimeouts::default();
    for timeouts in [
        ProbeTimeouts { connect: Duration::ZERO, ..default },
        ProbeTimeouts { call: Duration::ZERO, ..default },
    ] {
        let reply = probe("http://127.0.0.1:1/", timeouts).await;
        assert_eq!((reply.exit.code(), reply.text.as_str()), (1, "a time-out must be more than zero"));
    }
    let longest = ProbeTimeouts { connect: Duration::MAX, call: Duration::MAX };
    assert_eq!(probe("http://127.0.0.1:1/", longest).await.exit, ProbeExit::ConnectionFailed);
}

#[tokio::test]
async fn the_probe_tells_neither_where_it_asked_nor_what_the_system_says() {
    let patient = ProbeTimeouts { connect: Duration::from_secs(20), call: Duration::from_secs(20) };
    for (url, text) in [
        ("http://127.0.0.1:1/".to_owned(), "no connection: connection_refused"),
        ("http://secret-host.invalid/".to_owned(), "no connection: name_not_resolved"),
        (says(b"secret nonsense\r\n\r\n"), "the call failed: bad_answer"),
        (says(b""), "the call failed: connection_lost"),
        (
            "https://secret-host.invalid/".to_owned(),
            "the url must begin with http://; other schemes need a client",
        ),
        (
            "http://mallory:hunter2@secret-host.invalid/".to_owned(),
            "the url must not hold credentials: they are not sent",
        ),
        (
            "secret-host.invalid:1".to_owned(),
            "the url must have a scheme and a host, as in http://llm:8000/health",
        ),
        ("http://secret host/".to_owned(), "the url must be a URL"),
    ] {
        assert_eq!(probe(&url, patient).await.text, text, "{url}");
    }
}
