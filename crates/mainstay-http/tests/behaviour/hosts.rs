//! Breakers per host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;

use crate::scripted::response;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use mainstay_breaker::{Breaker, Keyed, Settings, State, Trip};
use mainstay_http::{Addressed, Host, HttpLayer};
use tower::{Layer, Service, ServiceExt, service_fn};

fn host(uri: &str) -> String {
    Request::get(uri).body(()).unwrap().host().to_string()
}

#[test]
fn the_key_is_host_and_port_in_lower_case() {
    assert_eq!(host("http://Example.COM/path?query"), "example.com:80");
    assert_eq!(host("https://example.com"), "example.com:443");
    assert_eq!(host("http://example.com:8080/"), "example.com:8080");
    assert_eq!(host("http://example.com:80/"), "example.com:80");
    assert_eq!(host("http://[::1]:3000/"), "[::1]:3000");
    assert_eq!(host("http://[2001:DB8::1]/"), "[2001:db8::1]:80");
    assert_eq!(host("wss://example.com/socket"), "example.com:443");
    assert_eq!(host("ipp://printer/queue"), "printer");
}

#[test]
fn user_and_password_are_no_part_of_the_key() {
    assert_eq!(host("http://user:secret@example.com/"), "example.com:80");
}

#[test]
fn a_request_without_authority_is_keyed_by_its_host_header() {
    for (header, key) in [
        ("Example.com:8080", "example.com:8080"),
        ("example.com", "example.com"),
        ("[::1]:3000", "[::1]:3000"),
        ("[::1]", "[::1]"),
        ("example.com:99999", "example.com:99999"),
        ("", ""),
    ] {
        let request = Request::get("/path").header("host", header).body(()).unwrap();
        assert_eq!(request.host().as_str(), key);
    }
    assert_eq!(Request::get("/path").body(()).unwrap().host(), Host::unknown());
    let unreadable = Request::get("/").header("host", &b"\xff"[..]).body(()).unwrap();
    assert_eq!(unreadable.host(), Host::unknown());
}

#[test]
fn long_names_are_keys_like_short_ones() {
    for length in 0..300 {
        let (lower, upper) = ("a".repeat(length), "A".repeat(length));
        for port in [None, Some(1), Some(65535)] {
            let host = Host::new(&upper, port);
            let text = port.map_or(lower.clone(), |port| format!("{lower}:{port}"));
            assert_eq!(host.as_str(), text);
            assert_eq!(host, Host::new(&lower, port));
            assert_eq!(host, host.clone());
        }
    }
}

async fn answer(request: Request<()>) -> Result<Response<Empty<&'static [u8]>>, Infallible> {
    Ok(response(if request.uri().path() == "/broken" { 500 } else { 200 }, Empty::new()))
}

fn hosts() -> Keyed<Host> {
    let settings = Settings::new().trip(Trip::consecutive_failures(2));
    Keyed::builder("upstreams").settings(settings).max_keys(4).build().unwrap()
}

#[tokio::test]
async fn each_host_has_a_breaker_of_its_own() {
    let hosts = hosts();
    let mut service = HttpLayer::keyed_by_host(hosts.clone()).layer(service_fn(answer));
    let mut get = async |uri: &str| {
        let request = Request::get(uri).body(()).unwrap();
        service.ready().await.unwrap().call(request).await.map(|response| response.status())
    };
    for _ in 0..2 {
        assert_eq!(get("http://eu.example.com/broken").await.unwrap(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert!(get("http://eu.example.com/").await.unwrap_err().rejected().is_some());
    assert!(get("http://EU.example.com:80/").await.unwrap_err().rejected().is_some());
    assert_eq!(get("http://eu.example.com:81/").await.unwrap(), StatusCode::OK);
    assert_eq!(get("http://us.example.com/").await.unwrap(), StatusCode::OK);

    let state = |host: &str| hosts.peek(host).map(|breaker| breaker.state());
    assert_eq!(state("eu.example.com:80"), Some(State::Open));
    assert_eq!(state("us.example.com:80"), Some(State::Closed));
    assert_eq!(state("eu.example.com"), None);
}

#[tokio::test]
async fn the_set_of_hosts_is_bounded() {
    let hosts = hosts();
    let mut service = HttpLayer::keyed_by_host(hosts.clone()).layer(service_fn(answer));
    for number in 0..1000 {
        let request = Request::get(format!("http://host-{number}.example.com/")).body(()).unwrap();
        service.ready().await.unwrap().call(request).await.unwrap();
    }
    assert!(hosts.len() <= 4);
}

#[tokio::test]
async fn any_other_key_will_do() {
    let set = Keyed::<String>::builder("tenants")
        .settings(Settings::new().trip(Trip::consecutive_failures(1)))
        .build()
        .unwrap();
    let key = |request: &Request<()>| request.uri().host().unwrap_or_default().to_owned();
    let service = HttpLayer::client_keyed(set.clone(), key).layer(service_fn(answer));
    service.oneshot(Request::get("http://acme/broken").body(()).unwrap()).await.unwrap();
    assert_eq!(set.peek("acme").map(|breaker: Breaker| breaker.state()), Some(State::Open));
}
