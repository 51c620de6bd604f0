//! What the HTTP server answers on each route.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, reason = "each test file uses some of it")]

mod ask;

use std::time::{Duration, Instant};

use mainstay_testkit::HttpServer;

/// A whole answer.
fn get(server: &HttpServer, path: &str) -> String {
    let (answer, is_whole) = ask::http(server.addr(), &format!("GET {path}")).unwrap();
    assert!(is_whole, "{answer}");
    answer
}

/// An answer that breaks off.
fn get_broken(server: &HttpServer, path: &str) -> String {
    let (answer, is_whole) = ask::http(server.addr(), &format!("GET {path}")).unwrap();
    assert!(!is_whole, "{answer}");
    answer
}

#[test]
fn a_status_and_its_retry_after() {
    let server = HttpServer::start().unwrap();
    for code in [200, 204, 301, 404, 429, 500, 503, 599] {
        assert!(get(&server, &format!("/status/{code}")).starts_with(&format!("HTTP/1.1 {code} ")));
    }
    assert!(get(&server, "/status/503?retry_after=7").contains("retry-after: 7\r\n"));
    let date = "Wed,%2021%20Oct%202015%2007:28:00%20GMT";
    let answer = get(&server, &format!("/status/429?retry_after={date}"));
    assert!(answer.contains("retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n"), "{answer}");
    assert!(!get(&server, "/status/503").contains("retry-after"));
    for nonsense in ["/status/99", "/status/600", "/status/x", "/bytes/x", "/stream?chunks=x"] {
        assert!(get(&server, nonsense).starts_with("HTTP/1.1 400 "), "{nonsense}");
    }
}

#[test]
fn late_and_never() {
    let server = HttpServer::start().unwrap();
    let begun = Instant::now();
    get(&server, "/delay/100");
    assert!(begun.elapsed() >= Duration::from_millis(100));
    assert!(ask::is_silent(ask::http_within(server.addr(), "GET /hang", Duration::from_millis(100))));
}

#[test]
fn bodies_of_a_size_and_bodies_in_chunks() {
    let server = HttpServer::start().unwrap();
    for length in [0, 1, 1_000_000] {
        assert!(get(&server, &format!("/bytes/{length}")).contains(&format!("content-length: {length}\r\n")));
    }
    let begun = Instant::now();
    let answer = get(&server, "/stream?chunks=5&gap_ms=20&size=3");
    assert!(begun.elapsed() >= Duration::from_millis(80));
    assert_eq!(answer.matches("3\r\nmmm\r\n").count(), 5, "{answer}");
}

#[test]
fn bodies_that_break_off_after_exactly_so_many_bytes() {
    let server = HttpServer::start().unwrap();
    for after in [0, 5, 200_000] {
        let answer = get_broken(&server, &format!("/broken?after={after}"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", after + 1000)));
        assert_eq!(body.len(), after);
        let answer = get_broken(&server, &format!("/broken-chunked?after={after}"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("transfer-encoding: chunked") && body.matches('m').count() == after);
    }
}

#[test]
fn an_echo_a_redirect_and_a_count() {
    let server = HttpServer::start().unwrap();
    let (echo, _) = ask::http(server.addr(), "POST /echo\ngood morning").unwrap();
    assert!(echo.ends_with("\r\n\r\ngood morning"));
    assert!(get(&server, "/redirect/2").contains("location: /redirect/1\r\n"));
    assert!(get(&server, "/redirect/0").starts_with("HTTP/1.1 200 "));
    assert!(get(&server, "/count").ends_with("\r\n\r\n3"));
    assert!(get(&server, "/count").ends_with("\r\n\r\n3"));
}
