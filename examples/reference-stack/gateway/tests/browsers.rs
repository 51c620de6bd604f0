//! What browsers need: scripts of other origins, and event streams that can send no headers.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that panics fails, as it should"
)]

mod support;

use support::orchestrator::FakeOrchestrator;
use support::{TestGateway, client, gateway, header, token};

async fn one() -> (FakeOrchestrator, TestGateway) {
    let orchestrator = FakeOrchestrator::start().await;
    let gateway = gateway(&[orchestrator.url()], &[]).await;
    (orchestrator, gateway)
}

#[tokio::test]
async fn a_token_in_the_query_is_believed_for_streams_alone() {
    let (_orchestrator, gateway) = one().await;
    let url = gateway.url(&format!("/api/v1/tasks?access_token={}", token("ann")));
    assert_eq!(gateway.client.get(url).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn what_a_token_in_a_query_opens_is_not_kept_by_anybody() {
    let (_orchestrator, gateway) = one().await;
    let id = gateway.task("hello").await;
    let url = gateway.url(&format!("/api/v1/tasks/{id}/stream?access_token={}", token("ann")));
    let response = gateway.client.get(url).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (200, "no-store"));
}

#[tokio::test]
async fn pages_of_named_origins_may_ask_and_others_may_not() {
    let orchestrator = FakeOrchestrator::start().await;
    let origins = [("CORS_ORIGINS", "https://app.example, http://localhost:3000")];
    let gateway = gateway(&[orchestrator.url()], &origins).await;
    let preflight = async |origin: &str| {
        let asked = client().request(reqwest::Method::OPTIONS, gateway.url("/v1/chat/completions"));
        let asked = asked.header("origin", origin).header("access-control-request-method", "POST");
        let asked =
            asked.header("access-control-request-headers", "authorization,idempotency-key,last-event-id");
        asked.send().await.unwrap()
    };
    let allowed = preflight("https://app.example").await;
    assert_eq!(allowed.status(), 200, "without a token");
    assert_eq!(header(&allowed, "access-control-allow-origin"), "https://app.example");
    assert!(header(&allowed, "access-control-allow-headers").contains("idempotency-key"));
    assert!(header(&allowed, "access-control-allow-methods").contains("POST"));
    assert_eq!(header(&preflight("https://evil.example").await, "access-control-allow-origin"), "");

    let answer = gateway.get("/v1/models").header("origin", "http://localhost:3000").send().await.unwrap();
    assert_eq!(header(&answer, "access-control-allow-origin"), "http://localhost:3000");
    let exposed = header(&answer, "access-control-expose-headers");
    for name in ["x-task-id", "retry-after", "degraded", "x-ratelimit-remaining"] {
        assert!(exposed.split(',').any(|exposed| exposed == name), "{name}: {exposed}");
    }
    let refused = client().get(gateway.url("/v1/models")).header("origin", "https://app.example");
    let refused = refused.send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), header(&refused, "access-control-allow-origin")),
        (401, "https://app.example"),
        "a page may read why it was refused"
    );
}

#[tokio::test]
async fn without_origins_no_page_may_ask() {
    let (_orchestrator, gateway) = one().await;
    let answer = gateway.get("/v1/models").header("origin", "https://app.example").send().await.unwrap();
    assert_eq!(header(&answer, "access-control-allow-origin"), "");
}
