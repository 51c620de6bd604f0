//! What askers may ask for over HTTP: more words, fewer checks, another format.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use crate::asking::{Orders, accepting, get, orders, send};
use crate::scene::{manager, settle};
use http::Request;
use mainstay_health::http::{Endpoint, HealthService};
use mainstay_health::{Check, CheckError, CheckOutcome, ErrorClass, Pushed, Status};
use proptest::prelude::*;
use serde_json::json;
use tower_service::Service;

#[tokio::test(start_paused = true)]
async fn verbose_lists_every_check_in_the_manner_of_kubernetes() {
    let orders = orders().await;
    orders.disk.set(CheckOutcome::unhealthy("full of secrets"));
    orders.llm.set(CheckOutcome::degraded("slow").error(CheckError::new(ErrorClass::Overloaded, "secret")));
    orders.health.disable("redis").unwrap();
    orders.health.begin_maintenance("why");
    settle().await;
    let answer = get(&orders.probes, "/readyz?verbose").await;
    let lines = "[-]maintenance\n\
        [+]worker healthy: passed\n\
        [-]wal disk unhealthy: reported\n\
        [+]redis unknown: disabled\n\
        [+]llm degraded: reported, overloaded\n\
        readyz check failed\n";
    assert_eq!(answer.told(), (503, lines));
    let live = get(&orders.probes, "/livez?verbose=false").await;
    assert_eq!(live.status.as_u16(), 200);
    assert!(live.body.contains("[+]wal disk unhealthy: reported\n"), "{}", live.body);
    assert!(live.body.ends_with("livez check passed\n"), "{}", live.body);
}

#[tokio::test(start_paused = true)]
async fn excluded_checks_are_as_if_they_did_not_exist() {
    let orders = orders().await;
    let probes = &orders.probes;
    orders.worker.set(Status::Unhealthy);
    orders.disk.set(Status::Unhealthy);
    settle().await;
    assert_eq!(get(probes, "/livez?exclude=worker").await.told(), (200, "ok"));
    assert_eq!(get(probes, "/readyz?exclude=worker").await.told(), (503, "not ready: check wal disk"));
    for both in ["exclude=worker&exclude=wal%20disk", "exclude=wal+disk&x=y&exclude=%77orker"] {
        assert_eq!(get(probes, &format!("/readyz?{both}")).await.told(), (200, "ok"), "{both}");
    }
    assert_eq!(get(probes, "/healthz?exclude=worker").await.told(), (503, "unhealthy: check wal disk"));
    assert_eq!(get(probes, "/healthz?exclude=worker&exclude=wal+disk").await.told(), (200, "ok"));
    let verbose =
        get(probes, "/readyz?verbose&exclude=worker&exclude=worke&exclude=%0d%22&exclude=wal+disk").await;
    let lines = "[+]worker excluded: ok\n\
        [+]wal disk excluded: ok\n\
        [+]redis healthy: passed\n\
        [+]llm healthy: passed\n\
        warn: some health checks cannot be excluded: no matches for \"\\r\\\"\",\"worke\"\n\
        readyz check passed\n";
    assert_eq!(verbose.told(), (200, lines));
    // Nothing but checks can be excluded.
    orders.health.begin_maintenance("why");
    let both = "/readyz?exclude=worker&exclude=wal+disk&exclude=maintenance";
    assert_eq!(get(probes, both).await.told(), (503, "not ready: maintenance"));
    // Others' questions are not touched by it.
    assert_eq!(get(probes, "/livez").await.told(), (503, "not live: check worker"));
}

#[tokio::test(start_paused = true)]
async fn broken_queries_are_no_reason_to_fail() {
    let Orders { probes, .. } = orders().await;
    for query in
        ["", "&&&", "=", "exclude", "exclude=%", "exclude=%ff%zz", "verbose=%00", "a=b;c=d", "?exclude=?"]
    {
        assert_eq!(get(&probes, &format!("/readyz?{query}")).await.status.as_u16(), 200, "{query}");
    }
    let long = format!("/readyz?{}", "exclude=nobody&".repeat(4_000));
    assert_eq!(get(&probes, &long).await.told(), (200, "ok"));
}

#[tokio::test(start_paused = true)]
async fn health_json_is_given_to_those_who_name_it() {
    let Orders { probes, .. } = orders().await;
    let standard = "application/health+json";
    for accept in [
        "application/health+json",
        "Application/Health+JSON;q=0.1",
        "text/html, application/health+json ; charset=\"a,b\" ; q=1.0",
        "*/*;q=0.1,\tapplication/health+json",
    ] {
        for endpoint in Endpoint::ALL {
            let answer = accepting(&probes, endpoint.path(), accept).await;
            assert_eq!((answer.status.as_u16(), answer.kind()), (200, standard), "{accept}: {endpoint:?}");
            assert_eq!(answer.json()["status"], "pass");
        }
    }
    for accept in [
        "*/*",
        "application/*",
        "application/json",
        "application/health+json;q=0",
        "application/health+json; Q=0.000",
        "application/health+json;q=-1",
        "application/health+json;q=NaN",
        "application/health+jsonp",
        "text/plain;x=\"\\\",application/health+json\"",
        "",
    ] {
        assert_eq!(accepting(&probes, "/readyz", accept).await.told(), (200, "ok"), "{accept}");
    }
    let two =
        Request::get("/livez").header("accept", "text/plain").header("accept", standard).body(()).unwrap();
    assert_eq!(send(&probes, two).await.kind(), standard);
}

#[tokio::test(start_paused = true)]
async fn health_json_is_of_the_probe_that_was_asked() {
    let orders = orders().await;
    orders.disk.set(CheckOutcome::unhealthy("full"));
    orders.llm.set(Status::Degraded);
    settle().await;
    let standard = "application/health+json";
    let ready = accepting(&orders.probes, "/readyz", standard).await;
    assert_eq!(ready.status.as_u16(), 503);
    let json = ready.json();
    assert_eq!((&json["status"], &json["serviceId"]), (&json!("fail"), &json!("orders")));
    assert_eq!(json["output"], "not ready: check wal disk");
    assert_eq!(json["checks"]["wal disk"][0]["status"], "fail");
    assert_eq!(json["checks"]["llm"][0]["status"], "warn");
    assert_eq!(json["checks"]["redis"][0]["status"], "pass");
    assert!(json["checks"]["redis"][0]["time"].is_string());
    assert!(json.get("version").is_none() && json["checks"]["wal disk"][0].get("output").is_none());

    let live = accepting(&orders.probes, "/livez", standard).await;
    assert_eq!((live.status.as_u16(), &live.json()["status"]), (200, &json!("pass")));
    let without = accepting(&orders.probes, "/readyz?exclude=wal%20disk", standard).await;
    assert_eq!((without.status.as_u16(), &without.json()["status"]), (200, &json!("warn")));
    assert!(without.json()["checks"].get("wal disk").is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a prober sends, it is told the same, and in full.
    #[test]
    fn no_query_and_no_header_moves_a_probe(
        query in "[ -~]{0,80}", accept in "[ -~\t]{0,60}", known in "(verbose|exclude=[a-z%]{0,6}|&|=){0,6}",
    ) {
        let health = manager().build().unwrap();
        let mut probes = HealthService::new(&health);
        for query in [query, known] {
            let request = Request::get(format!("/readyz?{query}")).header("accept", &accept).body(());
            let Ok(request) = request else { continue };
            let response = probes.call(request).into_inner().unwrap();
            prop_assert_eq!(response.status().as_u16(), 503);
            let body = String::from_utf8(response.body().as_bytes().to_vec()).unwrap();
            prop_assert!(body.starts_with("not ready: created") || body.contains("created"), "{}", body);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_excluded_check_blocks_is_excluded_with_it() {
    let redis = Pushed::new();
    let health = manager()
        .check(Check::shared("redis", &redis))
        .check(Check::exclusive("sidecar", async || {}).critical().depends_on("redis"))
        .build()
        .unwrap();
    health.start().unwrap();
    redis.set(Status::Unhealthy);
    settle().await;
    let probes = &HealthService::new(&health);
    assert_eq!(get(probes, "/readyz").await.told(), (503, "not ready: check sidecar"));
    let answer = get(probes, "/readyz?verbose&exclude=redis").await;
    let lines = "[+]redis excluded: ok\n[+]sidecar excluded: ok\nreadyz check passed\n";
    assert_eq!(answer.told(), (200, lines));
}
