//! What a probe allocates.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

use allocation_counter::measure;
use http::{HeaderMap, HeaderValue, Request};
use mainstay_health::HealthManager;
use mainstay_health::http::HealthService;
use tower_service::Service;

/// How often an answer allocates, once everything is warm.
fn allocations(probes: &mut HealthService, uri: &str) -> u64 {
    let request = || {
        let request = Request::get(uri).header("host", "10.0.0.1:8080").header("accept", "*/*");
        request.header("user-agent", "kube-probe/1.33").body(()).unwrap()
    };
    for _ in 0..3 {
        drop(probes.call(request()));
    }
    let requests: Vec<_> = (0..100).map(|_| request()).collect();
    measure(|| requests.into_iter().for_each(|request| drop(probes.call(request)))).count_total
}

#[tokio::test]
async fn a_probe_that_passes_allocates_nothing_but_its_headers() {
    let health = HealthManager::builder("orders").build().unwrap();
    health.start().unwrap();
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert("content-type", HeaderValue::from_static("text/plain"));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    let a_copy = measure(|| drop(headers.clone())).count_total;
    let mut probes = HealthService::new(&health);
    for path in ["/readyz", "/livez", "/startupz"] {
        assert_eq!(allocations(&mut probes, path), 100 * a_copy, "{path}");
    }
}

#[tokio::test]
async fn a_page_that_is_there_already_costs_its_headers_too() {
    let health = HealthManager::builder("orders").build().unwrap();
    health.start().unwrap();
    let mut probes = HealthService::new(&health);
    for path in ["/healthz", "/health", "/health/detailed", "/ready"] {
        let count = allocations(&mut probes, path);
        assert!(count <= 400, "{path}: {count}");
    }
}
