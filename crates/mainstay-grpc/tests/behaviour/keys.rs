//! A breaker for each method or service.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashSet;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::script::{Script, response};
use http::{Request, Response};
use mainstay_breaker::{Keyed, Settings, State, Trip};
use mainstay_grpc::{GrpcLayer, MethodName, ServiceName};
use tonic::body::Body;
use tower::{Layer, Service, ServiceExt, service_fn};

fn request(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(Body::empty()).unwrap()
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// `INTERNAL` for every method that is called `Fail`.
async fn server(request: Request<Body>) -> Result<Response<Script>, Infallible> {
    let code = match request.uri().path() {
        path if path.ends_with("Fail") => "13",
        path if path.ends_with("Strange") => "12",
        _ => "0",
    };
    Ok(response(&[("grpc-status", code)], Script::announced([])))
}

fn settings() -> Settings {
    Settings::new().trip(Trip::consecutive_failures(3))
}

#[test]
fn a_method_is_a_path_without_its_query() {
    for (uri, name) in [
        ("/pkg.Service/Method", "/pkg.Service/Method"),
        ("/pkg.Service/Method?a=b", "/pkg.Service/Method"),
        ("http://host:50051/pkg.Service/Method?x", "/pkg.Service/Method"),
        ("/prefix/pkg.Service/Method", "/prefix/pkg.Service/Method"),
        ("/", "/"),
        ("*", "*"),
        ("host:50051", "/"),
    ] {
        let method = MethodName::of(&request(uri));
        assert_eq!(method.as_str(), name, "{uri}");
        assert_eq!(method, MethodName::new(name).unwrap());
        assert_eq!(hash(&method), hash(method.clone()));
        assert_eq!(method.to_string(), name);
    }
}

#[test]
fn a_service_is_what_comes_before_the_method() {
    for (uri, name) in [
        ("/pkg.Service/Method", "pkg.Service"),
        ("/pkg.Service/Other?a=/b/c", "pkg.Service"),
        ("http://host/prefix/pkg.Service/Method", "prefix/pkg.Service"),
        ("/pkg.Service/", "pkg.Service"),
        ("/pkg.Service", "pkg.Service"),
        ("/", ""),
        ("//", ""),
        ("*", "*"),
        ("host:50051", ""),
    ] {
        let service = ServiceName::of(&request(uri));
        assert_eq!(service.as_str(), name, "{uri}");
        assert_eq!(service.clone(), service, "{uri}");
        assert_eq!(hash(&service), hash(service.clone()));
        assert_eq!(service.to_string(), name);
    }
    assert_eq!(ServiceName::new("pkg.Service").unwrap(), ServiceName::of(&request("/pkg.Service/M")));
    assert!(ServiceName::new("not a path").is_err());
    assert!(MethodName::new("not a path").is_err());
}

#[test]
fn names_of_different_methods_differ() {
    let names: HashSet<_> =
        ["/a.B/C", "/a.B/D", "/a.B2/C"].map(|path| MethodName::of(&request(path))).into_iter().collect();
    assert_eq!(names.len(), 3);
    let names: HashSet<_> =
        ["/a.B/C", "/a.B/D", "/a.B2/C"].map(|path| ServiceName::of(&request(path))).into_iter().collect();
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn one_methods_failures_do_not_open_anothers_breaker() {
    let methods = Keyed::<MethodName>::builder("methods").settings(settings()).build().unwrap();
    let mut guarded = GrpcLayer::client_per_method(methods.clone()).layer(service_fn(server));
    for _ in 0..10 {
        let _ = guarded.ready().await.unwrap().call(request("/pkg.S/Fail")).await.unwrap();
        let answer = guarded.ready().await.unwrap().call(request("/pkg.S/Fine")).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "0");
    }
    let of = |name| methods.peek(&MethodName::new(name).unwrap()).unwrap();
    assert_eq!(of("/pkg.S/Fail").state(), State::Open);
    assert_eq!(of("/pkg.S/Fail").snapshot().totals.failure, 3);
    assert_eq!(of("/pkg.S/Fine").snapshot().totals.success, 10);
    assert_eq!(methods.len(), 2);
}

#[tokio::test]
async fn the_methods_of_one_service_share_its_breaker() {
    let services = Keyed::<ServiceName>::builder("services").settings(settings()).build().unwrap();
    let mut guarded = GrpcLayer::client_per_service(services.clone()).layer(service_fn(server));
    for _ in 0..3 {
        let _ = guarded.ready().await.unwrap().call(request("/pkg.S/Fail")).await.unwrap();
    }
    let answer = guarded.ready().await.unwrap().call(request("/pkg.S/Fine")).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    let answer = guarded.ready().await.unwrap().call(request("/pkg.T/Fine")).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "0");
    assert_eq!(services.len(), 2);
}

#[tokio::test]
async fn paths_that_strangers_make_up_take_no_more_than_their_place() {
    let methods = Keyed::<MethodName>::builder("methods").settings(settings()).max_keys(10).build().unwrap();
    let mut guarded = GrpcLayer::server_per_method(methods.clone()).layer(service_fn(server));
    for number in 0..1_000 {
        for _ in 0..5 {
            let path = format!("/made{number}.Up/Strange?{number}");
            let answer = guarded.ready().await.unwrap().call(request(&path)).await.unwrap();
            assert_eq!(answer.headers()["grpc-status"], "12", "never a rejection");
        }
    }
    assert!(methods.len() <= 10);
    let answer = guarded.ready().await.unwrap().call(request("/pkg.S/Fine")).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "0");
    assert_eq!(methods.stats().overflowed, 0);
}
